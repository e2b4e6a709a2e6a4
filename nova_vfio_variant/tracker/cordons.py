# SPDX-License-Identifier: Apache-2.0
"""Functions of which no new claim is made, until somebody says otherwise."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import models, tables


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


class Cordons(tables.OfFunctions[Cordon]):
    """All of a store."""

    _table = models.cordons
    _kind = Cordon

    def put(
        self,
        address: pci_address.PciAddress,
        reason: str,
        identity: function.Identity,
    ) -> None:
        """Cordon a function, in place of what was said at its address."""
        self._put(Cordon(address, reason, identity, tables.now()))

    def remove(self, address: pci_address.PciAddress) -> bool:
        """Lift a cordon.

        :returns: whether there was one
        """
        return bool(self._erase(address=address))


def standing(
    cordons: ty.Iterable[Cordon], there: tables.Look
) -> dict[pci_address.PciAddress, str]:
    """Those at whose address no other function stands now.

    :param there: the function at an address
    :returns: address -> reason
    """
    return {
        cordon.address: cordon.reason
        for cordon in cordons
        if cordon.identity.may_be(there(cordon.address))
    }


def of_others(
    cordons: ty.Iterable[Cordon], there: tables.Look
) -> dict[pci_address.PciAddress, str]:
    """Those at whose address another function stands now.

    :param there: the function at an address
    :returns: address -> reason
    """
    return {
        cordon.address: cordon.reason
        for cordon in cordons
        if not cordon.identity.may_be(there(cordon.address))
    }
