# SPDX-License-Identifier: Apache-2.0
"""What a node has in Placement, beside what it should have there."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import context as node_context
from nova_vfio_variant.node import syncing

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.observe import records as host_records
    from nova_vfio_variant.node import inventory as node_inventory
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.placement import report, vgpu_cards
    from nova_vfio_variant.tracker import device as tracked
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import sync as tracker_sync

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Unassignable:
    """Addresses of devices that can't be given to anybody.

    :param blocked: for a reason that lasts; None where the host isn't looked
        at
    :param unknown: nobody can say it of them
    :param cordoned: the blocked ones that somebody cordoned
    """

    blocked: set[pci_address.PciAddress] | None
    unknown: set[pci_address.PciAddress]
    cordoned: set[pci_address.PciAddress]


class PlacementSide:
    """A node's side of Placement. Nothing is written.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def view(self) -> node_inventory.View:
        """The desired providers with their usage."""
        with self.observed() as (published, _):
            return published.view()

    def diff(self) -> report.Result:
        """Where Placement differs, and what would stay when it is reported.

        :raises PlacementError: Placement can't be asked
        """
        with self.observed() as (published, plan):
            return dataclasses.replace(
                published.compare(),
                findings=self.exchanged(plan),
                withheld=published.withheld,
            )

    def microversion(self) -> str | None:
        """The newest microversion that Placement speaks.

        :returns: None for an embedded one that isn't there yet, and where
            there shall be none
        :raises PlacementError: it can't be asked
        """
        from nova_vfio_variant.node import chosen_placement

        with _embedded_alone(self._context):
            return chosen_placement.microversion(
                self._context.conf, self._context.state
            )

    def exchanged(
        self, plan: tracker_sync.SyncPlan
    ) -> tuple[finding.Finding, ...]:
        """What is to be said of devices that are others now."""
        from nova_vfio_variant.check import exchanged

        known = (
            {
                device.address
                for some in (
                    plan.unchanged,
                    plan.updated,
                    plan.unread,
                    plan.kept,
                )
                for device in some
            }
            if plan.exchanged
            else set()
        )
        return exchanged.findings(
            plan.exchanged, self._context.declared.functions, known
        )

    def publication(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device] | None = None,
        given: facts.CheckInput | None = None,
        judge: host_verdicts.Verdicts | None = None,
    ) -> node_inventory.Publication:
        """The side of Placement that is this node's.

        What the verdict blocks for good is reserved there.

        :param store: remembers what is published
        :param devices: those to publish; all in the store if None
        :param given: what is declared; without errors if None
        :param judge: gives the verdict on what is recorded now; it is read
            if None
        :raises ConfigError: ``given`` is None, and there are errors
        """
        from nova_vfio_variant.declaration import mdev_offers
        from nova_vfio_variant.node import desired, records, unpublished
        from nova_vfio_variant.node import inventory as node_inventory

        given = given or self._context.declared
        conf = self._context.conf
        if conf.vfio.placement == "none":
            return unpublished.NoPublication(
                conf,
                self._context.state,
                desired.Desired((), given, store.provider_memory.shares),
                store.provider_memory,
                once=records.spent(store),
            )
        if devices is None:
            devices = tuple(store.devices())
        against = self._unassignable(store, devices, given, judge)
        return node_inventory.Publication(
            conf,
            self._context.state,
            desired.Desired(
                devices,
                given,
                store.provider_memory.shares,
                against.blocked,
                against.unknown,
                reserve_blocked=bool(conf.vfio.reserve_blocked),
                cordoned=against.cordoned,
                cards=functools.partial(
                    self._on_demand, store, devices, given
                ),
                parents=lambda: mdev_offers.providers(
                    given,
                    store.mdevs.all().values(),
                    self._cordoned(store, given),
                ),
            ),
            store.provider_memory,
        )

    def _unassignable(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
        given: facts.CheckInput,
        judge: host_verdicts.Verdicts | None,
    ) -> _Unassignable:
        """The devices that can't be given to anybody."""
        from nova_vfio_variant.host.decide import assignability, codes

        blocked: set[pci_address.PciAddress] = set()
        unknown: set[pci_address.PciAddress] = set()
        cordoned: set[pci_address.PciAddress] = set()
        if given.scan is None:
            return _Unassignable(None, unknown, cordoned)
        found = _Unassignable(blocked, unknown, cordoned)
        if not devices:
            return found
        judge = judge or self._judge(store, devices, given)
        for device in devices:
            answer = judge.at(device.address)
            if answer.lasting:
                blocked.add(device.address)
                if codes.IS_CORDONED in {one.code for one in answer.lasting}:
                    cordoned.add(device.address)
            elif answer.state is assignability.State.UNKNOWN:
                unknown.add(device.address)
        return found

    def _on_demand(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
        given: facts.CheckInput,
    ) -> ty.Sequence[vgpu_cards.OnDemand]:
        """The cards whose vGPUs are made on demand."""
        from nova_vfio_variant.node import vgpu_shares

        if given.scan is None or not given.host_facts.vgpus:
            return ()
        return vgpu_shares.of_cards(
            store,
            devices,
            given,
            self._judge(store, devices, given),
            reserve_blocked=bool(self._context.conf.vfio.reserve_blocked),
        )

    @staticmethod
    def _cordoned(
        store: tracker_store.Store, given: facts.CheckInput
    ) -> host_records.Quarantines:
        """The functions that are cordoned, and why."""
        from nova_vfio_variant.tracker import cordons

        if given.scan is None:
            return {}
        return cordons.standing(store.cordons.all(), given.scan.get)

    def _judge(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
        given: facts.CheckInput,
    ) -> host_verdicts.Verdicts:
        from nova_vfio_variant.node import records

        assert given.scan is not None
        return given.judging(
            records.survey(store, devices, given.scan, self._context.state)
        )

    @contextlib.contextmanager
    def observed(
        self,
    ) -> ty.Iterator[tuple[node_inventory.Publication, tracker_sync.SyncPlan]]:
        """What a sync and a report would publish; nothing is written."""
        with beside_writers(self._context) as store:
            devices, plan = planned(self._context, store)
            yield self.publication(store, devices), plan

    def held(self, given: facts.CheckInput) -> facts.CheckInput:
        """The same, with what Placement holds; or with why it doesn't say."""
        try:
            with beside_writers(self._context) as store:
                return dataclasses.replace(
                    given, published=self.publication(store, (), given).held()
                )
        except exception.PlacementError as error:
            return dataclasses.replace(given, unreachable=error)


