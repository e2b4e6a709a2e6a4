# SPDX-License-Identifier: Apache-2.0
"""A node without any Placement: ``[vfio] placement = none``."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import inventory
from nova_vfio_variant.placement import report

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import mdev_offers
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.tracker import device as tracked

#: Why nothing is published.
WHY: ty.Final = "[vfio] placement is none: nothing is published"


class NoPublication(inventory.Publication):
    """Nothing of the tracked devices: the store alone says whose they are.

    :param once: devices for one time that had it, as the store knows them
    """

    def __init__(
        self, *given: ty.Any, once: ty.Iterable[pci_address.PciAddress]
    ) -> None:
        super().__init__(*given)
        self._once = once

    def view(self) -> inventory.View:
        """Refuse: there is none.

        :raises InventoryRefused: always
        """
        raise _nowhere()

    def compare(self) -> report.Result:
        """Refuse: there is nothing to compare with.

        :raises InventoryRefused: always
        """
        raise _nowhere()

    def report(self, *, dry_run: bool = False) -> report.Result:
        """Nothing, and why: whoever reports finishes claims as well."""
        del dry_run
        return report.Result((), (), unpublished=WHY)

    def spent(self) -> tuple[pci_address.PciAddress, ...]:
        """Those that the store knows: nobody else does."""
        return tuple(sorted(self._once))

    def told_spent(self, devices: ty.Sequence[pci_address.PciAddress]) -> str:
        """That nobody can say that they are clean."""
        return (
            "used once, and given to nobody since:"
            f" {', '.join(map(str, devices))}; 'nova-vfio device scrub"
            f" {devices[0]}' resets one"
        )

    def expect_publishing(self) -> None:
        """It is said that nothing is."""

    def offer_once_more(self, address: pci_address.PciAddress) -> None:
        """Nothing: whoever scrubbed it tells the store."""

    def publish(
        self,
        devices: ty.Sequence[tracked.Device],
        mediated: mdev_offers.Made = (),
        also: ty.Collection[str] = (),
    ) -> None:
        """Nothing: no device is described anywhere."""

    def providers_of(
        self,
        devices: ty.Sequence[tracked.Device],
        mediated: mdev_offers.Made = (),
    ) -> frozenset[str]:
        """None."""
        del devices, mediated
        return frozenset()

    def allocate(
        self,
        instance_uuid: str,
        devices: ty.Sequence[tracked.Device],
        mediated: mdev_offers.Made = (),
    ) -> None:
        """Nothing: the claim in the store is all there is."""


def _nowhere() -> exception.InventoryRefused:
    return exception.InventoryRefused(
        WHY,
        "set [vfio] placement = embedded, or service for the cloud's, then"
        " 'nova-vfio inventory report'",
    )
