# SPDX-License-Identifier: Apache-2.0
"""Which processes have a function open, and by what.

The file descriptors of all processes are looked at (``/proc/*/fd``), as
seen from the host: what a container has open is seen there too. What counts
is the number of a device file, not its name.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import (
    Holder,
    Kind,
    Use,
    children,
    devices,
    guests,
    mounts,
)
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import function as observed

_LOG = logging.getLogger(__name__)

_DEVICE_FD = "anon_inode:[vfio-device]"
#: Names the device of such a file (Linux 6.18).
_SYSPATH = re.compile(
    rb"^vfio-device-syspath:\s*/sys/devices/(.+)$", re.MULTILINE
)
#: What gives access to a function itself, in any mount of sysfs.
_SYSFS = re.compile(rf".*/({use.ADDRESS})/(?:resource\d+(?:_wc)?|config|rom)")
#: Likewise in procfs, where domain 0 need not be written.
_PROCFS = re.compile(
    r".*/bus/pci/(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}/[0-9a-f]{2}\.[0-7])"
)
#: Every process has some of these, and they are no PCI function's.
_COMMON = frozenset(("/dev/null", "/dev/vfio/vfio", "/dev/iommu"))
_GONE = (errno.ENOENT, errno.ESRCH)
#: Of a file on another machine, which is no device of ours.
_UNREACHABLE = (errno.ESTALE, errno.ENOTCONN)
#: What the kernel adds to the name of a file that was removed: a device
#: whose node is gone may be open all the same.
_REMOVED = " (deleted)"
_GROUP = re.compile(r"virtual/vfio/(?:noiommu-)?(\d+)")
_HEAD = re.compile(r"virtual/nvme-subsystem/[^/]+/(?:ng|nvme)(\d+n\d+\w*)")
#: Device files of all functions on some driver together.
_COMMON_TO = (
    (re.compile(r"virtual/kfd/"), re.compile(r"amdgpu")),
    (
        re.compile(r"virtual/qat_adf_ctl/"),
        re.compile(r"(?:4xxx|420xx|6xxx|c3xxx|c4xxx|c6xx|d15xx|dh895xcc).*"),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class OpenFile:
    """What a process has open of what may be a function's.

    :param holder: the process
    :param place: to what the file leads, below ``/sys/devices``; None for a
        VFIO device that nobody can tell from others
    """

    holder: Holder
    place: str | None

    @property
    def group(self) -> int | None:
        """The IOMMU group of which it is the file."""
        found = _GROUP.fullmatch(self.place or "")
        return int(found[1]) if found else None


@dataclasses.dataclass(frozen=True, slots=True)
class OpenFiles:
    """What all processes have open of what may be a function's.

    :param files: in the order of the processes' ids
    :param unreadable: the processes that can't be looked into, and why
    :param unseen: the root can't show any process
    """

    files: tuple[OpenFile, ...] = ()
    unreadable: tuple[str, ...] = ()
    unseen: bool = False

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Who has something open."""
        return tuple(one.holder for one in self.files)

    def of(
        self,
        tree: host_tree.HostTree,
        function: observed.PciFunction,
        disks: ty.Collection[str] = (),
    ) -> tuple[Holder, ...]:
        """The holders of one function, and of what stands below it.

        :param disks: the names of its disks
        """
        below = children.look(tree)
        return tuple(
            one.holder
            for one in Index(self, below).uses(function, disks)
            if one.holder is not None
        )


