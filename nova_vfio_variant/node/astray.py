# SPDX-License-Identifier: Apache-2.0
"""What of ours on a host is not as it should be, and what to do. Pure.

Each function looks for one thing, and knows nothing of the others;
:mod:`~nova_vfio_variant.node.reconcile` does what they decide.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import typing as ty

from nova_vfio_variant.declaration import nova_mdevs
from nova_vfio_variant.host.decide import plan, planning, refusal
from nova_vfio_variant.host.observe import domains, vendor_vgpu
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.node import liveness
from nova_vfio_variant.pci import function as observed
from nova_vfio_variant.tracker import claim_records, mdevs, vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import two_sides

#: What is younger is left alone: its guest may be about to start.
GRACE: ty.Final = dt.timedelta(minutes=5)


class What(enum.StrEnum):
    """What is wrong."""

    STOPPED = "service that a command stopped"
    UNSETTLED = "change that was begun and has not ended"
    ORPHAN = "vGPU without an instance"
    LOST = "vGPU that is gone"
    MISSING = "declared vGPU that is missing"
    ORPHAN_MDEV = "mediated device without an instance"
    LOST_MDEV = "mediated device that is gone"
    ORPHAN_CLAIM = "claim of an instance that is gone"
    ADOPTED = "claim of Nova's that one side has no more"
    CLAIMED = "claim that was begun and has not ended"
    RELEASING = "claim that was being given back"
    UNCLAIMED = "device of a guest that has not claimed it"
    IN_TWO = "device of two guests"
    SPENT = "device for one time that was used"
    VANISHED = "claimed device that is gone"
    EXCHANGED = "claimed device that is another one now"
    ALLOCATION = "allocation without a claim"
    NO_ALLOCATION = "claim without an allocation"
    OTHER_ALLOCATION = "allocation of another amount than is claimed"
    NOT_COMPARED = "allocations that can't be read"


class Action(enum.StrEnum):
    """What is to be done about it."""

    RECOVER = "recover"
    FREE = "free"
    FORGET = "forget"
    SET = "set"
    FINISH = "finish"
    ALLOCATE = "allocate"
    LEAVE = "leave"


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """One thing that is wrong, and what to do about it.

    :param subject: the function's address, or the UUID of the mediated device
        or of the instance
    :param why: as a sentence says it
    :param vgpu: which one of ours it is about; None for what is declared
    :param mdev: which mediated device of ours it is about
    """

    subject: str
    what: What
    why: str
    action: Action
    vgpu: vgpus.OurVgpu | None = None
    mdev: mdevs.OurMdev | None = None
    claim: claim_records.ClaimRecord | None = None

    @property
    def key(self) -> tuple[str, Action, str | None]:
        """What two looks at one thing have in common.

        The assignment tells one owner of a function from the next.
        """
        ours = self.vgpu or self.mdev or self.claim
        assignment = None if ours is None else ours.assignment
        return self.subject, self.action, assignment


@dataclasses.dataclass(frozen=True, slots=True)
class Sides:
    """Placement against the store.

    :param differences: where they differ, or why that isn't known
    :param shared: others may write there, too
    """

    differences: tuple[two_sides.Difference, ...] | str = ()
    shared: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What is decided on.

    :param vgpus: those that we made, as the store has them
    :param host: as it is seen, with what is recorded
    :param ask: whether an instance lives
    :param uptime: of the host, in seconds; None where that can't be known
    :param declared: what would make the host's vGPUs those that are declared
    :param mdevs: the mediated devices that we made, as the store has them
    :param half_made: the UUIDs of those that may be there in part
    :param novas: those that nova-compute hands out
    :param claims: of each instance, where it is in its life
    :param guests: what libvirt's files give to guests
    :param nova_gives: guests may have functions that nova-compute gave them
    :param allocated: whether Nova has devices of this host allocated for an
        instance, or why that isn't known
    :param sides: who has devices by Placement and by the store; only asked
        by whoever needs it
    :param stopped: services that a command stopped, and didn't start again
    """

    vgpus: tuple[vgpus.OurVgpu, ...]
    host: host_facts.HostFacts
    ask: ty.Callable[[str], liveness.Answer]
    now: dt.datetime
    uptime: float | None = None
    declared: planning.Decision = dataclasses.field(
        default_factory=lambda: planning.Decision(plan.Plan())
    )
    mdevs: tuple[mdevs.OurMdev, ...] = ()
    half_made: ty.Collection[str] = ()
    novas: nova_mdevs.HandedOut = dataclasses.field(
        default_factory=nova_mdevs.HandedOut
    )
    claims: tuple[claim_records.ClaimRecord, ...] = ()
    guests: tuple[domains.Guest, ...] = ()
    nova_gives: bool = False
    allocated: ty.Callable[[str], bool | str] = lambda _: "nobody asked"
    sides: ty.Callable[[], Sides] = Sides
    stopped: tuple[str, ...] = ()


