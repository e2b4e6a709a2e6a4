# SPDX-License-Identifier: Apache-2.0
"""Going back to what the journal has on record."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import converge
from nova_vfio_variant.host.decide import identity, plan, planning, refusal
from nova_vfio_variant.host.decide import restore as restore_plan
from nova_vfio_variant.host.observe import facts, records, vendor_vgpu
from nova_vfio_variant.pci import address as pci_address


def restore(
    actor: host_actor.Actor,
    only: ty.Collection[pci_address.PciAddress] = (),
    quarantined: records.Quarantines = records.NOTHING.quarantined,
) -> tuple[str, ...]:
    """Take the host back to what the journal recorded.

    Recover first. What can't be taken back stays on record.

    :param quarantined: functions that nobody touches; what fails on the way
        is told as it comes
    :returns: why something wasn't taken back, each in one sentence
    :raises HostRefused: something is in the way, or there is no such function
    :raises HostStepHung: a write hung, and nothing was done after it
    """
    names = {str(address) for address in only}
    # Later on they may go, with their PF's other VFs.
    unknown = restore_plan.unknown(names, actor.look()) if names else ()
    if unknown:
        raise refusal.error(unknown)
    _forget_vgpus(actor, names)
    failed = []
    for failure in _failures(actor, names, quarantined):
        failed.append(failure.why_not)
        actor.observer.failed(failure.why_not)
    settle(actor, names)
    return tuple(failed)


def _forget_vgpus(actor: host_actor.Actor, names: ty.Collection[str]) -> None:
    """Let nobody set again the vGPU types that are taken away.

    Before they are: who is killed in between has lost a note, and no type.
    """
    now = actor.look()
    decided = restore_plan.decision(actor.journal.priors, now, names)
    gone = {
        pci_address.PciAddress.parse(name)
        for change in decided.plan.changes
        if change.what in (plan.What.VGPU, plan.What.VFS)
        for name in change.functions
    }
    actor.declare(
        dict.fromkeys(gone & now.records.vgpu_laid.keys(), vendor_vgpu.NONE)
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Owed:
    """A VF that went and came back, and isn't yet what it was.

    :param change: what would make it that
    :param why_not: why that can't be done
    """

    change: plan.Change
    why_not: str


def put_back(
    actor: host_actor.Actor, *, tell: bool
) -> tuple[list[str], tuple[Owed, ...]]:
    """Make VFs again what they were that went, and came back.

    :param tell: tell the observer of what fails as it fails, so that it is
        known also where a write hangs after it
    :returns: what failed, each in one sentence; and what is still owed
    """
    owed = set(actor.journal.owed)
    if not owed:
        return [], ()
    failed: list[str] = []
    reasons: dict[str, str] = {}
    for failure in _failures(actor, owed, at_once=True):
        if tell:
            actor.observer.failed(failure.why_not)
        failed.append(failure.why_not)
        reasons.setdefault(failure.subject, failure.why_not)
    known = actor.journal
    now = actor.look()
    left = []
    for name in sorted(owed & known.owed):
        prior = known.priors[name]
        state = now.states.get(pci_address.PciAddress.parse(name))
        change = plan.Change(
            name,
            plan.What.DRIVER,
            state or prior.state,
            prior.state,
            (),
            prior.pf,
        )
        if state is not None and state.is_again(prior.state):
            # The kernel's own choice was what stood there: that is noted.
            number = known.begin(change, plan.Command.RESTORE)
            known.end(number, plan.Outcome.DONE, "it is as it was")
        elif name in reasons:
            left.append(Owed(change, reasons[name]))
        elif state is not None:
            # It is told where its driver's module can't be loaded.
            others = [reasons[name] for name in reasons.keys() - owed]
            why = "; ".join([f"it is not what it was: {state.shown}", *others])
            left.append(Owed(change, why))
    settle(actor, owed)
    return failed, tuple(left)


def take_back(actor: host_actor.Actor, names: ty.Collection[str]) -> list[str]:
    """Take some functions back that were touched in vain.

    :returns: what failed, each in one sentence; the observer is told of it
    """
    failed = []
    for failure in _failures(actor, names, at_once=True):
        actor.observer.failed(failure.why_not)
        failed.append(failure.why_not)
    settle(actor, names)
    return failed


def settle(
    actor: host_actor.Actor, only: ty.Collection[str] = ()
) -> dict[str, plan.Prior]:
    """Strike off the record what is again as it was, or is gone.

    A VF that was there before stays on record as long as its PF does: it
    goes and comes back once more with the PF's own number of VFs. So does
    what has another in its place.

    :returns: what is gone, VFs that went with their PF's number left out
    """
    gone = {}
    now = actor.look()
    known = actor.journal
    chosen = restore_plan.chosen(known.priors, only)
    # PFs first.
    for name, prior in sorted(chosen, key=lambda item: item[1].pf is not None):
        state = now.states.get(pci_address.PciAddress.parse(name))
        if known.is_unfinished(name):
            continue
        if identity.of_prior(name, known.priors, now):
            continue
        if not prior.made and prior.pf in known.priors:
            continue
        if state is not None and restore_plan.is_again(name, prior, now):
            known.forget(name, "it is as it was")
        elif state is None and not refusal.unreadable(now, name):
            if prior.pf not in known.priors and not prior.made:
                gone[name] = prior
            known.forget(name, "it is gone")
    return gone


def _failures(
    actor: host_actor.Actor,
    names: ty.Collection[str],
    quarantined: records.Quarantines = records.NOTHING.quarantined,
    *,
    at_once: bool = False,
) -> ty.Iterator[converge.Failure]:
    """Take functions back as far as that can be done.

    :param names: of the functions; all if empty
    :param quarantined: functions that nobody touches
    :param at_once: what was touched goes back whoever has it, for that is
        what he had; what is refused is told, and keeps no other
    :returns: what fails, as it fails
    """

    def decide(now: facts.HostFacts) -> planning.Decision:
        known = now.knowing(
            owners={} if at_once else None, quarantined=quarantined
        )
        return restore_plan.of_priors(actor.journal.priors, known, names)

    for turn in converge.rounds(
        actor, decide, plan.Command.RESTORE, partly=at_once
    ):
        for attempt in turn.attempts:
            if isinstance(attempt, converge.Failure):
                yield attempt