class Index:
    """The uses of a host's functions by processes.

    :param opened: what processes have open
    :param below: what stands below functions
    """

    def __init__(self, opened: OpenFiles, below: children.Children) -> None:
        self._opened = opened
        self._below = below
        self._of_address: dict[str, list[OpenFile]] = {}
        self._of_group: dict[int, list[OpenFile]] = {}
        self._others: list[OpenFile] = []
        #: Of which process a file says which VFIO device it has.
        self._telling: set[int] = set()
        for file in opened.files:
            address = use.last_address(file.place or "")
            if address is not None:
                self._of_address.setdefault(address, []).append(file)
            elif file.group is not None:
                self._of_group.setdefault(file.group, []).append(file)
            else:
                self._others.append(file)
            if file.group is not None or "/vfio-dev/" in (file.place or ""):
                self._telling.add(file.holder.pid)

    def uses(
        self,
        function: observed.PciFunction,
        disks: ty.Collection[str] = (),
        members: int = 1,
    ) -> tuple[Use, ...]:
        """Who has one function or what is below it open, and what may.

        :param disks: the names of its disks
        :param members: how many functions are in its IOMMU group
        """
        found = [
            *self._of_children(function),
            *self._open(function, disks, members),
        ]
        if function.driver is not None or "driver" in function.lost:
            if self._below.unread is not None and not function.vfio:
                found.append(
                    use.unknown(
                        "what stands below it can't be read: "
                        f"{self._below.unread}"
                    )
                )
            if "iommu_group" in function.lost:
                found.append(
                    use.unknown(
                        "what its device files are can't be read: iommu_group"
                    )
                )
        # Its own files in sysfs can be open whatever driver it is on.
        found += (
            use.unknown(f"{why}, which may have it open")
            for why in self._opened.unreadable[:1]
        )
        return tuple(found)

    def _of_children(self, function: observed.PciFunction) -> ty.Iterator[Use]:
        """Of what stands below it, idle or open."""
        address = str(function.address)
        for child in self._below.of(address):
            files = [
                file
                for file in self._of_address.get(address, ())
                if child.name in (file.place or "").split("/")
            ]
            if child.group is not None:
                files += self._of_group.get(child.group, ())
            for file in files:
                yield Use(child.kind, f"{child}: {file.holder}", file.holder)
            if not files:
                yield Use(
                    child.kind,
                    f"{child} stands below it, and is removed without a word "
                    "when the driver lets go",
                )

    def _open(
        self,
        function: observed.PciFunction,
        disks: ty.Collection[str],
        members: int,
    ) -> ty.Iterator[Use]:
        """Of its own files."""
        address = str(function.address)
        below = {child.name for child in self._below.of(address)}
        exact = set()
        for file in self._of_address.get(address, ()):
            if below.isdisjoint((file.place or "").split("/")):
                exact.add(file.holder.pid)
                if file.holder.path != _DEVICE_FD:
                    yield _open(file.holder)
        group: ty.Sequence[OpenFile] = ()
        if function.iommu_group is not None:
            group = self._of_group.get(function.iommu_group, ())
        for file in group:
            shared = members > 1 and file.holder.pid not in exact
            yield _open(file.holder, shared=shared)
        told = {file.holder.pid for file in group}
        for file in self._of_address.get(address, ()):
            if file.holder.path == _DEVICE_FD and file.holder.pid not in told:
                yield _open(file.holder)
        for file in self._others:
            if self._may_be(file, function, disks):
                yield _open(file.holder)

    def _may_be(
        self,
        file: OpenFile,
        function: observed.PciFunction,
        disks: ty.Collection[str],
    ) -> bool:
        """Whether a file that names no function may be of this one."""
        place = file.place
        if place is None:
            return function.vfio and file.holder.pid not in self._telling
        head = _HEAD.fullmatch(place)
        if head is not None:
            return f"nvme{head[1]}" in disks
        driver = function.driver or ""
        if place.startswith(f"{devices.UNLISTED}/"):
            return place.split("/")[1] == driver
        return any(
            files.match(place) and drivers.fullmatch(driver)
            for files, drivers in _COMMON_TO
        )


def _open(holder: Holder, *, shared: bool = False) -> Use:
    return Use(Kind.OPEN, str(holder), holder, shared)


def look(tree: host_tree.HostTree) -> OpenFiles:
    """Look into every process of a host."""
    try:
        with tree.folder("proc") as folder:
            pids = sorted(int(n) for n in folder.names() if n.isdigit())
    except OSError as error:
        if use.is_picture(tree):
            return OpenFiles(unseen=True)
        return OpenFiles((), (f"/proc: {error.strerror}",))
    if not pids and use.is_picture(tree):
        return OpenFiles(unseen=True)
    return _Looker(tree).look(pids)


