# SPDX-License-Identifier: Apache-2.0
"""Obstacles that somebody overruled by hand, device by device."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class Allowance:
    """One obstacle that doesn't count.

    :param address: of the function
    :param code: id of the finding, such as ``VFIO512``
    :param reason: why, as somebody said
    :param identity: which function it was said of
    :param since: when, in UTC, as ISO 8601 has it
    """

    address: pci_address.PciAddress
    code: str
    reason: str
    identity: function.Identity
    since: str


class Allowances:
    """All of a store, each change on disk when the call returns.

    :param read: begins a transaction that reads
    :param write: begins a transaction that writes
    """

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def all(self) -> tuple[Allowance, ...]:
        """All, whatever stands at their addresses now.

        :returns: in rising order of address and code
        """
        with self._read() as link:
            found = [
                Allowance(
                    pci_address.PciAddress.parse(row.address),
                    row.code,
                    row.reason,
                    rows.identity(row.identity),
                    row.since,
                )
                for row in rows.all_of(link, models.allowances)
            ]
        return tuple(
            sorted(
                found,
                key=lambda allowance: (allowance.address, allowance.code),
            )
        )

    def add(
        self,
        address: pci_address.PciAddress,
        code: str,
        reason: str,
        identity: function.Identity,
    ) -> None:
        """Let an obstacle not count, in place of what was said of it."""
        now = dt.datetime.now(dt.UTC)
        with self._write() as link:
            link.execute(_those(address, code))
            link.execute(
                sa.insert(models.allowances),
                {
                    "address": str(address),
                    "code": code,
                    "reason": reason,
                    "identity": rows.identity_text(identity),
                    "since": now.isoformat(timespec="seconds"),
                },
            )

    def remove(
        self, address: pci_address.PciAddress, code: str | None = None
    ) -> int:
        """Let an obstacle count again.

        :param code: None for all of this address
        :returns: how many there were
        """
        with self._write() as link:
            return int(link.execute(_those(address, code)).rowcount)


def standing(
    allowances: ty.Iterable[Allowance], there: Look
) -> dict[pci_address.PciAddress, dict[str, str]]:
    """Those that were said of the function that is there now.

    :param there: the function at an address
    :returns: address -> code -> reason
    """
    found: dict[pci_address.PciAddress, dict[str, str]] = {}
    for allowance in allowances:
        seen = there(allowance.address)
        if seen is not None and not allowance.identity.is_another(
            seen.identity
        ):
            found.setdefault(allowance.address, {})[allowance.code] = (
                allowance.reason
            )
    return found


def _those(address: pci_address.PciAddress, code: str | None) -> sa.Delete:
    table = models.allowances
    chosen = sa.delete(table).where(table.c.address == str(address))
    return chosen if code is None else chosen.where(table.c.code == code)
