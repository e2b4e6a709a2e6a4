# SPDX-License-Identifier: Apache-2.0
"""Our side of a compute node: the tracker's decisions, kept in memory."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from nova_vfio_variant import exception
from nova_vfio_variant.pci import flavor, parse
from nova_vfio_variant.pci.alias import PciRequest
from nova_vfio_variant.pci.alias_parse import Aliases
from nova_vfio_variant.pci.pools import Pools
from nova_vfio_variant.pci.spec import DeviceSpec
from nova_vfio_variant.placement.provider import Provider
from nova_vfio_variant.source import SourceText
from nova_vfio_variant.tracker import sync
from nova_vfio_variant.tracker.device import Device, Status
from nova_vfio_variant.tracker.family import IN_USE, Families
from tests.conformance.hosts import Host, observed


class OurNode:
    """A compute node of ours; what the store would keep is kept here."""

    def __init__(
        self,
        specs: Sequence[str],
        aliases: Aliases,
        sockets: dict[int, int | None],
    ) -> None:
        self.aliases = aliases
        self.sockets = sockets
        self.devices: list[Device] = []
        #: Addresses that configuration and host ask for.
        self.wanted: set[str] = set()
        self.respec(specs)

    def respec(self, specs: Sequence[str]) -> None:
        """Read these ``device_spec`` values from now on."""
        self.specs: tuple[DeviceSpec, ...]
        self.specs, _ = parse.parse_device_specs(
            [SourceText.of(value) for value in specs]
        )

    def sync(self, host: Host) -> None:
        """Make the devices equal to configuration and host."""
        desired = sync.desired(self.specs, observed(host))
        self.wanted = {str(device.address) for device in desired}
        plan = sync.decide(self.devices, desired)
        self._keep(
            [*plan.added, *plan.updated, *plan.kept],
            [device.address for device in plan.removed],
        )

    def requests(
        self, extra_spec: str, policy: str | None
    ) -> tuple[PciRequest, ...]:
        """Return what a flavor asks for."""
        return flavor.parse_request(extra_spec, self.aliases, policy)

    def fits(
        self,
        requests: tuple[PciRequest, ...],
        numa: list[int] | None,
        providers: Sequence[Sequence[str]] = (),
    ) -> bool:
        """Tell whether the free devices would do."""
        return Pools.of(self.devices).fits(
            requests, numa, self.sockets, providers
        )

    def claim(
        self,
        instance: str,
        requests: tuple[PciRequest, ...],
        numa: list[int] | None,
        providers: Sequence[Sequence[str]] = (),
    ) -> list[str]:
        """Claim devices; return their addresses in the order taken.

        :raises NotEnoughDevices: and nothing is claimed
        """
        pools = Pools.of(self.devices)
        try:
            taken = pools.consume(requests, numa, self.sockets, providers)
        except exception.NotEnoughDevices:
            _expect_whole(pools, Pools.of(self.devices), requests)
            raise
        families = Families(self.devices)
        addresses = []
        for request, devices in taken:
            for device in devices:
                families.claim(
                    device.address, instance, None, request.alias_name
                )
                addresses.append(str(device.address))
        self._settle(families)
        return addresses

    def publish(self, providers: Sequence[Provider]) -> None:
        """Note each device's provider, under its name in place of a UUID."""
        names = {
            address: provider.name
            for provider in providers
            for address in provider.addresses
        }
        self._keep(
            [
                dataclasses.replace(
                    device,
                    extra_info={
                        **device.extra_info,
                        "rp_uuid": names[device.address],
                    },
                )
                for device in self.devices
                if device.address in names
            ],
            [],
        )

    def allocate(self, instance: str) -> None:
        """Turn the claims of an instance into allocations."""
        families = Families(self.devices)
        for device in self.devices:
            if (device.instance_uuid, device.status) == (
                instance,
                Status.CLAIMED,
            ):
                families.allocate(device.address, instance)
        self._settle(families)

    def free(self, instance: str) -> None:
        """Give back all that an instance has."""
        families = Families(self.devices)
        for device in self.devices:
            if device.instance_uuid == instance:
                families.free(device.address, instance)
        self._settle(families)

    def state(self) -> list[dict[str, Any]]:
        """Return the devices as the oracle tells Nova's."""
        return [
            {
                "address": str(device.address),
                "vendor_id": device.vendor_id,
                "product_id": device.product_id,
                "dev_type": device.dev_type,
                "numa_node": device.numa_node,
                "parent_addr": (
                    None
                    if device.parent_addr is None
                    else str(device.parent_addr)
                ),
                "status": str(device.status),
                "instance_uuid": device.instance_uuid,
                "extra_info": {
                    key: value
                    for key, value in device.extra_info.items()
                    if key in {"managed", "live_migratable"}
                },
            }
            for device in self.devices
        ]

    def in_use(self) -> bool:
        """Tell whether somebody has a device."""
        return any(device.status in IN_USE for device in self.devices)

    def _settle(self, families: Families) -> None:
        gone = Status.REMOVED
        self._keep(
            [device for device in families.changes() if device.status != gone],
            [
                device.address
                for device in families.changes()
                if device.status == gone
            ],
        )

    def _keep(self, changed: Sequence[Device], gone: Sequence[Any]) -> None:
        by_address = {device.address: device for device in self.devices}
        by_address |= {device.address: device for device in changed}
        for address in gone:
            by_address.pop(address, None)
        self.devices = [by_address[at] for at in sorted(by_address)]


def _expect_whole(
    pools: Pools[Device], new: Pools[Device], requests: Sequence[PciRequest]
) -> None:
    """See that pools are as new ones after a claim that failed.

    :raises AssertionError: they hold something else, or give something else
    """

    def contents(some: Pools[Device]) -> list[Any]:
        return [(one.properties, list(one.devices)) for one in some.pools]

    def given(some: Pools[Device]) -> list[Any]:
        found: list[Any] = []
        for request in requests:
            try:
                found += some.consume([request])
            except exception.NotEnoughDevices:
                found.append(None)
        return found

    assert contents(new) == contents(pools), (contents(new), contents(pools))
    asked, again = given(new), given(pools)
    assert asked == again, (asked, again)
