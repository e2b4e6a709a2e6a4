# SPDX-License-Identifier: Apache-2.0
"""Where the claim of each instance is in its life."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import typing as ty
import uuid

import sqlalchemy as sa

from nova_vfio_variant import exception
from nova_vfio_variant.tracker import device, models

Transaction = ty.Callable[[], contextlib.AbstractContextManager[sa.Connection]]

_TABLE = models.claims


@dataclasses.dataclass(frozen=True, slots=True)
class ClaimRecord:
    """The claim of an instance.

    :param instance_uuid: owner
    :param assignment: tells this claim from the instance's next
    :param state: where it is in its life
    :param asked: what was asked for, as JSON; None where an older version
        made it
    :param since: when it was made, in UTC, as ISO 8601 has it; empty where
        an older version made it
    """

    instance_uuid: str
    assignment: str
    state: device.ClaimState
    asked: str | None
    since: str


class ClaimRecords:
    """All of a store, each change on disk when the call returns.

    :param read: begins a transaction that reads
    :param write: begins a transaction that writes
    """

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def all(self) -> dict[str, ClaimRecord]:
        """All, by instance, in rising order."""
        question = sa.select(_TABLE).order_by(_TABLE.c.instance_uuid)
        with self._read() as link:
            found = [_record(row) for row in link.execute(question)]
        return {record.instance_uuid: record for record in found}

    def get(self, instance_uuid: str) -> ClaimRecord | None:
        """That of an instance, if it has one."""
        question = sa.select(_TABLE).where(_of(instance_uuid))
        with self._read() as link:
            row = link.execute(question).one_or_none()
            return None if row is None else _record(row)

    def begin(
        self, instance_uuid: str, asked: str | None, state: device.ClaimState
    ) -> ClaimRecord:
        """Record the claim of an instance that has none."""
        with self._write() as link:
            begin(link, instance_uuid, asked)
            move(link, instance_uuid, state)
        found = self.get(instance_uuid)
        assert found is not None
        return found

    def move(self, record: ClaimRecord, state: device.ClaimState) -> bool:
        """Let a claim be in another state.

        :returns: whether it is still the same claim; if not, nothing was
            changed
        """
        with self._write() as link:
            return move(link, record.instance_uuid, state, record.assignment)

    def end(self, instance_uuid: str) -> None:
        """Forget the claim of an instance, if it has nothing any more."""
        with self._write() as link:
            end(link, instance_uuid)


def begin(
    link: sa.Connection,
    instance_uuid: str,
    asked: str | None,
    assignment: str | None = None,
) -> None:
    """Record a claim, in a transaction that was begun.

    :param asked: what is asked for, as JSON; None if nobody knows
    :param assignment: None for a new one
    :raises ClaimError: it has one
    """
    # What a crash left of one that has nothing any more.
    end(link, instance_uuid)
    if link.execute(sa.select(_TABLE).where(_of(instance_uuid))).first():
        raise exception.ClaimError(
            f"instance {instance_uuid} has a claim already",
            f"nova-vfio claim show {instance_uuid}",
        )
    link.execute(
        sa.insert(_TABLE),
        {
            "instance_uuid": instance_uuid,
            "assignment": assignment or str(uuid.uuid4()),
            "state": str(device.ClaimState.CLAIMED),
            "asked": asked,
            "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        },
    )


def move(
    link: sa.Connection,
    instance_uuid: str,
    state: device.ClaimState,
    assignment: str | None = None,
) -> bool:
    """As :meth:`ClaimRecords.move`, in a transaction that was begun.

    :param assignment: None for whichever it is
    """
    which = _of(instance_uuid)
    if assignment is not None:
        which &= _TABLE.c.assignment == assignment
    moved = sa.update(_TABLE).where(which).values(state=str(state))
    return bool(link.execute(moved).rowcount)


def end(link: sa.Connection, instance_uuid: str) -> None:
    """As :meth:`ClaimRecords.end`, in a transaction that was begun."""
    nothing = [
        ~sa.exists().where(table.c.instance_uuid == instance_uuid)
        for table in (models.devices, models.mdevs)
    ]
    link.execute(sa.delete(_TABLE).where(_of(instance_uuid), *nothing))


def _of(instance_uuid: str) -> sa.ColumnElement[bool]:
    return _TABLE.c.instance_uuid == instance_uuid


def _record(row: sa.Row[ty.Any]) -> ClaimRecord:
    return ClaimRecord(
        row.instance_uuid,
        row.assignment,
        device.ClaimState(row.state),
        row.asked,
        row.since,
    )
