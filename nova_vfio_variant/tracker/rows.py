# SPDX-License-Identifier: Apache-2.0
"""A tracked device as a row of the store, and back."""

from __future__ import annotations

import dataclasses
import json
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import models, properties

_TABLE = models.devices
_BY_ID = _TABLE.c.id == sa.bindparam("row_id")

SELECT = sa.select(_TABLE).order_by(_TABLE.c.id)
MARKS = sa.select(_TABLE.c.id, _TABLE.c.mark).order_by(_TABLE.c.id)


def device(row: sa.Row[ty.Any]) -> tracked.Device:
    """The device of a row that :data:`SELECT` gave.

    :raises ValueError: the row holds what we never wrote
    :raises TypeError: the same
    :raises AttributeError: the same
    """
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
    """
    return function.Identity(**json.loads(text))


def identity_text(one: function.Identity) -> str:
    """Which function it is, as JSON, without what isn't known of it."""
    facts = dataclasses.asdict(one)
    return json.dumps({k: v for k, v in facts.items() if v is not None})


def insert(link: sa.Connection, devices: ty.Iterable[tracked.Device]) -> None:
    """Add a row for each device."""
    values = [
        {"id": tracked.number(one.address), **_values(one)} for one in devices
    ]
    if values:
        link.execute(sa.insert(_TABLE), values)


def update(link: sa.Connection, devices: ty.Iterable[tracked.Device]) -> None:
    """Write the rows of tracked devices anew."""
    values = [
        {"row_id": tracked.number(one.address), **_values(one)}
        for one in devices
    ]
    if values:
        link.execute(sa.update(_TABLE).where(_BY_ID), values)


def delete(link: sa.Connection, devices: ty.Iterable[tracked.Device]) -> None:
    """Take the rows of devices away."""
    values = [{"row_id": tracked.number(one.address)} for one in devices]
    if values:
        link.execute(sa.delete(_TABLE).where(_BY_ID), values)


def _values(one: tracked.Device) -> dict[str, ty.Any]:
    parent = one.parent_addr
    pending = None if one.pending is None else json.dumps(dict(one.pending))
    return {
        "mark": properties.mark(one),
        "address": str(one.address),
        "vendor_id": one.vendor_id,
        "product_id": one.product_id,
        "dev_type": one.dev_type,
        "numa_node": one.numa_node,
        "parent_addr": None if parent is None else str(parent),
        "resource_class": one.resource_class,
        "traits": json.dumps(one.traits),
        "tags": json.dumps(dict(one.tags)),
        "status": str(one.status),
        "instance_uuid": one.instance_uuid,
        "request_id": one.request_id,
        "alias_name": one.alias_name,
        "extra_info": json.dumps(dict(one.extra_info)),
        "pending": pending,
        "identity": None
        if one.identity is None
        else identity_text(one.identity),
    }
