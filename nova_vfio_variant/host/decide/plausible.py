# SPDX-License-Identifier: Apache-2.0
"""Whether what stands on record can be what this project did. Pure.

Whoever can write the journal can write right checksums too. So it is only
data: what no plan has for a function is refused before anything is written.
"""

from __future__ import annotations

import dataclasses
import re

from nova_vfio_variant import finding
from nova_vfio_variant.host import vf_provider, vgpu
from nova_vfio_variant.host.decide import (
    codes,
    obstacles,
    plan,
    planning,
    plausible_mdevs,
    plausible_vfs,
    refusal,
    resetting,
)
from nova_vfio_variant.host.observe import (
    drivers,
    facts,
    function_state,
    resets,
    sriov,
)
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

Action = plan.Action

_OF_DRIVERS = frozenset({Action.SET_OVERRIDE, Action.UNBIND, Action.PROBE})
_OF_VFS = frozenset({Action.SET_NUMVFS, Action.SET_AUTOPROBE})
_OF_VGPUS = frozenset({Action.SET_VGPU_TYPE, Action.SET_HETEROGENEOUS})


def check_address(name: object) -> None:
    """See that an address is written as we write it.

    :raises TypeError, ValueError: it isn't
    """
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no text")
    if str(pci_address.PciAddress.parse(name)) != name:
        raise ValueError(f"{name!r} is no address as the kernel writes it")


def check_step(step: plan.Step) -> None:
    """See that a step's subject and value go with its action.

    :raises ValueError: they don't
    """
    action, value = step.action, step.value
    if action is Action.LOAD_MODULE:
        fits = drivers.is_name(step.subject) and value == step.subject
    elif action in plan.OF_MDEVS:
        fits = plausible_mdevs.fits_step(step)
    else:
        check_address(step.subject)
        if action is Action.SET_NUMVFS:
            fits = re.fullmatch("[0-9]{1,5}", value) is not None
            fits = fits and sriov.is_count(int(value))
            fits = fits and drivers.is_name(step.provider)
        elif action is Action.SET_AUTOPROBE:
            fits = value in {"0", "1"}
        elif action is Action.SET_HETEROGENEOUS:
            fits = value in {"0", "1"} and drivers.is_name(step.provider)
        elif action is Action.SET_VGPU_TYPE:
            fits = function_state.is_type(value)
            fits = fits and drivers.is_name(step.provider)
        elif action is Action.UNBIND:
            fits = not value
        elif action is Action.RESET:
            fits = value in resets.METHODS
        else:
            fits = not value or drivers.is_name(value)
    if not fits:
        raise ValueError(f"{step} is nothing that can be done")


def check_step_of(step: plan.Step, change: plan.Change) -> None:
    """See that a step may be one of a change, be it to take it back.

    :raises ValueError: it may not
    """
    check_step(step)
    mine = step.subject == change.subject
    if change.what is plan.What.MODULE:
        fits = mine and step.action is Action.LOAD_MODULE
    elif change.what is plan.What.MDEV:
        fits = mine and plausible_mdevs.is_of(step, change)
    elif change.what is plan.What.DRIVER:
        fits = mine and step.action in _OF_DRIVERS
    elif change.what is plan.What.RESET:
        fits = mine and step.action is Action.RESET
    elif change.what is plan.What.VGPU:
        fits = mine and step.action in _OF_VGPUS
    elif mine:
        fits = step.action in _OF_DRIVERS | _OF_VFS
    else:
        # The VFs that were made get the kernel's choice.
        fits = step.action is Action.PROBE and not step.value
    if not fits:
        raise ValueError(f"{step} is no step of a change of {change.subject}")


