# SPDX-License-Identifier: Apache-2.0
"""Giving an instance's devices back, for a holder of the state path's lock."""

from __future__ import annotations

import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import (
    mdev_allocations,
    placement_side,
    syncing,
    tracked_devices,
    waiting,
)
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import vgpus

_LOG = logging.getLogger(__name__)


def give_back(
    context: node_context.Context,
    store: tracker_store.Store,
    instance_uuid: str,
    *,
    force: bool = False,
) -> tuple[tracked.Claim, ...]:
    """Give an instance's devices back, for a holder of the state path's lock.

    :returns: what it had, but the mediated devices that by force could
        not be removed
    """
    from nova_vfio_variant.node import finishing, records

    before = tracked_devices.claims(context, store, instance_uuid)
    record = store.claim_records.get(instance_uuid)
    if not before or (record is not None and record.adopted is not None):
        # What is Nova's it gives back itself, and its guest may go on.
        store.free(instance_uuid)
        return before
    devices = tuple(store.devices())
    if not force:
        _expect_let_go(
            instance_uuid, held(context, store, devices, instance_uuid)
        )
    if record is not None:
        store.claim_records.move(record, tracked.ClaimState.RELEASING)
    types_gone, mdevs_left = finishing.unmade(
        context, store, instance_uuid, force=force
    )
    given_back = _without_mdevs(before, mdevs_left)
    if not any(claim.addresses for claim in before):
        mdev_allocations.settle(context, store, instance_uuid)
        store.claim_records.end(instance_uuid)
        return given_back
    # Errors in the configuration don't keep anything from being
    # given back: nothing of it is needed but which Placement.
    published = placement_side.PlacementSide(context).publication(
        store, (), context.given(offline=True)
    )
    published.release(instance_uuid)
    mine = [one for one in devices if one.instance_uuid == instance_uuid]
    once = {
        device.address
        for device in mine
        if "one_time_use" in device.tags
        and device.status == tracked.Status.ALLOCATED
    }
    if once:
        records.remember_spent(store, records.spent(store) | once)
    store.free(instance_uuid, types_gone)
    _LOG.info("instance %s: devices freed", instance_uuid)
    placement_side.offer_again(context, store, _freed(store, mine, types_gone))
    if mdevs_left:
        mdev_allocations.settle(context, store, instance_uuid)
    return given_back


def wait(
    context: node_context.Context, instance_uuid: str, seconds: float
) -> None:
    """Wait until no process has an instance's devices open, or so long."""

    def look() -> tuple[str, ...]:
        with context.open_store(read_only=True) as store:
            return held(context, store, store.devices(), instance_uuid)

    # It is only read while we wait.
    syncing.upgrade(context)
    waiting.while_any(look, seconds)


def _freed(
    store: tracker_store.Store,
    devices: ty.Iterable[tracked.Device],
    types_gone: ty.Iterable[vgpus.OurVgpu],
) -> set[pci_address.PciAddress]:
    """Of what devices given back have become, what Placement is to hear.

    A type's framebuffer is free again. What is cordoned, or its PF, is
    reserved from now on.
    """
    at = {cordon.address for cordon in store.cordons.all()}
    return {vgpu.address for vgpu in types_gone} | {
        device.address
        for device in devices
        if not at.isdisjoint((device.address, device.parent_addr))
    }


def held(
    context: node_context.Context,
    store: tracker_store.Store,
    devices: ty.Sequence[tracked.Device],
    instance_uuid: str,
) -> tuple[str, ...]:
    """Which of an instance's devices are open, and in which process."""
    from nova_vfio_variant.host.observe import holders

    owners = {
        device.address: device.instance_uuid
        for device in devices
        if device.instance_uuid is not None
    }
    mine = [one.uuid for one in store.mdevs.of(instance_uuid)]
    tree = context.tree
    found: tuple[str, ...] = ()
    if mine:
        found = holders.of_mdevs(tree, mine)
    if instance_uuid in owners.values():
        found += holders.of_claim(tree, owners, instance_uuid)
    return found


def _expect_let_go(instance_uuid: str, still: ty.Sequence[str]) -> None:
    """Stop where processes have an instance's devices open.

    :raises ClaimError: they have
    """
    if still:
        raise exception.ClaimError(
            f"instance {instance_uuid} keeps its devices: " + "; ".join(still),
            "end its guest first, or wait for its end with --wait"
            " SECONDS; where it can't be seen, run the command as"
            " root; --force gives them back all the same",
        )


def _without_mdevs(
    claims: ty.Iterable[tracked.Claim], uuids: ty.Collection[str]
) -> tuple[tracked.Claim, ...]:
    """Claims without mediated devices that are there still."""
    left = (
        dataclasses.replace(
            claim,
            mdevs=tuple(uuid for uuid in claim.mdevs if uuid not in uuids),
        )
        for claim in claims
    )
    return tuple(claim for claim in left if claim.addresses or claim.mdevs)