def planned(
    context: node_context.Context, store: tracker_store.Store
) -> tuple[tuple[tracked.Device, ...], tracker_sync.SyncPlan]:
    """The devices as a sync would leave them, by address, and its plan."""
    plan = syncing.plan(context, store)
    devices = sorted(
        (
            *plan.unchanged,
            *plan.updated,
            *plan.added,
            *plan.kept,
            *plan.unread,
            *(exchange.device for exchange in plan.exchanged),
        ),
        key=lambda device: device.address,
    )
    return tuple(devices), plan


def offer_again(
    context: node_context.Context,
    store: tracker_store.Store,
    freed: ty.Collection[pci_address.PciAddress],
) -> None:
    """Publish what devices are now that somebody has given them back.

    What stands against it stands against no claim: a report does it later.

    :param freed: those of which Placement doesn't know already
    """
    devices = [found for found in store.devices() if found.address in freed]
    if not devices:
        return
    try:
        PlacementSide(context).publication(store).publish(devices)
    except exception.VfioVariantError as error:
        _LOG.warning("what is free now isn't published: %s", error)


@contextlib.contextmanager
def beside_writers(
    context: node_context.Context,
) -> ty.Iterator[tracker_store.Store]:
    """The store, to be read, and no trouble with the embedded Placement.

    Who may not write here reads the store alone, and is told so by whoever
    asks Placement.
    """
    with _embedded_alone(context), context.open_store(read_only=True) as store:
        yield store


@contextlib.contextmanager
def _embedded_alone(context: node_context.Context) -> ty.Iterator[None]:
    """No trouble with the embedded Placement, if there is one.

    Its application in process is another writer, too, while it starts: so the
    lock is held.
    """
    from nova_vfio_variant.placement import embedded
    from nova_vfio_variant.tracker import lock

    with contextlib.ExitStack() as stack:
        if (
            embedded.is_in(context.state)
            and embedded.unusable(context.state) is None
        ):
            stack.enter_context(
                lock.state_lock(context.state, node_context.LOCK_TIMEOUT)
            )
        yield