def check(change: plan.Change) -> None:
    """See that a change is one that some host could have.

    :raises TypeError, ValueError: no plan has one of this form
    """
    for step in change.steps:
        check_step_of(step, change)
    before, after = change.before, change.after
    if change.what is plan.What.MODULE:
        fits = drivers.is_name(change.subject)
        fits = fits and before == function_state.State()
        fits = fits and after == function_state.State(change.subject)
    elif change.what is plan.What.MDEV:
        fits = plausible_mdevs.fits_change(change)
    else:
        for name in (change.subject, *change.lost):
            check_address(name)
        if change.pf is not None:
            check_address(change.pf)
        if change.what is plan.What.DRIVER:
            fits = (before.numvfs, before.autoprobe) == (
                after.numvfs,
                after.autoprobe,
            )
            fits = fits and change.pf != change.subject
        elif change.what is plan.What.VGPU:
            fits = _is_of_vgpus(change)
        elif change.what is plan.What.RESET:
            fits = before == after and change.pf != change.subject
        else:
            fits = after.numvfs is not None and change.pf is None
            fits = fits and (before.driver, before.override) == (
                after.driver,
                after.override,
            )
            counts = {"0", str(after.numvfs)}
            fits = fits and all(
                step.value in counts
                for step in change.steps
                if step.action is Action.SET_NUMVFS
            )
    fits = fits and (not change.lost or _may_lose(change))
    if not fits:
        raise ValueError(
            f"no plan has such a change of {change.what} of {change.subject}"
        )


def _may_lose(change: plan.Change) -> bool:
    """Whether VFs go with a change, or go and come again."""
    numbers = {
        step.value for step in change.steps if step.action is Action.SET_NUMVFS
    }
    return (
        change.what is plan.What.VFS
        and change.subject not in change.lost
        and (change.before.numvfs != change.after.numvfs or "0" in numbers)
        and {None}
        == {
            value
            for lost in change.lost.values()
            for value in (lost.numvfs, lost.autoprobe)
        }
    )


def _is_of_vgpus(change: plan.Change) -> bool:
    """Whether it changes the type of a VF, or the mode of a card, alone."""
    before, after = change.before, change.after
    types = (before.vgpu_type, after.vgpu_type)
    modes = (before.heterogeneous, after.heterogeneous)
    action = Action.SET_VGPU_TYPE
    fits = None not in types and modes == (None, None)
    if change.pf is None:
        action = Action.SET_HETEROGENEOUS
        fits = None not in modes and types == (None, None)
    return (
        fits
        and dataclasses.replace(before, vgpu_type=None, heterogeneous=None)
        == dataclasses.replace(after, vgpu_type=None, heterogeneous=None)
        and change.pf != change.subject
        and all(step.action is action for step in change.steps)
    )


