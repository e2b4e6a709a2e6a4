# SPDX-License-Identifier: Apache-2.0
"""Tracked devices as rows of the store, and back."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import models, properties

_TABLE = models.devices
_BY_ID = _TABLE.c.id == sa.bindparam("row_id")

#: So many addresses go into one question; SQLite takes 32,766 variables.
_SLICE = 500
SELECT = sa.select(_TABLE).order_by(_TABLE.c.id)
MARKS = sa.select(_TABLE.c.id, _TABLE.c.mark).order_by(_TABLE.c.id)
FREE = MARKS.where(_TABLE.c.status == tracked.Status.AVAILABLE)


def all_of(
    link: sa.Connection, table: sa.Table
) -> ty.Iterator[sa.Row[ty.Any]]:
    """The rows of a table, in the order of its keys.

    :raises TypeError: one holds what we never wrote
    """
    question = sa.select(table).order_by(*table.primary_key)
    for row in link.execute(question):
        _expect_types(table, row)
        yield row


@functools.cache
def _types(table: sa.Table) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """The columns of a table, with what each has in Python."""
    return tuple(
        (
            column.name,
            (column.type.python_type,) + (type(None),) * bool(column.nullable),
        )
        for column in table.columns
    )


def _expect_types(table: sa.Table, row: sa.Row[ty.Any]) -> None:
    """SQLite keeps anything in any column.

    :raises TypeError: the row holds what we never wrote
    """
    for value, (name, types) in zip(row, _types(table), strict=True):
        if not isinstance(value, types):
            raise TypeError(f"{name} is {value!r}")


def device(row: sa.Row[ty.Any]) -> tracked.Device:
    """The device of a row that :data:`SELECT` gave.

    :raises ValueError: the row holds what we never wrote
    :raises TypeError: the same
    :raises AttributeError: the same
    """
    _expect_types(_TABLE, row)
    parse = pci_address.PciAddress.parse
    pending = None if row.pending is None else dict(json.loads(row.pending))
    return tracked.Device(
        address=parse(row.address),
        vendor_id=row.vendor_id,
        product_id=row.product_id,
        dev_type=row.dev_type,
        numa_node=row.numa_node,
        parent_addr=None
        if row.parent_addr is None
        else parse(row.parent_addr),
        resource_class=row.resource_class,
        traits=tuple(json.loads(row.traits)),
        tags=dict(json.loads(row.tags)),
        status=tracked.Status(row.status),
        instance_uuid=row.instance_uuid,
        request_id=row.request_id,
        alias_name=row.alias_name,
        extra_info=dict(json.loads(row.extra_info)),
        pending=pending,
        identity=None if row.identity is None else identity(row.identity),
    )


def identity(text: str) -> function.Identity:
    """Which function it is, of what :func:`identity_text` gave.

    :raises ValueError: it is not what we write
    :raises TypeError: the same
    :raises AttributeError: the same
    """
    return function.Identity.of_data(json.loads(text))


def identity_text(identity: function.Identity) -> str:
    """Which function it is, as JSON, without what isn't known of it."""
    facts = dataclasses.asdict(identity)
    return json.dumps({k: v for k, v in facts.items() if v is not None})


def by_id(
    link: sa.Connection, question: sa.Select[ty.Any] = SELECT
) -> dict[int, sa.Row[ty.Any]]:
    """The rows that answer a question, by their id."""
    return {row[0]: row for row in link.execute(question)}


def some(
    link: sa.Connection, numbers: ty.Sequence[int]
) -> dict[int, sa.Row[ty.Any]]:
    """The rows of what is tracked at some addresses, by their id."""
    found: dict[int, sa.Row[ty.Any]] = {}
    for start in range(0, len(numbers), _SLICE):
        which = _TABLE.c.id.in_(numbers[start : start + _SLICE])
        found |= by_id(link, SELECT.where(which))
    return found


