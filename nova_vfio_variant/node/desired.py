# SPDX-License-Identifier: Apache-2.0
"""What a node's tracked devices are to be in Placement. Nothing is asked."""

from __future__ import annotations

import dataclasses
import functools
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.declaration import mdev_offers
from nova_vfio_variant.placement import (
    allocations,
    reserve,
    tree,
    vgpu_cards,
)
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import family, sync

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.placement import provider
    from nova_vfio_variant.tracker import share


class Desired:
    """The providers that tracked devices make.

    :param devices: the tracked devices
    :param given: the specs that they came from, for the places of findings
    :param shares: what of the inventories of the provider of a name we
        reserved
    :param blocked: addresses of devices that can't be given to anybody, for a
        reason that lasts: unless somebody has them they are reserved; None
        where nobody looked, which leaves reserved what is
    :param unknown: addresses of devices of which nobody can say that: as many
        of them are reserved as were
    :param reserve_blocked: ``[vfio] reserve_blocked``; what is blocked is
        offered all the same if it is off
    :param cordoned: addresses of devices that somebody cordoned: they are
        reserved as blocked ones are, whatever ``reserve_blocked`` says
    :param cards: gives those whose vGPUs are made on demand, once providers
        are asked for
    :param parents: gives the providers of parents of mediated devices, once
        they are asked for: ours to publish, and Nova's
    """

    def __init__(
        self,
        devices: ty.Sequence[tracked.Device],
        given: facts.CheckInput,
        shares: ty.Callable[[str], share.Shares],
        blocked: reserve.Addresses | None = None,
        unknown: reserve.Addresses = frozenset(),
        *,
        reserve_blocked: bool = True,
        cordoned: reserve.Addresses = frozenset(),
        cards: ty.Callable[[], ty.Sequence[vgpu_cards.OnDemand]] = tuple,
        parents: ty.Callable[[], mdev_offers.Both] = mdev_offers.nobodys,
    ) -> None:
        # Whoever only claimed a device hasn't spent it: a device for one
        # time is reserved after its allocation, not before.
        self._devices = [
            dataclasses.replace(device, instance_uuid=None)
            if device.status == tracked.Status.CLAIMED
            else device
            for device in _offered(devices, given)
        ]
        self.given = given
        self._shares = shares
        self._cards = cards
        self._parents = parents
        self._not_known = unknown
        self._blocked = blocked
        if blocked is not None:
            self._blocked = {*cordoned, *(blocked if reserve_blocked else ())}
        self._unknown = unknown if reserve_blocked else frozenset()

    @functools.cached_property
    def _marked(
        self,
    ) -> tuple[tuple[provider.Provider, ...], tuple[finding.Finding, ...]]:
        providers, errors = tree.build(
            self._devices,
            self.given.root,
            self.given.layout,
            self.given.spec_of,
        )
        unknown = self._unknown
        if self._blocked is None:
            unknown = {
                at
                for one in providers
                if self._shares(one.name)
                for at in one.addresses
            }
        marked = reserve.marked(
            providers, self._devices, self._blocked or (), unknown
        )
        return marked, errors

    @functools.cached_property
    def _built(self) -> tuple[provider.Provider, ...]:
        of_devices = vgpu_cards.added(self._marked[0], self._cards())
        return (*of_devices, *self._of_parents[0])

    @functools.cached_property
    def _of_parents(self) -> mdev_offers.Both:
        return self._parents()

    @property
    def novas(self) -> tuple[provider.Provider, ...]:
        """Those that Nova publishes of parents of mediated devices."""
        return self._of_parents[1]

    @property
    def providers(self) -> tuple[provider.Provider, ...]:
        """All of them.

        :raises ConfigError: Placement can't describe some of the devices
        """
        if not self.is_whole:
            raise _indescribable(self._marked[1])
        return self.described

    @property
    def described(self) -> tuple[provider.Provider, ...]:
        """Those that Placement can describe."""
        return self._built

    @property
    def owners(self) -> ty.Mapping[pci_address.PciAddress, str]:
        """The name of the provider that publishes each device."""
        return {
            address: rp.name for rp in self._built for address in rp.addresses
        }

    @property
    def on_demand(self) -> frozenset[str]:
        """The names of the providers of which vGPUs take framebuffer."""
        return frozenset(
            rp.name
            for rp in self._built
            if vgpu_cards.FRAMEBUFFER in rp.inventories
        )

    @property
    def is_whole(self) -> bool:
        """Whether Placement can describe all devices."""
        return not self._marked[1]

    @property
    def one_time(self) -> tuple[provider.Provider, ...]:
        """Those of devices for one time."""
        return tuple(one for one in self._marked[0] if one.one_time)

    @property
    def is_any_allocated(self) -> bool:
        """Whether an instance has one of the devices."""
        return any(
            device.status == tracked.Status.ALLOCATED
            for device in self._devices
        )

    @property
    def withheld(self) -> tuple[pci_address.PciAddress, ...]:
        """Published devices that nobody has and that are not offered.

        They are reserved for being blocked, or nobody can say whether they
        have to be.
        """
        against = {*(self._blocked or ()), *self._not_known}
        return tuple(
            device.address
            for device in self._devices
            if device.address in self._addresses & against
            and device.status not in family.IN_USE
        )

    def expect_described(self, devices: ty.Iterable[tracked.Device]) -> None:
        """Refuse where Placement can't describe one of some devices.

        Those on a physical network are not published at all.

        :raises ConfigError: it can't
        """
        if not self.is_whole and any(
            device.address not in self._addresses
            and not device.tags.get("physical_network")
            for device in devices
        ):
            raise _indescribable(self._marked[1])

    def amounts(
        self,
        devices: ty.Sequence[tracked.Device],
        mediated: mdev_offers.Made = (),
    ) -> dict[str, dict[str, int]]:
        """What some devices are: provider's name -> class -> units.

        :param mediated: devices of parents, whose providers have no others
        """
        return {
            **allocations.amounts(self.described, devices),
            **mdev_offers.amounts(self.given, mediated),
        }

    @functools.cached_property
    def _addresses(self) -> frozenset[pci_address.PciAddress]:
        return frozenset(at for one in self._marked[0] for at in one.addresses)


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


def spent(
    desired: ty.Iterable[provider.Provider],
    there: ty.Mapping[str, provider.Published],
) -> tuple[pci_address.PciAddress, ...]:
    """Devices that nobody has and that are reserved all the same."""
    return tuple(
        address
        for one in desired
        if one.one_time
        for name, inventory in one.inventories.items()
        if one.name in there
        and not inventory.reserved
        and there[one.name].inventories.get(name, {}).get("reserved", 0)
        > there[one.name].ours.get(name, 0)
        for address in one.addresses
    )


def told_spent(devices: ty.Sequence[pci_address.PciAddress]) -> str:
    """What is to be said of devices for one time that had it."""
    return (
        f"used once and reserved since: {', '.join(map(str, devices))}; once"
        " clean, set reserved to 0 in Placement, or let 'nova-vfio device"
        f" scrub {devices[0]}' reset one"
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
