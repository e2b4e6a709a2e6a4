# SPDX-License-Identifier: Apache-2.0
"""Functions of which no new claim is made, until somebody says otherwise."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import models, rows

Transaction = ty.Callable[[], contextlib.AbstractContextManager[sa.Connection]]
#: Looks for the function at an address.
Look = ty.Callable[[pci_address.PciAddress], function.PciFunction | None]

_TABLE = models.cordons


@dataclasses.dataclass(frozen=True, slots=True)
class Cordon:
    """One function of which no new claim is made; of a PF, nor of its VFs.

    :param address: of the function
    :param reason: why, as somebody said
    :param identity: which function it was said of
    :param since: when, in UTC, as ISO 8601 has it
    """

    address: pci_address.PciAddress
    reason: str
    identity: function.Identity
    since: str


class Cordons:
    """All of a store, each change on disk when the call returns.

    :param read: begins a transaction that reads
    :param write: begins a transaction that writes
    """

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def all(self) -> tuple[Cordon, ...]:
        """All, whatever stands at their addresses now.

        :returns: in rising order of address
        """
        with self._read() as link:
            found = [
                Cordon(
                    pci_address.PciAddress.parse(row.address),
                    row.reason,
                    rows.identity(row.identity),
                    row.since,
                )
                for row in link.execute(sa.select(_TABLE))
            ]
        return tuple(sorted(found, key=lambda cordon: cordon.address))

    def put(
        self,
        address: pci_address.PciAddress,
        reason: str,
        identity: function.Identity,
    ) -> None:
        """Cordon a function, in place of what was said at its address."""
        now = dt.datetime.now(dt.UTC)
        with self._write() as link:
            link.execute(_at(address))
            link.execute(
                sa.insert(_TABLE),
                {
                    "address": str(address),
                    "reason": reason,
                    "identity": rows.identity_text(identity),
                    "since": now.isoformat(timespec="seconds"),
                },
            )

    def remove(self, address: pci_address.PciAddress) -> bool:
        """Lift a cordon.

        :returns: whether there was one
        """
        with self._write() as link:
            return bool(link.execute(_at(address)).rowcount)


def standing(
    cordons: ty.Iterable[Cordon], there: Look
) -> dict[pci_address.PciAddress, str]:
    """Those at whose address no other function stands now.

    :param there: the function at an address
    :returns: address -> reason
    """
    return _reasons(cordons, there, others=False)


def of_others(
    cordons: ty.Iterable[Cordon], there: Look
) -> dict[pci_address.PciAddress, str]:
    """Those at whose address another function stands now.

    :param there: the function at an address
    :returns: address -> reason
    """
    return _reasons(cordons, there, others=True)


def _reasons(
    cordons: ty.Iterable[Cordon], there: Look, *, others: bool
) -> dict[pci_address.PciAddress, str]:
    found = {}
    for cordon in cordons:
        seen = there(cordon.address)
        is_another = seen is not None and cordon.identity.is_another(
            seen.identity
        )
        if is_another is others:
            found[cordon.address] = cordon.reason
    return found


def _at(address: pci_address.PciAddress) -> sa.Delete:
    return sa.delete(_TABLE).where(_TABLE.c.address == str(address))
