# SPDX-License-Identifier: Apache-2.0
"""Allocations without a claim, and claims without an allocation. Pure.

Claims are on disk before Placement hears of them, and until it has forgotten
them. So where nobody but us writes there the store is right; beside Nova
either may be.
"""

from __future__ import annotations

import itertools
import operator
import typing as ty

from nova_vfio_variant.node import astray, liveness
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import two_sides
    from nova_vfio_variant.tracker import claim_records

Action = astray.Action
What = astray.What

#: What is mended in Placement alone.
SETTLED: ty.Final = frozenset({What.ALLOCATION, What.NO_ALLOCATION})
_LASTING: ty.Final = frozenset(
    {tracked.ClaimState.PREPARED, tracked.ClaimState.ALLOCATED}
)


def without_the_other(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """Both, where a claim isn't on its way, nor its instance gone.

    What an instance that is gone has claimed is given back with its claim.
    """
    seen = facts.sides()
    if isinstance(seen.differences, str):
        yield astray.Decision(
            "[vfio] placement",
            What.NOT_COMPARED,
            f"allocations were not compared with claims: {seen.differences}",
            Action.LEAVE,
        )
        return
    records = {record.instance_uuid: record for record in facts.claims}
    decided: list[astray.Decision] = []
    instance = operator.attrgetter("instance_uuid")
    for uuid, several in itertools.groupby(
        sorted(seen.differences, key=instance), instance
    ):
        differ = tuple(several)
        record = records.get(uuid)
        if record is not None or any(one.recorded for one in differ):
            decided.extend(_of_claim(differ, record, facts))
        else:
            decided.append(_of_nobody(differ, facts))
    # What is freed may be what another one needs.
    yield from sorted(decided, key=lambda one: one.action is not Action.FREE)


def _of_nobody(
    differ: tuple[two_sides.Difference, ...], facts: astray.Facts
) -> astray.Decision:
    """What Placement alone knows of."""
    uuid = differ[0].instance_uuid
    answer = facts.ask(uuid)
    action, booted = Action.LEAVE, astray.just_booted(facts)
    if facts.sides().shared:
        why = (
            "Nova may be right, which knows instances that aren't here:"
            f" openstack server show {uuid} says whether it has it, and"
            f" nova-vfio claim adopt --instance {uuid} mirrors it"
        )
    elif answer.state is liveness.State.YES:
        why = (
            f"Placement may be right, for it lives ({answer.why}): end its"
            " guest, or claim for it what it has"
        )
    elif not answer.is_gone:
        why = (
            "whether it lives is not known, which counts as in use:"
            f" {answer.why}"
        )
    elif booted is not None:
        why = booted
    else:
        action = Action.FREE
        why = "it is gone, and the store is right: nobody else writes there"
    return astray.Decision(
        uuid, What.ALLOCATION, f"{_told(differ)}: {why}", action
    )


def _of_claim(
    differ: tuple[two_sides.Difference, ...],
    record: claim_records.ClaimRecord | None,
    facts: astray.Facts,
) -> ty.Iterator[astray.Decision]:
    """What differs from a claim, unless that is seen to already."""
    uuid = differ[0].instance_uuid
    if facts.ask(uuid).is_gone or (
        record is not None and record.state not in _LASTING
    ):
        return
    action, what = Action.LEAVE, What.OTHER_ALLOCATION
    delete = f"nova-vfio claim delete --instance {uuid}, once its guest ended"
    if record is not None and record.adopted is not None:
        if not any(one.published for one in differ):
            return
        why = f"Nova is right: nova-vfio claim adopt --instance {uuid}"
    elif any(one.is_novas for one in differ):
        why = f"we write nothing to a provider of Nova's: {delete}"
    elif any(one.published > one.recorded for one in differ):
        why = f"it may have in use what it hasn't claimed: {delete}"
    else:
        action, what = Action.ALLOCATE, What.NO_ALLOCATION
        why = "the store is right: a claim that stands has its devices"
    yield astray.Decision(
        uuid, what, f"{_told(differ)}: {why}", action, claim=record
    )


def _told(differ: tuple[two_sides.Difference, ...]) -> str:
    """What each side says."""
    sides = " and ".join(
        f"{_counted(one.recorded, 'device')} in the store and"
        f" {_counted(one.published, 'unit')} of {one.provider} in Placement"
        for one in differ
    )
    return f"instance {differ[0].instance_uuid} has {sides}"


def _counted(number: int, what: str) -> str:
    """A number of things."""
    return f"{number or 'no'} {what}{'s' if number > 1 else ''}"
