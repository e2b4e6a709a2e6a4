# SPDX-License-Identifier: Apache-2.0
"""Who has which device: what writes to a node's store and its Placement.

Every writer holds one lock in the state path, over store and Placement alike,
and begins with a sync, so that nothing is decided on what was true yesterday.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import context, placement_side, tracked_devices
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.node import inventory
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias
    from nova_vfio_variant.placement import report
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import sync as tracker_sync

_LOG = logging.getLogger(__name__)

#: How often, in seconds, it is looked whether a guest has let go.
_POLL = 0.5


class Tracking:
    """The half of a node that gives devices to instances.

    :param on: the node
    """

    def __init__(self, on: context.Node) -> None:
        self._node = on

    def sync(
        self,
        *,
        dry_run: bool = False,
        accepted: ty.Collection[pci_address.PciAddress] = (),
    ) -> tracker_sync.SyncPlan:
        """Make the tracker equal to configuration and host.

        :param accepted: addresses of devices that are tracked anew, though
            other functions are there than when they were tracked
        :raises ConfigError: the configuration has errors
        :raises InvalidDeviceStatus: somebody has a device that is accepted,
            or it is what it was
        """
        if dry_run:
            with self._node.open_store(read_only=True) as store:
                return self._node.decide(store, accepted)
        # Errors stop it before anything is made.
        _ = self._node.declared
        with self._locked() as store:
            return self._sync(store, accepted)

    def allow(
        self, address: pci_address.PciAddress, code: str, reason: str
    ) -> None:
        """Let an obstacle of a function not count, from now on.

        It counts again where another function stands there.

        :param code: id of the finding that says it
        :raises ConfigError: the configuration has errors
        :raises HostError: the host has no such function
        """
        identity = self._node.function(address).identity
        # Errors stop it before anything is made.
        _ = self._node.declared
        with self._locked() as store:
            self._sync(store)
            store.allowances.add(address, code, reason, identity)

    def disallow(
        self, address: pci_address.PciAddress, code: str | None = None
    ) -> int:
        """Let an obstacle of a function count again.

        :param code: None for all of that function
        :returns: how many there were
        """
        if not self._node.has_state:
            return 0
        with self._locked() as store:
            return store.allowances.remove(address, code)

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
        from nova_vfio_variant.host.observe import numa
        from nova_vfio_variant.node import choosing, records
        from nova_vfio_variant.pci import flavor

        requests = flavor.parse_request(
            wanted, self._node.declared.aliases, numa_policy
        )
        with self._locked() as store:
            self._sync(store)
            claims = store.claims(instance_uuid)
            if claims:
                _expect_unfinished(claims, requests)
            else:
                gone = (
                    placement_side.PlacementSide(self._node)
                    .publication(store)
                    .spent()
                )
                records.remember_spent(store, gone)
                devices = tuple(store.devices())
                try:
                    taken = choosing.choose(
                        devices,
                        self._verdicts(store, devices, instance_uuid),
                        requests,
                        numa_cells,
                        numa.sockets(self._node.tree),
                    )
                except exception.NotEnoughDevices as error:
                    if gone:
                        error.hint = spent(gone)
                    raise
                store.claim(instance_uuid, taken)
                _LOG.info("instance %s: devices claimed", instance_uuid)
            return self._allocate(
                store,
                placement_side.PlacementSide(self._node).publication(store),
                instance_uuid,
            )

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

        deadline = time.monotonic() + wait
        while not force and time.monotonic() < deadline:
            with self._node.open_store(read_only=True) as store:
                if not self._held(store.devices(), instance_uuid):
                    break
            time.sleep(min(_POLL, wait))
        with self._locked() as store:
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
            published = placement_side.PlacementSide(self._node).publication(
                store, (), self._node.given(offline=True)
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
        return holders.of_claim(self._node.tree, owners, instance_uuid)

    def report(self, *, dry_run: bool = False) -> report.Result:
        """Make Placement equal to what is declared.

        Claims that a crash left half way are finished, and claims on
        providers that were not there get their allocations again.

        :raises ConfigError: the configuration has errors
        :raises PlacementError: see :meth:`Publication.report`
        """
        if dry_run:
            with placement_side.PlacementSide(self._node).observed() as (
                published,
                plan,
            ):
                return dataclasses.replace(
                    published.report(dry_run=True),
                    findings=placement_side.PlacementSide(
                        self._node
                    ).exchanged(plan),
                    withheld=published.withheld,
                )
        from nova_vfio_variant.node import records

        # Errors stop it before anything is made.
        _ = self._node.declared
        with self._locked() as store:
            plan = self._sync(store)
            published = placement_side.PlacementSide(self._node).publication(
                store
            )
            result = published.report()
            records.remember_spent(store, published.spent())
            made = {
                one.provider for one in result.changes if one.change == "add"
            }
            finished = []
            for instance_uuid, devices in _by_owner(store.devices()).items():
                if devices[0].status == "claimed":
                    self._allocate(store, published, instance_uuid)
                    finished.append(instance_uuid)
                elif made & published.providers_of(devices):
                    # Placement was lost, or somebody removed a provider.
                    published.allocate(instance_uuid, devices)
            return dataclasses.replace(
                result,
                finished=tuple(finished),
                findings=placement_side.PlacementSide(self._node).exchanged(
                    plan
                ),
                withheld=published.withheld,
            )

    @contextlib.contextmanager
    def _locked(self) -> ty.Iterator[tracker_store.Store]:
        """The store, to be written. It is made if there is none."""
        from nova_vfio_variant.tracker import lock

        with (
            lock.state_lock(self._node.state_path, context.LOCK_TIMEOUT),
            self._node.open_store(read_only=False) as store,
        ):
            yield store

    def _sync(
        self,
        store: tracker_store.Store,
        accepted: ty.Collection[pci_address.PciAddress] = (),
    ) -> tracker_sync.SyncPlan:
        plan = self._node.decide(store, accepted)
        store.apply(plan)
        if plan:
            _LOG.info("the store is synced with nova.conf and the host")
        return plan

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

        declared = self._node.declared
        assert declared.scan is not None
        judge = declared.judging(
            records.read(store, devices, declared.scan, self._node.state_path)
        )
        return {
            device.address: judge.at(device.address, instance_uuid)
            for device in devices
            if device.status == tracked.Status.AVAILABLE
            and device.address not in declared.unread
        }

    def _allocate(
        self,
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
                self._spend(store, devices)
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
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
    ) -> None:
        """Reserve devices for one time, now that they are allocated.

        Before the store calls them allocated: given back without that, they
        would be free for another instance.
        """
        spent = {device.address for device in devices}
        placement_side.PlacementSide(self._node).publication(
            store,
            [
                dataclasses.replace(device, status=tracked.Status.ALLOCATED)
                if device.address in spent
                else device
                for device in store.devices()
            ],
        ).publish(devices)


def spent(devices: ty.Sequence[pci_address.PciAddress]) -> str:
    """What is to be said of devices for one time that had it."""
    return (
        f"used once and reserved since: {', '.join(map(str, devices))}; once"
        " clean, set reserved to 0 in Placement"
    )


def _by_owner(
    devices: ty.Iterable[tracked.Device],
) -> dict[str, list[tracked.Device]]:
    """The devices of each instance that has any."""
    found: dict[str, list[tracked.Device]] = {}
    for device in devices:
        if device.instance_uuid is not None:
            found.setdefault(device.instance_uuid, []).append(device)
    return found


def _expect_unfinished(
    claims: ty.Sequence[tracked.Claim],
    requests: ty.Sequence[alias.PciRequest],
) -> None:
    """An instance claims once; only what a crash left may be finished."""
    has = sorted((claim.alias_name, len(claim.addresses)) for claim in claims)
    wants = sorted((request.alias_name, request.count) for request in requests)
    unfinished = all(claim.status == "claimed" for claim in claims)
    if not unfinished or has != wants:
        raise exception.ClaimError(
            f"instance {claims[0].instance_uuid} already has "
            + ", ".join(f"{name}:{count}" for name, count in has),
            "'nova-vfio claim delete' gives it back",
        )
