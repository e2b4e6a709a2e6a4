# SPDX-License-Identifier: Apache-2.0
"""What is asked for of mediated devices, and what of a host can be that."""

from __future__ import annotations

import dataclasses
import typing as ty
import uuid as uuids

from nova_vfio_variant import finding
from nova_vfio_variant.declaration import nova_mdevs
from nova_vfio_variant.host.decide import (
    mdev_choice,
    mdev_codes,
    mdev_obstacles,
    refusal,
)
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.tracker import mdevs as tracked
from nova_vfio_variant.tracker import tables

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import mdev
    from nova_vfio_variant.pci import function

#: Of stable UUIDs: ``uuid5(NAMESPACE, "INSTANCE/NUMBER")``. It is
#: ``uuid5(NAMESPACE_DNS, "mdev.nova-vfio-variant")``.
NAMESPACE: ty.Final = uuids.uuid5(
    uuids.NAMESPACE_DNS, "mdev.nova-vfio-variant"
)
#: Of such UUIDs.
_VERSION: ty.Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    :param type_id: a type by its id, or its name
    :param parents: names of those to choose from; all if empty
    :param uuid: as given; None for one of ours
    :param instance_uuid: whose it is to be; None for nobody's
    :param attributes: each ``NAME=VALUE``, in the order in which they are
        written
    :param strategy: how a parent is chosen
    :param last: names of parents that come after all others
    :param standing: name of the parent of which a claim that stands has it
    """

    type_id: str
    parents: tuple[str, ...] = ()
    uuid: str | None = None
    instance_uuid: str | None = None
    attributes: tuple[str, ...] = ()
    strategy: mdev_choice.Strategy = mdev_choice.Strategy.COMPACT
    last: tuple[str, ...] = ()
    standing: str | None = None


def wanted(
    wish: Wish,
    facts: host_facts.HostFacts,
    ours: ty.Mapping[str, tracked.OurMdev],
    novas: nova_mdevs.HandedOut,
) -> tuple[tracked.OurMdev, tuple[mdev.Parent, ...]]:
    """What is to be made, its kind the type alone, and of which parents.

    What is on record just so, and isn't there, as after a crash or a reboot,
    is made again: with its UUID, if none is given, and its assignment.

    :param novas: of whose parents none is made
    :raises HostRefused: it can't be
    """
    type_id = mdev_choice.resolve(facts.mdevs, wish.type_id)
    again = [
        row.uuid
        for row in ours.values()
        if row.uuid not in facts.mdevs.devices
        and not row.goes
        and mdev_names.parse_kind(row.kind)[1] == type_id
        and row.instance_uuid == wish.instance_uuid
        and row.attributes == wish.attributes
    ]
    uuid = _uuid(wish, ours, again)
    there = facts.mdevs.devices.get(uuid)
    if there is not None:
        expect((mdev_obstacles.taken(there),))
    for parent in wish.parents:
        if parent not in facts.mdevs.parents:
            expect((mdev_obstacles.no_parent(facts, uuid, parent),))
    if not facts.mdevs.parents:
        expect((mdev_obstacles.no_parent(facts, uuid, "this host"),))
    offering = [
        parent
        for parent in facts.mdevs.parents.values()
        if not wish.parents or parent.name in wish.parents
    ]
    of_type = [
        parent
        for parent in offering
        if type_id is not None and parent.type_of(type_id) is not None
    ]
    if type_id is None or not of_type:
        expect((mdev_obstacles.no_type(offering, uuid, wish.type_id),))
        raise AssertionError
    candidates = _candidates(wish, facts, uuid, type_id, of_type, novas)
    return (
        tracked.OurMdev(
            uuid,
            type_id,
            wish.instance_uuid,
            ours[uuid].assignment if uuid in again else str(uuids.uuid4()),
            tables.now(),
            wish.attributes,
        ),
        candidates,
    )


def _candidates(
    wish: Wish,
    facts: host_facts.HostFacts,
    uuid: str,
    type_id: str,
    of_type: ty.Sequence[mdev.Parent],
    novas: nova_mdevs.HandedOut,
) -> tuple[mdev.Parent, ...]:
    """The parents that nothing speaks against, the first one in front.

    :raises HostRefused: there are none
    """
    left = [parent for parent in of_type if novas.against(parent) is None]
    if not left:
        expect(tuple(_of_nova(uuid, parent, novas) for parent in of_type[:1]))
    found = mdev_choice.ordered(
        facts, type_id, wish.strategy, [parent.name for parent in left]
    )
    if not found:
        expect((mdev_obstacles.full(facts, uuid, left, type_id),))
    against = {
        parent.name: mdev_obstacles.to_create(
            facts, uuid, parent.name, type_id
        )
        or (
            parent.name != wish.standing
            and mdev_obstacles.to_claim(facts, uuid, parent)
        )
        or ()
        for parent in found
    }
    if all(against.values()):
        expect(against[found[0].name])
    able = (parent for parent in found if not against[parent.name])
    return tuple(sorted(able, key=lambda one: one.name in wish.last))


def _of_nova(
    uuid: str, parent: mdev.Parent, novas: nova_mdevs.HandedOut
) -> finding.Finding:
    """That a parent is Nova's."""
    return refusal.because(
        mdev_codes.MDEV_OF_NOVA,
        uuid,
        f"{novas.against(parent)}",
        mdev_codes.MDEV_OF_NOVA.mend,
    )