def unsettled(facts: Facts) -> ty.Iterator[Decision]:
    """What a command was killed in the middle of."""
    for subject in (
        *map(str, sorted(facts.host.records.unsettled)),
        *sorted(facts.half_made),
    ):
        yield Decision(
            subject,
            What.UNSETTLED,
            "a command ended in the middle of it",
            Action.RECOVER,
        )


def stopped(facts: Facts) -> ty.Iterator[Decision]:
    """What a command was killed before it started it again."""
    for service in facts.stopped:
        yield Decision(
            service,
            What.STOPPED,
            "a command ended before it was started again",
            Action.RECOVER,
        )


def on_demand(facts: Facts) -> ty.Iterator[Decision]:
    """What was set for an instance that lives no more.

    Only what is still as we left it is freed: its function and its type.
    """
    for vgpu, answer in _of_claims(facts):
        if not answer.is_gone and (
            answer.state is liveness.State.YES or _is_held(vgpu, facts)
        ):
            continue
        what, action, why = _of(
            vgpu, facts, f"instance {vgpu.instance_uuid} is gone"
        )
        reason = why_left(vgpu, answer, facts)
        if reason is not None:
            action, why = Action.LEAVE, reason
        yield Decision(str(vgpu.address), what, why, action, vgpu)


def lost(facts: Facts) -> ty.Iterator[Decision]:
    """What a claim that stands has no more, as after a reboot.

    Unless its instance is surely gone: no guest starts without its type. The
    largest is first, for those that are small fit in what is left.
    """
    sizes = {
        known.id: known.framebuffer_mib or 0
        for of_card in facts.host.records.vgpu_types.values()
        for known in of_card
    }
    for vgpu, answer in sorted(
        _of_claims(facts),
        key=lambda found: (-sizes.get(found[0].type_id, 0), found[0].address),
    ):
        if answer.is_gone:
            continue
        whose = f"instance {vgpu.instance_uuid} has claimed it"
        what, action, why = _of(vgpu, facts, whose)
        if facts.host.records.owners.get(vgpu.address) != vgpu.instance_uuid:
            continue
        if _is_held(vgpu, facts):
            against = _against(vgpu, facts.host)
            action = Action.SET if against is None else Action.LEAVE
            yield Decision(
                str(vgpu.address), what, against or why, action, vgpu
            )
        elif what is What.LOST and answer.state is liveness.State.YES:
            yield Decision(str(vgpu.address), what, why, Action.LEAVE, vgpu)


def _against(vgpu: vgpus.OurVgpu, host: host_facts.HostFacts) -> str | None:
    """Why a VF can't be given its type again, for whoever has claimed it."""
    hung = host.records.quarantined.get(vgpu.address)
    if hung is not None:
        return f"it is quarantined: {hung}"
    function = host.scan.get(vgpu.address)
    assert function is not None
    owners = {
        address: owner
        for address, owner in host.records.owners.items()
        if owner != vgpu.instance_uuid
    }
    own = dataclasses.replace(
        host, records=dataclasses.replace(host.records, owners=owners)
    )
    reasons = refusal.to_divide(own, function)
    return reasons[0].message if reasons else None


def _of_claims(
    facts: Facts,
) -> ty.Iterator[tuple[vgpus.OurVgpu, liveness.Answer]]:
    """The vGPUs that claims made, and whether their instances live."""
    for vgpu in facts.vgpus:
        if vgpu.origin is not vgpus.Origin.CLAIM:
            continue
        answer = liveness.Answer(liveness.State.NO, "it is nobody's")
        if vgpu.instance_uuid is not None:
            answer = facts.ask(vgpu.instance_uuid)
        yield vgpu, answer


