# SPDX-License-Identifier: Apache-2.0
"""Which disks the host uses, and for what.

A disk of a multipath NVMe subsystem hangs below ``virtual/nvme-subsystem``
and belongs to each of its controllers. Their paths to it (``nvme0c1n1``) are
listed too, but hidden: they have no number, and nobody can open them.
"""

from __future__ import annotations

import dataclasses
import errno
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import Kind, Use, backing, mounts
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import function as observed

_SUBSYSTEM = re.compile(r"/virtual/nvme-subsystem/([^/]+)/")
_SUBSYSTEMS = "sys/class/nvme-subsystem"
_CONTROLLER = re.compile(r"nvme\d+")
_BLOCK = "sys/class/block"
_BTRFS = "sys/fs/btrfs"
#: Each lists the disks of the file systems that are mounted, wherever.
_MOUNTED = ("sys/fs/ext4", "sys/fs/xfs", "sys/fs/f2fs")
#: The PCI class of what has disks, as a rule.
_STORAGE = 0x01


@dataclasses.dataclass(frozen=True, slots=True)
class Disks:
    """The disks of a host's PCI functions.

    :param names: theirs, by the function's address
    :param uses: of what is done with them, likewise
    :param listed: whether the host shows any disk at all
    :param unread: what could not be read, so that nobody knows whose disks
        are missing here; None for nothing
    :param unseen: what the root can't show
    """

    names: ty.Mapping[str, ty.Sequence[str]]
    uses: ty.Mapping[str, tuple[Use, ...]]
    listed: bool
    unread: str | None = None
    unseen: tuple[str, ...] = ()

    def of(self, function: observed.PciFunction) -> tuple[Use, ...]:
        """The uses of one function's disks."""
        found = self.uses.get(str(function.address), ())
        bound = function.driver is not None or "driver" in function.lost
        if not bound or function.vfio:
            return found
        if self.unread is not None:
            return (*found, use.unknown(self.unread))
        if (
            not self.listed
            and use.DISKS not in self.unseen
            and function.class_code >> 16 == _STORAGE
        ):
            return (*found, use.unknown(f"/{_BLOCK} can't be read"))
        return found


def look(tree: host_tree.HostTree) -> Disks:
    """Look at all disks of a host."""
    owned: dict[str, list[str]] = {}
    unread = None
    try:
        disks = use.names(tree, _BLOCK)
    except OSError as error:
        return Disks({}, {}, False, f"/{_BLOCK}: {error.strerror}")
    for name in disks:
        try:
            if use.text(tree, f"{_BLOCK}/{name}/hidden") == "1":
                continue
            for address in _owners(tree, name, disks):
                owned.setdefault(address, []).append(name)
        except OSError as error:
            unread = f"whose disk {name} is can't be read: {error.strerror}"
    listed = bool(disks) or tree.exists(_BLOCK)
    seen = _Seen.on(tree)
    unseen = seen.unseen
    if not listed and use.is_picture(tree):
        unseen = (use.DISKS, *unseen)
    uses: dict[str, tuple[Use, ...]] = {}
    if owned:
        held = backing.look(tree, disks)
        for address, names in owned.items():
            found = [
                usage
                for name in names
                for usage in (*_uses(tree, name, seen), *held.of(tree, name))
            ]
            if found:
                uses[address] = tuple(found)
    return Disks(owned, uses, listed, unread, unseen)


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What a host says of all disks at once; None where it can't be read."""

    mounted: ty.Mapping[str, str] | None
    swaps: ty.Collection[str] | None
    pooled: ty.Collection[str] | None
    unseen: tuple[str, ...] = ()

    @classmethod
    def on(cls, tree: host_tree.HostTree) -> _Seen:
        mounted, swaps = mounts.look(tree), _swaps(tree)
        unseen = []
        if use.is_picture(tree):
            if mounted is None and not tree.exists("proc/mounts"):
                mounted = {}
                unseen.append(use.MOUNTS)
            if not tree.exists("proc/swaps"):
                unseen.append(use.SWAP)
        return cls(mounted, swaps, _pooled(tree), tuple(unseen))


def _uses(tree: host_tree.HostTree, name: str, seen: _Seen) -> list[Use]:
    uses = []
    number = tree.read_text(f"{_BLOCK}/{name}/dev")
    if seen.mounted is None or seen.pooled is None or number is None:
        uses.append(use.unknown(f"whether {name} is mounted can't be read"))
    else:
        for place in (
            seen.mounted.get(number),
            seen.mounted.get(f"/dev/{name}"),
        ):
            if place is not None:
                uses.append(_storage(f"{name} is mounted on {place}"))
                break
        else:
            if name in seen.pooled:
                uses.append(
                    _storage(f"{name} belongs to a btrfs that is mounted")
                )
            elif any(tree.exists(f"{folder}/{name}") for folder in _MOUNTED):
                # In a namespace that no process has any more.
                uses.append(_storage(f"{name} is mounted somewhere"))
    if seen.swaps is None:
        uses.append(use.unknown(f"whether {name} is swap can't be read"))
    elif name in seen.swaps:
        uses.append(_storage(f"{name} serves as swap"))
    try:
        holders = use.names(tree, f"{_BLOCK}/{name}/holders")
    except OSError as error:
        uses.append(use.unknown(f"what holds {name} can't be read", error))
        return uses
    for holder in holders:
        what = tree.read_text(f"{_BLOCK}/{holder}/dm/name")
        shown = f"{holder} ({what})" if what else holder
        uses.append(_storage(f"{name} is held by {shown}"))
    return uses


def _storage(what: str) -> Use:
    return Use(Kind.STORAGE, what)


def _owners(
    tree: host_tree.HostTree, name: str, disks: ty.Iterable[str]
) -> list[str]:
    """The PCI functions that a disk hangs off.

    :param disks: all that the host has, paths included
    :raises OSError: that can't be read
    """
    link = use.link(tree, f"{_BLOCK}/{name}")
    if link is None:
        return []
    below = _SUBSYSTEM.search(link)
    if below is None:
        return _nearest(link)
    place = f"{_SUBSYSTEMS}/{below[1]}"
    ways = [
        f"{place}/{name}"
        for name in use.names(tree, place)
        if _CONTROLLER.fullmatch(name)
    ]
    if not ways:
        # Older recordings lack them. A path's name begins with the number of
        # its subsystem (nvme_mpath_set_disk_name in the kernel).
        number = below[1].removeprefix("nvme-subsys")
        ways = [
            f"{_BLOCK}/{disk}"
            for disk in disks
            if disk.startswith(f"nvme{number}c")
        ]
    if not ways:
        raise OSError(errno.ENOENT, f"/{place} lists no controller")
    links = [use.link(tree, way) or "" for way in ways]
    return [address for path in links for address in _nearest(path)]


def _nearest(path: str) -> list[str]:
    address = use.last_address(path)
    return [] if address is None else [address]


def _swaps(tree: host_tree.HostTree) -> set[str] | None:
    try:
        lines = (use.text(tree, "proc/swaps") or "").splitlines()[1:]
    except OSError:
        return None
    return {
        line.split()[0].removeprefix("/dev/") for line in lines if line.split()
    }


def _pooled(tree: host_tree.HostTree) -> set[str] | None:
    """The disks of all btrfs that are mounted."""
    try:
        return {
            device
            for pool in use.names(tree, _BTRFS)
            for device in use.names(tree, f"{_BTRFS}/{pool}/devices")
        }
    except OSError:
        return None
