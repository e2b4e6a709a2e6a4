# SPDX-License-Identifier: Apache-2.0
"""What the store remembers of the resource providers that we made."""

import contextlib
import dataclasses
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.tracker import models

Transaction = ty.Callable[[], contextlib.AbstractContextManager[sa.Connection]]


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


class ProviderMemory:
    """Providers of ours by name, each change on disk when the call returns.

    All are read at once, when the first is asked for: hold the lock of the
    state path from then on.

    :param read: begins a transaction that reads
    :param write: begins a transaction that writes
    """

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write
        self._known: dict[str, Remembered] | None = None

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
        one = Remembered(uuid, generation, fingerprint)
        known = self._all()
        if known.get(name) == one:
            return
        table = models.providers
        with self._write() as connection:
            connection.execute(sa.delete(table).where(table.c.name == name))
            connection.execute(
                sa.insert(table), {"name": name, **dataclasses.asdict(one)}
            )
        known[name] = one

    def forget(self, name: str) -> None:
        """Forget a provider, if it is remembered."""
        known = self._all()
        if name not in known:
            return
        table = models.providers
        with self._write() as connection:
            connection.execute(sa.delete(table).where(table.c.name == name))
        del known[name]

    def _all(self) -> dict[str, Remembered]:
        if self._known is None:
            table = models.providers
            with self._read() as connection:
                self._known = {
                    row.name: Remembered(
                        row.uuid, row.generation, row.fingerprint
                    )
                    for row in connection.execute(sa.select(table))
                }
        return self._known
