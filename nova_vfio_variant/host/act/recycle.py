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
    mode = vgpu_changes.mode_of(start, card)
    modes = {card: True} if mode else {}

    def frees(now: facts.HostFacts) -> planning.Decision:
        return recycling.frees(now.knowing(quarantined=quarantined), card)

    def again(now: facts.HostFacts) -> planning.Decision:
        return vgpu_changes.decision(
            {vf: types[vf] for vf in types.keys() & now.vgpus.keys()},
            now.knowing(quarantined=quarantined),
            recycling.REASON,
            modes,
        )

    apply.by(actor, frees, plan.Command.VGPU)
    try:
        _make_anew(actor, card, quarantined)
    except exception.HostStepHung:
        raise
    except exception.HostError as error:
        actor.observer.failed(str(error))
    apply.by(actor, again, plan.Command.VGPU)
    # What others had set stays theirs.
    actor.declare(
        dict.fromkeys(
            decided.vgpus.keys() - start.records.vgpu_laid.keys(),
            vendor_vgpu.NONE,
        )
    )


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
