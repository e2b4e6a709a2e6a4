# SPDX-License-Identifier: Apache-2.0
"""A resource provider as we would have it, or as Placement has it."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.pci import address

#: What Placement takes (placement/schemas/resource_provider.py).
LONGEST_NAME = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Inventory:
    """So many units of one resource class on one provider.

    :param total: units
    :param reserved: units that nobody may have
    :param max_unit: the most that one consumer may have from here
    :param blocked: units that can't be given to anybody as they are, which
        are to be reserved beside that
    :param unknown: units of which nobody can say that; as many of them are
        reserved as were
    :param unit: sets ``min_unit`` and ``step_size``; 0 leaves them to the
        operator. Above 1 ``max_unit`` is set just as it stands here
    """

    total: int
    max_unit: int
    reserved: int = 0
    blocked: int = 0
    unknown: int = 0
    unit: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Provider:
    """One resource provider of PCI devices.

    :param name: ``<host>_<ADDRESS>``, at most 200 characters
    :param parent: name of the root provider
    :param inventories: resource class -> inventory
    :param traits: all that it shall have, sorted
    :param addresses: of the devices behind it, in no order
    :param one_time: its device is used once and has to be cleaned then
    :param shares: what a device takes beside a unit of its own class: address
        -> resource class -> units
    """

    name: str
    parent: str
    inventories: ty.Mapping[str, Inventory]
    traits: tuple[str, ...]
    addresses: tuple[address.PciAddress, ...] = ()
    one_time: bool = False
    shares: ty.Mapping[address.PciAddress, ty.Mapping[str, int]] = (
        dataclasses.field(default_factory=dict)
    )

    @property
    def devices(self) -> tuple[str, ...]:
        """Addresses of the devices behind it, in rising order, as text."""
        return tuple(str(place) for place in sorted(self.addresses))


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A provider as one line of a tree that Placement lists.

    :param uuid: given by whoever made it
    :param name: unique in the whole of Placement
    :param generation: counts the changes of inventories, traits and
        allocations
    :param parent_uuid: None for a root
    """

    uuid: str
    name: str
    generation: int
    parent_uuid: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """A provider with all that Placement holds of it.

    :param uuid: given by whoever made it
    :param name: unique in the whole of Placement
    :param generation: of the moment of reading
    :param inventories: resource class -> the record as Placement has it,
        with ``min_unit``, ``step_size`` and ``allocation_ratio``
    :param traits: sorted
    :param usages: resource class -> units in use; classes of which none is
        in use may be left out
    :param ours: resource class -> units of what is reserved that we reserved
        for being blocked
    """

    uuid: str
    name: str
    generation: int
    inventories: ty.Mapping[str, ty.Mapping[str, int | float]]
    traits: tuple[str, ...]
    usages: ty.Mapping[str, int] = dataclasses.field(default_factory=dict)
    ours: ty.Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """One device, as Placement is asked for it: a numbered group.

    :param resource_class: of which it takes some units
    :param traits: that its provider has to have
    :param units: how many
    :param beside: classes of which it takes a unit of the same provider
    """

    resource_class: str
    traits: tuple[str, ...] = ()
    units: int = 1
    beside: tuple[str, ...] = ()

    @property
    def takes(self) -> dict[str, int]:
        """Units, by resource class."""
        return {
            self.resource_class: self.units,
            **dict.fromkeys(self.beside, 1),
        }
