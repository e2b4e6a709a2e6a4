# SPDX-License-Identifier: Apache-2.0
"""When a claim that mirrors one of Nova's has come to its end. Pure.

It is Nova's to give back: only what is recorded here goes, and only once
neither Placement nor libvirt knows of it any more.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.node import astray, liveness

if ty.TYPE_CHECKING:
    from nova_vfio_variant.tracker import claim_records


def of_gone(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """What Nova's instances have that live no more, or that Nova let go."""
    for record in facts.claims:
        if record.adopted is None:
            continue
        answer = facts.ask(record.instance_uuid)
        found = decided(
            record,
            answer,
            facts.allocated(record.instance_uuid),
            astray.why_left(record, answer, facts),
        )
        if found is not None:
            action, why = found
            yield astray.Decision(
                record.instance_uuid,
                astray.What.ADOPTED,
                why,
                action,
                claim=record,
            )


def decided(
    record: claim_records.ClaimRecord,
    answer: liveness.Answer,
    allocated: bool | str,
    why_left: str | None = None,
) -> tuple[astray.Action, str] | None:
    """What is to be done about a claim that was adopted.

    :param answer: whether its instance lives
    :param allocated: whether Placement has allocations of it on this host's
        devices, or why that isn't known
    :param why_left: why nothing is done whatever became of it
    :returns: the action, and why; None where all is as it should be
    """
    whose = f"instance {record.instance_uuid}"
    if allocated is True:
        if not answer.is_gone:
            return None
        return (
            astray.Action.LEAVE,
            f"{whose} is gone from this host, and Nova has it allocated still",
        )
    if isinstance(allocated, str):
        if answer.state is liveness.State.YES:
            return None
        return (
            astray.Action.LEAVE,
            f"whether Nova has {whose} allocated is not known: {allocated}",
        )
    if answer.state is liveness.State.YES:
        why = (
            f"{answer.why}, and Nova has nothing of this host allocated for"
            f" {whose}: nova-compute's next update of its resources makes it"
            " again"
        )
        return astray.Action.LEAVE, why
    if not answer.is_gone:
        return (
            astray.Action.LEAVE,
            f"whether {whose} lives is not known: {answer.why}",
        )
    if why_left is not None:
        return astray.Action.LEAVE, why_left
    return (
        astray.Action.FORGET,
        f"{whose} is gone, and Nova has given back what it had",
    )
