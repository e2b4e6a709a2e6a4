# SPDX-License-Identifier: Apache-2.0
"""Rules about entries of device_spec that are after the same devices.

On a host it is asked which devices each entry matches; without one, only
what the text alone proves is told.
"""

from __future__ import annotations

import itertools
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.pci import pattern
from nova_vfio_variant.pci import spec as pci_spec

_Criteria = tuple[ty.Any, ...]
_Asked = tuple[str | None, str | None, tuple[str | None, ...] | None]


def overlapping(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Entries that lose all or some of their devices to an earlier one."""
    twins: dict[_Criteria, pci_spec.DeviceSpec] = {}
    wide: dict[_Asked, pci_spec.DeviceSpec] = {}
    places = {entry.index: entry for entry in given.specs}
    for number, spec in enumerate(given.specs):
        twin = twins.setdefault(_criteria(spec), spec)
        if twin is not spec:
            yield facts.on_spec(
                codes.DUPLICATE_SPEC,
                f"this entry matches exactly what that of {twin.location}"
                " matches, which comes first and wins",
                spec,
            )
        elif given.scan is None:
            yield from _by_text(spec, wide)
        else:
            yield from _by_host(given, number, spec, places)
        if not (spec.devname or spec.tags.get("remote_managed")):
            wide.setdefault(_asked(spec), spec)


def _by_text(
    spec: pci_spec.DeviceSpec, wide: ty.Mapping[_Asked, pci_spec.DeviceSpec]
) -> ty.Iterator[finding.Finding]:
    """Whether the text proves that an earlier one matches all of it."""
    covering = [wide[key] for key in _wider(spec) if key in wide]
    if covering:
        first = min(covering, key=lambda entry: entry.index)
        yield facts.on_spec(
            codes.SHADOWED,
            f"the entry of {first.location} comes first and takes all that"
            " this one matches",
            spec,
        )


def _by_host(
    given: facts.CheckInput,
    number: int,
    spec: pci_spec.DeviceSpec,
    by_index: ty.Mapping[int, pci_spec.DeviceSpec],
) -> ty.Iterator[finding.Finding]:
    mine = given.matched[number]
    won = {seen.address for seen in given.by_spec.get(spec.index, ())}
    lost = mine - won
    if not lost:
        return
    winners = sorted({given.spec_of[at].index for at in lost})
    places = ", ".join(str(by_index[index].location) for index in winners)
    those = (
        f"the entry of {places}, which comes first"
        if len(winners) == 1
        else f"the entries of {places}, which come first"
    )
    if won:
        yield facts.on_spec(
            codes.PARTLY_SHADOWED,
            f"{len(lost)} of the {len(mine)} devices that match go to"
            f" {those}: {facts.listed(lost)}",
            spec,
        )
    else:
        yield facts.on_spec(
            codes.SHADOWED,
            f"all {len(mine)} devices that match go to {those}"
            if len(mine) > 1
            else f"the one device that matches, {facts.listed(mine)}, goes"
            f" to {those}",
            spec,
        )


def _criteria(spec: pci_spec.DeviceSpec) -> _Criteria:
    """What an entry asks for, tags left aside."""
    return (
        spec.vendor_id,
        spec.product_id,
        spec.devname,
        spec.address or pattern.GlobPattern(),
        repr(spec.tags.get("remote_managed")),
    )


def _asked(spec: pci_spec.DeviceSpec) -> _Asked:
    """The ids and each field of the address; no fields for no address."""
    if spec.address is None:
        return spec.vendor_id, spec.product_id, None
    return (
        spec.vendor_id,
        spec.product_id,
        tuple(map(spec.address.wanted, pattern.FIELDS)),
    )


def _wider(spec: pci_spec.DeviceSpec) -> ty.Iterator[_Asked]:
    """All that an entry could ask for and match whatever this one does."""
    if spec.devname:
        return
    _, _, fields = _asked(spec)
    places: list[tuple[str | None, ...] | None] = [None, fields]
    # A whole address may be a PF's, and then means its VFs as well.
    if spec.address is not None and not spec.address.single:
        assert fields is not None
        places += itertools.product(*({None, field} for field in fields))
    yield from itertools.product(
        {None, spec.vendor_id}, {None, spec.product_id}, places
    )


RULES: tuple[facts.Rule, ...] = (overlapping,)
