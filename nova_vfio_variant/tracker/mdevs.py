# SPDX-License-Identifier: Apache-2.0
"""The mediated devices that we made."""

from __future__ import annotations

import dataclasses
import json
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.tracker import claim_records, models, tables

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import function


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


class OurMdevs(tables.Part):
    """All of a store."""

    def all(self) -> dict[str, OurMdev]:
        """All that we made, by UUID, in rising order."""
        with self._read() as link:
            found = tables.read(link, models.mdevs, OurMdev, _READS)
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
        this = {"uuid": uuid, "assignment": assignment}
        owner = sa.select(table.c.instance_uuid).filter_by(**this)
        with self._write() as link:
            instance_uuid = link.scalar(owner)
            done = tables.erase(link, table, **this)
            if instance_uuid is not None:
                claim_records.end(link, instance_uuid)
        return bool(done)


def write(link: sa.Connection, made: OurMdev) -> None:
    """Record one, in place of what stood at its UUID."""
    tables.put(
        link, models.mdevs, made, attributes=json.dumps(made.attributes)
    )


def _uuid(text: str) -> str:
    if not mdev_names.is_uuid(text):
        raise ValueError(f"{text!r} is no UUID")
    return text


def _kind(text: str) -> str:
    mdev_names.parse_kind(text)
    return text


def _attributes(text: str) -> tuple[str, ...]:
    attributes = json.loads(text)
    if not isinstance(attributes, list):
        raise TypeError(f"{text!r} is no list")
    for attribute in attributes:
        mdev_names.parse_attribute(attribute)
    return tuple(attributes)


#: Each raises ValueError or TypeError of what we never wrote.
_READS: ty.Final[tables.Reads] = {
    "uuid": _uuid,
    "kind": _kind,
    "attributes": _attributes,
}
