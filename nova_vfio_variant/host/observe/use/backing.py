# SPDX-License-Identifier: Apache-2.0
"""What in the kernel has disks open, and is not listed as their holder.

``/sys/block/NAME/holders`` has LVM, RAID, dm-crypt, bcache and DRBD. To find
out about others by opening a disk exclusively is nothing for a reader: it
keeps others from it meanwhile, and may wake or hang it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import Kind, Use
from nova_vfio_variant.host.tree import host_tree

_BLOCK = "sys/class/block"
_TARGETS = "sys/kernel/config/target/core"
_SUBSYSTEMS = "sys/kernel/config/nvmet/subsystems"
_JOURNALS = "proc/fs/jbd2"
_POOLS = "proc/spl/kstat/zfs"
_UDEV = "run/udev/data"
_FS_TYPE = re.compile(r"^E:ID_FS_TYPE=(.*)$", re.MULTILINE)
#: What tells which targets there are: the module, and where they show.
_CONFIGURED = (
    ("target_core_mod", "sys/kernel/config/target", "SCSI targets"),
    ("nvmet", "sys/kernel/config/nvmet", "NVMe targets"),
)
#: All disks of an NVMe controller, by its own device file.
_CONTROLLER = re.compile(r"nvme\d+")
#: What a SCSI target's ``info`` says of it where nobody told its
#: ``udev_path``, which is for people: the disk (iblock), or the file (fileio).
_NUMBER = re.compile(r"Major: (\d+) Minor: (\d+)")
_FILE = re.compile(r"File: (/\S+)")
#: A SCSI device with neither.
_BY_LUN = "pscsi"
_REMOVED = " (deleted)"
_UNSET = ("", "(null)", "none")


@dataclasses.dataclass(frozen=True, slots=True)
class Backing:
    """What stands on which disk.

    :param holders: by the disk's name
    :param pools: of ZFS, that are imported
    :param unread: what could not be read, which may have any disk
    """

    holders: ty.Mapping[str, ty.Sequence[str]]
    pools: ty.Sequence[str] = ()
    unread: str | None = None

    def of(self, tree: host_tree.HostTree, name: str) -> ty.Iterator[Use]:
        """The uses of one disk."""
        for holder in self.holders.get(name, ()):
            yield Use(Kind.STORAGE, f"{name} is held by {holder}")
        if self.unread is not None:
            yield use.unknown(
                f"what else holds {name} can't be read: {self.unread}"
            )
        if self.pools:
            yield from self._pooled(tree, name)

    def _pooled(self, tree: host_tree.HostTree, name: str) -> ty.Iterator[Use]:
        """Whether it belongs to ZFS, which doesn't say what it has."""
        number = tree.read_text(f"{_BLOCK}/{name}/dev")
        known = tree.read_text(f"{_UDEV}/b{number}")
        pools = ", ".join(self.pools)
        if known is None:
            yield use.unknown(
                f"whether {name} belongs to a ZFS pool ({pools}) can't be read"
            )
            return
        found = _FS_TYPE.search(known)
        if found is not None and found[1] == "zfs_member":
            yield Use(
                Kind.STORAGE,
                f"{name} belongs to ZFS, which has pools imported: {pools}",
            )


def look(tree: host_tree.HostTree, disks: ty.Collection[str]) -> Backing:
    """Look at all that a host has.

    :param disks: the names of all its block devices
    """
    looker = _Looker(tree, disks)
    for part in (
        looker.images,
        looker.scsi_targets,
        looker.nvme_targets,
        looker.journals,
    ):
        try:
            part()
        except OSError as error:
            looker.unread = f"{error.filename or ''}: {error.strerror}"
    for module, place, what in _CONFIGURED:
        if tree.exists(f"sys/module/{module}") and not tree.exists(place):
            looker.unread = f"{what}: /{place} isn't there"
    try:
        pools = [
            name
            for name in use.names(tree, _POOLS)
            if tree.exists(f"{_POOLS}/{name}/state")
        ]
    except OSError as error:
        pools = []
        looker.unread = f"/{_POOLS}: {error.strerror}"
    return Backing(looker.holders, pools, looker.unread)


