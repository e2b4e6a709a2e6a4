# SPDX-License-Identifier: Apache-2.0
"""Free devices in pools, and which of them a request gets.

The order of filters, the NUMA policies and the order in which devices are
taken are those of ``nova.pci.stats.PciDeviceStats``; the names in comments
are its methods. Nova copies every device to see whether a request fits; here
only the counts of pools are copied.
"""

from __future__ import annotations

import collections
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.pci import filters, names, values

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias

#: What a spec says of a provider and not of a device
#: (``PciDeviceStats.ignored_pool_tags``).
_IGNORED_TAGS = frozenset({"resource_class", "traits", "rp_uuids", "rp_uuid"})
_PF = "type-PF"
_SRIOV = frozenset({_PF, "type-VF", "vdpa"})

D = ty.TypeVar("D", bound="values.Device")


class Pools(ty.Generic[D]):
    """The free devices of a host.

    :param pools: in the order in which requests are given devices
    :param children: for each PF the addresses of its VFs
    """

    def __init__(
        self,
        pools: ty.Iterable[values.Pool[D]],
        children: ty.Mapping[
            pci_address.PciAddress, ty.Sequence[pci_address.PciAddress]
        ],
    ) -> None:
        self.pools = list(pools)
        self._children = children
        self._home = {at: pool for pool in self.pools for at in pool.devices}

    @classmethod
    def of(
        cls, devices: ty.Iterable[D], *, by_class: bool = False
    ) -> Pools[D]:
        """Put the available ones among these devices into pools.

        Within a pool devices keep the order that they are given in, which
        in Nova is the order of addresses.

        :param by_class: do Placement's part, too: what differs in resource
            class or traits lies in pools of its own, and an alias finds
            those that it asks for. Nova leaves this to Placement's choice of
            providers, and without Placement doesn't look at either
        """
        by_key: dict[ty.Hashable, values.Pool[D]] = {}
        children = collections.defaultdict(list)
        for device in devices:
            if device.parent_addr is not None:
                children[device.parent_addr].append(device.address)
            if device.status != "available":
                continue
            properties = properties_of(device)
            if by_class:
                properties["resource_class"] = device.resource_class
                properties["traits"] = frozenset(names.device_traits(device))
            key = _key(properties)
            pool = by_key.get(key)
            if pool is None:
                pool = by_key[key] = values.Pool(properties, {})
            pool.devices[device.address] = device
            pool.rp_uuid = device.extra_info.get("rp_uuid", pool.rp_uuid)
        # Nova sorts by the number of keys each time that it adds a pool, so
        # that devices with few tags go first.
        pools = sorted(by_key.values(), key=lambda pool: len(pool.properties))
        return cls(pools, children)

    def fits(
        self,
        requests: ty.Sequence[alias.PciRequest],
        numa_cells: ty.Collection[int] | None = None,
        sockets: ty.Mapping[int, int | None] | None = None,
        rp_uuids: ty.Sequence[ty.Sequence[str]] = (),
    ) -> bool:
        """Whether the requests could be given devices, one after another.

        Like Nova's ``support_requests`` it counts, and doesn't see that a
        PF and its VFs exclude each other within the requests.

        :param numa_cells: host NUMA nodes that the guest is on, None or
            empty where it has no NUMA topology
        :param sockets: for each NUMA node of the host its socket
        :param rp_uuids: for each request, in order, the resource providers
            that Placement chose, once for each device; empty where Placement
            wasn't asked
        """
        left = {pool: len(pool.devices) for pool in self.pools}
        place = filters.Place(numa_cells, sockets)
        for number, request in enumerate(requests):
            chosen = rp_uuids[number] if rp_uuids else ()
            found = filters.fitting(left, request, place, chosen)
            if not filters.enough(left, found, request):
                return False
            if chosen and filters.is_split(left):
                return False
            for pool, count in filters.shares(left, found, request, chosen):
                left[pool] -= count
                if not left[pool]:
                    del left[pool]
        return True

    def candidates(
        self,
        request: alias.PciRequest,
        numa_cells: ty.Collection[int] | None = None,
        sockets: ty.Mapping[int, int | None] | None = None,
    ) -> list[D]:
        """All that could serve a request, in the order in which it gets them.

        The parameters are those of :meth:`fits`. Nothing is taken.

        :raises NotEnoughDevices: there are fewer than it asks for
        """
        place = filters.Place(numa_cells, sockets)
        left = {pool: len(pool.devices) for pool in self.pools}
        found = filters.fitting(left, request, place, ())
        if not filters.enough(left, found, request):
            raise _not_enough(left, found, request, place)
        return [
            device
            for pool in found
            for device in reversed(pool.devices.values())
        ]

    def consume(
        self,
        requests: ty.Sequence[alias.PciRequest],
        numa_cells: ty.Collection[int] | None = None,
        sockets: ty.Mapping[int, int | None] | None = None,
        rp_uuids: ty.Sequence[ty.Sequence[str]] = (),
    ) -> list[tuple[alias.PciRequest, tuple[D, ...]]]:
        """Take devices for the requests, the last ones of each pool first.

        With a PF its VFs leave the pools, and with a VF its PF. The
        parameters are those of :meth:`fits`.

        :returns: for each request its devices, in the order taken
        :raises NotEnoughDevices: and the pools are as they were before
        """
        place = filters.Place(numa_cells, sockets)
        before = list(self.pools)
        touched: dict[values.Pool[D], dict[pci_address.PciAddress, D]] = {}
        answer = []
        try:
            for number, request in enumerate(requests):
                chosen = rp_uuids[number] if rp_uuids else ()
                devices = self._take(request, place, chosen, touched)
                answer.append((request, devices))
        except exception.NotEnoughDevices:
            self.pools = before
            for pool, devices_before in touched.items():
                pool.devices = devices_before
                self._home.update(dict.fromkeys(devices_before, pool))
            raise
        return answer

    def _take(
        self,
        request: alias.PciRequest,
        place: filters.Place,
        chosen: ty.Sequence[str],
        touched: dict[values.Pool[D], dict[pci_address.PciAddress, D]],
    ) -> tuple[D, ...]:
        """Take one request's devices (``consume_requests``).

        :param touched: pools that changed, with the devices they had
        """
        left = {pool: len(pool.devices) for pool in self.pools}
        found = filters.fitting(left, request, place, chosen)
        if not filters.enough(left, found, request):
            raise _not_enough(left, found, request, place)
        if chosen and filters.is_split(found):
            raise exception.NotEnoughDevices(
                f"alias {request.alias_name!r}: devices of one resource "
                "provider differ in their tags, and Nova gives none of them",
                "give all VFs of one PF the same tags in [pci] device_spec",
            )
        taken: list[D] = []
        for pool, count in filters.shares(left, found, request, chosen):
            if count:
                touched.setdefault(pool, dict(pool.devices))
            for _ in range(count):
                at, device = pool.devices.popitem()
                del self._home[at]
                self._drop_dependants(device, touched)
                taken.append(device)
        return tuple(taken)

    def _drop_dependants(
        self,
        device: D,
        touched: dict[values.Pool[D], dict[pci_address.PciAddress, D]],
    ) -> None:
        """Take what can't be given beside a device out of the pools."""
        if device.dev_type == _PF:
            dependants = self._children.get(device.address, ())
        elif device.parent_addr is not None:
            dependants = (device.parent_addr,)
        else:
            return
        for at in dependants:
            pool = self._home.pop(at, None)
            if pool is not None:
                touched.setdefault(pool, dict(pool.devices))
                del pool.devices[at]
                if not pool.devices:
                    self.pools.remove(pool)


