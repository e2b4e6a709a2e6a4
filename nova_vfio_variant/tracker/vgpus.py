# SPDX-License-Identifier: Apache-2.0
"""The vGPUs that we made, and the types that cards are known to have."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import models, rows

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import function

Transaction = ty.Callable[[], contextlib.AbstractContextManager[sa.Connection]]


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


class OurVgpus:
    """All of a store, each change on disk when the call returns.

    :param read: begins a transaction that reads
    :param write: begins a transaction that writes
    """

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def types(self) -> tuple[KnownType, ...]:
        """The types that cards are known to have, by card and number."""
        with self._read() as link:
            found = [
                KnownType(
                    pci_address.PciAddress.parse(row.card),
                    row.type_id,
                    row.name,
                    row.framebuffer_mib,
                    rows.identity(row.identity),
                )
                for row in rows.all_of(link, models.vgpu_types)
            ]
            # Of one that is no number, nobody of ours wrote the row.
            found.sort(key=lambda known: (known.card, int(known.type_id)))
        return tuple(found)

    def remember_types(self, known: ty.Iterable[KnownType]) -> None:
        """Add types, each in place of what was known of it."""
        table = models.vgpu_types
        with self._write() as link:
            for known_type in known:
                link.execute(
                    sa.delete(table).where(
                        table.c.card == str(known_type.card),
                        table.c.type_id == known_type.type_id,
                    )
                )
                link.execute(
                    sa.insert(table),
                    {
                        "card": str(known_type.card),
                        "type_id": known_type.type_id,
                        "name": known_type.name,
                        "framebuffer_mib": known_type.framebuffer_mib,
                        "identity": rows.identity_text(known_type.identity),
                    },
                )

    def forget_types(self, card: pci_address.PciAddress) -> None:
        """Forget what was known of a card: another one is in its place."""
        table = models.vgpu_types
        with self._write() as link:
            link.execute(sa.delete(table).where(table.c.card == str(card)))

    def all(self) -> tuple[OurVgpu, ...]:
        """The vGPUs that we made, in rising order of address."""
        with self._read() as link:
            found = [
                OurVgpu(
                    pci_address.PciAddress.parse(row.address),
                    row.type_id,
                    Origin(row.origin),
                    row.instance_uuid,
                    row.assignment,
                    row.since,
                    rows.identity(row.identity),
                )
                for row in rows.all_of(link, models.vgpus)
            ]
        return tuple(sorted(found, key=lambda vgpu: vgpu.address))

    def put(self, vgpu: OurVgpu) -> None:
        """Record one, in place of what stood at its address."""
        with self._write() as link:
            write(link, vgpu)

    def remove(self, address: pci_address.PciAddress, assignment: str) -> bool:
        """Forget one, if it is still this owner's.

        :returns: whether it was
        """
        with self._write() as link:
            return erase(link, address, assignment)


def write(link: sa.Connection, vgpu: OurVgpu) -> None:
    """Write the row of one, in place of what stood at its address."""
    table = models.vgpus
    link.execute(sa.delete(table).where(table.c.address == str(vgpu.address)))
    link.execute(
        sa.insert(table),
        {
            **dataclasses.asdict(vgpu),
            "address": str(vgpu.address),
            "origin": str(vgpu.origin),
            "identity": rows.identity_text(vgpu.identity),
        },
    )


def erase(
    link: sa.Connection, address: pci_address.PciAddress, assignment: str
) -> bool:
    """Take the row of one away, if it is still this owner's.

    :returns: whether it was
    """
    table = models.vgpus
    done = link.execute(
        sa.delete(table).where(
            table.c.address == str(address),
            table.c.assignment == assignment,
        )
    )
    return bool(done.rowcount)


def held(
    vgpus: ty.Iterable[OurVgpu],
    owners: ty.Mapping[pci_address.PciAddress, str],
    there: ty.Callable[[pci_address.PciAddress], function.PciFunction | None],
) -> dict[pci_address.PciAddress, str]:
    """The types that claims which stand have set, or are about to set. Pure.

    :param owners: the instance that has claimed a function, by address
    :param there: the function at an address
    """
    found = {}
    for vgpu in vgpus:
        seen = there(vgpu.address)
        if (
            vgpu.origin is Origin.CLAIM
            and vgpu.instance_uuid is not None
            and owners.get(vgpu.address) == vgpu.instance_uuid
            and not (
                seen is not None and vgpu.identity.is_another(seen.identity)
            )
        ):
            found[vgpu.address] = vgpu.type_id
    return found


def now() -> str:
    """The time for :attr:`OurVgpu.since`."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
