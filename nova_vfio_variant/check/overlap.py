# SPDX-License-Identifier: Apache-2.0
"""Rules about entries of device_spec that are after the same devices.

On a host it is asked which devices each entry matches; without one, only
what the text alone proves is told.
"""

import typing as ty

from nova_vfio_variant import codes, finding
from nova_vfio_variant.check import facts
from nova_vfio_variant.pci import pattern
from nova_vfio_variant.pci import spec as pci_spec


def overlapping(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Entries that lose all or some of their devices to an earlier one."""
    for number, spec in enumerate(given.specs):
        earlier = given.specs[:number]
        twin = next((one for one in earlier if _same(one, spec)), None)
        if twin is not None:
            yield facts.on_spec(
                codes.DUPLICATE_SPEC,
                f"this entry matches exactly what that of {twin.location}"
                " matches, which comes first and wins",
                spec,
            )
        elif given.scan is None:
            yield from _by_text(spec, earlier)
        else:
            yield from _by_host(given, number, spec)


def _by_text(
    spec: pci_spec.DeviceSpec, earlier: tuple[pci_spec.DeviceSpec, ...]
) -> ty.Iterator[finding.Finding]:
    first = next((one for one in earlier if _covers(one, spec)), None)
    if first is not None:
        yield facts.on_spec(
            codes.SHADOWED,
            f"the entry of {first.location} comes first and takes all that"
            " this one matches",
            spec,
        )


def _by_host(
    given: facts.CheckInput, number: int, spec: pci_spec.DeviceSpec
) -> ty.Iterator[finding.Finding]:
    mine = given.matched[number]
    won = {seen.address for seen in given.by_spec.get(spec.index, ())}
    lost = mine - won
    if not lost:
        return
    winners = sorted({given.spec_of[at].index for at in lost})
    by_index = {one.index: one for one in given.specs}
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


def _same(one: pci_spec.DeviceSpec, other: pci_spec.DeviceSpec) -> bool:
    """Whether both ask for the same, tags left aside."""
    return _criteria(one) == _criteria(other)


def _criteria(spec: pci_spec.DeviceSpec) -> tuple[ty.Any, ...]:
    return (
        spec.vendor_id,
        spec.product_id,
        spec.devname,
        spec.address or pattern.GlobPattern(),
        spec.tags.get("remote_managed"),
    )


def _covers(one: pci_spec.DeviceSpec, other: pci_spec.DeviceSpec) -> bool:
    """Whether the text proves that one matches all that the other does."""
    if one.devname or other.devname or one.tags.get("remote_managed"):
        return False
    for key in ("vendor_id", "product_id"):
        wanted = getattr(one, key)
        if wanted is not None and wanted != getattr(other, key):
            return False
    if one.address is None or one.address == other.address:
        return True
    if other.address is None or other.address.single:
        # A whole address may be a PF's, and then means its VFs as well.
        return False
    return all(
        one.address.wanted(field) in (None, other.address.wanted(field))
        for field in pattern.FIELDS
    )


RULES: tuple[facts.Rule, ...] = (overlapping,)
