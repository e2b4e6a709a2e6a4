# SPDX-License-Identifier: Apache-2.0
"""Where the claim of each instance is in its life."""

from __future__ import annotations

import dataclasses
import json
import typing as ty
import uuid

import sqlalchemy as sa

from nova_vfio_variant import exception
from nova_vfio_variant.tracker import device, models, tables

_TABLE = models.claims
#: What the JSON of :attr:`ClaimRecord.asked` begins with where Nova claimed.
_ADOPTED: ty.Final = "adopted"


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
    :param adopted: where it mirrors a claim of Nova's, the kinds of the
        mediated devices that Nova made for it, by UUID; None for our own
    """

    instance_uuid: str
    assignment: str
    state: device.ClaimState
    asked: str | None
    since: str
    adopted: ty.Mapping[str, str] | None = None


class ClaimRecords(tables.Part):
    """All of a store."""

    def all(self, instance_uuid: str | None = None) -> dict[str, ClaimRecord]:
        """All, by instance, in rising order.

        :param instance_uuid: this one's alone
        """
        question = sa.select(_TABLE).order_by(_TABLE.c.instance_uuid)
        if instance_uuid is not None:
            question = question.where(_of(instance_uuid))
        with self._read() as link:
            found = [_record(row) for row in link.execute(question)]
        return {record.instance_uuid: record for record in found}

    def get(self, instance_uuid: str) -> ClaimRecord | None:
        """That of an instance, if it has one."""
        return self.all(instance_uuid).get(instance_uuid)

    def begin(
        self, instance_uuid: str, asked: str | None, state: device.ClaimState
    ) -> ClaimRecord:
        """Record the claim of an instance that has none."""
        with self._write() as link:
            begin(link, instance_uuid, asked, state=state)
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


def adopted(
    counts: ty.Iterable[tuple[str, int]], mdevs: ty.Mapping[str, str]
) -> str:
    """What a claim of Nova's asked for, as JSON.

    :param counts: how many functions of each resource class
    :param mdevs: kinds of mediated devices by UUID
    """
    asked = {_ADOPTED: mdevs, "counts": sorted(map(list, counts))}
    return json.dumps(asked, sort_keys=True)


def adopted_mdevs(records: ty.Iterable[ClaimRecord]) -> dict[str, str]:
    """The instance of each mediated device of claims of Nova's, by UUID."""
    return {
        mdev: record.instance_uuid
        for record in records
        for mdev in record.adopted or ()
    }


def begin(
    link: sa.Connection,
    instance_uuid: str,
    asked: str | None,
    assignment: str | None = None,
    state: device.ClaimState = device.ClaimState.CLAIMED,
) -> None:
    """Record a claim, in a transaction that was begun.

    :param asked: what is asked for, as JSON; None if nobody knows
    :param assignment: None for a new one
    :param state: in which it begins
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
            "state": str(state),
            "asked": asked,
            "since": tables.now(),
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


def end(
    link: sa.Connection, instance_uuid: str, *, adopted_too: bool = False
) -> None:
    """As :meth:`ClaimRecords.end`, in a transaction that was begun.

    :param adopted_too: also one of Nova's, whose mediated devices stand in
        itself
    """
    nothing = [
        ~sa.exists().where(table.c.instance_uuid == instance_uuid)
        for table in (models.devices, models.mdevs)
    ]
    if not adopted_too:
        asked = sa.func.coalesce(_TABLE.c.asked, "")
        nothing.append(~asked.startswith(f'{{"{_ADOPTED}"'))
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
        _adopted(row.asked),
    )


def _adopted(asked: str | None) -> dict[str, str] | None:
    found = json.loads(asked or "{}").get(_ADOPTED)
    if found is None:
        return None
    return {str(uuid): str(kind) for uuid, kind in found.items()}