def _uuid(
    wish: Wish,
    ours: ty.Mapping[str, tracked.OurMdev],
    again: ty.Collection[str],
) -> str:
    """The one that is given, or that is lost, or the first that is free.

    :param again: of what is on record as it is asked for, and isn't there
    :raises HostRefused: what is given is none
    """
    if wish.uuid is not None:
        return parsed(wish.uuid)
    if wish.instance_uuid is None:
        return str(uuids.uuid4())
    for uuid in again:
        # Those that are given are random, or VDSM's, of version 3.
        if uuids.UUID(uuid).version == _VERSION:
            return uuid
    return first_free(wish.instance_uuid, ours)


def first_free(
    instance_uuid: str, ours: ty.Mapping[str, tracked.OurMdev]
) -> str:
    """The stable UUID of an instance with the first number it has not."""
    number = 0
    while (uuid := stable(instance_uuid, number)) in ours:
        number += 1
    return uuid


def stable(instance_uuid: str, number: int) -> str:
    """The UUID of an instance's mediated device with a number, from 0.

    It is the same on each host and in each boot.
    """
    return str(uuids.uuid5(NAMESPACE, f"{instance_uuid}/{number}"))


def expect(against: tuple[finding.Finding, ...]) -> None:
    """Raise what speaks against it.

    :raises HostRefused: something does
    """
    if against:
        raise refusal.error(against)


def parsed(text: str) -> str:
    """A UUID as the kernel shows it.

    :raises HostRefused: it is none
    """
    uuid = text.lower()
    if not mdev_names.is_uuid(uuid):
        expect(
            (
                refusal.because(
                    mdev_codes.MDEV_UUID,
                    text or "''",
                    "it is no UUID as the kernel takes it",
                    mdev_codes.MDEV_UUID.mend,
                ),
            )
        )
    return uuid


def of_parent(
    wanted: tracked.OurMdev, facts: host_facts.HostFacts, parent: mdev.Parent
) -> tracked.OurMdev:
    """What is to be made, of this parent.

    :param wanted: its kind the type alone
    """
    return dataclasses.replace(
        wanted,
        kind=mdev_names.kind(parent.name, wanted.kind),
        identity=_identity(facts, parent),
    )


def _identity(
    facts: host_facts.HostFacts, parent: mdev.Parent
) -> function.Identity | None:
    """Which function a parent is; None for what is none."""
    if parent.address is None:
        return None
    seen = facts.scan.get(parent.address)
    return None if seen is None else seen.identity