def of_prior(
    name: str, prior: plan.Prior, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a function can't have been what is on record of it."""
    function = now.scan.get(pci_address.PciAddress.parse(name))
    if function is None:
        return ()
    if function.is_bridge or function.is_host_bridge:
        return (obstacles.is_bridge(function),)
    why = _not_of(function, prior.pf, prior.state)
    return () if why is None else (_refused(name, why),)


def of_change(
    change: plan.Change, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a change on record is none that a plan has on this host."""
    if change.what in (plan.What.MODULE, plan.What.MDEV):
        return ()
    prior = plan.Prior(change.before, change.pf, made=False)
    found = of_prior(change.subject, prior, now)
    function = now.scan.get(pci_address.PciAddress.parse(change.subject))
    if function is not None and change.what is plan.What.VGPU:
        for step in change.steps:
            found += _against_framework(step, function, now)
    if function is None or found or change.what is not plan.What.VFS:
        return found
    return tuple(
        _refused(change.subject, why)
        for why in plausible_vfs.against(change, function, now)
    )


def of_step(
    step: plan.Step, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why nobody may have a step done, whatever he says that it is for.

    It is for who does it for others. What they alone know, whose a function
    is and what was declared, doesn't count here.

    :param now: the host as it is right before
    """
    name, action = step.subject, step.action
    if action is Action.LOAD_MODULE:
        if now.can_load(name):
            return ()
        return (_refused(name, "it is no module for this host's functions"),)
    if action in plan.OF_MDEVS:
        return plausible_mdevs.against_step(step, now)
    address = pci_address.PciAddress.parse(name)
    function = now.scan.get(address)
    if function is None:
        return refusal.no_such_function(now, address)
    if function.is_bridge or function.is_host_bridge:
        return (obstacles.is_bridge(function),)
    if action is Action.RESET:
        return tuple(resetting.refusals(now, function))
    if action in _OF_DRIVERS:
        return _against_driver(step, function, now)
    if action in _OF_VFS:
        return _against_count(step, function, now)
    return _against_vgpu(step, function, now)


def _against_driver(
    step: plan.Step, function: observed.PciFunction, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a function may not lose its driver, nor get another."""
    if step.action is Action.UNBIND:
        return (
            *refusal.to_unbind(now, function),
            *planning.loses_vfs(now, function, function.sriov_numvfs),
        )
    if step.action is Action.SET_OVERRIDE:
        return tuple(refusal.override_not_read(function))
    return _against_probe(step, function, now)


def _against_vgpu(
    step: plan.Step, function: observed.PciFunction, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a function's vGPU type, or a card's mode, may not be changed."""
    if found := _against_framework(step, function, now):
        return found
    if step.action is Action.SET_HETEROGENEOUS:
        return tuple(reason for _, reason in refusal.to_mix(now, function))
    return refusal.to_divide(now, function)


def _against_framework(
    step: plan.Step, function: observed.PciFunction, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a function is none of a step's framework."""
    serve = [function]
    if step.action is Action.SET_HETEROGENEOUS:
        serve = [*sriov.vfs_of(now.scan, function.address)]
    ways = {way[0] for other in serve if (way := vgpu.of(other)) is not None}
    if step.provider in ways:
        return ()
    by = " or ".join(sorted(ways)) or "nobody"
    return (
        _refused(
            step.subject,
            f"its vGPUs are made by {by}, and not by {step.provider}",
        ),
    )


def _against_count(
    step: plan.Step, function: observed.PciFunction, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a function may get no other number of VFs, or their autoprobe."""
    if not function.sriov_totalvfs:
        return (_refused(step.subject, "it can have no VFs"),)
    if step.action is Action.SET_AUTOPROBE:
        return ()
    serves, _ = vf_provider.of(function)
    if step.provider != serves:
        why = f"its VFs are made by {serves}, and not by {step.provider}"
        return (_refused(step.subject, why),)
    return tuple(planning.vfs_refusals(now, function, int(step.value)))


def _against_probe(
    step: plan.Step, function: observed.PciFunction, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a function may get no driver.

    Up to Linux 5.18 the kernel stops where a driver of the host's binds in a
    group that a guest has (vfio_iommu_group_notifier in drivers/vfio/vfio.c).
    """
    if step.value and step.value not in now.drivers:
        return (_refused(step.subject, f"no driver {step.value} is there"),)
    override = function.driver_override
    if override is not None and refusal.is_vfio(now, override):
        return ()
    return refusal.in_use(now, function) if function.driver is None else ()


def _not_of(
    function: observed.PciFunction,
    pf: str | None,
    state: function_state.State,
) -> str | None:
    """Why a function can't have been so; None if it can."""
    mine = None if function.physfn is None else str(function.physfn)
    if mine != pf:
        return f"it is {_kin(mine)}, and was {_kin(pf)} on record"
    can = function.sriov_totalvfs
    knows_of_vfs = (state.numvfs, state.autoprobe) != (None, None)
    if (knows_of_vfs and not can) or (state.numvfs or 0) > can:
        return f"it had {state.numvfs} VFs on record, and can have {can or 'none'}"
    if state.vgpu_type is not None and pf is None:
        return f"it had vGPU type {state.vgpu_type} on record, and is no VF"
    for name in (state.driver, state.override):
        if name is not None and not drivers.is_name(name):
            return f"{name!r} is no name of a driver"
    return None


def _kin(pf: str | None) -> str:
    return "no VF" if pf is None else f"a VF of {pf}"


def _refused(name: str, why: str) -> finding.Finding:
    return refusal.because(
        codes.NOT_PLAUSIBLE,
        name,
        why,
        "compare the host with the journal by hand, or restore the others by "
        "their addresses; a reboot ends what the journal has on record",
    )
