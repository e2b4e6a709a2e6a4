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
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.node import choosing, inventory, vgpu_claims
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
        wanted: str | None,
        numa_cells: ty.Sequence[int] | None = None,
        numa_policy: str | None = None,
        vgpu_types: ty.Sequence[str] = (),
    ) -> tuple[tracked.Claim, ...]:
        """Give devices to an instance, in the store and in Placement.

        The claim is on disk before Placement is asked. A crash in between
        leaves it in status claimed: the same call again, or a report,
        finishes it, and :meth:`release` takes it back.

        A vGPU type that no VF has yet is set on one that can take it, last,
        and goes again with the claim.

        :param wanted: aliases and counts, ``A:2,B:1``; None for none
        :param numa_cells: host NUMA nodes of the guest, None if it has no
            NUMA topology
        :param numa_policy: goes before the aliases' own
        :param vgpu_types: types by id or name, ``T`` or ``T:2``
        :raises ConfigError: the configuration has errors, ``wanted`` names no
            alias, or no card has such a type
        :raises NotEnoughDevices: nothing was claimed
        :raises ClaimError: the instance has other claims already, or types
            are asked for beside nova-compute
        :raises HostError: a type could not be set; nothing was claimed
        :raises PlacementError: nothing was claimed, unless it says so
        """
        from nova_vfio_variant.node import vgpu_claims
        from nova_vfio_variant.pci import flavor

        given = syncing.declared(self._context)
        requests: ty.Sequence[alias.PciRequest] = ()
        if wanted is not None:
            requests = flavor.parse_request(wanted, given.aliases, numa_policy)
        wishes = vgpu_claims.wishes(given, requests, vgpu_types)
        with syncing.locked(self._context) as store:
            syncing.sync(self._context, store)
            claims = store.claims(instance_uuid)
            if claims:
                _expect_unfinished(claims, [wish.request for wish in wishes])
            else:
                taken, made = self._chosen(
                    store, instance_uuid, wishes, numa_cells
                )
                store.claim(
                    instance_uuid,
                    taken,
                    self._context.tree.read_text(function_state.BOOT_ID),
                    made,
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
        wishes: vgpu_claims.Wishes,
        numa_cells: ty.Sequence[int] | None,
    ) -> tuple[choosing.Taken, vgpu_claims.Made]:
        """Free devices for an instance, for each request.

        :returns: the vGPUs that are to be made of some of them, too
        :raises NotEnoughDevices: there are not so many
        """
        from nova_vfio_variant.host.observe import numa
        from nova_vfio_variant.node import choosing, desired, records
        from nova_vfio_variant.node import vgpu_claims as on_demand

        gone = self._placement.publication(store).spent()
        records.remember_spent(store, gone)
        devices = tuple(store.devices())
        judge = self._judge(store, devices)
        sockets = numa.sockets(self._context.tree)
        vgpus = on_demand.VgpuClaims(self._context, store)
        made: vgpu_claims.Made = []
        try:
            taken = choosing.choose(
                devices,
                _verdicts(
                    judge,
                    devices,
                    self._context.declared.unread,
                    instance_uuid,
                ),
                [wish.request for wish in wishes if not wish.types],
                numa_cells,
                sockets,
                vgpus.doubtful(judge),
            )
            for wish in wishes:
                if wish.types:
                    left = choosing.but(devices, taken)
                    some = vgpus.chosen(
                        wish, left, judge, instance_uuid, numa_cells, sockets
                    )
                    taken += some
                    for _, chosen in some:
                        made += vgpus.to_make(
                            wish, chosen, judge, instance_uuid
                        )
        except exception.NotEnoughDevices as error:
            if gone:
                error.hint = desired.told_spent(gone)
            raise
        return taken, made

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
            return self.give_back(store, instance_uuid, force=force)

    def give_back(
        self,
        store: tracker_store.Store,
        instance_uuid: str,
        *,
        force: bool = False,
    ) -> tuple[tracked.Claim, ...]:
        """As :meth:`release`, for a holder of the state path's lock."""
        from nova_vfio_variant.node import records

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
        types_gone = _unmade(self._context, store, instance_uuid, force=force)
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
        store.free(instance_uuid, types_gone)
        _LOG.info("instance %s: devices freed", instance_uuid)
        placement_side.offer_again(self._context, store, types_gone)
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

    def _judge(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
    ) -> host_verdicts.Verdicts:
        """What gives the verdict on devices, with all that is recorded now.

        :raises JournalError: the journal is damaged
        """
        from nova_vfio_variant.node import records

        declared = self._context.declared
        assert declared.scan is not None
        return declared.judging(
            records.read(store, devices, declared.scan, self._context.state)
        )


