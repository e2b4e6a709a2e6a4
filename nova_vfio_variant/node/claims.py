# SPDX-License-Identifier: Apache-2.0
"""Giving devices to instances, in the store and in Placement, and back."""

from __future__ import annotations

import dataclasses
import logging
import time
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.node import placement_side, syncing, tracked_devices
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.node import choosing, inventory
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

#: How often, in seconds, it is looked whether a guest has let go.
_POLL = 0.5


class Claims:
    """Gives devices to instances, and takes them back.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on
        self._placement = placement_side.PlacementSide(on)

    def claim(
        self,
        instance_uuid: str,
        wanted: str,
        numa_cells: ty.Sequence[int] | None = None,
        numa_policy: str | None = None,
    ) -> tuple[tracked.Claim, ...]:
        """Give devices to an instance, in the store and in Placement.

        The claim is on disk before Placement is asked. A crash in between
        leaves it in status claimed: the same call again, or a report,
        finishes it, and :meth:`release` takes it back.

        :param wanted: aliases and counts, ``A:2,B:1``
        :param numa_cells: host NUMA nodes of the guest, None if it has no
            NUMA topology
        :param numa_policy: goes before the aliases' own
        :raises ConfigError: the configuration has errors, or ``wanted``
            names no alias
        :raises NotEnoughDevices: nothing was claimed
        :raises ClaimError: the instance has other claims already
        :raises PlacementError: nothing was claimed, unless it says so
        """
        from nova_vfio_variant.pci import flavor

        requests = flavor.parse_request(
            wanted, syncing.declared(self._context).aliases, numa_policy
        )
        with syncing.locked(self._context) as store:
            syncing.sync(self._context, store)
            claims = store.claims(instance_uuid)
            if claims:
                _expect_unfinished(claims, requests)
            else:
                store.claim(
                    instance_uuid,
                    self._chosen(store, instance_uuid, requests, numa_cells),
                    self._context.tree.read_text(function_state.BOOT_ID),
                )
                _LOG.info("instance %s: devices claimed", instance_uuid)
            return allocate(
                self._context,
                store,
                self._placement.publication(store),
                instance_uuid,
            )

    def _chosen(
        self,
        store: tracker_store.Store,
        instance_uuid: str,
        requests: ty.Sequence[alias.PciRequest],
        numa_cells: ty.Sequence[int] | None,
    ) -> choosing.Taken:
        """Free devices for an instance, for each request.

        :raises NotEnoughDevices: there are not so many
        """
        from nova_vfio_variant.host.observe import numa
        from nova_vfio_variant.node import choosing, desired, records
        from nova_vfio_variant.tracker import vgpu_reports

        gone = self._placement.publication(store).spent()
        records.remember_spent(store, gone)
        devices = tuple(store.devices())
        try:
            return choosing.choose(
                devices,
                self._verdicts(store, devices, instance_uuid),
                requests,
                numa_cells,
                numa.sockets(self._context.tree),
                vgpu_reports.doubtful(store.vgpu_reports.all()),
            )
        except exception.NotEnoughDevices as error:
            if gone:
                error.hint = desired.told_spent(gone)
            raise

    def release(
        self, instance_uuid: str, *, wait: float = 0.0, force: bool = False
    ) -> tuple[tracked.Claim, ...]:
        """Give an instance's devices back, in Placement and in the store.

        What waited for the devices to be freed takes effect.

        :param wait: for so many seconds, while a process has one of them open
        :param force: give back what is open, too
        :raises ClaimError: it has none, or a process has one of them open:
            nothing was given back
        :raises PlacementError: nothing was given back
        """
        from nova_vfio_variant.node import records

        if wait and not force:
            # It is only read while we wait.
            syncing.upgrade(self._context)
        deadline = time.monotonic() + wait
        while not force and time.monotonic() < deadline:
            with self._context.open_store(read_only=True) as store:
                if not self._held(store.devices(), instance_uuid):
                    break
            time.sleep(min(_POLL, wait))
        with syncing.locked(self._context) as store:
            claims = store.claims(instance_uuid)
            if not claims:
                raise tracked_devices.nothing_claimed(instance_uuid)
            devices = tuple(store.devices())
            held = () if force else self._held(devices, instance_uuid)
            if held:
                raise exception.ClaimError(
                    f"instance {instance_uuid} keeps its devices: "
                    + "; ".join(held),
                    "end its guest first, or wait for its end with --wait"
                    " SECONDS; where it can't be seen, run the command as"
                    " root; --force gives them back all the same",
                )
            # Errors in the configuration don't keep anything from being
            # given back: nothing of it is needed but which Placement.
            published = self._placement.publication(
                store, (), self._context.given(offline=True)
            )
            published.release(instance_uuid)
            once = {
                device.address
                for device in devices
                if device.instance_uuid == instance_uuid
                and "one_time_use" in device.tags
                and device.status == tracked.Status.ALLOCATED
            }
            if once:
                records.remember_spent(store, records.spent(store) | once)
            store.free(instance_uuid)
            _LOG.info("instance %s: devices freed", instance_uuid)
            return claims

    def _held(
        self, devices: ty.Sequence[tracked.Device], instance_uuid: str
    ) -> tuple[str, ...]:
        """Which of an instance's devices are open, and in which process."""
        from nova_vfio_variant.host.observe import holders

        owners = {
            device.address: device.instance_uuid
            for device in devices
            if device.instance_uuid is not None
        }
        return holders.of_claim(self._context.tree, owners, instance_uuid)

    def _verdicts(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
        instance_uuid: str,
    ) -> dict[pci_address.PciAddress, assignability.Verdict]:
        """The verdict on each device that is free, for an instance.

        What could not be read now counts as in use, and so does what the
        host's preparation was killed in the middle of.

        :raises JournalError: the journal is damaged
        """
        from nova_vfio_variant.node import records

        declared = self._context.declared
        assert declared.scan is not None
        judge = declared.judging(
            records.read(store, devices, declared.scan, self._context.state)
        )
        return {
            device.address: judge.at(device.address, instance_uuid)
            for device in devices
            if device.status == tracked.Status.AVAILABLE
            and device.address not in declared.unread
        }


