# SPDX-License-Identifier: Apache-2.0
"""The rows of functions that nobody gets, for something hung on them."""

from __future__ import annotations

import typing as ty

import sqlalchemy as sa

from nova_vfio_variant import exception
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import models, rows

_TABLE = models.quarantine


def read(
    link: sa.Connection, boot: str | None
) -> dict[pci_address.PciAddress, str]:
    """The functions, and why; of one boot of the host, or of all."""
    return {
        pci_address.PciAddress.parse(row.address): row.reason
        for row in rows.all_of(link, _TABLE)
        if boot in {None, row.boot}
    }


def put(
    link: sa.Connection,
    address: pci_address.PciAddress,
    reason: str | None,
    boot: str,
) -> None:
    """Record that nobody gets a function, or that it is over."""
    number = tracked.number(address)
    link.execute(sa.delete(_TABLE).where(_TABLE.c.id == number))
    if reason is not None:
        link.execute(
            sa.insert(_TABLE),
            {
                "id": number,
                "address": str(address),
                "reason": reason,
                "boot": boot,
            },
        )


def end(link: sa.Connection, boot: str) -> None:
    """Take away all that are of another boot than this."""
    link.execute(sa.delete(_TABLE).where(_TABLE.c.boot != boot))


def refuse(
    link: sa.Connection,
    addresses: ty.Iterable[pci_address.PciAddress],
    boot: str | None,
) -> None:
    """See that none of these is quarantined.

    :param boot: as for :func:`read`
    :raises InvalidDeviceStatus: one is
    """
    known = read(link, boot)
    for address in addresses:
        if address in known:
            raise exception.InvalidDeviceStatus(
                f"device {address} is quarantined: {known[address]}"
            )
