# SPDX-License-Identifier: Apache-2.0
"""Devices that a function's driver made below it, and that go with it.

Mediated devices and vDPA devices: when the driver lets go of the function
the kernel removes those that are idle without a word, and waits for those
that are open.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import Kind
from nova_vfio_variant.host.tree import host_tree

_BUSES = (
    (Kind.MDEV, "sys/bus/mdev/devices"),
    (Kind.VDPA, "sys/bus/vdpa/devices"),
)
_PARENTS = "sys/class/mdev_bus"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    """A device below a PCI function.

    :param kind: ``mdev`` or ``vdpa``
    :param name: the UUID of a mediated device, the name of a vDPA device
    :param group: its IOMMU group, if it has one
    """

    kind: Kind
    name: str
    group: int | None = None

    def __str__(self) -> str:
        what = "mediated" if self.kind is Kind.MDEV else "vDPA"
        return f"{what} device {self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class Children:
    """The devices below a host's functions.

    :param found: in the order of their names, by the function's address
    :param unread: what could not be read, so that nobody knows whose they
        are; None for nothing
    """

    found: ty.Mapping[str, ty.Sequence[Child]]
    unread: str | None = None

    def of(self, address: str) -> ty.Sequence[Child]:
        """Those below one function."""
        return self.found.get(address, ())


def look(tree: host_tree.HostTree) -> Children:
    """Look at all of a host."""
    places: dict[str, Kind] = {}
    unread = None
    for kind, bus in _BUSES:
        try:
            for place in _listed(tree, bus):
                places[place] = kind
        except OSError as error:
            unread = f"/{bus}: {error.strerror}"
    try:
        for parent in _listed(tree, _PARENTS):
            # One that is being removed while it is open shows here alone.
            for name in use.names(tree, parent):
                if _UUID.fullmatch(name):
                    places[f"{parent}/{name}"] = Kind.MDEV
    except OSError as error:
        unread = f"/{_PARENTS}: {error.strerror}"
    found: dict[str, list[Child]] = {}
    for place, kind in sorted(places.items()):
        address = use.last_address(place)
        if address is not None:
            link = tree.readlink(f"{place}/iommu_group") or ""
            group = link.rpartition("/")[2]
            found.setdefault(address, []).append(
                Child(
                    kind,
                    place.rpartition("/")[2],
                    int(group) if group.isdigit() else None,
                )
            )
    return Children(found, unread)


def _listed(tree: host_tree.HostTree, folder: str) -> ty.Iterator[str]:
    """Where the links of a folder lead to.

    :raises OSError: that can't be read
    """
    for name in use.names(tree, folder):
        # What vanishes meanwhile is below nothing.
        with contextlib.suppress(FileNotFoundError):
            yield tree.real_path(f"{folder}/{name}")
