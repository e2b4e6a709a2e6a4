# SPDX-License-Identifier: Apache-2.0
"""A node's side of Placement: the one that ``[vfio] placement`` chooses.

Whoever writes through this holds the lock of the state path.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import chosen_placement
from nova_vfio_variant.node import desired as node_desired
from nova_vfio_variant.placement import (
    allocations,
    diff,
    memory,
    observe,
    retry,
)
from nova_vfio_variant.placement import (
    report as placement_report,
)

if ty.TYPE_CHECKING:
    from nova_vfio_variant import own_files
    from nova_vfio_variant.conf import located
    from nova_vfio_variant.declaration import facts, mdev_offers
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.placement import client as placement_client
    from nova_vfio_variant.placement import provider
    from nova_vfio_variant.tracker import device as tracked


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """The desired providers beside the usage that Placement has of them.

    :param desired: in rising order of name, as a report leaves them
    :param usages: provider's name -> resource class -> units in use; a
        provider that isn't published is not in it
    :param spent: devices for one time that had it
    :param withheld: as of :attr:`Desired.withheld`
    :param unreachable: why Placement could not be asked, None if it was
    """

    desired: tuple[provider.Provider, ...]
    usages: ty.Mapping[str, ty.Mapping[str, int]]
    spent: tuple[pci_address.PciAddress, ...] = ()
    withheld: tuple[pci_address.PciAddress, ...] = ()
    unreachable: str | None = None


class Publication:
    """What the tracked devices are in Placement.

    :param conf: says which Placement, and below which root
    :param state: where an embedded one keeps its database
    :param desired: the providers that the tracked devices make
    :param known: the providers that we made
    """

    # Longer than 250 lines: each method is one question to Placement or one
    # answer of ours, and who has no Placement answers each of them, too.

    def __init__(
        self,
        conf: located.Config,
        state: own_files.Given,
        desired: node_desired.Desired,
        known: memory.ProviderMemory,
    ) -> None:
        self._conf = conf
        self._state = state
        self._desired = desired
        self._known = known
        self._is_taken_for_granted = False

    def taken_for_granted(self) -> Publication | None:
        """The same, which publishes nothing, for all of it is published.

        :returns: None where we don't know that it is
        """
        for desired in self._desired.described:
            known = self._known.get(desired.name)
            if known is None or known.fingerprint is None:
                return None
        granted = copy.copy(self)
        granted._is_taken_for_granted = True  # noqa: SLF001 - of this class
        return granted

    @property
    def embedded(self) -> bool:
        """Whether Placement is our own, in process."""
        return chosen_placement.is_embedded(self._conf)

    @property
    def shared(self) -> bool:
        """Whether others may allocate from our providers, too."""
        return bool(self._conf.vfio.placement == "service")

    @functools.cached_property
    def client(self) -> placement_client.PlacementClient:
        """The chosen Placement. An embedded one is made if need be."""
        return chosen_placement.connect(self._conf, self._state)

    @property
    def withheld(self) -> tuple[pci_address.PciAddress, ...]:
        """As :attr:`Desired.withheld`."""
        return self._desired.withheld

    def view(self) -> View:
        """The desired providers with their usage; makes nothing."""
        there: ty.Mapping[str, provider.Published] = {}
        unreachable = None
        if not self._absent:
            try:
                there = allocations.published(
                    self.client, self._known, self._compared
                )
            except exception.PlacementError as error:
                unreachable = error.message
        return View(
            tuple(
                diff.left(one, there.get(one.name))
                for one in (*self._desired.providers, *self._desired.novas)
            ),
            {name: one.usages for name, one in there.items()},
            node_desired.spent(self._desired.providers, there),
            self.withheld,
            unreachable,
        )

    def spent(self) -> tuple[pci_address.PciAddress, ...]:
        """Devices for one time that had it: Placement gives them to nobody.

        :raises PlacementError: it can't be asked
        """
        once = self._desired.one_time
        if not once or self._absent:
            return ()
        ask = self._ask_for(once)
        return node_desired.spent(
            once, allocations.published(self.client, self._known, ask)
        )

    def offer_once_more(self, address: pci_address.PciAddress) -> None:
        """Take back what keeps a device for one time from a second.

        What is reserved for being blocked stays so.

        :raises PlacementError: it can't be asked, or written
        """
        once = [
            one for one in self._desired.one_time if address in one.addresses
        ]
        for attempt in retry.retrying():
            with attempt:
                there = allocations.published(
                    self.client, self._known, self._ask_for(once)
                )
                for one in there.values():
                    self.client.put_inventories(
                        one.uuid,
                        one.generation,
                        {
                            name: {**record, "reserved": one.ours.get(name, 0)}
                            for name, record in one.inventories.items()
                        },
                    )

    def told_spent(self, devices: ty.Sequence[pci_address.PciAddress]) -> str:
        """What is to be said of such devices."""
        return node_desired.told_spent(devices)

    def held(self) -> facts.Published | None:
        """All that is published below the root; makes nothing.

        :returns: None where there is no such root
        :raises PlacementError: it can't be asked
        """
        if self._absent:
            return None
        return retry.retrying()(self._held)

    def _held(self) -> facts.Published | None:
        from nova_vfio_variant.declaration import facts

        seen = observe.look(self.client, self._desired.given.root, self._known)
        if seen.root is None:
            return None
        return facts.Published(
            {
                name: dataclasses.replace(
                    self.client.read(listed),
                    usages=self.client.usages(listed.uuid),
                )
                for name, listed in seen.children.items()
            },
            {
                name: self.client.consumers(listed.uuid)
                for name, listed in seen.children.items()
            },
            frozenset(self._known.names()) & seen.children.keys(),
        )

    def compare(self) -> placement_report.Result:
        """Where Placement differs; writes nothing.

        What Nova publishes of mediated devices is compared where it does.

        :raises PlacementError: it can't be asked
        """
        if self._absent:
            return placement_report.Result(
                placement_report.additions(self._desired.providers), ()
            )
        return placement_report.compare(
            self.client, self._compared, self._known
        )

    def report(self, *, dry_run: bool = False) -> placement_report.Result:
        """Make Placement equal to what is desired.

        :raises InventoryRefused: it isn't ours to publish there
        :raises PlacementError: Placement was put back as it was, or the
            message says what was not
        """
        self.expect_publishing()
        if dry_run and self._absent:
            return self.compare()
        return placement_report.report(
            self.client, self._ask, self._known, dry_run=dry_run
        )

    def expect_publishing(self) -> None:
        """Refuse where Nova says that nothing is to be published.

        :raises InventoryRefused: ``[pci] report_in_placement`` is off for a
            Placement service
        """
        if not self.embedded:
            from nova_vfio_variant.placement import service

            service.refuse_unless_reported(self._conf)

    def publish(
        self,
        devices: ty.Sequence[tracked.Device],
        mediated: mdev_offers.Made = (),
        also: ty.Collection[str] = (),
    ) -> None:
        """Publish the providers of some devices, if they are not yet.

        What stands against other devices' providers is in nobody's way.

        :param also: names of more providers; those that nobody desires don't
            count
        :raises ConfigError: Placement can't describe these devices
        :raises PlacementError: see :meth:`report`
        """
        self._desired.expect_described(devices)
        if self._is_taken_for_granted:
            return
        names = self.providers_of(devices, mediated)
        if also:
            names |= {rp.name for rp in self._desired.described}.intersection(
                also
            )
        if names:
            self.expect_publishing()
            placement_report.report(
                self.client,
                self._ask_for(
                    self._desired.described,
                    only=names,
                    whole=self._desired.is_whole,
                ),
                self._known,
            )

    def providers_of(
        self,
        devices: ty.Sequence[tracked.Device],
        mediated: mdev_offers.Made = (),
    ) -> frozenset[str]:
        """The names of the providers that publish some devices."""
        return frozenset(self._desired.amounts(devices, mediated))

    @property
    def owners(self) -> ty.Mapping[pci_address.PciAddress, str]:
        """The name of the provider that publishes each device."""
        return self._desired.owners

    @property
    def on_demand(self) -> frozenset[str]:
        """As :attr:`Desired.on_demand`."""
        return self._desired.on_demand

    def room(
        self, groups: ty.Iterable[provider.Group]
    ) -> dict[str, dict[str, int]]:
        """What our providers have free, if there is that for some devices.

        :returns: as :meth:`.client.PlacementClient.room`, by provider's name
        :raises PlacementError: it can't be asked
        """
        root = self._known.get(self._desired.given.root)
        if root is None:
            return {}
        found = self.client.room(root.uuid, groups)
        return {
            name: found[known.uuid]
            for name in self._known.names()
            if (known := self._known.get(name)) and known.uuid in found
        }

    def allocate(
        self,
        instance_uuid: str,
        devices: ty.Sequence[tracked.Device],
        mediated: mdev_offers.Made = (),
    ) -> None:
        """Let an instance have just these devices.

        :raises PlacementError: see :func:`allocations.put`
        """
        wanted = self._desired.amounts(devices, mediated)
        if wanted:
            allocations.put(self.client, self._known, instance_uuid, wanted)

    def amounts(
        self, devices: ty.Sequence[tracked.Device]
    ) -> allocations.Amounts:
        """What devices are in Placement, by the names of their providers."""
        return self._desired.amounts(devices)

    def has(self, instance_uuid: str) -> allocations.Amounts:
        """What an instance has of PCI and mediated devices, whoever gave it.

        :returns: of providers below the root, by their names
        :raises PlacementError: it can't be asked
        """
        if self._absent:
            return {}
        desired = self._desired
        known = (*desired.described, *desired.novas)
        return retry.retrying()(
            allocations.of_devices,
            self.client,
            self._known,
            desired.given.root,
            {rp.name for rp in known},
            instance_uuid,
        )

    def release(self, instance_uuid: str) -> None:
        """Take from an instance all that it has from our providers.

        :raises PlacementError: see :func:`allocations.delete`
        """
        if not self._absent and self._known.names():
            allocations.delete(self.client, self._known, instance_uuid)

    @property
    def _absent(self) -> bool:
        """Whether there is no embedded Placement yet, or none at all."""
        return chosen_placement.is_absent(self._conf, self._state)

    @property
    def _ask(self) -> placement_report.ReportRequest:
        return self._ask_for(self._desired.providers)

    @property
    def _compared(self) -> placement_report.ReportRequest:
        """The same, and what Nova publishes there of mediated devices."""
        novas = () if self.embedded else self._desired.novas
        return self._ask_for((*self._desired.providers, *novas))

    def _ask_for(
        self,
        desired: ty.Sequence[provider.Provider],
        only: ty.Collection[str] | None = None,
        *,
        whole: bool = True,
    ) -> placement_report.ReportRequest:
        return placement_report.ReportRequest(
            self._desired.given.root,
            desired,
            self._desired.given.layout,
            self.embedded,
            self._desired.is_any_allocated,
            only,
            whole,
        )
