# SPDX-License-Identifier: Apache-2.0
"""A node's side of Placement: the one that ``[vfio] placement`` chooses.

Whoever writes through this holds the lock of the state path.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import typing as ty

import os_traits

from nova_vfio_variant import exception, finding
from nova_vfio_variant.placement import (
    allocations,
    diff,
    embedded,
    memory,
    observe,
    reserve,
    tree,
)
from nova_vfio_variant.placement import (
    report as placement_report,
)
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import family, sync

if ty.TYPE_CHECKING:
    from nova_vfio_variant.conf import located
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.placement import client, provider


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """The desired providers beside the usage that Placement has of them.

    :param desired: in rising order of name, as a report leaves them
    :param usages: provider's name -> resource class -> units in use; a
        provider that isn't published is not in it
    :param spent: devices for one time that had it
    :param withheld: as of :attr:`Publication.withheld`
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
    :param state_path: where an embedded one keeps its database
    :param devices: the tracked devices
    :param given: the specs that they came from, for the places of findings
    :param known: the providers that we made
    :param blocked: addresses of devices that can't be given to anybody, for a
        reason that lasts: unless somebody has them they are reserved; None
        where nobody looked, which leaves reserved what is
    :param unknown: addresses of devices of which nobody can say that: as many
        of them are reserved as were
    """

    def __init__(
        self,
        conf: located.Config,
        state_path: pathlib.Path,
        devices: ty.Sequence[tracked.Device],
        given: facts.CheckInput,
        known: memory.ProviderMemory,
        blocked: reserve.Addresses | None = None,
        unknown: reserve.Addresses = frozenset(),
    ) -> None:
        self._conf = conf
        self._state_path = state_path
        # Whoever only claimed a device hasn't spent it: a device for one
        # time is reserved after its allocation, not before.
        self._devices = [
            dataclasses.replace(device, instance_uuid=None)
            if device.status == tracked.Status.CLAIMED
            else device
            for device in _offered(devices, given)
        ]
        self._given = given
        self._known = known
        keep = bool(conf.vfio.reserve_blocked)
        self._not_known = unknown
        self._blocked = blocked if keep else frozenset()
        self._unknown = unknown if keep else frozenset()

    @property
    def embedded(self) -> bool:
        """Whether Placement is our own, in process."""
        return bool(self._conf.vfio.placement == "embedded")

    @functools.cached_property
    def _built(
        self,
    ) -> tuple[tuple[provider.Provider, ...], tuple[finding.Finding, ...]]:
        providers, errors = tree.build(
            self._devices,
            self._given.root,
            self._given.layout,
            self._given.spec_of,
        )
        unknown = self._unknown
        if self._blocked is None:
            unknown = {
                at
                for one in providers
                if self._known.shares(one.name)
                for at in one.addresses
            }
        marked = reserve.marked(
            providers, self._devices, self._blocked or (), unknown
        )
        return marked, errors

    @property
    def desired(self) -> tuple[provider.Provider, ...]:
        """The providers that the devices make.

        :raises ConfigError: Placement can't describe these devices
        """
        providers, errors = self._built
        if errors:
            raise _indescribable(errors)
        return providers

    @property
    def withheld(self) -> tuple[pci_address.PciAddress, ...]:
        """Published devices that nobody has and that are not offered.

        They are reserved for being blocked, or nobody can say whether they
        have to be.
        """
        published = {at for one in self._built[0] for at in one.addresses}
        against = {*(self._blocked or ()), *self._not_known}
        return tuple(
            one.address
            for one in self._devices
            if one.address in published & against
            and one.status not in family.IN_USE
        )

    @functools.cached_property
    def client(self) -> client.PlacementClient:
        """The chosen Placement. An embedded one is made if need be."""
        if self.embedded:
            return embedded.connect(self._state_path)
        from nova_vfio_variant.placement import service

        return service.connect(self._conf)

    def view(self) -> View:
        """The desired providers with their usage; makes nothing."""
        there: ty.Mapping[str, provider.Published] = {}
        unreachable = None
        if not self._absent:
            try:
                there = allocations.published(
                    self.client, self._known, self._ask
                )
            except exception.PlacementError as error:
                unreachable = error.message
        return View(
            tuple(diff.left(one, there.get(one.name)) for one in self.desired),
            {name: one.usages for name, one in there.items()},
            _spent(self.desired, there),
            self.withheld,
            unreachable,
        )

    def spent(self) -> tuple[pci_address.PciAddress, ...]:
        """Devices for one time that had it: Placement gives them to nobody.

        :raises PlacementError: it can't be asked
        """
        once = [
            one
            for one in self._built[0]
            if os_traits.HW_PCI_ONE_TIME_USE in one.traits
        ]
        if not once or self._absent:
            return ()
        ask = self._ask_for(once)
        return _spent(
            once, allocations.published(self.client, self._known, ask)
        )

    def microversion(self) -> str | None:
        """The newest microversion that Placement speaks; makes nothing.

        :returns: None where there is no embedded Placement yet
        :raises PlacementError: it can't be asked
        """
        return None if self._absent else self.client.max_microversion()

    def held(self) -> facts.Published | None:
        """All that is published below the root; makes nothing.

        :returns: None where there is no such root
        :raises PlacementError: it can't be asked
        """
        if self._absent:
            return None
        return placement_report.retrying()(self._held)

    def _held(self) -> facts.Published | None:
        from nova_vfio_variant.declaration import facts

        seen = observe.look(self.client, self._given.root, self._known)
        if seen.root is None:
            return None
        return facts.Published(
            {
                name: dataclasses.replace(
                    self.client.read(one), usages=self.client.usages(one.uuid)
                )
                for name, one in seen.children.items()
            },
            {
                name: self.client.consumers(one.uuid)
                for name, one in seen.children.items()
            },
        )

    def compare(self) -> placement_report.Result:
        """Where Placement differs; writes nothing.

        :raises PlacementError: it can't be asked
        """
        if self._absent:
            return placement_report.Result(
                placement_report.additions(self.desired), ()
            )
        return placement_report.compare(self.client, self._ask, self._known)

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

    def publish(self, devices: ty.Sequence[tracked.Device]) -> None:
        """Publish the providers of some devices, if they are not yet.

        What stands against other devices' providers is in nobody's way.

        :raises ConfigError: Placement can't describe these devices
        :raises PlacementError: see :meth:`report`
        """
        providers, errors = self._built
        published = {at for one in providers for at in one.addresses}
        if errors and any(
            device.address not in published
            and not device.tags.get("physical_network")
            for device in devices
        ):
            raise _indescribable(errors)
        names = self.providers_of(devices)
        if names:
            self.expect_publishing()
            placement_report.report(
                self.client,
                self._ask_for(providers, only=names, whole=not errors),
                self._known,
            )

    def providers_of(
        self, devices: ty.Sequence[tracked.Device]
    ) -> frozenset[str]:
        """The names of the providers that publish some devices."""
        return frozenset(self._amounts(devices))

    def allocate(
        self, instance_uuid: str, devices: ty.Sequence[tracked.Device]
    ) -> None:
        """Let an instance have just these devices.

        :raises PlacementError: see :func:`allocations.put`
        """
        wanted = self._amounts(devices)
        if wanted:
            allocations.put(self.client, self._known, instance_uuid, wanted)

    def release(self, instance_uuid: str) -> None:
        """Take from an instance all that it has from our providers.

        :raises PlacementError: see :func:`allocations.delete`
        """
        if not self._absent and self._known.names():
            allocations.delete(self.client, self._known, instance_uuid)

    @property
    def _absent(self) -> bool:
        """Whether there is no embedded Placement yet."""
        return (
            self.embedded and not embedded.database(self._state_path).exists()
        )

    @property
    def _ask(self) -> placement_report.ReportRequest:
        return self._ask_for(self.desired)

    def _ask_for(
        self,
        desired: ty.Sequence[provider.Provider],
        only: ty.Collection[str] | None = None,
        *,
        whole: bool = True,
    ) -> placement_report.ReportRequest:
        return placement_report.ReportRequest(
            self._given.root,
            desired,
            self._given.layout,
            self.embedded,
            any(
                device.status == tracked.Status.ALLOCATED
                for device in self._devices
            ),
            only,
            whole,
        )

    def _amounts(
        self, devices: ty.Sequence[tracked.Device]
    ) -> dict[str, dict[str, int]]:
        return allocations.amounts(self._built[0], devices)


def _offered(
    devices: ty.Sequence[tracked.Device], given: facts.CheckInput
) -> ty.Sequence[tracked.Device]:
    """The devices that are still what they were tracked as.

    One that somebody has keeps its unit, on which its allocation stands.
    """
    if given.scan is None:
        return devices
    others = {
        one.device.address
        for one in sync.exchanges(devices, given.scan.get)
        if one.device.status not in family.IN_USE
    }
    others -= given.unread
    if not others:
        return devices
    return [one for one in devices if one.address not in others]


def _spent(
    desired: ty.Iterable[provider.Provider],
    there: ty.Mapping[str, provider.Published],
) -> tuple[pci_address.PciAddress, ...]:
    """Devices that nobody has and that are reserved all the same."""
    return tuple(
        address
        for one in desired
        if os_traits.HW_PCI_ONE_TIME_USE in one.traits
        for name, inventory in one.inventories.items()
        if one.name in there
        and not inventory.reserved
        and there[one.name].inventories.get(name, {}).get("reserved", 0)
        > there[one.name].ours.get(name, 0)
        for address in one.addresses
    )


def _indescribable(
    errors: ty.Sequence[finding.Finding],
) -> exception.ConfigError:
    # A name that is too long is a warning wherever nothing is published.
    return exception.ConfigError(
        "Placement can't describe these devices",
        findings=[
            dataclasses.replace(
                one,
                code=dataclasses.replace(
                    one.code, severity=finding.Severity.ERROR
                ),
            )
            for one in errors
        ],
    )
