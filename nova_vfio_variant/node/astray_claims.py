# SPDX-License-Identifier: Apache-2.0
"""What of claims, and of guests with devices, is not as it should be. Pure.

A claim that has vGPUs of its own goes with them
(:func:`~nova_vfio_variant.node.astray.on_demand`), and one that has mediated
devices alone with those.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.declaration import guest_mdevs
from nova_vfio_variant.host.decide import codes, obstacles
from nova_vfio_variant.host.observe import passed
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.node import astray, liveness
from nova_vfio_variant.tracker import claim_records, vgpus
from nova_vfio_variant.tracker import device as tracked

Action = astray.Action
What = astray.What


def unfinished(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """What a command was killed in the middle of claiming or giving back.

    What is claimed is on disk alone: it is finished, unless its instance is
    gone. What was being given back is nobody's any more.
    """
    for record in facts.claims:
        if record.state is tracked.ClaimState.RELEASING:
            whose = "it was being given back when a command ended"
            action, why = _whether_closed(record, facts, whose)
            yield _decision(record, What.RELEASING, why, action)
        elif (
            record.state is tracked.ClaimState.CLAIMED
            and not facts.ask(record.instance_uuid).is_gone
        ):
            yield _decision(
                record,
                What.CLAIMED,
                "a command ended before Placement and the host had it",
                Action.FINISH,
            )


def of_gone(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """What instances have claimed that live no more."""
    with_vgpus = {
        vgpu.instance_uuid
        for vgpu in facts.vgpus
        if vgpu.origin is vgpus.Origin.CLAIM
    }
    owners = {*facts.host.records.owners.values()}
    for record in facts.claims:
        if (
            record.state is tracked.ClaimState.RELEASING
            or record.adopted is not None
            or record.instance_uuid in with_vgpus
            or record.instance_uuid not in owners
        ):
            continue
        answer = facts.ask(record.instance_uuid)
        if answer.state is liveness.State.YES or (
            record.state is tracked.ClaimState.CLAIMED and not answer.is_gone
        ):
            continue
        whose = f"instance {record.instance_uuid} is gone"
        action, why = _whether_closed(record, facts, whose)
        reason = astray.why_left(record, answer, facts)
        if answer.is_gone and not record.since:
            reason = (
                f"{whose}, and an older version claimed it, nobody knows when:"
                f" nova-vfio claim delete --instance {record.instance_uuid}"
            )
        if reason is not None:
            action, why = Action.LEAVE, reason
        yield _decision(record, What.ORPHAN_CLAIM, why, action)


def unclaimed(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """Devices that a guest has and that nobody has claimed for it.

    It is never taken: another tool may have given it, or a claim was lost
    (the kind of OSSA-2026-022).
    """
    owners = facts.host.records.owners
    tracked_at = facts.host.records.identities
    for at, guests in _guests(facts).items():
        owner = owners.get(at)
        if at not in tracked_at or (facts.nova_gives and at not in owners):
            continue
        for uuid, guest in sorted(guests.items()):
            if uuid != owner:
                mend = ", or claim the device for it"
                yield _unclaimed(str(at), guest, owner, mend)
    seen = facts.host.mdevs.devices
    for uuid, guest, owner in guest_mdevs.unclaimed(
        facts.host, facts.guests, _owners(facts), tracked_at, facts.novas
    ):
        there = seen.get(uuid)
        mend = ""
        if there is not None and there.type_id and guest.instance_uuid:
            mend = (
                "; what it is to have instead is claimed by: nova-vfio claim"
                f" create --instance {guest.instance_uuid} --vgpu-type"
                f" {there.type_id}"
            )
        yield _unclaimed(uuid, guest, owner, mend)


def _unclaimed(
    subject: str, guest: passed.Passed, owner: str | None, mend: str
) -> astray.Decision:
    """A guest that has what it hasn't claimed.

    :param mend: what else can be done where nobody has claimed it
    """
    claim = f"{f'instance {owner}' if owner else 'nobody'} has claimed"
    return astray.Decision(
        subject,
        What.UNCLAIMED,
        f"guest {guest.instance_uuid} has it, and {claim} it ({guest.by}): the"
        f" guest keeps it; end the guest{'' if owner else mend}",
        Action.LEAVE,
    )


def in_two(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """Devices that two guests have, or would be started with."""
    of_functions, of_mdevs = facts.host.records.owners, _owners(facts)
    for at, guests, owner in (
        *(
            (str(at), guests, of_functions.get(at))
            for at, guests in _guests(facts).items()
        ),
        *(
            (uuid, guests, of_mdevs.get(uuid))
            for uuid, guests in passed.mdevs(facts.host, facts.guests).items()
        ),
    ):
        if len(guests) > 1:
            right = (
                f"{owner} has claimed it, and is right"
                if owner in guests
                else "none of them has claimed it"
            )
            yield astray.Decision(
                at,
                What.IN_TWO,
                f"guests {', '.join(sorted(guests))} have it"
                f" ({', '.join(guest.by for guest in guests.values())});"
                f" {right}: take it from the others: virsh edit, or end them",
                Action.LEAVE,
            )


def to_scrub(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """Devices for one time that were used, and nobody has any more."""
    records = facts.host.records
    for at in sorted(records.spent):
        if at not in records.owners and at in records.identities:
            yield astray.Decision(
                str(at),
                What.SPENT,
                "it was used once, and nobody gets it until it is clean:"
                f" nova-vfio device scrub {at}",
                Action.LEAVE,
            )


def not_there(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """Claimed functions that are gone, or others by now."""
    records, scan = facts.host.records, facts.host.scan
    known = {vgpu.address for vgpu in facts.vgpus}
    for at, owner in sorted(records.owners.items()):
        if at in known or at in scan.unread or scan.hidden:
            continue
        function = scan.get(at)
        identity = records.identities.get(at)
        if function is None:
            why = obstacles.vanished(facts.host, at, records.identities)
        elif identity is not None and identity.is_another(function.identity):
            why = obstacles.another_device(
                facts.host, function, records.identities
            )
        else:
            continue
        what = (
            What.EXCHANGED
            if why.code is codes.ANOTHER_DEVICE
            else What.VANISHED
        )
        yield astray.Decision(
            str(at),
            what,
            f"instance {owner} has claimed it; {why.message}: put it back, or"
            f" nova-vfio claim delete --instance {owner}",
            Action.LEAVE,
        )


def _guests(facts: astray.Facts) -> passed.By:
    """The guests that have each function."""
    host = facts.host
    return passed.functions(host, facts.guests, host.records.owners)


def _owners(facts: astray.Facts) -> guest_mdevs.Owners:
    """Whose mediated devices are."""
    adopted = claim_records.adopted_mdevs(facts.claims)
    return guest_mdevs.owners(facts.mdevs, adopted)


def _whether_closed(
    record: claim_records.ClaimRecord, facts: astray.Facts, whose: str
) -> tuple[Action, str]:
    """Whether nobody has open what a claim has."""
    for at, owner in facts.host.records.owners.items():
        if owner != record.instance_uuid:
            continue
        for used in facts.host.in_use.get(at, ()):
            if used.kind in (uses.Kind.OPEN, uses.Kind.UNKNOWN):
                return Action.LEAVE, f"{at}: {used.what}"
    if uses.PROCESSES in facts.host.unseen:
        return Action.LEAVE, "who has it open can't be seen"
    return Action.FREE, whose


def _decision(
    record: claim_records.ClaimRecord, what: What, why: str, action: Action
) -> astray.Decision:
    return astray.Decision(
        record.instance_uuid, what, why, action, claim=record
    )
