# SPDX-License-Identifier: Apache-2.0
"""VFs of NVIDIA cards, made by the driver's own ``sriov-manage``.

The NVIDIA driver refuses a write to ``sriov_numvfs``. Its tool takes the card
from its driver and gives it back, makes all VFs or removes all, fails with
"Cannot obtain unbindLock" while a client of NVML is open, and has been seen to
leave the card without a driver (stackhpc/ansible-collection-linux #37, #42).
Its exit status is not relied on: sysfs says what came of it.
"""

from __future__ import annotations

import errno
import time
import typing as ty

from nova_vfio_variant.host import vf_provider
from nova_vfio_variant.host.observe import programs
from nova_vfio_variant.pci import function as observed

TOOL: ty.Final = "sriov-manage"
_VENDOR = "10de"
_DRIVER = "nvidia"
_BUSY = "unbindLock"
_ATTEMPTS = 3
#: Seconds between attempts: NVML clients that poll hold the card briefly.
_PAUSE = 2.0
#: Seconds that all attempts may take beside the VFs themselves.
_PATIENCE = 60.0


class NvidiaVfProvider(vf_provider.VfProvider):
    """Runs ``sriov-manage``, found on the host."""

    program = TOOL
    disturbs_pf = True
    # The script binds it there, by new_id, to write sriov_numvfs.
    passes = ("pci-pf-stub",)

    def serves(self, pf: observed.PciFunction) -> bool:
        """A card on the NVIDIA driver."""
        return pf.vendor_id == _VENDOR and pf.driver == _DRIVER

    def refusal(self, pf: observed.PciFunction, count: int) -> str | None:
        """All VFs or none: there is no other number."""
        if count in (0, pf.sriov_totalvfs):
            return None
        return (
            f"{TOOL} makes all {pf.sriov_totalvfs} VFs of a card or none, "
            f"and {count} are asked for"
        )

    def deadline(self, before: int, after: int) -> float:
        """As for others, and time for a card that is busy for a moment."""
        return _PATIENCE + super().deadline(before, after)

    def set_numvfs(
        self, writer: vf_provider.Writer, address: str, count: int
    ) -> None:
        """Run the tool until sysfs shows the VFs, three times at most.

        :raises OSError: it isn't there, or said why it failed
        """
        said, made = "", False
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE)
            said = self._run(writer, "-e" if count else "-d", address)
            if not writer.driver(address, _DRIVER):
                writer.probe(address)
            made = writer.numvfs(address, count) == count
            if made and writer.driver(address) == _DRIVER:
                return
            if _BUSY not in said:
                break
        if made:
            raise OSError(errno.EIO, f"{TOOL} left it off {_DRIVER}: {said}")
        raise OSError(errno.EIO, f"{TOOL} made other than {count} VFs: {said}")

    def _run(self, writer: vf_provider.Writer, flag: str, address: str) -> str:
        """What the tool prints, in one line.

        :raises OSError: it isn't there, or somebody else may have written it
        """
        done = programs.run(writer.root, TOOL, flag, address)
        return " ".join(done.stdout.split()) or f"status {done.returncode}"
