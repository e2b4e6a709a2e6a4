# SPDX-License-Identifier: Apache-2.0
"""What is different between two looks at a host: ``host diff``."""

from __future__ import annotations

import dataclasses
import enum
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host.decide import renumbering
from nova_vfio_variant.host.observe import host_scan, marks

if ty.TYPE_CHECKING:
    from nova_vfio_variant.conf import located
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function

#: What is compared of a function that is there in both.
FIELDS: ty.Final = (
    "driver",
    "iommu_group",
    "numa_node",
    "sriov_totalvfs",
    "sriov_numvfs",
)

_Entries = dict["pci_address.PciAddress", tuple[str | None, str | None]]


class Change(enum.StrEnum):
    """What became of a function."""

    GONE = "gone"
    CAME = "came"
    MOVED = "moved"
    CHANGED = "changed"


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs.

    :param change: what became of the function
    :param address: where it was; None if it came
    :param new_address: where it is; None if it is gone
    :param device: vendor and product id
    :param field: what differs of it; None if it is gone or came
    :param old: what that was
    :param new: what it is
    :param basis: why it is taken for the same, if it moved
    """

    change: Change
    address: str | None
    new_address: str | None
    device: str
    field: str | None = None
    old: str | int | None = None
    new: str | int | None = None
    basis: str | None = None


def differences(
    old: host_scan.HostScan,
    new: host_scan.HostScan,
    conf: located.Config | None = None,
) -> tuple[Difference, ...]:
    """What differs, in order of the old addresses; what came is last.

    :param conf: whose entries are asked which function they name; None to
        leave them out
    :raises ConfigError: an entry can't be used
    """
    found = renumbering.renumbering(
        old.functions, new.functions, marks.of(old), marks.of(new)
    )
    before, after = _entries(conf, old), _entries(conf, new)
    rows: list[tuple[pci_address.PciAddress, Difference]] = []
    for pair in found.pairs:
        rows += [
            (pair.old.address, row) for row in _of_pair(pair, before, after)
        ]
    for seen in found.gone:
        rows += [
            (seen.address, row)
            for row in _of_one(Change.GONE, seen, before.get(seen.address))
        ]
    rows.sort(key=lambda item: item[0])
    came = [
        row
        for seen in found.came
        for row in _of_one(Change.CAME, seen, after.get(seen.address))
    ]
    return (*(row for _, row in rows), *came)


def _of_pair(
    pair: renumbering.Pair, before: _Entries, after: _Entries
) -> ty.Iterator[Difference]:
    old, new = pair.old, pair.new
    there = str(old.address), str(new.address), _ids(new)
    basis = None
    if old.address != new.address:
        basis = str(pair.basis)
        yield Difference(
            Change.MOVED, *there, "address", there[0], there[1], basis
        )
    values = [
        (name, getattr(old, name), getattr(new, name)) for name in FIELDS
    ]
    none = (None, None)
    values += zip(
        ("device_spec", "host_spec"),
        before.get(old.address, none),
        after.get(new.address, none),
        strict=True,
    )
    for name, was, now in values:
        if was != now:
            yield Difference(Change.CHANGED, *there, name, was, now, basis)


def _of_one(
    change: Change,
    seen: function.PciFunction,
    entries: tuple[str | None, str | None] | None,
) -> ty.Iterator[Difference]:
    """What is there on one side alone, and which entries name it."""
    is_gone = change is Change.GONE
    was, now = (str(seen.address), None)[:: 1 if is_gone else -1]
    yield Difference(change, was, now, _ids(seen))
    for name, place in zip(
        ("device_spec", "host_spec"), entries or (), strict=False
    ):
        if place is not None:
            old, new = (place, None)[:: 1 if is_gone else -1]
            yield Difference(change, was, now, _ids(seen), name, old, new)


def _entries(
    conf: located.Config | None, scan: host_scan.HostScan
) -> _Entries:
    """Which entries name a function: of device_spec the one that wins.

    :raises ConfigError: one can't be used
    """
    if conf is None:
        return {}
    from nova_vfio_variant.declaration import gathering
    from nova_vfio_variant.host.decide import host_spec

    given = gathering.gather(conf, lambda: scan)
    specs, problems = host_spec.parse_host_specs(given.host_specs)
    errors = tuple(
        problem
        for problem in (*given.findings, *problems)
        if problem.severity is finding.Severity.ERROR
    )
    if errors:
        raise exception.ConfigError(
            "the configuration has errors: which functions its entries name"
            " can't be said",
            "'nova-vfio config check --offline' shows warnings as well",
            errors,
        )
    found = {}
    for seen in given.functions:
        winner = given.spec_of.get(seen.address)
        chosen = [str(spec.location) for spec in specs if spec.selects(seen)]
        found[seen.address] = (
            None if winner is None else str(winner.location),
            ", ".join(chosen) or None,
        )
    return found


def _ids(seen: function.PciFunction) -> str:
    return f"{seen.vendor_id}:{seen.product_id}"