def owned(
    link: sa.Connection, instance_uuid: str | None
) -> ty.Iterable[sa.Row[ty.Any]]:
    """The rows of what an instance has; None for any instance."""
    owner = _TABLE.c.instance_uuid
    which = (
        owner.is_not(None) if instance_uuid is None else owner == instance_uuid
    )
    return link.execute(SELECT.where(which))


def families(
    link: sa.Connection,
    addresses: ty.Iterable[pci_address.PciAddress],
    *,
    siblings: bool,
) -> ty.Iterable[sa.Row[ty.Any]]:
    """The rows of some devices, of their PFs and of their VFs.

    :param siblings: the other VFs of their PFs, too
    """
    table = _TABLE.c
    heads: dict[str, None] = {}
    found: dict[int, sa.Row[ty.Any]] = {}
    for some in _slices(map(str, addresses)):
        which = table.address.in_(some) | table.parent_addr.in_(some)
        mine = by_id(link, SELECT.where(which))
        heads |= dict.fromkeys(
            row.parent_addr for row in mine.values() if row.parent_addr
        )
        found |= mine
    for some in _slices(heads):
        theirs = [table.address.in_(some)]
        if siblings:
            theirs.append(table.parent_addr.in_(some))
        found |= by_id(link, SELECT.where(sa.or_(*theirs)))
    return found.values()


def _slices(texts: ty.Iterable[str]) -> ty.Iterator[list[str]]:
    """No more than a database takes in one question."""
    texts = iter(texts)
    while some := list(itertools.islice(texts, _SLICE)):
        yield some


def insert(link: sa.Connection, devices: ty.Iterable[tracked.Device]) -> None:
    """Add a row for each device."""
    values = [
        {
            "id": tracked.number(tracked_device.address),
            **_values(tracked_device),
        }
        for tracked_device in devices
    ]
    if values:
        link.execute(sa.insert(_TABLE), values)


def update(link: sa.Connection, devices: ty.Iterable[tracked.Device]) -> None:
    """Write the rows of tracked devices anew."""
    values = [
        {
            "row_id": tracked.number(tracked_device.address),
            **_values(tracked_device),
        }
        for tracked_device in devices
    ]
    if values:
        link.execute(sa.update(_TABLE).where(_BY_ID), values)


def delete(link: sa.Connection, devices: ty.Iterable[tracked.Device]) -> None:
    """Take the rows of devices away."""
    values = [
        {"row_id": tracked.number(tracked_device.address)}
        for tracked_device in devices
    ]
    if values:
        link.execute(sa.delete(_TABLE).where(_BY_ID), values)


def write(link: sa.Connection, changes: ty.Collection[tracked.Device]) -> None:
    """Write what became of tracked devices, some of which are removed."""
    gone = tracked.Status.REMOVED
    update(link, [one for one in changes if one.status != gone])
    delete(link, [one for one in changes if one.status == gone])


def _values(tracked_device: tracked.Device) -> dict[str, ty.Any]:
    parent = tracked_device.parent_addr
    pending = (
        None
        if tracked_device.pending is None
        else json.dumps(dict(tracked_device.pending))
    )
    return {
        "mark": properties.mark(tracked_device),
        "address": str(tracked_device.address),
        "vendor_id": tracked_device.vendor_id,
        "product_id": tracked_device.product_id,
        "dev_type": tracked_device.dev_type,
        "numa_node": tracked_device.numa_node,
        "parent_addr": None if parent is None else str(parent),
        "resource_class": tracked_device.resource_class,
        "traits": json.dumps(tracked_device.traits),
        "tags": json.dumps(dict(tracked_device.tags)),
        "status": str(tracked_device.status),
        "instance_uuid": tracked_device.instance_uuid,
        "request_id": tracked_device.request_id,
        "alias_name": tracked_device.alias_name,
        "extra_info": json.dumps(dict(tracked_device.extra_info)),
        "pending": pending,
        "identity": None
        if tracked_device.identity is None
        else identity_text(tracked_device.identity),
    }
