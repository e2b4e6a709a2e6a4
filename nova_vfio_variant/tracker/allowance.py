# SPDX-License-Identifier: Apache-2.0
"""Obstacles that somebody overruled by hand, device by device."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import models, tables


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


class Allowances(tables.OfFunctions[Allowance]):
    """All of a store."""

    _table = models.allowances
    _kind = Allowance

    def add(
        self,
        address: pci_address.PciAddress,
        code: str,
        reason: str,
        identity: function.Identity,
    ) -> None:
        """Let an obstacle not count, in place of what was said of it."""
        self._put(Allowance(address, code, reason, identity, tables.now()))

    def remove(
        self, address: pci_address.PciAddress, code: str | None = None
    ) -> int:
        """Let an obstacle count again.

        :param code: None for all of this address
        :returns: how many there were
        """
        if code is None:
            return self._erase(address=address)
        return self._erase(address=address, code=code)


def standing(
    allowances: ty.Iterable[Allowance], there: tables.Look
) -> dict[pci_address.PciAddress, dict[str, str]]:
    """Those that were said of the function that is there now.

    :param there: the function at an address
    :returns: address -> code -> reason
    """
    found: dict[pci_address.PciAddress, dict[str, str]] = {}
    for allowance in allowances:
        seen = there(allowance.address)
        if seen is not None and allowance.identity.may_be(seen):
            found.setdefault(allowance.address, {})[allowance.code] = (
                allowance.reason
            )
    return found
