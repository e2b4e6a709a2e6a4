# SPDX-License-Identifier: Apache-2.0
"""Which units of the desired providers nobody can be given as they are."""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.placement import provider
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import family

Addresses = ty.Collection[pci_address.PciAddress]


def marked(
    providers: ty.Sequence[provider.Provider],
    devices: ty.Iterable[tracked.Device],
    blocked: Addresses,
    unknown: Addresses = (),
) -> tuple[provider.Provider, ...]:
    """The same providers, with so many units blocked.

    :param devices: behind them; those that somebody has don't count
    :param blocked: addresses of devices that can't be given to anybody, for
        a reason that lasts
    :param unknown: addresses of devices of which nobody can say that
    """
    if not (blocked or unknown):
        return tuple(providers)
    free = {
        device.address: device.resource_class
        for device in devices
        if device.status not in family.IN_USE
        and (device.address in blocked or device.address in unknown)
    }
    return tuple(_marked(rp, free, blocked) for rp in providers)


def _marked(
    rp: provider.Provider,
    free: ty.Mapping[pci_address.PciAddress, str],
    blocked: Addresses,
) -> provider.Provider:
    units = collections.Counter(
        (free[at], at in blocked) for at in rp.addresses if at in free
    )
    if not units:
        return rp
    return dataclasses.replace(
        rp,
        inventories={
            name: dataclasses.replace(
                inventory,
                blocked=units[name, True],
                unknown=units[name, False],
            )
            for name, inventory in rp.inventories.items()
        },
    )
