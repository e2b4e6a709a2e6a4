# SPDX-License-Identifier: Apache-2.0
"""Which processes have a function's device files open.

The file descriptors of all processes are looked at (``/proc/*/fd``), as
seen from the host: what a container has open is seen there too.
"""

import dataclasses
import errno
import re
import typing as ty

from nova_vfio_variant.host import function as observed
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.host import use
from nova_vfio_variant.host.use import Holder, Kind, Use

_DEVICES = "sys/bus/pci/devices"
#: Of all that a process has open, what may be a function's.
_INTERESTING = re.compile(
    r"/dev/(vfio/|nvidia|dri/|nvme|sd|vd|dm-|md|infiniband/|vhost-vdpa-)"
    r"|anon_inode:\[vfio-device\]"
)
_DEVICE_FD = "anon_inode:[vfio-device]"
_GONE = (errno.ENOENT, errno.ESRCH)
_NVIDIA = "10de"
#: What the kernel adds to the name of a file that was removed: a device
#: whose node is gone may be open all the same.
_REMOVED = " (deleted)"


@dataclasses.dataclass(frozen=True, slots=True)
class OpenFiles:
    """What all processes have open of what may be a function's.

    :param holders: in the order of their ids
    :param unreadable: the processes that can't be looked into, and why
    """

    holders: tuple[Holder, ...] = ()
    unreadable: tuple[str, ...] = ()

    def of(
        self,
        tree: host_tree.HostTree,
        function: observed.PciFunction,
        disks: ty.Collection[str] = (),
    ) -> tuple[Holder, ...]:
        """The holders of one function.

        What can't be read of a function is left out; see :meth:`uses`.

        :param disks: the device files of its disks
        """
        return self._of(function, {*_paths(tree, function)[0], *disks})

    def uses(
        self,
        tree: host_tree.HostTree,
        function: observed.PciFunction,
        disks: ty.Collection[str] = (),
    ) -> tuple[Use, ...]:
        """Who has one function open, and what keeps that from being known."""
        paths, unread = _paths(tree, function)
        found = [
            Use(Kind.OPEN, str(holder), holder)
            for holder in self._of(function, {*paths, *disks})
        ]
        if function.driver is not None or "driver" in function.lost:
            found += (
                use.unknown(f"{why}, which may have it open")
                for why in self.unreadable[:1]
            )
            found += (
                use.unknown(f"what its device files are can't be read: {why}")
                for why in unread[:1]
            )
        return tuple(found)

    def _of(
        self, function: observed.PciFunction, mine: ty.Collection[str]
    ) -> tuple[Holder, ...]:
        """The holders of a function with these device files."""
        return tuple(
            holder
            for holder in self.holders
            if holder.path in mine
            or (
                function.vendor_id == _NVIDIA
                and holder.path.startswith("/dev/nvidia")
            )
            or (
                holder.path == _DEVICE_FD
                and function.vfio
                and not self._has_group(holder.pid)
            )
        )

    def _has_group(self, pid: int) -> bool:
        """Whether a process has a path open that says which device it has."""
        return any(
            holder.pid == pid
            and holder.path.startswith("/dev/vfio/")
            and holder.path != "/dev/vfio/vfio"
            for holder in self.holders
        )


def look(tree: host_tree.HostTree) -> OpenFiles:
    """Look into every process of a host."""
    holders = []
    unreadable = []
    try:
        with tree.folder("proc") as folder:
            pids = sorted(int(n) for n in folder.names() if n.isdigit())
    except OSError as error:
        return OpenFiles((), (f"/proc: {error.strerror}",))
    if 1 not in pids and (pids or tree.root is not None):
        # /proc hides other users' processes (hidepid), or isn't there; a
        # recording never tells of any.
        unreadable.append("/proc/1: not shown")
    for pid in pids:
        try:
            paths = _opened(tree, pid)
        except OSError as error:
            if error.errno not in _GONE:
                unreadable.append(f"/proc/{pid}/fd: {error.strerror}")
            continue
        if paths:
            command = tree.read_text(f"proc/{pid}/comm") or "?"
            holders += [Holder(pid, command, path) for path in sorted(paths)]
    return OpenFiles(tuple(holders), tuple(unreadable))


def _opened(tree: host_tree.HostTree, pid: int) -> set[str]:
    """The interesting files of a process.

    :raises OSError: it can't be looked into, or is gone
    """
    paths = set()
    with tree.folder(f"proc/{pid}/fd") as folder:
        for name in folder.names():
            try:
                target = folder.link(name)
            except OSError as error:
                if error.errno in _GONE:
                    continue
                raise
            if _INTERESTING.match(target):
                paths.add(target.removesuffix(_REMOVED))
    return paths


def _paths(
    tree: host_tree.HostTree, function: observed.PciFunction
) -> tuple[set[str], list[str]]:
    """The device files of a function, its disks left out.

    :returns: the files; and what could not be read, with the reason
    """
    place = f"{_DEVICES}/{function.address}"
    paths = set()
    unread = []
    if function.iommu_group is not None:
        paths.add(f"/dev/vfio/{function.iommu_group}")
        # Without an IOMMU (VFIO_NOIOMMU) the name has this in front.
        paths.add(f"/dev/vfio/noiommu-{function.iommu_group}")
    elif "iommu_group" in function.lost:
        unread.append("iommu_group")
    for folder, device in (
        ("vfio-dev", "vfio/devices/"),
        ("drm", "dri/"),
        ("infiniband_verbs", "infiniband/"),
        ("nvme", ""),
    ):
        try:
            names = use.names(tree, f"{place}/{folder}")
        except OSError as error:
            unread.append(f"{folder}: {error.strerror}")
            continue
        paths |= {f"/dev/{device}{name}" for name in names}
        if folder == "nvme":
            paths |= {
                f"/dev/{name.replace('nvme', 'ng', 1)}" for name in names
            }
    try:
        paths |= _vdpa(tree, place)
    except OSError as error:
        unread.append(f"vdpa: {error.strerror}")
    return paths, unread


def _vdpa(tree: host_tree.HostTree, place: str) -> set[str]:
    """The device files of a function's vDPA devices.

    They stand below their devices (drivers/vhost/vdpa.c).

    :raises OSError: they are there and can't be read
    """
    return {
        f"/dev/{name}"
        for device in use.names(tree, place)
        if device.startswith("vdpa")
        for name in use.names(tree, f"{place}/{device}")
        if name.startswith("vhost-vdpa-")
    }
