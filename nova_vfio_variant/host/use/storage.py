# SPDX-License-Identifier: Apache-2.0
"""Which disks the host uses, and for what.

A disk of a multipath NVMe subsystem hangs below ``virtual/nvme-subsystem``
and belongs to each of its controllers.
"""

import re

from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.host.use import Kind, Use

_ADDRESS = re.compile(r"/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/)")
_SUBSYSTEM = re.compile(r"/virtual/nvme-subsystem/([^/]+)/")
_BLOCK = "sys/class/block"


def look(tree: host_tree.HostTree) -> dict[str, tuple[Use, ...]]:
    """The uses of each PCI function's disks, by the function's address."""
    disks: dict[str, list[str]] = {}
    for name in tree.listdir(_BLOCK):
        for address in _owners(tree, name):
            disks.setdefault(address, []).append(name)
    if not disks:
        return {}
    mounted = _mounts(tree)
    swaps = {
        line.split()[0].removeprefix("/dev/")
        for line in (tree.read_text("proc/swaps") or "").splitlines()[1:]
        if line.split()
    }
    pooled = {
        device
        for pool in tree.listdir("sys/fs/btrfs")
        for device in tree.listdir(f"sys/fs/btrfs/{pool}/devices")
    }
    found: dict[str, tuple[Use, ...]] = {}
    for address, names in disks.items():
        uses: list[Use] = []
        for name in names:
            uses += _uses(tree, name, mounted, swaps, pooled)
        if uses:
            found[address] = tuple(uses)
    return found


def names(tree: host_tree.HostTree) -> dict[str, set[str]]:
    """The device files of each PCI function's disks, by its address."""
    found: dict[str, set[str]] = {}
    for name in tree.listdir(_BLOCK):
        for address in _owners(tree, name):
            found.setdefault(address, set()).add(f"/dev/{name}")
    return found


def _uses(
    tree: host_tree.HostTree,
    name: str,
    mounted: dict[str, str] | None,
    swaps: set[str],
    pooled: set[str],
) -> list[Use]:
    uses = []
    number = tree.read_text(f"{_BLOCK}/{name}/dev")
    if mounted is None or number is None:
        uses.append(
            Use(Kind.UNKNOWN, f"whether {name} is mounted can't be read")
        )
    else:
        for place in (mounted.get(number), mounted.get(f"/dev/{name}")):
            if place is not None:
                uses.append(_storage(f"{name} is mounted on {place}"))
                break
        else:
            if name in pooled:
                uses.append(
                    _storage(f"{name} belongs to a btrfs that is mounted")
                )
    if name in swaps:
        uses.append(_storage(f"{name} serves as swap"))
    for holder in tree.listdir(f"{_BLOCK}/{name}/holders"):
        what = tree.read_text(f"{_BLOCK}/{holder}/dm/name")
        shown = f"{holder} ({what})" if what else holder
        uses.append(_storage(f"{name} is held by {shown}"))
    return uses


def _storage(what: str) -> Use:
    return Use(Kind.STORAGE, what)


def _owners(tree: host_tree.HostTree, name: str) -> list[str]:
    """The PCI functions that a disk hangs off."""
    link = tree.readlink(f"{_BLOCK}/{name}")
    if link is None:
        return []
    below = _SUBSYSTEM.search(link)
    if below is None:
        return _ADDRESS.findall(f"{link}/")[-1:]
    place = f"sys/class/nvme-subsystem/{below[1]}"
    owners = []
    for controller in tree.listdir(place):
        path = tree.readlink(f"{place}/{controller}")
        if path is not None:
            owners += _ADDRESS.findall(path)[-1:]
    return owners


def _mounts(tree: host_tree.HostTree) -> dict[str, str] | None:
    """Where what is mounted: by MAJOR:MINOR and by source.

    The mounts of process 1 are the host's; a command may have its own.
    """
    text = tree.read_text("proc/1/mountinfo")
    if text is None:
        text = tree.read_text("proc/self/mountinfo")
    if text is None:
        text = tree.read_text("proc/mounts")
        if text is None:
            return None
        pairs = [line.split()[:2] for line in text.splitlines()]
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    places: dict[str, str] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, source = left.split(), right.split()
        if len(fields) > 4 and len(source) > 1:
            places.setdefault(fields[2], fields[4])
            places.setdefault(source[1], fields[4])
    return places
