# SPDX-License-Identifier: Apache-2.0
"""Taking away a vGPU that nobody needs, for who holds the state path's lock."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.act import converge, recover
from nova_vfio_variant.host.decide import plan, planning, vgpu_changes
from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.node import (
    astray,
    giving_back,
    placement_side,
    preparation,
    vgpu_health,
)

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import vgpus


def end(
    context: node_context.Context,
    prepared: preparation.Preparation,
    store: tracker_store.Store,
    vgpu: vgpus.OurVgpu,
    reason: str,
) -> None:
    """Take one away, with all that its instance had.

    :raises ClaimError: something of that is open
    :raises HostRefused: something is in the way by now
    :raises HostError: it failed
    """
    vgpu_health.suspect(store, vgpu)
    if _has_claim(store, vgpu):
        assert vgpu.instance_uuid is not None
        giving_back.give_back(context, store, vgpu.instance_uuid)
    if _has_row(store, vgpu):
        _take_away(context, prepared, store, vgpu, reason)


def _take_away(
    context: node_context.Context,
    prepared: preparation.Preparation,
    store: tracker_store.Store,
    vgpu: vgpus.OurVgpu,
    reason: str,
) -> None:
    """Free what still is as we left it, then forget it.

    :raises HostRefused: something is in the way by now
    :raises HostError: it failed
    """

    def decide(now: host_facts.HostFacts) -> planning.Decision:
        if not astray.is_ours(vgpu, now):
            return planning.Decision(planning.NOTHING)
        return vgpu_changes.decision(
            {vgpu.address: vendor_vgpu.NONE}, now, reason
        )

    # Of a row for nobody no claim counts as its own.
    with prepared.acting_on(store, vgpu.instance_uuid or "") as actor:
        recover.recover(actor)
        converge.wholly(actor, plan.Command.VGPU, decide)
    placement_side.offer_again(context, store, [vgpu.address])
    store.vgpus.remove(vgpu.address, vgpu.assignment)


def _has_row(store: tracker_store.Store, vgpu: vgpus.OurVgpu) -> bool:
    """Whether the store still has one, and it is this owner's."""
    return (vgpu.address, vgpu.assignment) in {
        (known.address, known.assignment) for known in store.vgpus.all()
    }


def _has_claim(store: tracker_store.Store, vgpu: vgpus.OurVgpu) -> bool:
    """Whether the instance of a vGPU still has a claim on its function."""
    return vgpu.instance_uuid is not None and any(
        vgpu.address in claim.addresses
        for claim in store.claims(vgpu.instance_uuid)
    )