def properties_of(device: values.Device) -> dict[str, ty.Any]:
    """What a device's pool has in common (``_create_pool_keys_from_dev``)."""
    properties: dict[str, ty.Any] = {
        "product_id": device.product_id,
        "vendor_id": device.vendor_id,
        "numa_node": device.numa_node,
        "dev_type": device.dev_type,
    }
    properties |= {
        key: value
        for key, value in device.tags.items()
        if key not in _IGNORED_TAGS
    }
    properties["address"] = device.parent_addr or device.address
    parent_ifname = device.extra_info.get("parent_ifname")
    if parent_ifname:
        properties["parent_ifname"] = parent_ifname
    if device.dev_type in _SRIOV and properties.get("remote_managed") is None:
        properties["remote_managed"] = "false"
    return properties


def _key(properties: dict[str, ty.Any]) -> ty.Hashable:
    """Equal for equal properties."""
    try:
        return frozenset(properties.items())
    except TypeError:
        # A tag that nobody knows may hold a list or an object.
        return repr(sorted(properties.items()))


def _not_enough(
    left: dict[values.Pool[D], int],
    found: list[values.Pool[D]],
    request: alias.PciRequest,
    place: filters.Place,
) -> exception.NotEnoughDevices:
    near = ""
    if place.numa_cells:
        nodes = ", ".join(map(str, sorted(place.numa_cells)))
        near = f" by NUMA policy {request.numa_policy} near node {nodes}"
    asked = {trait for spec in request.specs for trait in spec.asked_traits}
    asked.update(spec.asked_class or "" for spec in request.specs)
    names = ", ".join(sorted(asked - {""}))
    return exception.NotEnoughDevices(
        f"{request.subject}: {request.count} asked for, and "
        f"{filters.count(left, found)} can be given{near}",
        f"it asks for {names}: 'nova-vfio device list' shows who has that"
        if names
        else None,
    )
