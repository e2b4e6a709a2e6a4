# SPDX-License-Identifier: Apache-2.0
"""Which processes have a function open, and by what.

The file descriptors of all processes are looked at (``/proc/*/fd``), as
seen from the host: what a container has open is seen there too. What counts
is the number of a device file, not its name.
"""

from __future__ import annotations

import errno
import logging
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import (
    Holder,
    device_files,
    devices,
    guests,
    mounts,
)
from nova_vfio_variant.host.tree import host_tree

_LOG = logging.getLogger(__name__)

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


def look(tree: host_tree.HostTree) -> device_files.OpenFiles:
    """Look into every process of a host."""
    try:
        with tree.folder("proc") as folder:
            pids = sorted(int(n) for n in folder.names() if n.isdigit())
    except OSError as error:
        if use.is_picture(tree):
            return device_files.OpenFiles(unseen=True)
        return device_files.OpenFiles((), (f"/proc: {error.strerror}",))
    if not pids and use.is_picture(tree):
        return device_files.OpenFiles(unseen=True)
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

    def look(self, pids: ty.Sequence[int]) -> device_files.OpenFiles:
        files: list[device_files.OpenFile] = []
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
        return device_files.OpenFiles(tuple(files), tuple(unreadable))

    def _of(
        self, pid: int, found: ty.Iterable[tuple[str, str]]
    ) -> ty.Iterator[device_files.OpenFile]:
        """Files of a process, given as path and place."""
        command = self._tree.read_text(f"proc/{pid}/comm") or "?"
        instance = self._guests.instance_of(pid)
        for path, place in found:
            holder = Holder(pid, command, path, instance)
            yield device_files.OpenFile(holder, place or None)

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
            if target.startswith(device_files.DEVICE_FD):
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
        return [
            place for place in places if device_files.is_some_functions(place)
        ]

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
