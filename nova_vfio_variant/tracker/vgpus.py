# SPDX-License-Identifier: Apache-2.0
"""The vGPUs that we made, and the types that cards are known to have."""

from __future__ import annotations

import dataclasses
import enum
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import models, tables

if ty.TYPE_CHECKING:
    import sqlalchemy as sa

    from nova_vfio_variant.pci import function


class Origin(enum.StrEnum):
    """What a vGPU was made for."""

    DECLARED = "declared"
    CLAIM = "claim"


@dataclasses.dataclass(frozen=True, slots=True)
class KnownType:
    """A type of vGPU that a card is known to have.

    :param card: address of its PF
    :param framebuffer_mib: None where nobody told
    :param identity: which card said so
    """

    card: pci_address.PciAddress
    type_id: str
    name: str
    framebuffer_mib: int | None
    identity: function.Identity


@dataclasses.dataclass(frozen=True, slots=True)
class OurVgpu:
    """A vGPU that we made, or are about to make.

    :param assignment: tells one owner of the address from the next
    :param since: when, in UTC, as ISO 8601 has it
    :param identity: which function it was made on
    """

    address: pci_address.PciAddress
    type_id: str
    origin: Origin
    instance_uuid: str | None
    assignment: str
    since: str
    identity: function.Identity


class OurVgpus(tables.OfFunctions[OurVgpu]):
    """All of a store: the vGPUs that we made, and cards' types."""

    _table = models.vgpus
    _kind = OurVgpu
    _reads: ty.ClassVar[tables.Reads] = {"origin": Origin}

    def types(self) -> tuple[KnownType, ...]:
        """The types that cards are known to have, by card and number."""
        with self._read() as link:
            found = tables.read(link, models.vgpu_types, KnownType)
            # Of one that is no number, nobody of ours wrote the row.
            found.sort(key=lambda known: (known.card, int(known.type_id)))
        return tuple(found)

    def remember_types(self, known: ty.Iterable[KnownType]) -> None:
        """Add types, each in place of what was known of it."""
        with self._write() as link:
            for known_type in known:
                tables.put(link, models.vgpu_types, known_type)

    def forget_types(self, card: pci_address.PciAddress) -> None:
        """Forget what was known of a card: another one is in its place."""
        with self._write() as link:
            tables.erase(link, models.vgpu_types, card=card)

    def put(self, vgpu: OurVgpu) -> None:
        """Record one, in place of what stood at its address."""
        self._put(vgpu)

    def remove(self, address: pci_address.PciAddress, assignment: str) -> bool:
        """Forget one, if it is still this owner's.

        :returns: whether it was
        """
        return bool(self._erase(address=address, assignment=assignment))


def erase(link: sa.Connection, vgpu: OurVgpu) -> None:
    """Take the row of one away, in a transaction that was begun."""
    at, mark = vgpu.address, vgpu.assignment
    tables.erase(link, models.vgpus, address=at, assignment=mark)


def held(
    vgpus: ty.Iterable[OurVgpu],
    owners: ty.Mapping[pci_address.PciAddress, str],
    there: tables.Look,
) -> dict[pci_address.PciAddress, str]:
    """The types that claims which stand have set, or are about to set. Pure.

    :param owners: the instance that has claimed a function, by address
    :param there: the function at an address
    """
    found = {}
    for vgpu in vgpus:
        if (
            vgpu.origin is Origin.CLAIM
            and vgpu.instance_uuid is not None
            and owners.get(vgpu.address) == vgpu.instance_uuid
            and vgpu.identity.may_be(there(vgpu.address))
        ):
            found[vgpu.address] = vgpu.type_id
    return found
