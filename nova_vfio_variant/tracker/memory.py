# SPDX-License-Identifier: Apache-2.0
"""What the store remembers of the resource providers that we made."""

from __future__ import annotations

import dataclasses
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.tracker import models, rows, share, tables


@dataclasses.dataclass(frozen=True, slots=True)
class Remembered:
    """One provider of ours.

    :param uuid: the UUID that we gave it
    :param generation: when its fingerprint was true
    :param fingerprint: of what it then had
    """

    uuid: str
    generation: int | None
    fingerprint: str | None


class StoredProviderMemory(tables.Part):
    """Providers of ours by name, each change on disk when the call returns.

    All are read at once, when the first is asked for: hold the lock of the
    state path from then on.
    """

    def __init__(
        self, read: tables.Transaction, write: tables.Transaction
    ) -> None:
        super().__init__(read, write)
        self._known: dict[str, Remembered] | None = None
        self._shares: dict[str, dict[str, share.Share]] | None = None

    def get(self, name: str) -> Remembered | None:
        """The provider with this name, or None."""
        return self._all().get(name)

    def names(self) -> tuple[str, ...]:
        """The names of all that are remembered, sorted."""
        return tuple(sorted(self._all()))

    def put(
        self,
        name: str,
        uuid: str,
        generation: int | None,
        fingerprint: str | None,
    ) -> None:
        """Remember a provider, in place of what was known of it."""
        remembered = Remembered(uuid, generation, fingerprint)
        known = self._all()
        if known.get(name) == remembered:
            return
        table = models.providers
        with self._write() as connection:
            connection.execute(sa.delete(table).where(table.c.name == name))
            connection.execute(
                sa.insert(table),
                {"name": name, **dataclasses.asdict(remembered)},
            )
        known[name] = remembered

    def forget(self, name: str) -> None:
        """Forget a provider, if it is remembered."""
        known = self._all()
        if name not in known:
            return
        table = models.providers
        reserved = models.reserved
        with self._write() as connection:
            connection.execute(sa.delete(table).where(table.c.name == name))
            connection.execute(
                sa.delete(reserved).where(reserved.c.provider == name)
            )
        del known[name]
        self._reserved().pop(name, None)

    def shares(self, name: str) -> share.Shares:
        """What of a provider's inventories we reserved, by class."""
        return self._reserved().get(name, {})

    def put_shares(self, name: str, shares: share.Shares) -> None:
        """Remember that, in place of what was known; forgotten with it."""
        known = self._reserved()
        if known.get(name, {}) == shares:
            return
        table = models.reserved
        with self._write() as connection:
            connection.execute(
                sa.delete(table).where(table.c.provider == name)
            )
            for resource_class, part in shares.items():
                connection.execute(
                    sa.insert(table), _row(name, resource_class, part)
                )
        known[name] = dict(shares)

    def _reserved(self) -> dict[str, dict[str, share.Share]]:
        if self._shares is None:
            self._shares = {}
            with self._read() as connection:
                for row in rows.all_of(connection, models.reserved):
                    of_it = self._shares.setdefault(row.provider, {})
                    of_it[row.resource_class] = _share(row)
        return self._shares

    def _all(self) -> dict[str, Remembered]:
        if self._known is None:
            table = models.providers
            with self._read() as connection:
                self._known = {
                    row.name: Remembered(
                        row.uuid, row.generation, row.fingerprint
                    )
                    for row in rows.all_of(connection, table)
                }
        return self._known


def _share(row: sa.Row[ty.Any]) -> share.Share:
    if row.intended is None:
        return share.Share(row.units)
    return share.Share(
        row.units,
        share.Write(row.intended, row.generation, row.before, row.after),
    )


def _row(
    name: str, resource_class: str, part: share.Share
) -> dict[str, ty.Any]:
    write = part.write
    return {
        "provider": name,
        "resource_class": resource_class,
        "units": part.units,
        "intended": None if write is None else write.units,
        "generation": None if write is None else write.generation,
        "before": None if write is None else write.before,
        "after": None if write is None else write.after,
    }