def _expect_unfinished(
    claims: ty.Sequence[tracked.Claim],
    requests: ty.Sequence[alias.PciRequest],
) -> None:
    """An instance claims once; only what a crash left may be finished."""
    has = sorted((claim.alias_name, len(claim.addresses)) for claim in claims)
    wants = sorted((request.alias_name, request.count) for request in requests)
    unfinished = all(
        claim.status == tracked.Status.CLAIMED for claim in claims
    )
    if not unfinished or has != wants:
        raise exception.ClaimError(
            f"instance {claims[0].instance_uuid} already has "
            + ", ".join(f"{name}:{count}" for name, count in has),
            "'nova-vfio claim delete' gives it back",
        )


def allocate(
    context: node_context.Context,
    store: tracker_store.Store,
    published: inventory.Publication,
    instance_uuid: str,
) -> tuple[tracked.Claim, ...]:
    """Finish a claim in Placement, or take it back."""
    devices = [
        device
        for device in store.devices()
        if device.instance_uuid == instance_uuid
    ]
    try:
        published.publish(devices)
    except exception.VfioVariantError:
        store.free(instance_uuid)
        _LOG.info("instance %s: devices freed", instance_uuid)
        raise
    try:
        published.allocate(instance_uuid, devices)
        if any("one_time_use" in device.tags for device in devices):
            _spend(context, store, devices)
    except exception.PlacementError as error:
        try:
            published.release(instance_uuid)
        except exception.PlacementError:
            raise type(error)(
                f"{error.message}; whether instance {instance_uuid} has"
                " its allocation is not known, so its claim is kept",
                "the same claim again finishes it, 'claim delete' takes"
                " it back",
            ) from error
        store.free(instance_uuid)
        _LOG.info("instance %s: devices freed", instance_uuid)
        raise
    return store.allocate(instance_uuid)


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
