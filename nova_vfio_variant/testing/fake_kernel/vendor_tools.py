# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for NVIDIA's programs on a fake host: programs of their own.

They do what is asked of them here, and say what the real ones were reported
to say (bigstack-oss/cubecos #1316); no hardware was asked.
"""

from __future__ import annotations

import errno
import os
import pathlib
import re
import sys
import typing as ty

from nova_vfio_variant.testing.fake_kernel import kernel, vgpu_card

_PLACES = ("usr/bin/nvidia-smi", "usr/lib/nvidia/sriov-manage")
_TEXT = """#!{python}
import sys
sys.path[:] = {path}
from nova_vfio_variant.testing.fake_kernel import vendor_tools
sys.exit(vendor_tools.run({name!r}, {root!r}, sys.argv[1:]))
"""
_ADDRESS = re.compile(r"0*([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])")
#: How nvidia-smi refuses.
_REFUSED = {
    errno.ENODEV: (6, "No devices were found\n"),
    errno.EBUSY: (19, "In use by another client\n"),
}
_ABOUT = """GPU {}
    GPU Virtualization Mode
        Virtualization Mode               : Host VGPU
        Host VGPU Mode                    : SR-IOV
        vGPU Heterogeneous Mode           : {}
"""
_SUPPORTED = """    vGPU Type ID                          : {:#x}
        Name                              : {}
        Class                             : Quadro
        GPU Instance Profile ID           : N/A
        Max Instances                     : {}
        Max Instances Per VM              : 16
        Max Instances Per GI              : N/A
        FB Memory                         : {} MiB
"""
#: What NVML's clients have open of a card.
_NVML = "/dev/nvidia"


def put(root: pathlib.Path) -> None:
    """Put them on a host, where others than its owner can't write them."""
    for place in _PLACES:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            _TEXT.format(
                python=sys.executable,
                path=[os.path.abspath(part) for part in sys.path],
                name=path.name,
                root=str(root),
            )
        )
        for part in (path, *path.parents):
            if part == root:
                break
            part.chmod(0o755)


def run(name: str, root: str, words: ty.Sequence[str]) -> int:
    """Run one, and print what it says.

    :returns: its exit status
    """
    there = kernel.Kernel(pathlib.Path(root))
    with there.files.held():
        status, said = {
            "nvidia-smi": _nvidia_smi,
            "sriov-manage": _sriov_manage,
        }[name](there, words)
    sys.stdout.write(said)
    return status


def _nvidia_smi(
    there: kernel.Kernel, words: ty.Sequence[str]
) -> tuple[int, str]:
    """``vgpu -shm 0|1``, ``vgpu -s -v`` and ``-q``, each ``-i ADDRESS``."""
    match list(words):
        case ["vgpu", "-shm", "0" | "1" as flag, "-i", given]:
            try:
                there.vgpus.set_heterogeneous(_name(given), flag == "1")
            except OSError as error:
                return _REFUSED[error.errno or 0]
            return 0, ""
        case ["vgpu", "-s", "-v", "-i", given]:
            card = there.files.memory.cards.get(_name(given))
            if card is None:
                return _REFUSED[errno.ENODEV]
            return 0, supported(_name(given), card)
        case ["-q", "-i", given]:
            card = there.files.memory.cards.get(_name(given))
            if card is None:
                return _REFUSED[errno.ENODEV]
            state = "Enabled" if card.heterogeneous else "Disabled"
            return 0, _ABOUT.format(f"0000{_name(given).upper()}", state)
    return 2, "Invalid combination of input arguments.\n"


def supported(address: str, card: vgpu_card.VgpuCard) -> str:
    """What ``nvidia-smi vgpu -s -v`` says of a card."""
    return f"GPU 0000{address.upper()}\n" + "".join(
        _SUPPORTED.format(int(kind), name, card.framebuffer_mib // size, size)
        for kind, (name, size) in card.types.items()
    )


def _sriov_manage(
    there: kernel.Kernel, words: ty.Sequence[str]
) -> tuple[int, str]:
    """``-e|-d ADDRESS|ALL``: all VFs, or none."""
    if len(words) != 2 or words[0] not in ("-e", "-d"):
        return 1, "Usage: sriov-manage <-e|-d> <ssss:bb:dd.f|ALL>\n"
    cards = there.files.memory.cards
    names = list(cards) if words[1] == "ALL" else [_name(words[1])]
    for name in names:
        if name not in cards:
            return 1, f"{name} is not a known GPU\n"
        if _has_client(there.files.root):
            return 1, f"Cannot obtain unbindLock for {name}\n"
        try:
            _set_numvfs(there, name, words[0] == "-e")
        except OSError as error:
            return 1, f"{name}: {error.strerror}\n"
    return 0, ""


def _set_numvfs(there: kernel.Kernel, name: str, flag: bool) -> None:
    """What its driver refuses, the script can: it takes it off meanwhile.

    The fake leaves it bound: nothing of that can be seen afterwards.

    :raises OSError: as the kernel does
    """
    files = there.files
    of = files.memory.cards[name].driver
    total = files.text(files.device(name) / "sriov_totalvfs")
    had = files.memory.drivers[of].makes_vfs
    files.memory.drivers[of].makes_vfs = True
    try:
        wanted = total if flag else "0"
        there.pci.write(["devices", name, "sriov_numvfs"], wanted.encode())
    finally:
        # Whoever waited has read the memory anew.
        files.memory.drivers[of].makes_vfs = had


def _has_client(root: pathlib.Path) -> bool:
    """Whether a process has a card's device file open."""
    for path in root.glob("proc/[0-9]*/fd/*"):
        if os.path.islink(path) and os.readlink(path).startswith(_NVML):
            return True
    return False


def _name(given: str) -> str:
    """An address as sysfs has it; the tool has eight digits of domain."""
    found = _ADDRESS.fullmatch(given.lower())
    return found[1] if found else given
