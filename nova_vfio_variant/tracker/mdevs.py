# SPDX-License-Identifier: Apache-2.0
"""The mediated devices that we made."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.tracker import claim_records, models, rows

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import function

Transaction = ty.Callable[[], contextlib.AbstractContextManager[sa.Connection]]


@dataclasses.dataclass(frozen=True, slots=True)
class OurMdev:
    """A mediated device that we made, or are about to make.

    :param uuid: in lower case
    :param kind: ``PARENT/TYPE``
    :param instance_uuid: whose it is; None for nobody's
    :param assignment: tells one owner of the UUID from the next: a stable
        UUID comes back; empty while it is taken away, for nobody is to have
        it again
    :param since: when, in UTC, as ISO 8601 has it
    :param attributes: each ``NAME=VALUE``, in the order in which they are
        written
    :param identity: which function its parent was; None for what is none
    """

    uuid: str
    kind: str
    instance_uuid: str | None
    assignment: str
    since: str
    attributes: tuple[str, ...] = ()
    identity: function.Identity | None = None

    @property
    def goes(self) -> bool:
        """Whether it is being taken away."""
        return not self.assignment


class OurMdevs:
    """All of a store, each change on disk when the call returns.

    :param read: begins a transaction that reads
    :param write: begins a transaction that writes
    """

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def all(self) -> dict[str, OurMdev]:
        """All that we made, by UUID, in rising order."""
        with self._read() as link:
            found = [_mdev(row) for row in rows.all_of(link, models.mdevs)]
        return {made.uuid: made for made in found}

    def of(self, instance_uuid: str) -> tuple[OurMdev, ...]:
        """Those of an instance, in rising order of their UUIDs."""
        return tuple(
            made
            for made in self.all().values()
            if made.instance_uuid == instance_uuid
        )

    def put(self, made: OurMdev) -> None:
        """Record one, in place of what stood at its UUID."""
        with self._write() as link:
            write(link, made)

    def remove(self, uuid: str, assignment: str) -> bool:
        """Forget one, if it is still this owner's.

        :returns: whether it was
        """
        table = models.mdevs
        this = (table.c.uuid == uuid) & (table.c.assignment == assignment)
        with self._write() as link:
            owner = link.scalar(sa.select(table.c.instance_uuid).where(this))
            done = link.execute(sa.delete(table).where(this))
            if owner is not None:
                claim_records.end(link, owner)
        return bool(done.rowcount)


def _mdev(row: sa.Row[ty.Any]) -> OurMdev:
    """The device of a row.

    :raises ValueError: the row holds what we never wrote
    :raises TypeError: the same
    """
    mdev_names.parse_kind(row.kind)
    if not mdev_names.is_uuid(row.uuid):
        raise ValueError(f"{row.uuid!r} is no UUID")
    attributes = json.loads(row.attributes)
    if not isinstance(attributes, list):
        raise TypeError(f"{row.attributes!r} is no list")
    for attribute in attributes:
        mdev_names.parse_attribute(attribute)
    return OurMdev(
        row.uuid,
        row.kind,
        row.instance_uuid,
        row.assignment,
        row.since,
        tuple(attributes),
        None if row.identity is None else rows.identity(row.identity),
    )


def write(link: sa.Connection, made: OurMdev) -> None:
    """As :meth:`OurMdevs.put`, in a transaction that was begun."""
    table = models.mdevs
    link.execute(sa.delete(table).where(table.c.uuid == made.uuid))
    link.execute(
        sa.insert(table),
        {
            **dataclasses.asdict(made),
            "attributes": json.dumps(made.attributes),
            "identity": None
            if made.identity is None
            else rows.identity_text(made.identity),
        },
    )


def now() -> str:
    """The time for :attr:`OurMdev.since`."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
