# SPDX-License-Identifier: Apache-2.0
"""Of which parent a mediated device is made. Pure.

A card whose VFs are parents, each for one device, counts as one card. What a
card takes only its driver knows: what it says is available is asked, and
what it then answers.
"""

from __future__ import annotations

import enum
import typing as ty

from nova_vfio_variant.host.observe import mdev

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts


class Strategy(enum.StrEnum):
    """How parents that could all take a device are chosen between."""

    #: Fill a card that has devices before one that has none.
    COMPACT = "compact"
    #: A card without one of the type, else as compact: what VDSM calls so.
    SEPARATE = "separate"
    #: The card with the fewest devices.
    SPREAD = "spread"


def card_of(facts: host_facts.HostFacts, parent: mdev.Parent) -> str:
    """What a parent is a part of: its PF, or itself."""
    function = None
    if parent.address is not None:
        function = facts.scan.get(parent.address)
    if function is None or function.physfn is None:
        return parent.name
    return str(function.physfn)


def ordered(
    facts: host_facts.HostFacts,
    type_id: str,
    strategy: Strategy,
    only: ty.Collection[str] = (),
) -> tuple[mdev.Parent, ...]:
    """The parents that may have room, the one to be tried first in front.

    :param only: names of the parents to choose from; all if empty
    """
    offering = [
        parent
        for parent in facts.mdevs.with_type(type_id)
        if not only or parent.name in only
    ]
    card = {parent.name: card_of(facts, parent) for parent in offering}
    has: dict[str, list[str | None]] = {}
    for parent in facts.mdevs.parents.values():
        has.setdefault(card_of(facts, parent), []).extend(
            device.type_id for device in facts.mdevs.of_parent(parent.name)
        )

    def place(parent: mdev.Parent) -> tuple[bool, int, str, str]:
        there = has.get(card[parent.name], [])
        number = len(there)
        return (
            strategy is Strategy.SEPARATE and type_id in there,
            number if strategy is Strategy.SPREAD else -number,
            card[parent.name],
            parent.name,
        )

    return tuple(
        sorted(
            (
                parent
                for parent in offering
                if (offered := parent.type_of(type_id)) is not None
                and offered.available != 0
            ),
            key=place,
        )
    )


def resolve(mdevs: mdev.Mdevs, word: str) -> str | None:
    """The id of a type that is given by its id or its name.

    :returns: None where no parent offers it, or the name is that of several
    """
    offered = [
        kind for parent in mdevs.parents.values() for kind in parent.types
    ]
    if any(kind.id == word for kind in offered):
        return word
    ids = {kind.id for kind in offered if kind.name == word}
    return ids.pop() if len(ids) == 1 else None
