# SPDX-License-Identifier: Apache-2.0
"""Going back, in as many rounds as it takes."""

import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import lock
from nova_vfio_variant.host.decide import identity, plan, planning, refusal
from nova_vfio_variant.host.decide import restore as restore_plan
from nova_vfio_variant.host.observe import facts, records
from nova_vfio_variant.pci import address as pci_address

#: What goes back at once goes back whoever has it: that is what he had.
_NOBODYS: ty.Final[ty.Mapping[str, ty.Any]] = {"owners": {}, "quarantined": {}}


def restore(
    actor: host_actor.Actor,
    only: ty.Collection[pci_address.PciAddress] = (),
    failed: list[str] | None = None,
    quarantined: records.Quarantines = records.NOTHING.quarantined,
) -> list[str]:
    """Take the host back to what the journal recorded.

    Recover first. What can't be taken back stays on record.

    :param failed: to which what is returned is added as it comes, so that it
        is known also where an error ends it
    :param quarantined: functions that nobody touches; what fails on the way
        is told as it comes
    :returns: why something wasn't taken back, each in one sentence
    :raises HostRefused: something is in the way, by now
    :raises HostStepHung: a write hung, and nothing was done after it
    """
    failed = [] if failed is None else failed
    names = {str(address) for address in only}
    for _, why in _rounds(actor, names, {"quarantined": quarantined}):
        failed.append(why)
    settle(actor, names)
    return failed


def put_back(
    actor: host_actor.Actor, failed: list[str]
) -> list[tuple[plan.Change, str]]:
    """Make VFs again what they were that went, and came back.

    :param failed: what fails is added
    :returns: what would make each of the others what it was, and why that
        can't be done; it is still owed
    """
    owed = set(actor.journal.owed)
    if not owed:
        return []
    reasons: dict[str, str] = {}
    for name, why in _rounds(actor, owed, _NOBODYS, partly=True):
        failed.append(why)
        reasons.setdefault(name, why)
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
        if state == prior.state:
            # The kernel's own choice was what stood there: that is noted.
            number = known.begin(change, plan.Command.RESTORE)
            known.end(number, plan.Outcome.DONE, "it is as it was")
        elif name in reasons:
            left.append((change, reasons[name]))
        elif state is not None:
            # It is told where its driver's module can't be loaded.
            others = [reasons[one] for one in reasons.keys() - owed]
            why = "; ".join([f"it is not what it was: {state.shown}", *others])
            left.append((change, why))
    settle(actor, owed)
    return left


def take_back(
    actor: host_actor.Actor, names: ty.Collection[str], failed: list[str]
) -> None:
    """Take some functions back that were touched in vain.

    :param failed: what fails is added
    """
    for _, why in _rounds(actor, names, _NOBODYS, partly=True):
        failed.append(why)
    settle(actor, names)


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
    for name, prior in sorted(chosen, key=lambda one: one[1].pf is not None):
        state = now.states.get(pci_address.PciAddress.parse(name))
        if known.is_unfinished(name):
            continue
        if identity.of_prior(name, known.priors, now):
            continue
        if not prior.made and prior.pf in known.priors:
            continue
        if state == prior.state:
            known.forget(name, "it is as it was")
        elif state is None and not refusal.unreadable(now, name):
            if prior.pf not in known.priors and not prior.made:
                gone[name] = prior
            known.forget(name, "it is gone")
    return gone


def _rounds(
    actor: host_actor.Actor,
    names: ty.Collection[str],
    recorded: ty.Mapping[str, ty.Any],
    *,
    partly: bool = False,
) -> ty.Iterator[tuple[str, str]]:
    """Decide, do, look again, until there is nothing left to take back.

    :param recorded: in place of what is recorded of the functions
    :param partly: do what isn't refused, and tell the rest
    :returns: what fails, as it fails: of which subject, and why
    :raises HostRefused: something is in the way, where all or nothing is done
    """
    tried: set[tuple[str, plan.What]] = set()
    told: set[finding.Finding] = set()
    told_on: tuple[type[exception.VfioVariantError], ...] = (
        exception.HostStepFailed,
        exception.LockTimeout,
    )
    if partly:
        told_on += (exception.HostRefused,)

    def wanted(now: facts.HostFacts) -> planning.Decision:
        return restore_plan.of_priors(
            actor.journal.priors, now.knowing(**recorded), names
        )

    while True:
        now = actor.look()
        found = wanted(now)
        if found.refusals and not partly:
            raise refusal.error(found.refusals)
        for one in found.refusals:
            if one not in told:
                told.add(one)
                yield str(one.subject), refusal.line(one)
        refused = {lock.of_name(str(one.subject), now.scan) for one in told}
        ready = [
            change
            for change in found.plan.ready
            if (change.subject, change.what) not in tried
            and refused.isdisjoint(lock.of_change(change, now.scan))
        ]
        if not ready:
            return
        for change in ready:
            tried.add((change.subject, change.what))
            try:
                actor.do(change, plan.Command.RESTORE, now.scan, wanted)
            except told_on as error:
                yield change.subject, str(error)
