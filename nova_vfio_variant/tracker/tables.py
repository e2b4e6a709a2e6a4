# SPDX-License-Identifier: Apache-2.0
"""Tables whose rows are dataclasses, each column a field."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import rows

Transaction = ty.Callable[[], contextlib.AbstractContextManager[sa.Connection]]
#: Looks for the function at an address.
Look = ty.Callable[[pci_address.PciAddress], function.PciFunction | None]
#: What fields are made of columns, by their names.
Reads = ty.Mapping[str, ty.Callable[[ty.Any], object]]

_READS: ty.Final[Reads] = {
    "address": pci_address.PciAddress.parse,
    "card": pci_address.PciAddress.parse,
    "identity": rows.identity,
}


class Fields(ty.Protocol):
    """A dataclass."""

    __dataclass_fields__: ty.ClassVar[dict[str, ty.Any]]


class SaidOf(Fields, ty.Protocol):
    """What was said of a function."""

    @property
    def address(self) -> pci_address.PciAddress:
        """Where that stood."""


AnyFields = ty.TypeVar("AnyFields", bound=Fields)
AnySaid = ty.TypeVar("AnySaid", bound=SaidOf)


class Part:
    """What a store has of one kind, each change on disk when the call returns.

    :param read: begins a transaction that reads
    :param write: begins a transaction that writes
    """

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write


class OfFunctions(Part, ty.Generic[AnySaid]):
    """All that was said of functions in one table."""

    _table: sa.Table
    _kind: type[AnySaid]
    _reads: ty.ClassVar[Reads] = {}

    def all(self) -> tuple[AnySaid, ...]:
        """All, whatever stands at their addresses now.

        :returns: in rising order of address, and then of the table's key
        """
        with self._read() as link:
            return self._all(link)

    def _all(self, link: sa.Connection) -> tuple[AnySaid, ...]:
        found = read(link, self._table, self._kind, self._reads)
        return tuple(sorted(found, key=lambda said: said.address))

    def _put(self, said: AnySaid) -> None:
        with self._write() as link:
            put(link, self._table, said)

    def _erase(self, **which: object) -> int:
        with self._write() as link:
            return erase(link, self._table, **which)


def read(
    link: sa.Connection,
    table: sa.Table,
    kind: type[AnyFields],
    reads: Reads | None = None,
) -> list[AnyFields]:
    """What a table has, in the order of its keys.

    :param reads: what makes fields of columns, beside addresses and identities
    :raises ValueError: a row holds what we never wrote
    :raises TypeError: the same
    :raises AttributeError: the same
    """
    reads = {**_READS, **(reads or {})}
    names = table.columns.keys()
    return [
        kind(
            **{
                name: reads[name](value)
                if name in reads and value is not None
                else value
                for name, value in zip(names, row, strict=True)
            }
        )
        for row in rows.all_of(link, table)
    ]


def put(
    link: sa.Connection, table: sa.Table, said: Fields, **written: object
) -> None:
    """Write the row of a value, in place of what has its key.

    :param written: as for :func:`columns`
    """
    row = columns(said, **written)
    erase(
        link, table, **{key.name: row[key.name] for key in table.primary_key}
    )
    link.execute(sa.insert(table), row)


def columns(said: Fields, **written: object) -> dict[str, object]:
    """The row of a value.

    :param written: columns that aren't written as their fields are
    """
    fields = (field.name for field in dataclasses.fields(said))
    return {name: _written(getattr(said, name)) for name in fields} | written


def erase(link: sa.Connection, table: sa.Table, **which: object) -> int:
    """Take away the rows whose columns say this.

    :returns: how many there were
    """
    chosen = {name: _written(value) for name, value in which.items()}
    done = link.execute(sa.delete(table).filter_by(**chosen))
    return int(done.rowcount)


def now() -> str:
    """The time for a field ``since``."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _written(value: object) -> object:
    if isinstance(value, function.Identity):
        return rows.identity_text(value)
    if isinstance(value, pci_address.PciAddress | enum.StrEnum):
        return str(value)
    return value
