# SPDX-License-Identifier: Apache-2.0
"""Whose function it is that a process has open.

Some device files are one function's, some those of an IOMMU group, of a disk
or of a driver; this sorts them.
"""

from __future__ import annotations

import dataclasses
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import (
    Holder,
    Kind,
    Use,
    children,
    devices,
)
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import function as observed

#: As what a process has a function open that it got through VFIO.
DEVICE_FD = "anon_inode:[vfio-device]"
_GROUP = re.compile(r"virtual/vfio/(?:noiommu-)?(\d+)")
#: Of a mediated device, whatever its parent is.
_MDEV = re.compile(r"/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/")
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

    def of_mdev(self, uuid: str, group: int | None) -> tuple[Use, ...]:
        """Who has a mediated device open, and who may have.

        :param group: its IOMMU group, if it has one
        """
        files = [
            file
            for file in self._opened.files
            if uuid in (file.place or "").split("/")
            or (group is not None and file.group == group)
        ]
        return (
            *(
                Use(Kind.OPEN, str(holder), holder)
                for holder in dict.fromkeys(file.holder for file in files)
            ),
            *(
                use.unknown(f"{why}, which may have it open")
                for why in self._opened.unreadable[:1]
            ),
        )

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
                if file.holder.path != DEVICE_FD:
                    yield _open(file.holder)
        group: ty.Sequence[OpenFile] = ()
        if function.iommu_group is not None:
            group = self._of_group.get(function.iommu_group, ())
        for file in group:
            shared = members > 1 and file.holder.pid not in exact
            yield _open(file.holder, shared=shared)
        told = {file.holder.pid for file in group}
        for file in self._of_address.get(address, ()):
            if file.holder.path == DEVICE_FD and file.holder.pid not in told:
                yield _open(file.holder)
        for file in self._others:
            if self._may_be(file, function, disks):
                yield _open(file.holder, guessed=True)

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
            # Whoever has a VF that takes vGPUs has it through VFIO; the
            # vendor's own files are the card's.
            return (
                place.split("/")[1] == driver and not function.has_vgpu_folder
            )
        return any(
            files.match(place) and drivers.fullmatch(driver)
            for files, drivers in _COMMON_TO
        )


def _open(
    holder: Holder, *, shared: bool = False, guessed: bool = False
) -> Use:
    return Use(Kind.OPEN, str(holder), holder, shared, guessed)


def is_some_functions(place: str) -> bool:
    """Whether a place may be one of a PCI function."""
    return (
        use.last_address(place) is not None
        or _MDEV.search(f"/{place}/") is not None
        or place.startswith(f"{devices.UNLISTED}/")
        or _GROUP.fullmatch(place) is not None
        or _HEAD.fullmatch(place) is not None
        or any(files.match(place) for files, _ in _COMMON_TO)
    )
