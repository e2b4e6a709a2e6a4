# SPDX-License-Identifier: Apache-2.0
"""Finishing what is claimed in Placement and on the host, or taking it back.

The host comes last: whoever else has a say has agreed then.
"""

from __future__ import annotations

import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import refusal
from nova_vfio_variant.node import mdev_claims, placement_side, vgpu_claims
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.node import inventory
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)


def allocate(
    context: node_context.Context,
    store: tracker_store.Store,
    published: inventory.Publication,
    instance_uuid: str,
    choice: mdev_claims.Choice | None = None,
) -> None:
    """Finish a claim in Placement and on the host, or take it back.

    :param choice: of which parents mediated devices are made where those
        that were chosen turn out full; None for no others
    :raises HostError: the host refused, or failed
    :raises PlacementError: Placement did
    """
    devices = tuple(store.owned(instance_uuid))
    try:
        if devices:
            published.publish(devices)
    except exception.VfioVariantError:
        _take_back(context, store, instance_uuid)
        raise
    try:
        if devices:
            published.allocate(instance_uuid, devices)
        if any("one_time_use" in device.tags for device in devices):
            _spend(context, store, devices)
        make(context, store, instance_uuid, choice)
        made = store.mdevs.of(instance_uuid)
        if made:
            # Of which parents is known now that they are there.
            published.publish(devices, made)
            published.allocate(instance_uuid, devices, made)
    except (
        exception.NotEnoughDevices,
        exception.PlacementError,
        exception.HostError,
    ) as error:
        try:
            mine = store.mdevs.of(instance_uuid)
            if published.providers_of(devices, mine):
                published.release(instance_uuid)
        except exception.PlacementError:
            raise type(error)(
                f"{error.message}; whether instance {instance_uuid} has"
                " its allocation is not known, so its claim is kept",
                "the same claim again finishes it, 'claim delete' takes"
                " it back",
            ) from error
        _take_back(context, store, instance_uuid)
        raise
    store.allocate(instance_uuid)


def make(
    context: node_context.Context,
    store: tracker_store.Store,
    instance_uuid: str,
    choice: mdev_claims.Choice | None,
) -> None:
    """Make what a claim has on the host, and is not there.

    :param choice: as for :func:`allocate`
    :raises HostError: the host refused, or failed
    """
    vgpu_claims.VgpuClaims(context, store).make(instance_uuid)
    mdev_claims.MdevClaims(context, store).make(instance_uuid, choice)


def expect_ready(
    context: node_context.Context,
    store: tracker_store.Store,
    instance_uuid: str,
) -> None:
    """See that a guest may begin with the functions that an instance has.

    What libvirt does by itself before that, for those with managed yes, is
    left to it.

    :raises HostRefused: it may not; all stays as it is
    :raises HostError: the host can't be seen
    """
    devices = tuple(store.owned(instance_uuid))
    if not devices:
        return
    judge = context.looking_at(None, store).verdicts
    together = [device.address for device in devices]
    against: list[finding.Finding] = []
    for device in devices:
        verdict = judge.at(device.address, instance_uuid, together)
        against += verdict.blocking
        against += verdict.unknown
        if not device.managed:
            against += verdict.preparing
    if against:
        raise refusal.error(against)


def unmade(
    context: node_context.Context,
    store: tracker_store.Store,
    instance_uuid: str,
    *,
    force: bool,
) -> tuple[vgpu_claims.Made, ty.Collection[str]]:
    """Take away the vGPU types and mediated devices made for an instance.

    :param force: leave those that can't be, for ``reconcile`` to take
    :returns: the vGPUs whose rows may go, and the UUIDs of the mediated
        devices that are there still
    :raises ClaimError: one can't be
    """
    gone, failed = vgpu_claims.VgpuClaims(context, store).unmake(instance_uuid)
    left = mdev_claims.MdevClaims(context, store).unmake(instance_uuid)
    failed += left.values()
    if failed and not force:
        raise exception.ClaimError(
            f"instance {instance_uuid} keeps its devices: "
            + "; ".join(failed),
            "run it again once that is seen to; --force gives them back all"
            " the same, and leaves such a one to 'nova-vfio reconcile'",
        )
    for why in failed:
        _LOG.warning("instance %s: %s", instance_uuid, why)
    return gone, left


def _take_back(
    context: node_context.Context,
    store: tracker_store.Store,
    instance_uuid: str,
) -> None:
    """Take back a claim that failed, and what was made for it.

    What can't be taken away keeps its row, by which ``reconcile`` takes it.
    """
    record = store.claim_records.get(instance_uuid)
    if record is not None:
        store.claim_records.move(record, tracked.ClaimState.RELEASING)
    gone, _ = unmade(context, store, instance_uuid, force=True)
    store.free(instance_uuid, gone)
    _LOG.info("instance %s: devices freed", instance_uuid)
    placement_side.offer_again(context, store, [of.address for of in gone])


def _spend(
    context: node_context.Context,
    store: tracker_store.Store,
    devices: ty.Sequence[tracked.Device],
) -> None:
    """Reserve devices for one time, now that they are allocated.

    Before the store calls them allocated: given back without that, they
    would be free for another instance.
    """
    spent = {device.address for device in devices}
    placement_side.PlacementSide(context).publication(
        store,
        [
            dataclasses.replace(device, status=tracked.Status.ALLOCATED)
            if device.address in spent
            else device
            for device in store.devices()
        ],
    ).publish(devices)