class _Looker:
    """One look, with what it has found out already."""

    def __init__(self, tree: host_tree.HostTree) -> None:
        self._tree = tree
        self._devices = devices.Devices(tree)
        self._guests = guests.Guests(tree)
        #: What not to ask for, by mount namespace, and for the last process.
        self._remote: dict[str, tuple[str, ...]] = {}
        self._last: tuple[int, tuple[str, ...]] = (0, ())

    def look(self, pids: ty.Sequence[int]) -> OpenFiles:
        files: list[OpenFile] = []
        unreadable = []
        if 1 not in pids:
            # /proc hides other users' processes (hidepid), or isn't there.
            unreadable.append("/proc/1: not shown")
        for pid in pids:
            try:
                found = sorted(self._opened(pid))
            except OSError as error:
                if error.errno not in _GONE:
                    unreadable.append(f"/proc/{pid}/fd: {error.strerror}")
                continue
            if found:
                files += self._of(pid, found)
        _LOG.debug(
            "%d processes seen, %d devices open, %d processes unreadable",
            len(pids),
            len(files),
            len(unreadable),
        )
        return OpenFiles(tuple(files), tuple(unreadable))

    def _of(
        self, pid: int, found: ty.Iterable[tuple[str, str]]
    ) -> ty.Iterator[OpenFile]:
        """Files of a process, given as path and place."""
        command = self._tree.read_text(f"proc/{pid}/comm") or "?"
        instance = self._guests.instance_of(pid)
        for path, place in found:
            holder = Holder(pid, command, path, instance)
            yield OpenFile(holder, place or None)

    def _opened(self, pid: int) -> set[tuple[str, str]]:
        """What a process has open of any device: path and place.

        :raises OSError: it can't be looked into, or is gone
        """
        found = set()
        with self._tree.folder(f"proc/{pid}/fd") as folder:
            for name in folder.names():
                try:
                    target = folder.link(name)
                    if target in _COMMON:
                        continue
                    for place in self._places(pid, folder, name, target):
                        found.add((target.removesuffix(_REMOVED), place))
                except OSError as error:
                    if error.errno not in (*_GONE, *_UNREACHABLE):
                        raise
        return found

    def _places(
        self, pid: int, folder: host_tree.Folder, name: str, target: str
    ) -> ty.Iterable[str]:
        """Where in sysfs it is what is open; empty for a VFIO device.

        :raises OSError: that can't be told
        """
        if not target.startswith("/"):
            if target.startswith(_DEVICE_FD):
                return (self._syspath(pid, name),)
            return ()
        path = target.removesuffix(_REMOVED)
        if ":" in path or "/bus/pci/" in path:
            itself = _of_itself(path)
            if itself is not None:
                return (itself,)
        if not path.startswith("/dev/") and target.startswith(
            self._remote_of(pid)
        ):
            return ()
        number = folder.device(name)
        if number is None:
            known = path.startswith("/dev/")
            places = self._devices.of_path(path) if known else ()
        else:
            places = self._devices.of_number(number) if number else ()
        return [place for place in places if _is_some_functions(place)]

    def _syspath(self, pid: int, name: str) -> str:
        """Which device the file of a VFIO device is; empty if untold."""
        try:
            with self._tree.folder(f"proc/{pid}/fdinfo") as folder:
                told = _SYSPATH.search(folder.read(name))
        except OSError:
            return ""
        return told[1].decode(errors="replace") if told else ""

    def _remote_of(self, pid: int) -> tuple[str, ...]:
        """Below which paths nothing is asked for: that may hang."""
        if self._last[0] != pid:
            namespace = self._tree.readlink(f"proc/{pid}/ns/mnt")
            paths = self._remote.get(namespace or "")
            if paths is None:
                try:
                    paths = mounts.remote(self._tree, pid)
                except OSError:
                    paths = ()
                if namespace:
                    self._remote[namespace] = paths
            self._last = pid, paths
        return self._last[1]


def _of_itself(path: str) -> str | None:
    """The place of a function's own file in sysfs or procfs."""
    found = _SYSFS.fullmatch(path)
    if found is not None:
        return f"pci/{found[1]}"
    found = _PROCFS.fullmatch(path)
    if found is not None:
        return f"pci/{found[1] or '0000'}:{found[2].replace('/', ':')}"
    return None


def _is_some_functions(place: str) -> bool:
    """Whether a place may be one of a PCI function."""
    return (
        use.last_address(place) is not None
        or place.startswith(f"{devices.UNLISTED}/")
        or _GROUP.fullmatch(place) is not None
        or _HEAD.fullmatch(place) is not None
        or any(files.match(place) for files, _ in _COMMON_TO)
    )
