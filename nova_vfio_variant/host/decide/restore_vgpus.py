# SPDX-License-Identifier: Apache-2.0
"""What takes vGPU types and cards' modes back to what is on record. Pure.

A type is taken back where ours still stands, and no other. VFs that go with
their PF's number of VFs lose theirs first, and those that come back are given
theirs once they are there.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import ours, plan, planning, vgpu_changes
from nova_vfio_variant.host.observe import facts, function_state, vendor_vgpu
from nova_vfio_variant.pci import address as pci_address

Priors = ty.Sequence[tuple[str, plan.Prior]]


def decision(
    priors: Priors,
    now: facts.HostFacts,
    moving: ty.Collection[str],
    reason: str,
) -> planning.Decision:
    """The changes of types and modes, or what is against them.

    :param priors: what functions were, of those that are to be taken back
    :param moving: the PFs whose number of VFs changes
    """
    types: dict[pci_address.PciAddress, str] = {}
    modes: dict[pci_address.PciAddress, bool] = {}
    strange: list[finding.Finding] = []
    for name, prior in priors:
        address = pci_address.PciAddress.parse(name)
        state = now.states.get(address)
        mode = prior.state.heterogeneous
        if state is None:
            continue
        if mode is not None and name not in moving:
            modes[address] = mode
        if not _is_changed(prior, state):
            if _may_wait(prior, state):
                # It may be in the way of its card's mode.
                types[address] = prior.state.vgpu_type or vendor_vgpu.NONE
            continue
        if is_strange(prior, state):
            strange.append(ours.strange_type(name, prior, state))
            continue
        wanted = prior.state.vgpu_type or vendor_vgpu.NONE
        types[address] = vendor_vgpu.NONE if prior.pf in moving else wanted
    found = vgpu_changes.decision(types, now, reason, modes)
    return dataclasses.replace(found, refusals=(*strange, *found.refusals))


def is_strange(prior: plan.Prior, state: function_state.State) -> bool:
    """Whether somebody else gave a VF the type that it has.

    A VF that was made anew, by whatever we did to its PF, has none.
    """
    left = None if prior.left is None else prior.left.vgpu_type
    return state.vgpu_type != (left or vendor_vgpu.NONE)


def _is_changed(prior: plan.Prior, state: function_state.State) -> bool:
    types = (prior.state.vgpu_type, state.vgpu_type)
    return None not in types and types[0] != types[1]


def _may_wait(prior: plan.Prior, state: function_state.State) -> bool:
    """Whether a VF that is as it was may lose its type for a moment."""
    return (
        state.vgpu_type not in (None, vendor_vgpu.NONE)
        and prior.left is not None
        and prior.left.vgpu_type == state.vgpu_type
    )


def freed(priors: Priors, now: facts.HostFacts) -> facts.HostFacts:
    """The host as it is once our types are gone: VFs may go then."""
    gone = {
        address
        for name, prior in priors
        if (state := now.states.get(pci_address.PciAddress.parse(name)))
        is not None
        and _is_changed(prior, state)
        and not is_strange(prior, state)
        for address in (pci_address.PciAddress.parse(name),)
    }
    if not gone:
        return now
    return dataclasses.replace(
        now,
        vgpus={
            address: dataclasses.replace(seen, current=vendor_vgpu.NONE)
            if address in gone
            else seen
            for address, seen in now.vgpus.items()
        },
    )


def waiting(change: plan.Change, now: facts.HostFacts) -> plan.Change:
    """A change of VFs, expected as long as one that would go has a type."""
    typed = any(
        state.vgpu_type not in (None, vendor_vgpu.NONE)
        for name in change.lost
        if (state := now.states.get(pci_address.PciAddress.parse(name)))
    )
    return dataclasses.replace(change, expected=change.expected or typed)
