# SPDX-License-Identifier: Apache-2.0
"""vGPUs as NVIDIA's driver makes them on kernels with VFIO variant drivers.

Each VF has a folder of the vendor's: ``creatable_vgpu_types`` lists what it
could be given now, ``current_vgpu_type`` takes an id, and ``0`` frees it. The
VF stays on the vendor's driver, whatever its name.
"""

from __future__ import annotations

import errno
import re
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import process, vgpu
from nova_vfio_variant.host.observe import programs, vendor_vgpu, vgpu_card
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.host.vgpu import nvidia_smi
from nova_vfio_variant.pci import function as observed

NAME: ty.Final = "vendor_vfio"
TOOL: ty.Final = "nvidia-smi"
#: How nvidia-smi spells the state, and what may stand there.
_STATE: ty.Final = re.compile(
    r"^\s*vGPU Heterogeneous Mode\s*:\s*(\S.*?)\s*$", re.MULTILINE
)
_WORDS: ty.Final = {"Enabled": "1", "Disabled": "0"}


class VendorVfio(vgpu.VgpuFramework):
    """The vendor's folder of each VF; ``nvidia-smi`` for a card's mode."""

    def serves(self, function: observed.PciFunction) -> bool:
        """A VF with the folder."""
        return function.has_vgpu_folder

    def offer(
        self, tree: host_tree.HostTree, function: observed.PciFunction
    ) -> vendor_vgpu.VendorVgpu:
        """See :func:`.vendor_vgpu.read`."""
        return vendor_vgpu.read(tree, function.address)

    def set_type(
        self, writer: vgpu.Writer, address: str, type_id: str
    ) -> None:
        """Write the id."""
        writer.set_vgpu_type(address, type_id)

    def current(self, tree: host_tree.HostTree, address: str) -> str:
        """Read it."""
        place = f"{paths.DEVICES}/{address}/{vendor_vgpu.FOLDER}"
        text = tree.read_text(f"{place}/current_vgpu_type")
        return vendor_vgpu.parse_current(text) or ""

    def set_heterogeneous(
        self, writer: vgpu.Writer, address: str, flag: bool
    ) -> None:
        """Run ``nvidia-smi vgpu -shm``.

        After the VFs are made and before the first type; ``sriov-manage``
        clears it both ways.

        :raises OSError: it isn't there, or said why it failed
        """
        words = ("vgpu", "-shm", "1" if flag else "0", "-i", address)
        done = programs.run(writer.root, TOOL, *words)
        if done.returncode:
            said = " ".join(done.stdout.split())
            raise OSError(
                errno.EIO, said or f"{TOOL} ended with {done.returncode}"
            )

    def heterogeneous(self, tree: host_tree.HostTree, address: str) -> str:
        """Ask ``nvidia-smi``; the word has to be the very one."""
        try:
            done = programs.run(tree, TOOL, "-q", "-i", address)
        except OSError:
            return ""
        found = _STATE.search(done.stdout)
        return "" if found is None else _WORDS.get(found[1], "")

    def told(self, tree: host_tree.HostTree, address: str) -> vgpu_card.Told:
        """Ask ``nvidia-smi``, which may hang with its card."""

        def ask() -> str:
            words = ("vgpu", "-s", "-v", "-i", address)
            done = programs.run(tree, TOOL, *words)
            return "" if done.returncode else done.stdout

        try:
            return nvidia_smi.told(process.run(ask, vgpu.PATIENCE))
        except (OSError, exception.HostError):
            return vgpu_card.NOTHING_TOLD
