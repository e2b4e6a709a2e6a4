# SPDX-License-Identifier: Apache-2.0
"""Mediated devices: who offers them, of which types, and those that are there.

As the kernel's mdev core shows them
(``Documentation/driver-api/vfio-mediated-device.rst``). What a description
says is text of a vendor's: the numbers that NVIDIA's driver writes as
``framebuffer=1024M`` are read where they stand, and nothing is guessed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import mdev_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree

#: Who offers them: a link for each parent.
PARENTS: ty.Final = "sys/class/mdev_bus"
#: Those that are there: a link for each.
DEVICES: ty.Final = "sys/bus/mdev/devices"
#: There where the kernel's mdev core is.
BUS: ty.Final = "sys/bus/mdev"
#: Below a parent, a folder for each type.
TYPES: ty.Final = "mdev_supported_types"

_TOLD: ty.Final = re.compile(r"(?:^|[,\s])([a-z_]+)=([^,\s]+)")
_MIB: ty.Final = re.compile(r"([0-9]{1,9})M")
_NUMBER: ty.Final = re.compile(r"[0-9]{1,9}")


@dataclasses.dataclass(frozen=True, slots=True)
class MdevType:
    """A type of mediated device, as one parent offers it.

    :param id: the name of its folder: ``nvidia-35``, ``mtty-1``
    :param name: text of a vendor's; None where nothing is told
    :param description: likewise; it may have several lines
    :param device_api: ``vfio-pci``, ``vfio-ccw``, ``vfio-ap``; None if untold
    :param available: how many more its parent says that it takes; None where
        that can't be read, or is no number
    """

    id: str
    name: str | None = None
    description: str | None = None
    device_api: str | None = None
    available: int | None = None

    @property
    def told(self) -> dict[str, str]:
        """The ``key=value`` pairs of the description, as they stand."""
        return dict(_TOLD.findall(self.description or ""))

    @property
    def framebuffer_mib(self) -> int | None:
        """MiB of framebuffer; None where no number is told."""
        found = _MIB.fullmatch(self.told.get("framebuffer", ""))
        return None if found is None else int(found[1])

    @property
    def max_instances(self) -> int | None:
        """How many of it an empty card takes; None where that isn't told."""
        text = self.told.get("max_instance", "")
        return int(text) if _NUMBER.fullmatch(text) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Parent:
    """A device that mediated devices are made of.

    :param name: as ``/sys/class/mdev_bus`` has it
    :param path: its place below the root, without links
    :param address: of the PCI function that it is, or is below; None for
        others
    :param types: in rising order of their ids
    """

    name: str
    path: str
    address: pci_address.PciAddress | None
    types: tuple[MdevType, ...] = ()

    def type_of(self, type_id: str) -> MdevType | None:
        """The type with this id."""
        return next(
            (offered for offered in self.types if offered.id == type_id), None
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Mdev:
    """A mediated device that is there.

    :param uuid: in lower case
    :param parent: its parent's name
    :param type_id: None where that can't be told
    :param driver: what it is bound to; None for nothing
    :param group: its IOMMU group; None if it has none
    :param goes: it is being removed, and whoever has it open is waited for
    """

    uuid: str
    parent: str
    type_id: str | None
    driver: str | None = None
    group: int | None = None
    goes: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Mdevs:
    """All of a host.

    :param parents: by name, in rising order
    :param devices: by UUID, in rising order
    :param has_bus: the kernel's mdev core is there
    :param unread: what could not be read; None for nothing
    """

    parents: ty.Mapping[str, Parent] = dataclasses.field(default_factory=dict)
    devices: ty.Mapping[str, Mdev] = dataclasses.field(default_factory=dict)
    has_bus: bool = False
    unread: str | None = None

    def of_parent(self, name: str) -> tuple[Mdev, ...]:
        """The devices that a parent has."""
        return tuple(
            device for device in self.devices.values() if device.parent == name
        )

    def with_type(self, type_id: str) -> tuple[Parent, ...]:
        """The parents that offer a type, in rising order of their names."""
        return tuple(
            parent
            for parent in self.parents.values()
            if parent.type_of(type_id) is not None
        )


NONE: ty.Final = Mdevs()


def now(tree: host_tree.HostTree, uuid: str) -> str:
    """What a mediated device is now, as :func:`.mdev_names.kind` says it.

    :returns: empty for none; one that is being removed is none any more
    """
    place = f"{DEVICES}/{uuid}"
    try:
        path = tree.real_path(place)
    except OSError:
        return ""
    found = (tree.readlink(f"{place}/mdev_type") or "").rpartition("/")[2]
    return mdev_names.kind(path.split("/")[-2], found)


def read(tree: host_tree.HostTree) -> Mdevs:
    """All of a host. Raises nothing.

    What vanishes meanwhile is left out.
    """
    unread = None
    parents: dict[str, Parent] = {}
    devices: dict[str, Mdev] = {}
    try:
        for name in use.names(tree, PARENTS):
            with contextlib.suppress(FileNotFoundError):
                parents[name] = _parent(tree, name)
        listed = set(use.names(tree, DEVICES))
    except OSError as error:
        unread = f"/{PARENTS}: {error.strerror}"
        listed = set()
    for parent in parents.values():
        try:
            below = use.names(tree, parent.path)
        except OSError as error:
            unread = f"/{parent.path}: {error.strerror}"
            continue
        for uuid in filter(mdev_names.is_uuid, below):
            devices[uuid] = _device(
                tree, parent, uuid, goes=uuid not in listed
            )
    return Mdevs(
        parents, dict(sorted(devices.items())), tree.exists(BUS), unread
    )


def _parent(tree: host_tree.HostTree, name: str) -> Parent:
    """One parent.

    :raises OSError: it isn't there, or can't be read
    """
    path = tree.real_path(f"{PARENTS}/{name}")
    address = use.last_address(path)
    return Parent(
        name,
        path,
        None if address is None else pci_address.PciAddress.parse(address),
        tuple(
            _type(tree, f"{path}/{TYPES}/{type_id}", type_id)
            for type_id in use.names(tree, f"{path}/{TYPES}")
        ),
    )


def _type(tree: host_tree.HostTree, place: str, type_id: str) -> MdevType:
    count = (tree.read_text(f"{place}/available_instances") or "").strip()
    return MdevType(
        type_id,
        tree.read_text(f"{place}/name") or None,
        tree.read_text(f"{place}/description") or None,
        tree.read_text(f"{place}/device_api") or None,
        int(count) if _NUMBER.fullmatch(count) else None,
    )


def _device(
    tree: host_tree.HostTree, parent: Parent, uuid: str, *, goes: bool
) -> Mdev:
    place = f"{parent.path}/{uuid}"

    def last(link: str) -> str | None:
        target = tree.readlink(f"{place}/{link}") or ""
        return target.rpartition("/")[2] or None

    group = last("iommu_group") or ""
    return Mdev(
        uuid,
        parent.name,
        last("mdev_type"),
        last("driver"),
        int(group) if group.isdigit() else None,
        goes,
    )
