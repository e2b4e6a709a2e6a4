# SPDX-License-Identifier: Apache-2.0
"""Devices for one time that had it are reset, and can be given again."""

from __future__ import annotations

import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import refusal
from nova_vfio_variant.node import (
    placement_side,
    preparation,
    records,
    syncing,
)
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import planning
    from nova_vfio_variant.node import context, single

Address = pci_address.PciAddress
_LOG = logging.getLogger(__name__)


class Scrubbing:
    """Gives devices for one time back to all.

    :param on: the node
    :param devices: resets one
    """

    def __init__(
        self, on: context.Context, devices: single.SingleDevices
    ) -> None:
        self._context = on
        self._devices = devices

    def plan(self, address: Address) -> planning.Decision:
        """What :meth:`scrub` would do to the host now. Nothing is written.

        :raises HostError: the host has no such function
        :raises InvalidDeviceStatus: it isn't reserved for having had its time
        """
        self._context.function(address)
        side = placement_side.PlacementSide(self._context)
        with side.observed() as (published, _):
            self._expect_spent(address, published.spent())
        return self._devices.plan_reset(address)

    def scrub(self, address: Address) -> preparation.Result:
        """Reset a device, and let it be given again once that is done.

        It stays reserved until then: whatever fails or is killed before is
        done by another call.

        :raises InvalidDeviceStatus: it isn't reserved for having had its time
        :raises HostError: the host can't be written
        :raises PlacementError: it can't be asked, or written
        """
        self._context.function(address)
        syncing.declared(self._context)
        side = placement_side.PlacementSide(self._context)
        with syncing.locked(self._context) as store:
            syncing.sync(self._context, store)
            published = side.publication(store)
            published.expect_publishing()
            gone = published.spent()
            records.remember_spent(store, gone)
            self._expect_spent(address, gone)
        result = self._devices.reset(address)
        if result.refusals or result.failed or result.ended_by is not None:
            return result
        with syncing.locked(self._context) as store:
            published = side.publication(store)
            if address in published.spent():
                published.offer_once_more(address)
            # Where nothing is published the store alone knows.
            records.remember_spent(store, {*published.spent()} - {address})
        _LOG.info("device %s: scrubbed, and can be given again", address)
        return result

    def _expect_spent(
        self, address: Address, gone: ty.Collection[Address]
    ) -> None:
        """See that a device had its time.

        :raises InvalidDeviceStatus: it hadn't, or somebody has it
        """
        if address in gone:
            return
        against = self._devices.plan_reset(address).refusals
        raise exception.InvalidDeviceStatus(
            f"{address} is not reserved for having been used once",
            f"nor could it be reset: {refusal.line(against[0])}"
            if against
            else f"'nova-vfio device reset {address}' resets it all the same",
        )
