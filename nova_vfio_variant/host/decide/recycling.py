# SPDX-License-Identifier: Apache-2.0
"""What makes a card's VFs anew, with the vGPU types that they have. Pure.

A VF that has left its vendor's driver, or whose guest was killed in its first
seconds, takes no guest until then. Types are taken away first, and set again.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host import vgpu
from nova_vfio_variant.host.decide import (
    apply_vgpus,
    codes,
    plan,
    planning,
    refusal,
    vgpu_changes,
    vgpu_steps,
)
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import sriov, vendor_vgpu, vgpu_card
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

Address = pci_address.PciAddress
REASON = "the VFs of its card are made anew"


def types(facts: host_facts.HostFacts, card: Address) -> dict[Address, str]:
    """The type that each VF of a card is to have again.

    One that has none, or has left its driver, has that which is on record: a
    crash may have been in between.
    """
    found = {}
    for vf in sriov.vfs_of(facts.scan, card):
        seen = facts.vgpus.get(vf.address)
        type_id = None if seen is None else seen.current
        if type_id in (None, vendor_vgpu.NONE):
            type_id = facts.records.vgpu_laid.get(vf.address)
        found[vf.address] = type_id or vendor_vgpu.NONE
    return found


def frees(facts: host_facts.HostFacts, card: Address) -> planning.Decision:
    """What takes the types of a card's VFs away."""
    vfs = vgpu_card.cards(facts).get(card, {})
    return vgpu_changes.decision(
        dict.fromkeys(vfs, vendor_vgpu.NONE), facts, REASON
    )


def decision(facts: host_facts.HostFacts, card: Address) -> planning.Decision:
    """All that would be done, or what is against it.

    :param card: address of the PF
    """
    pf = facts.scan.get(card)
    if pf is None:
        return planning.Decision(
            planning.NOTHING, refusal.no_such_function(facts, card)
        )
    wanted = types(facts, card)
    against = refusals(facts, pf)
    freed = frees(facts, card)
    against += freed.refusals
    if against:
        return planning.Decision(
            planning.NOTHING, tuple(dict.fromkeys(against))
        )
    waits = bool(freed.plan)
    return planning.Decision(
        plan.Plan(
            (
                *freed.plan.changes,
                dataclasses.replace(vfs_change(facts, pf), expected=waits),
                # VFs that are made end it.
                *(
                    (apply_vgpus.mode_expected(card),)
                    if vgpu_changes.mode_of(facts, card)
                    else ()
                ),
                *_set_again(facts, card, wanted),
            )
        ),
        vgpus={
            vf: type_id
            for vf, type_id in wanted.items()
            if type_id != vendor_vgpu.NONE
        },
    )


def _set_again(
    facts: host_facts.HostFacts, card: Address, wanted: vgpu_changes.Types
) -> ty.Iterator[plan.Change]:
    """The changes that give VFs their types, once they are there again."""
    states = without_types(facts, card).states
    for vf, type_id in sorted(wanted.items()):
        function = facts.scan.get(vf)
        way = None if function is None else vgpu.of(function)
        if way is None or type_id == vendor_vgpu.NONE:
            continue
        to = dataclasses.replace(states[vf], vgpu_type=type_id)
        yield plan.Change(
            str(vf),
            plan.What.VGPU,
            states[vf],
            to,
            vgpu_steps.type_steps(str(vf), states[vf], to, way, REASON),
            str(card),
            expected=True,
        )


def refusals(
    facts: host_facts.HostFacts, pf: observed.PciFunction
) -> tuple[finding.Finding, ...]:
    """Why a card's VFs can't be made anew, as it is once they have no types."""
    if not pf.sriov_numvfs:
        return (
            refusal.because(
                codes.NO_VGPU_FOLDER,
                str(pf.address),
                "it has no VFs that could be made anew",
                "name the card's PF; num_vfs in host_spec makes VFs",
            ),
        )
    return tuple(
        planning.vfs_refusals(
            without_types(facts, pf.address), pf, pf.sriov_numvfs
        )
    )


def without_types(
    facts: host_facts.HostFacts, card: Address
) -> host_facts.HostFacts:
    """The host as it is once a card's VFs have lost their types."""
    vfs = {vf.address for vf in sriov.vfs_of(facts.scan, card)}
    return dataclasses.replace(
        facts,
        vgpus={
            address: dataclasses.replace(seen, current=vendor_vgpu.NONE)
            if address in vfs
            else seen
            for address, seen in facts.vgpus.items()
        },
        states={
            address: dataclasses.replace(state, vgpu_type=vendor_vgpu.NONE)
            if address in vfs and state.vgpu_type is not None
            else state
            for address, state in facts.states.items()
        },
    )


def vfs_change(
    facts: host_facts.HostFacts, pf: observed.PciFunction
) -> plan.Change:
    """The change that takes all VFs away and makes as many again."""
    now = facts.states[pf.address]
    none = dataclasses.replace(now, numvfs=0)
    vfs = sriov.vfs_of(facts.scan, pf.address)
    steps = (
        *planning.vfs_steps(pf, now, none, REASON, quietly=False),
        *planning.vfs_steps(pf, none, now, REASON, quietly=False),
    )
    return plan.Change(
        str(pf.address),
        plan.What.VFS,
        now,
        now,
        steps
        + (
            ()
            if now.autoprobe
            else planning.probes_of([vf.address for vf in vfs], REASON)
        ),
        lost={str(vf.address): facts.states[vf.address] for vf in vfs},
        identity=pf.identity,
    )
