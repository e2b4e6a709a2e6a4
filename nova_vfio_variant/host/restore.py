# SPDX-License-Identifier: Apache-2.0
"""Going back to exactly what the journal has on record.

PFs come first, for their VFs go or come back with them; then drivers, what was
touched last before what was touched first.
"""

import dataclasses
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host import (
    act,
    decide,
    facts,
    function_state,
    identity,
    lock,
    ours,
    plan,
    records,
    refusal,
)
from nova_vfio_variant.host import journal as host_journal
from nova_vfio_variant.pci import address as pci_address

_REASON = "it stood so before"
#: What goes back at once goes back whoever has it: that is what he had.
_NOBODYS: ty.Final[ty.Mapping[str, ty.Any]] = {"owners": {}, "quarantined": {}}


def decision(
    priors: ty.Mapping[str, host_journal.Prior],
    now: facts.HostFacts,
    only: ty.Collection[str] = (),
) -> decide.Decision:
    """The plan that takes the host back, or what is against it. Pure.

    :param priors: what the functions were
    :param only: addresses of the functions to take back; all if empty. A
        PF's VFs go with it
    """
    found = _decide(priors, now, only)
    unknown = [
        one
        for name in sorted(only)
        if now.scan.get(address := pci_address.PciAddress.parse(name)) is None
        for one in refusal.no_such_function(now, address)
    ]
    return dataclasses.replace(found, refusals=(*unknown, *found.refusals))


def _decide(
    priors: ty.Mapping[str, host_journal.Prior],
    now: facts.HostFacts,
    only: ty.Collection[str],
) -> decide.Decision:
    """As :func:`decision`, for names that may have gone on the way."""
    refusals: list[finding.Finding] = []
    chosen = []
    for name, prior in _chosen(priors, only):
        against = refusal.unreadable(now, name) or identity.of_prior(
            name, priors, now
        )
        refusals += against
        if not against:
            chosen.append((name, prior))
    changes: list[plan.Change] = []
    moving = set()
    for name, prior in chosen:
        change, against = _vfs_change(name, prior, priors, now)
        refusals += against
        if change is not None:
            changes.append(change)
            if change.before.numvfs != change.after.numvfs:
                moving.add(name)
    for name, prior in reversed(chosen):
        expected = prior.pf in moving
        if expected and prior.made:
            continue
        one = _driver_change(name, prior, now, expected=expected)
        if one is None:
            continue
        changes.append(one)
        if not expected:
            refusals += _against(one, prior, now)
    return decide.Decision(
        plan.Plan((*_modules(changes, now), *changes)), tuple(refusals)
    )


def _chosen(
    priors: ty.Mapping[str, host_journal.Prior], only: ty.Collection[str]
) -> list[tuple[str, host_journal.Prior]]:
    return [
        (name, prior)
        for name, prior in priors.items()
        if not only or name in only or prior.pf in only
    ]


def _vfs_change(
    name: str,
    prior: host_journal.Prior,
    priors: ty.Mapping[str, host_journal.Prior],
    now: facts.HostFacts,
) -> tuple[plan.Change | None, tuple[finding.Finding, ...]]:
    """The change of one PF's number of VFs, and what is against it."""
    pf = now.scan.get(pci_address.PciAddress.parse(name))
    if pf is None or prior.state.numvfs is None:
        return None, ()
    state = now.states[pf.address]
    to = dataclasses.replace(
        prior.state, driver=state.driver, override=state.override
    )
    if state == to:
        return None, ()
    # VFs are made by the PF's own driver: that comes back first.
    expected = state.driver != prior.state.driver
    if prior.has_strange_vfs(state):
        if expected and state.numvfs:
            # They keep it from its driver, and that says what to do.
            return None, ()
        return None, (ours.strange_vfs(name, prior, state),)
    against: tuple[finding.Finding, ...] = ()
    if state.numvfs != to.numvfs:
        against = tuple(ours.strange_vf_drivers(name, priors, now))
        if not expected:
            against += tuple(decide.vfs_refusals(now, pf, prior.state.numvfs))
    change = decide.vfs_change(
        now,
        pf,
        to,
        _REASON,
        quietly=any(
            one.pf == name and not one.made for one in priors.values()
        ),
    )
    return dataclasses.replace(change, expected=expected), against


def _driver_change(
    name: str,
    prior: host_journal.Prior,
    now: facts.HostFacts,
    *,
    expected: bool,
) -> plan.Change | None:
    """The change of one function's driver; None if there is nothing to do."""
    address = pci_address.PciAddress.parse(name)
    state = now.states.get(address)
    if expected:
        state = function_state.State()
    if state is None:
        return None
    to = dataclasses.replace(
        prior.state, numvfs=state.numvfs, autoprobe=state.autoprobe
    )
    steps = decide.driver_steps(name, state, to, _REASON)
    if not steps:
        return None
    return plan.Change(
        name,
        plan.What.DRIVER,
        state,
        to,
        steps,
        prior.pf,
        expected=expected,
        identity=prior.identity,
    )


def _against(
    change: plan.Change,
    prior: host_journal.Prior,
    now: facts.HostFacts,
) -> tuple[finding.Finding, ...]:
    """Why a function can't be taken from its driver."""
    if prior.is_strange(change.before):
        return (ours.strange_driver(change.subject, prior, change.before),)
    function = now.scan.get(pci_address.PciAddress.parse(change.subject))
    if function is None:
        return ()
    found = refusal.to_touch(now, function)
    if any(step.action == "unbind" for step in change.steps):
        found += decide.loses_vfs(now, function, change.before.numvfs)
    return found


def _modules(
    changes: list[plan.Change], now: facts.HostFacts
) -> list[plan.Change]:
    """The modules of drivers that were there and are no longer."""
    found: dict[str, plan.Change] = {}
    for place, change in enumerate(changes):
        driver = change.after.driver
        if (
            change.what is plan.What.DRIVER
            and driver is not None
            and driver not in now.drivers
            and now.can_load(driver)
        ):
            module = driver.replace("-", "_")
            found[module] = decide.load_change(module, _REASON)
            changes[place] = dataclasses.replace(change, expected=True)
    return list(found.values())


def restore(
    actor: act.Actor,
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
    actor: act.Actor, failed: list[str]
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
            number = known.begin(change, "restore")
            known.end(number, "done", "it is as it was")
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
    actor: act.Actor, names: ty.Collection[str], failed: list[str]
) -> None:
    """Take some functions back that were touched in vain.

    :param failed: what fails is added
    """
    for _, why in _rounds(actor, names, _NOBODYS, partly=True):
        failed.append(why)
    settle(actor, names)


def settle(
    actor: act.Actor, only: ty.Collection[str] = ()
) -> dict[str, host_journal.Prior]:
    """Strike off the record what is again as it was, or is gone.

    A VF that was there before stays on record as long as its PF does: it
    goes and comes back once more with the PF's own number of VFs. So does
    what has another in its place.

    :returns: what is gone, VFs that went with their PF's number left out
    """
    gone = {}
    now = actor.look()
    known = actor.journal
    chosen = _chosen(known.priors, only)
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
    actor: act.Actor,
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

    def wanted(now: facts.HostFacts) -> decide.Decision:
        return _decide(actor.journal.priors, now.knowing(**recorded), names)

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
                actor.do(change, "restore", now.scan, wanted)
            except told_on as error:
                yield change.subject, str(error)
