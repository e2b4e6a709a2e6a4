# SPDX-License-Identifier: Apache-2.0
"""Which providers could serve a flavor's resource groups. Pure."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import typing as ty

import os_resource_classes

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import request_groups
    from nova_vfio_variant.placement import provider

#: Standard classes that PCI devices, and what is made of them, may have.
_OF_DEVICES: ty.Final = frozenset(
    {"VGPU", "PGPU", "FPGA", "PCI_DEVICE", "SRIOV_NET_VF", "NET_PACKET_RATE"}
)
#: Of more ways to share groups out nobody waits for the last.
_MOST_WAYS: ty.Final = 10_000


class Step(enum.StrEnum):
    """What removed the last provider."""

    CLASS = "resource class"
    TRAITS = "traits"
    UNITS = "free units"
    POLICY = "group_policy"


@dataclasses.dataclass(slots=True)
class Room:
    """What a provider has left.

    :param free: class -> units
    :param largest: class -> the most that one consumer may have
    """

    name: str
    free: dict[str, int]
    largest: ty.Mapping[str, int]
    traits: frozenset[str]

    @classmethod
    def of(
        cls,
        desired: provider.Provider,
        used: ty.Mapping[str, int],
        traits: ty.Iterable[str] = (),
    ) -> Room:
        """What is left of one.

        :param used: class -> units in use
        :param traits: that it has beside those that are desired
        """
        return cls(
            desired.name,
            {
                name: inventory.total - inventory.reserved - used.get(name, 0)
                for name, inventory in desired.inventories.items()
            },
            {
                name: inventory.max_unit
                for name, inventory in desired.inventories.items()
            },
            frozenset({*desired.traits, *traits}),
        )

    def fits(self, group: request_groups.Group) -> bool:
        """Whether all of a group is left here."""
        return all(
            units <= min(self.free.get(name, 0), self.largest.get(name, 0))
            for name, units in group.resources.items()
        )

    def take(self, group: request_groups.Group, sign: int = 1) -> None:
        """Take it; give it back with -1."""
        for name, units in group.resources.items():
            self.free[name] -= sign * units


def of_devices(
    groups: ty.Iterable[request_groups.Group], rooms: ty.Sequence[Room]
) -> tuple[request_groups.Group, ...]:
    """The groups that are about devices, one for each provider's answer.

    What isn't numbered may come from a provider for each class, and its
    traits from anywhere on the host: they aren't looked at.
    """
    published = {name for room in rooms for name in room.free}
    found = []
    for group in groups:
        mine = {
            name: units
            for name, units in group.resources.items()
            if name in published
            or name in _OF_DEVICES
            or name not in os_resource_classes.STANDARDS
        }
        if not mine:
            continue
        if group.suffix:
            found.append(group)
        else:
            found += (
                dataclasses.replace(
                    group,
                    resources={name: units},
                    required=frozenset(),
                    forbidden=frozenset(),
                )
                for name, units in mine.items()
            )
    return tuple(found)


def left_after(
    group: request_groups.Group, rooms: ty.Iterable[Room]
) -> tuple[list[Room], Step | None]:
    """The providers that could serve a group, and what removed the last."""
    found = [
        room for room in rooms if room.free.keys() >= group.resources.keys()
    ]
    if not found:
        return [], Step.CLASS
    found = [
        room
        for room in found
        if group.required <= room.traits
        and group.forbidden.isdisjoint(room.traits)
    ]
    if not found:
        return [], Step.TRAITS
    found = [room for room in found if room.fits(group)]
    return found, None if found else Step.UNITS


def share(
    groups: ty.Sequence[request_groups.Group],
    rooms: ty.Sequence[Room],
    *,
    isolate: bool,
) -> list[Room] | None:
    """A provider for each group, all at once; None where there is no way.

    What they have left is less by that.

    :param isolate: each numbered group wants one of its own
    """
    ways = itertools.count()
    chosen: list[Room] = []

    def serve(number: int) -> bool:
        if number == len(groups):
            return True
        group = groups[number]
        for room in left_after(group, rooms)[0]:
            if next(ways) > _MOST_WAYS:
                return False
            if (
                isolate
                and group.suffix
                and any(
                    other is room and groups[place].suffix
                    for place, other in enumerate(chosen)
                )
            ):
                continue
            room.take(group)
            chosen.append(room)
            if serve(number + 1):
                return True
            chosen.pop()
            room.take(group, -1)
        return False

    return chosen if serve(0) else None