def _verdicts(
    judge: host_verdicts.Verdicts,
    devices: ty.Sequence[tracked.Device],
    unread: ty.Collection[pci_address.PciAddress],
    instance_uuid: str,
) -> dict[pci_address.PciAddress, assignability.Verdict]:
    """The verdict on each device that is free, for an instance.

    What could not be read now counts as in use, and so does what the host's
    preparation was killed in the middle of.
    """
    return {
        device.address: judge.at(device.address, instance_uuid)
        for device in devices
        if device.status == tracked.Status.AVAILABLE
        and device.address not in unread
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
    """Finish a claim in Placement and on the host, or take it back.

    The host comes last: whoever else has a say has agreed then.
    """
    from nova_vfio_variant.node import vgpu_claims

    vgpus = vgpu_claims.VgpuClaims(context, store)
    devices = [
        device
        for device in store.devices()
        if device.instance_uuid == instance_uuid
    ]
    try:
        published.publish(devices)
    except exception.VfioVariantError:
        _take_back(context, store, vgpus, instance_uuid)
        raise
    try:
        published.allocate(instance_uuid, devices)
        if any("one_time_use" in device.tags for device in devices):
            _spend(context, store, devices)
        vgpus.make(instance_uuid)
    except (exception.PlacementError, exception.HostError) as error:
        try:
            published.release(instance_uuid)
        except exception.PlacementError:
            raise type(error)(
                f"{error.message}; whether instance {instance_uuid} has"
                " its allocation is not known, so its claim is kept",
                "the same claim again finishes it, 'claim delete' takes"
                " it back",
            ) from error
        _take_back(context, store, vgpus, instance_uuid)
        raise
    return store.allocate(instance_uuid)


def _unmade(
    context: node_context.Context,
    store: tracker_store.Store,
    instance_uuid: str,
    *,
    force: bool,
) -> vgpu_claims.Made:
    """Take away the vGPU types that were set for an instance.

    :param force: leave those that can't be, for ``reconcile`` to take
    :raises ClaimError: one can't be
    """
    from nova_vfio_variant.node import vgpu_claims

    gone, failed = vgpu_claims.VgpuClaims(context, store).unmake(instance_uuid)
    if failed and not force:
        raise exception.ClaimError(
            f"instance {instance_uuid} keeps its devices: "
            + "; ".join(failed),
            "run it again once that is seen to; --force gives them back all"
            " the same, and leaves such a type to 'nova-vfio reconcile'",
        )
    return gone


def _take_back(
    context: node_context.Context,
    store: tracker_store.Store,
    vgpus: vgpu_claims.VgpuClaims,
    instance_uuid: str,
) -> None:
    """Take back a claim that failed, and the types that were set for it.

    A type that can't be taken away keeps its row, by which ``reconcile``
    takes it.
    """
    gone, failed = vgpus.unmake(instance_uuid)
    store.free(instance_uuid, gone)
    _LOG.info("instance %s: devices freed", instance_uuid)
    placement_side.offer_again(context, store, gone)
    for why in failed:
        _LOG.warning("instance %s: %s", instance_uuid, why)


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