def _is_held(vgpu: vgpus.OurVgpu, facts: Facts) -> bool:
    """Whether a claim on it stands, and it has no type."""
    seen = facts.host.vgpus.get(vgpu.address)
    return (
        seen is not None
        and seen.current == vendor_vgpu.NONE
        and vgpu.address in facts.host.records.vgpu_held
    )


def _of(
    vgpu: vgpus.OurVgpu, facts: Facts, whose: str
) -> tuple[What, Action, str]:
    """What became of a vGPU, and what is done if its instance is gone.

    :param whose: what is known of that, as half a sentence
    """
    function = facts.host.scan.get(vgpu.address)
    if function is None:
        if vgpu.address in facts.host.scan.unread or facts.host.scan.hidden:
            return What.ORPHAN, Action.LEAVE, "its function can't be read"
        return What.LOST, Action.FORGET, f"{whose}, and so is its function"
    if vgpu.identity.is_another(function.identity):
        return (
            What.LOST,
            Action.FORGET,
            f"{whose}, and another device is in its place",
        )
    seen = facts.host.vgpus.get(vgpu.address)
    current = None if seen is None else seen.current
    if seen is not None and current is None:
        return What.ORPHAN, Action.LEAVE, "its type can't be read"
    if current != vgpu.type_id:
        there = (
            "it has none"
            if current in (None, vendor_vgpu.NONE)
            else f"somebody gave it type {current}"
        )
        return What.LOST, Action.FORGET, f"{whose}, and {there}"
    return What.ORPHAN, *_whether_free(vgpu, function, facts, whose)


def is_ours(vgpu: vgpus.OurVgpu, host: host_facts.HostFacts) -> bool:
    """Whether a function and its type are still as we left them."""
    function = host.scan.get(vgpu.address)
    seen = host.vgpus.get(vgpu.address)
    return (
        function is not None
        and seen is not None
        and seen.current == vgpu.type_id
        and not vgpu.identity.is_another(function.identity)
    )


def _whether_free(
    vgpu: vgpus.OurVgpu,
    function: observed.PciFunction,
    facts: Facts,
    whose: str,
) -> tuple[Action, str]:
    """Whether nobody uses what still has our type."""
    hung = facts.host.records.quarantined.get(vgpu.address)
    if hung is not None:
        return Action.LEAVE, f"it is quarantined: {hung}"
    used = facts.host.in_use.get(function.address, ())
    if used:
        return Action.LEAVE, used[0].what
    if uses.PROCESSES in facts.host.unseen:
        return Action.LEAVE, "who has it open can't be seen"
    return Action.FREE, whose


def why_left(
    vgpu: vgpus.OurVgpu | mdevs.OurMdev | claim_records.ClaimRecord,
    answer: liveness.Answer,
    facts: Facts,
) -> str | None:
    """Why nothing is done whatever became of it; None if nothing says so."""
    if not answer.is_gone:
        return (
            f"whether instance {vgpu.instance_uuid} lives is not known:"
            f" {answer.why}"
        )
    booted = just_booted(facts)
    if booted is not None:
        return booted
    try:
        since = dt.datetime.fromisoformat(vgpu.since)
        is_young = facts.now - since < GRACE
    except (TypeError, ValueError, OverflowError):
        return f"when it was set can't be read: {vgpu.since!r}"
    if is_young:
        return f"it was set at {vgpu.since}, less than five minutes ago"
    return None


def just_booted(facts: Facts) -> str | None:
    """Why nothing is done so early; None where it isn't."""
    if facts.uptime is not None and facts.uptime < GRACE.total_seconds():
        return "the host booted less than five minutes ago"
    return None


def declared(facts: Facts) -> ty.Iterator[Decision]:
    """What is declared, and isn't there."""
    reasons = {
        change.subject: change.steps[0].reason
        for change in facts.declared.plan.changes
    }
    for subject, why in reasons.items():
        yield Decision(subject, What.MISSING, why, Action.SET)
    for reason in (*facts.declared.findings, *facts.declared.refusals):
        yield Decision(
            reason.subject or "host_spec",
            What.MISSING,
            reason.message,
            Action.LEAVE,
        )
