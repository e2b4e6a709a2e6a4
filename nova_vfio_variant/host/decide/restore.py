# SPDX-License-Identifier: Apache-2.0
"""What takes a host back to exactly what is on record. Pure.

PFs come first, for their VFs go or come back with them; then drivers, what was
touched last before what was touched first.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import (
    identity,
    ours,
    plan,
    planning,
    plausible,
    refusal,
    restore_vgpus,
    vgpu_changes,
)
from nova_vfio_variant.host.observe import facts, function_state
from nova_vfio_variant.pci import address as pci_address

_REASON = "it stood so before"


def decision(
    priors: ty.Mapping[str, plan.Prior],
    now: facts.HostFacts,
    only: ty.Collection[str] = (),
) -> planning.Decision:
    """The plan that takes the host back, or what is against it. Pure.

    :param priors: what the functions were
    :param only: addresses of the functions to take back; all if empty. A
        PF's VFs go with it
    """
    found = of_priors(priors, now, only)
    return dataclasses.replace(
        found, refusals=(*unknown(only, now), *found.refusals)
    )


def unknown(
    only: ty.Collection[str], now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """The addresses that were named, and that no function has."""
    return tuple(
        reason
        for name in sorted(only)
        if now.scan.get(address := pci_address.PciAddress.parse(name)) is None
        for reason in refusal.no_such_function(now, address)
    )


def of_priors(
    priors: ty.Mapping[str, plan.Prior],
    now: facts.HostFacts,
    only: ty.Collection[str],
) -> planning.Decision:
    """As :func:`decision`, for names that may have gone on the way."""
    refusals: list[finding.Finding] = []
    mine = []
    for name, prior in chosen(priors, only):
        against = (
            refusal.unreadable(now, name)
            or identity.of_prior(name, priors, now)
            or plausible.of_prior(name, prior, now)
        )
        refusals += against
        if not against:
            mine.append((name, prior))
    changes: list[plan.Change] = []
    moving = set()
    then = restore_vgpus.freed(mine, now)
    for name, prior in mine:
        change, against = _vfs_change(name, prior, priors, then)
        refusals += against
        if change is not None:
            if change.before.numvfs != change.after.numvfs:
                moving.add(name)
                change = restore_vgpus.waiting(change, now)
            changes.append(change)
    divided = restore_vgpus.decision(mine, now, moving, _REASON)
    changes = [*divided.plan.changes, *changes]
    refusals += divided.refusals
    for name, prior in reversed(mine):
        expected = prior.pf in moving
        if expected and prior.made:
            continue
        planned = _driver_change(name, prior, now, expected=expected)
        if planned is None:
            continue
        changes.append(planned)
        if not expected:
            refusals += _against(planned, prior, now)
    return planning.Decision(
        plan.Plan(_with_modules(changes, now)), tuple(refusals)
    )


def chosen(
    priors: ty.Mapping[str, plan.Prior], only: ty.Collection[str]
) -> list[tuple[str, plan.Prior]]:
    """Those of some functions, and of the VFs of some PFs; all if empty."""
    return [
        (name, prior)
        for name, prior in priors.items()
        if not only or name in only or prior.pf in only
    ]


def is_again(name: str, prior: plan.Prior, now: facts.HostFacts) -> bool:
    """Whether a function is again all that it was before us."""
    address = pci_address.PciAddress.parse(name)
    state = now.states.get(address)
    if state is None:
        return False
    if prior.state.heterogeneous is not None:
        state = dataclasses.replace(
            state, heterogeneous=vgpu_changes.mode_of(now, address)
        )
    return state.is_again(prior.state)


def _vfs_change(
    name: str,
    prior: plan.Prior,
    priors: ty.Mapping[str, plan.Prior],
    now: facts.HostFacts,
) -> tuple[plan.Change | None, tuple[finding.Finding, ...]]:
    """The change of one PF's number of VFs, and what is against it."""
    pf = now.scan.get(pci_address.PciAddress.parse(name))
    if pf is None or prior.state.numvfs is None:
        return None, ()
    state = now.states[pf.address]
    to = dataclasses.replace(
        state, numvfs=prior.state.numvfs, autoprobe=prior.state.autoprobe
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
            against += tuple(
                planning.vfs_refusals(now, pf, prior.state.numvfs)
            )
    change = planning.vfs_change(
        now,
        pf,
        to,
        _REASON,
        quietly=any(
            prior.pf == name and not prior.made for prior in priors.values()
        ),
    )
    return dataclasses.replace(change, expected=expected), against


def _driver_change(
    name: str,
    prior: plan.Prior,
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
    # Its vGPU type is a change of its own.
    to = dataclasses.replace(
        state, driver=prior.state.driver, override=prior.state.override
    )
    steps = planning.driver_steps(name, state, to, _REASON)
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
    prior: plan.Prior,
    now: facts.HostFacts,
) -> tuple[finding.Finding, ...]:
    """Why a function can't be taken from its driver."""
    if prior.is_strange(change.before):
        return (ours.strange_driver(change.subject, prior, change.before),)
    function = now.scan.get(pci_address.PciAddress.parse(change.subject))
    if function is None:
        return ()
    found = refusal.to_touch(now, function)
    if any(step.action is plan.Action.UNBIND for step in change.steps):
        found = refusal.to_unbind(now, function)
        found += planning.loses_vfs(now, function, change.before.numvfs)
    return found


def _with_modules(
    changes: ty.Iterable[plan.Change], now: facts.HostFacts
) -> tuple[plan.Change, ...]:
    """Changes behind the modules of drivers that are no longer there.

    What waits for one is expected: it is ready once its module is loaded.
    """
    modules: dict[str, plan.Change] = {}
    others = []
    for change in changes:
        driver = change.after.driver
        if (
            change.what is plan.What.DRIVER
            and driver is not None
            and driver not in now.drivers
            and now.can_load(driver)
        ):
            module = driver.replace("-", "_")
            modules[module] = planning.load_change(module, _REASON)
            others.append(dataclasses.replace(change, expected=True))
        else:
            others.append(change)
    return (*modules.values(), *others)