class _Looker:
    """One look, part by part; each raises OSError where it can't be had."""

    def __init__(
        self, tree: host_tree.HostTree, disks: ty.Collection[str]
    ) -> None:
        self._tree = tree
        self._disks = disks
        self.holders: dict[str, list[str]] = {}
        self.unread: str | None = None

    def images(self) -> None:
        """Loop devices on disks, and compressed memory that spills to one."""
        for name in self._disks:
            for file in ("loop/backing_file", "backing_dev"):
                if name.startswith(("loop", "zram")):
                    self._learn(f"{_BLOCK}/{name}/{file}", name)

    def scsi_targets(self) -> None:
        """What LIO exports."""
        for plugin in use.names(self._tree, _TARGETS):
            if self._is_folder(f"{_TARGETS}/{plugin}"):
                for name in use.names(self._tree, f"{_TARGETS}/{plugin}"):
                    # Beside the targets stand files about the plugin.
                    with contextlib.suppress(NotADirectoryError):
                        self._scsi_target(plugin, name)

    def _scsi_target(self, plugin: str, name: str) -> None:
        place, holder = (
            f"{_TARGETS}/{plugin}/{name}",
            f"a SCSI target ({name})",
        )
        if self._learn(f"{place}/udev_path", holder):
            return
        info = use.text(self._tree, f"{place}/info") or ""
        number, file = _NUMBER.search(info), _FILE.search(info)
        if number is not None:
            self._learn_number(f"{number[1]}:{number[2]}", holder)
        elif file is not None:
            self._learn_path(file[1], holder)
        elif plugin.startswith(_BY_LUN):
            self.unread = f"{holder} doesn't say what it has"

    def nvme_targets(self) -> None:
        """What nvmet exports, once it is enabled: disks, or a controller."""
        for subsystem in use.names(self._tree, _SUBSYSTEMS):
            whole = f"{_SUBSYSTEMS}/{subsystem}/passthru"
            if use.text(self._tree, f"{whole}/enable") not in (None, "0"):
                self._learn(
                    f"{whole}/device_path", f"an NVMe target ({subsystem})"
                )
            spaces = f"{_SUBSYSTEMS}/{subsystem}/namespaces"
            for number in use.names(self._tree, spaces):
                place = f"{spaces}/{number}"
                if use.text(self._tree, f"{place}/enable") != "0":
                    self._learn(
                        f"{place}/device_path",
                        f"an NVMe target ({subsystem})",
                    )

    def journals(self) -> None:
        """Disks with the journal of a file system on another one."""
        for entry in use.names(self._tree, _JOURNALS):
            # One within its own file system has an inode's number behind it.
            if entry in self._disks:
                self._add(entry, "the journal of a file system")

    def _is_folder(self, path: str) -> bool:
        try:
            self._tree.folder(path).close()
        except NotADirectoryError:
            return False
        return True

    def _learn(self, file: str, holder: str) -> bool:
        """Learn from a file that has the path of what is held.

        :returns: whether it has one
        """
        path = use.text(self._tree, file)
        if path is None or path in _UNSET:
            return False
        self._learn_path(path.removesuffix(_REMOVED), holder)
        return True

    def _learn_path(self, path: str, holder: str) -> None:
        names = self._named(path)
        for name in names:
            self._add(name, holder)
        if not names and path.startswith("/dev/"):
            self.unread = f"{path}, which {holder} has, leads nowhere"

    def _learn_number(self, number: str, holder: str) -> None:
        for name in self._disks:
            if self._tree.read_text(f"{_BLOCK}/{name}/dev") == number:
                self._add(name, holder)

    def _named(self, path: str) -> list[str]:
        """The block devices that a path leads to."""
        folder, _, name = path.rpartition("/")
        if folder.endswith("/dev") and name in self._disks:
            return [name]
        if _CONTROLLER.fullmatch(name):
            return [
                disk
                for disk in self._disks
                if f"/{name}/"
                in (use.link(self._tree, f"{_BLOCK}/{disk}") or "")
            ]
        with contextlib.suppress(OSError):
            real = self._tree.real_path(path.lstrip("/")).rpartition("/")[2]
            if real in self._disks:
                return [real]
        return []

    def _add(self, name: str, holder: str) -> None:
        self.holders.setdefault(name, []).append(holder)
