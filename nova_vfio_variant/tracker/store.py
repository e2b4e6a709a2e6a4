# SPDX-License-Identifier: Apache-2.0
"""What is recorded: devices, who has them, and what we know of Placement.

Every change is one transaction, on disk when the call returns. Each begins by
counting up the store's generation, so writers queue at that row, on every
database, and read what the one before them wrote.
"""

from __future__ import annotations

import contextlib
import functools
import typing as ty
import uuid

import sqlalchemy as sa

from nova_vfio_variant import exception, own_files
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import (
    claim_records,
    family,
    mdevs,
    models,
    parts,
    properties,
    quarantine,
    rows,
    schema,
    tables,
    vgpus,
)
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import alias as pci_alias
    from nova_vfio_variant.tracker import sync

_COUNT = sa.update(models.generation).values(
    value=models.generation.c.value + 1
)
_META = models.meta
_GENERATION = sa.select(models.generation.c.value)


class Store(parts.Parts):
    """The open store: a context manager, or close it.

    :param engine: a database with our tables
    :param place: what an error names: the SQLite file, or the URL
    :param group: who may share the file's folder
    """

    # Longer than 250 lines: each method is one transaction, and here one sees
    # all there are.

    def __init__(
        self, engine: sa.Engine, place: schema.Place, group: int | None = None
    ) -> None:
        self._engine, self._place, self._group = engine, place, group

    @classmethod
    def open(
        cls,
        state_path: own_files.Given,
        connection: str | None = None,
        *,
        read_only: bool = False,
    ) -> Store:
        """Open the store, and make it if there is none.

        :param state_path: folder of the SQLite file
        :param connection: of another database (``[database] connection``)
        :param read_only: make nothing; what isn't there is empty
        :raises StoreVersionError: a newer version made it; it is untouched
        :raises StoreCorruptError: it is damaged; it was kept aside
        :raises StoreError: it can't be read, written or trusted
        """
        state = own_files.place(state_path)
        found = schema.open_engine(state, connection, read_only=read_only)
        return cls(*found, state.group)

    def __enter__(self) -> ty.Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        if (link := self.__dict__.pop("_link", None)) is not None:
            link.close()
        self._engine.dispose()

    def devices(self) -> tracked.Devices:
        """All tracked devices."""
        return self._some(rows.by_id)

    def at(
        self, addresses: ty.Iterable[pci_address.PciAddress]
    ) -> tracked.Devices:
        """The tracked devices among some addresses."""
        numbers = sorted(map(tracked.number, addresses))
        return self._some(lambda link: rows.some(link, numbers))

    def owned(self, instance_uuid: str) -> tracked.Devices:
        """The tracked devices that an instance has."""
        return self._some(
            lambda link: {
                row.id: row for row in rows.owned(link, instance_uuid)
            }
        )

    def taken_first(self, count: int) -> tuple[tracked.Device, ...]:
        """The free devices that Nova's order takes first, rising.

        :param count: how many of each pool
        """
        with self._read() as link:
            marks = link.execute(rows.FREE).all()
            found = rows.some(link, properties.taken_first(marks, count))
        return tuple(_devices(self._place, found.values()))

    def _some(
        self,
        read: ty.Callable[[sa.Connection], dict[int, sa.Row[ty.Any]]],
    ) -> tracked.Devices:
        with self._read() as link:
            generation = link.scalars(_GENERATION).one()
            found = read(link)
        return tracked.Devices(
            {number: found[number].mark for number in sorted(found)},
            lambda number: _device(self._place, found[number]),
            generation,
        )

    def recorded(self) -> tracked.Devices:
        """All tracked devices, for a sync, which mostly needs their marks.

        The rest is read when the first device is looked at. Hold the lock of
        the state path until then.
        """
        with self._read() as link:
            # In this order: what is written in between makes the plan that
            # is decided on it stale, and apply() sees that.
            generation = link.scalars(_GENERATION).one()
            marks = {row[0]: row[1] for row in link.execute(rows.MARKS)}

        @functools.cache
        def load() -> dict[int, sa.Row[ty.Any]]:
            with self._read() as link:
                _expect(link, generation, self._place, "its devices were read")
                return rows.by_id(link)

        return tracked.Devices(
            marks,
            lambda number: _device(self._place, load()[number]),
            generation,
        )

    def apply(self, plan: sync.SyncPlan) -> None:
        """Make the store what a sync decided.

        :raises StoreError: somebody wrote since the plan's devices were read
        """
        if not plan:
            return
        with self._write() as link:
            now = plan.generation + 1
            _expect(link, now, self._place, "a sync was decided")
            rows.insert(link, plan.added)
            rows.update(link, (*plan.updated, *plan.kept))
            rows.delete(link, plan.removed)

    def claims(
        self, instance_uuid: str | None = None
    ) -> tuple[tracked.Claim, ...]:
        """Who has what, by instance and then by address.

        :param instance_uuid: None for all
        """
        with self._read() as link:
            found = rows.owned(link, instance_uuid)
            return tracked.claims_of(_devices(self._place, found))

    def claim(
        self,
        instance_uuid: str,
        taken: ty.Iterable[
            tuple[pci_alias.PciRequest, ty.Iterable[tracked.Device]]
        ],
        boot: str | None = None,
        made: ty.Iterable[vgpus.OurVgpu] = (),
        mediated: ty.Iterable[mdevs.OurMdev] = (),
        asked: str | None = None,
        assignment: str | None = None,
        state: tracked.ClaimState = tracked.ClaimState.CLAIMED,
        *,
        anew: bool = False,
    ) -> tuple[tracked.Claim, ...]:
        """Reserve devices for an instance: all of them, or none.

        :param taken: each request and the devices that satisfy it
        :param boot: of the host, whose quarantines count; None for all
        :param made: the vGPUs that are to be made of some of them
        :param mediated: the mediated devices that are to be made beside them
        :param asked: what is asked for, as JSON
        :param assignment: tells this claim from the next; None for a new one
        :param state: in which it begins
        :param anew: in place of what the instance has
        :raises DeviceNotFound: a device is no longer tracked
        :raises InvalidDeviceStatus: a device, or its family, is in use, or
            the device is quarantined
        :raises ClaimError: the instance has a claim already
        """
        wanted = [
            (request.alias_name, [device.address for device in devices])
            for request, devices in taken
        ]
        everything = [one for _, places in wanted for one in places]
        with self._write() as link:
            if anew:
                self._free(link, instance_uuid)
            quarantine.refuse(link, everything, boot)
            claim_records.begin(link, instance_uuid, asked, assignment, state)
            families = self._families(link, everything)
            for alias_name, places in wanted:
                request = str(uuid.uuid4())
                for place in places:
                    families.claim(place, instance_uuid, request, alias_name)
                    if state is not tracked.ClaimState.CLAIMED:
                        families.allocate(place, instance_uuid)
            rows.write(link, families.changes())
            for vgpu in made:
                tables.put(link, models.vgpus, vgpu)
            for one in mediated:
                mdevs.write(link, one)
        return tracked.claims_of(
            families[place] for place in sorted(everything)
        )

    def allocate(self, instance_uuid: str) -> tuple[tracked.Claim, ...]:
        """Turn what an instance claimed into what it has; returns all."""
        with self._write() as link:
            claim_records.move(
                link, instance_uuid, tracked.ClaimState.PREPARED
            )
            owned, families = self._owned(link, instance_uuid)
            for one in owned:
                if one.status == tracked.Status.CLAIMED:
                    families.allocate(one.address, instance_uuid)
            rows.write(link, families.changes())
        return tracked.claims_of(families[one.address] for one in owned)

    def free(
        self, instance_uuid: str, gone: ty.Iterable[vgpus.OurVgpu] = ()
    ) -> tuple[tracked.Claim, ...]:
        """Take back all that an instance has. What waited is applied.

        :param gone: the vGPUs that are no more what was made for it
        :returns: what it had; nothing if it had nothing
        """
        with self._write() as link:
            owned = self._free(link, instance_uuid)
            for vgpu in gone:
                vgpus.erase(link, vgpu)
        return tracked.claims_of(owned)

    def _free(
        self, link: sa.Connection, instance_uuid: str
    ) -> list[tracked.Device]:
        owned, families = self._owned(link, instance_uuid, siblings=True)
        for one in owned:
            families.free(one.address, instance_uuid)
        rows.write(link, families.changes())
        claim_records.end(link, instance_uuid, adopted_too=True)
        return owned

    def meta(self, name: str) -> str | None:
        """A fact about the store as a whole, None if it isn't known."""
        with self._read() as link:
            return link.scalar(
                sa.select(_META.c.value).where(_META.c.name == name)
            )

    def set_meta(self, name: str, value: str) -> None:
        """Record such a fact, in place of the one with this name."""
        with self._write() as link:
            link.execute(sa.delete(_META).where(_META.c.name == name))
            link.execute(sa.insert(_META), {"name": name, "value": value})

    def quarantined(
        self, boot: str | None = None
    ) -> dict[pci_address.PciAddress, str]:
        """The functions that nobody gets, and why.

        :param boot: of which boot of the host; None for all
        """
        with self._read() as link:
            return quarantine.read(link, boot)

    def quarantine(
        self, address: pci_address.PciAddress, reason: str | None, boot: str
    ) -> None:
        """Let nobody have a function from now on, tracked or not.

        Who has it keeps it.

        :param reason: None ends its quarantine
        :param boot: the boot of the host that this comes of
        """
        with self._write() as link:
            quarantine.put(link, address, reason, boot)

    def end_quarantines(self, boot: str) -> tuple[pci_address.PciAddress, ...]:
        """End those of other boots: what hung then hangs no longer.

        :param boot: the boot of the host that is now
        :returns: the functions that were quarantined
        """
        now = self.quarantined(boot)
        ended = tuple(one for one in self.quarantined() if one not in now)
        if ended:
            with self._write() as link:
                quarantine.end(link, boot)
        return ended

    @functools.cached_property
    def _link(self) -> sa.Connection:
        """One connection for all: closing the last one costs a checkpoint."""
        return self._engine.connect()

    @contextlib.contextmanager
    def _read(self) -> ty.Iterator[sa.Connection]:
        with (
            schema.as_written(self._place, "a row"),
            schema.explained(self._place, self._group),
            self._link.begin(),
        ):
            yield self._link

    @contextlib.contextmanager
    def _write(self) -> ty.Iterator[sa.Connection]:
        with schema.explained(self._place, self._group), self._link.begin():
            self._link.execute(_COUNT)
            yield self._link

    def _owned(
        self,
        link: sa.Connection,
        instance_uuid: str,
        *,
        siblings: bool = False,
    ) -> tuple[list[tracked.Device], family.Families]:
        """What an instance has, with what :meth:`_families` adds."""
        owned = _devices(self._place, rows.owned(link, instance_uuid))
        mine = [one.address for one in owned]
        return owned, self._families(link, mine, siblings=siblings)

    def _families(
        self,
        link: sa.Connection,
        devices: ty.Iterable[pci_address.PciAddress],
        *,
        siblings: bool = False,
    ) -> family.Families:
        """Some devices with theirs, as :func:`rows.families` has it."""
        found = rows.families(link, devices, siblings=siblings)
        return family.Families(_devices(self._place, found))


def _expect(
    link: sa.Connection, generation: int, place: schema.Place, what: str
) -> None:
    """See that nobody wrote since this generation.

    :raises StoreError: somebody did
    """
    if link.scalar(_GENERATION) != generation:
        raise exception.StoreError(
            f"the state database {place} changed while {what}",
            "run it again",
        )


def _devices(
    place: schema.Place, found: ty.Iterable[sa.Row[ty.Any]]
) -> list[tracked.Device]:
    return [_device(place, row) for row in found]


def _device(place: schema.Place, row: sa.Row[ty.Any]) -> tracked.Device:
    with schema.as_written(place, f"device {row.address}"):
        return rows.device(row)
