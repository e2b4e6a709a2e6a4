# SPDX-License-Identifier: Apache-2.0
"""In which way a card is divided into vGPUs, if it is: by its files.

Cards of one host differ, and so do drivers of one name, so that neither says
anything of another card.
"""

from __future__ import annotations

import enum
import re
import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function as observed

#: What NVIDIA's driver says of each card, and of the rights to its parts
#: ("Device Nodes and Capabilities" in NVIDIA's MIG user guide).
_CARDS: ty.Final = "proc/driver/nvidia/gpus"
_PARTS: ty.Final = "proc/driver/nvidia/capabilities"
_MINOR: ty.Final = re.compile(
    r"^Device Minor:\s*([0-9]{1,6})\s*$", re.MULTILINE
)
_INSTANCE: ty.Final = re.compile(r"gi[0-9]+")


class Mode(enum.StrEnum):
    """How a card is divided."""

    #: It isn't, or not in a way that can be seen.
    PLAIN = "plain"
    #: It, or its VFs, offer types of mediated devices.
    MDEV = "mdev"
    #: Its VFs have a vendor's folder.
    VENDOR = "vendor"
    #: It has GPU instances, of which its vGPUs are made.
    MIG = "mig"


def card_of(function: observed.PciFunction) -> pci_address.PciAddress:
    """The card of a function: its PF, or itself."""
    return function.address if function.physfn is None else function.physfn


def of_cards(
    scan: host_scan.HostScan,
) -> dict[pci_address.PciAddress, Mode]:
    """The mode of each card that isn't plain."""
    found: dict[pci_address.PciAddress, Mode] = {}
    for function in scan.functions:
        card = card_of(function)
        if function.has_vgpu_folder:
            found[card] = Mode.VENDOR
        elif function.mdev_types:
            found.setdefault(card, Mode.MDEV)
    names = frozenset(scan.tree.listdir(_CARDS))
    for function in scan.functions if names else ():
        name = str(function.address)
        if name in names and gpu_instances(scan.tree, name):
            found[function.address] = Mode.MIG
    return found


def gpu_instances(tree: host_tree.HostTree, address: str) -> tuple[str, ...]:
    """The GPU instances of a card in MIG mode: ``gi1``, ``gi2``...

    None are seen without MIG mode, nor in MIG mode before one is made.
    """
    minor = _minor(tree, address)
    if minor is None:
        return ()
    names = tree.listdir(_parts(minor))
    return tuple(sorted(filter(_INSTANCE.fullmatch, names)))


def files(tree: host_tree.HostTree) -> ty.Iterator[tuple[str, str | None]]:
    """What :func:`gpu_instances` reads of a host, and nothing beside it.

    A card's file has identities, too, of which nothing is given.

    :returns: paths, each with its text, or None for a folder
    """
    for address in tree.listdir(_CARDS):
        minor = _minor(tree, address)
        if minor is not None:
            yield _about(address), f"Device Minor: {minor}"
            for name in gpu_instances(tree, address):
                yield f"{_parts(minor)}/{name}", None


def _about(address: str) -> str:
    return f"{_CARDS}/{address}/information"


def _parts(minor: int) -> str:
    return f"{_PARTS}/gpu{minor}/mig"


def _minor(tree: host_tree.HostTree, address: str) -> int | None:
    """The number that a card has among those of its driver."""
    found = _MINOR.search(tree.read_text(_about(address)) or "")
    return None if found is None else int(found[1])
