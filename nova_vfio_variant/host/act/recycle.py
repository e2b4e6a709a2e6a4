# SPDX-License-Identifier: Apache-2.0
"""Making a card's VFs anew, with the vGPU types that they have."""

from __future__ import annotations

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import apply, converge
from nova_vfio_variant.host.decide import (
    plan,
    planning,
    recycling,
    vgpu_changes,
)
from nova_vfio_variant.host.observe import facts, records, vendor_vgpu
from nova_vfio_variant.pci import address as pci_address


def recycle(
    actor: host_actor.Actor,
    card: pci_address.PciAddress,
    quarantined: records.Quarantines = records.NOTHING.quarantined,
) -> None:
    """Take a card's VFs away, make them again, and set their types again.

    Recover first. Which types they are is noted before the first is taken
    away, so that another call ends what a crash left.

    :param card: address of the PF
    :raises HostRefused: something of the card is in use
    :raises HostStepFailed: it failed; the types were set again as far as
        that can be
    :raises HostStepHung: a write hung, and nothing was done after it
    """
    start = actor.look().knowing(quarantined=quarantined)
    decided = recycling.decision(start, card)
    converge.check(decided)
    actor.declare(decided.vgpus)
    types = recycling.types(start, card)
    modes = {}
    if card in start.records.vgpu_mixed or vgpu_changes.mode_of(start, card):
        # It goes with the VFs, and a crash may be in between.
        actor.mix(card, flag=True)
        modes[card] = True

    def frees(now: facts.HostFacts) -> planning.Decision:
        return recycling.frees(now.knowing(quarantined=quarantined), card)

    def again(now: facts.HostFacts) -> planning.Decision:
        there = {vf: types[vf] for vf in types.keys() & now.vgpus.keys()}
        return vgpu_changes.decision(
            there,
            now.knowing(quarantined=quarantined),
            recycling.REASON,
            modes if there else {},
        )

    apply.by(actor, frees, plan.Command.VGPU)
    try:
        _make_anew(actor, card, quarantined)
    except exception.HostStepHung:
        raise
    except exception.HostError as error:
        actor.observer.failed(str(error))
    apply.by(actor, again, plan.Command.VGPU)
    # What others had set stays theirs; what failed is set by another call.
    now = actor.look()
    has = {vf: seen.current for vf, seen in now.vgpus.items()}
    ours = start.records.vgpu_laid
    actor.declare(
        {
            vf: vendor_vgpu.NONE
            for vf, type_id in decided.vgpus.items()
            if vf not in ours and has.get(vf) == type_id
        }
    )
    if all(has.get(vf) == type_id for vf, type_id in decided.vgpus.items()):
        actor.mix(card, flag=False)


def _make_anew(
    actor: host_actor.Actor,
    card: pci_address.PciAddress,
    quarantined: records.Quarantines,
) -> None:
    """Take the VFs away and make them, as one change."""

    def decide(now: facts.HostFacts) -> planning.Decision:
        pf = now.scan.get(card)
        if pf is None:
            return planning.Decision(planning.NOTHING)
        against = recycling.refusals(
            now.knowing(quarantined=quarantined), pf
        ) + tuple(planning.vfs_in_use(now, pf))
        if against:
            return planning.Decision(planning.NOTHING, against)
        return planning.Decision(plan.Plan((recycling.vfs_change(now, pf),)))

    now = actor.look()
    decided = decide(now)
    converge.check(decided)
    for change in decided.plan.changes:
        actor.do(change, plan.Command.VGPU, now.scan, decide)
