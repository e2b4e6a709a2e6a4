# SPDX-License-Identifier: Apache-2.0
"""Rules about what entries of device_spec mean, one by one and together."""

from __future__ import annotations

import collections
import dataclasses
import functools
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, families
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.pci import pattern, pools
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.placement import codes as placement_codes
from nova_vfio_variant.placement import tree, tree_findings
from nova_vfio_variant.tracker import device as tracked

#: From so many providers of one class on, Placement's authors advise to
#: bound the search (bugs 2070257 and 2126751).
_MANY_PROVIDERS = 8

#: Every text that a field of an address can have, all domains but a few
#: left aside.
_POSSIBLE = {
    "domain": [f"{number:04x}" for number in (*range(0x20), 0x1000, 0xFFFF)],
    "bus": [f"{number:02x}" for number in range(0x100)],
    "slot": [f"{number:02x}" for number in range(0x20)],
    "function": [f"{number:x}" for number in range(8)],
}

_MIGRATABLE = ("libvirt", "live_migration_permit_post_copy")


def matches_everything(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Entries that ask for nothing."""
    for spec in given.specs:
        if spec.vendor_id or spec.product_id or spec.devname:
            continue
        if spec.address is None or all(
            len(_fits(type(spec.address), field, wanted))
            == len(_POSSIBLE[field])
            for field in pattern.FIELDS
            if (wanted := spec.address.wanted(field)) is not None
        ):
            yield facts.on_spec(
                codes.MATCHES_EVERYTHING,
                "this entry matches every PCI device of the host",
                spec,
                "address",
            )


@functools.lru_cache(maxsize=4096)
def _fits(
    kind: type[pattern.GlobPattern | pattern.RegexPattern],
    field: str,
    wanted: str,
) -> list[str]:
    """All texts of a field that a pattern accepts."""
    made = kind(**{field: wanted})
    return [text for text in _POSSIBLE[field] if made.accepts(field, text)]


def loose_regexes(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Regular expressions that fit more than the whole field."""
    for spec in given.specs:
        if not isinstance(spec.address, pattern.RegexPattern):
            continue
        for field in pattern.FIELDS:
            wanted = spec.address.wanted(field)
            if wanted is None:
                continue
            loose = _loose(field, wanted)
            if loose is not None:
                also, hint = loose
                yield facts.on_spec(
                    codes.LOOSE_REGEX,
                    f"{field} {wanted!r} also matches {also}, because it need"
                    " fit the beginning only",
                    spec,
                    f"address.{field}",
                    hint=hint,
                )


@functools.lru_cache(maxsize=4096)
def _loose(field: str, wanted: str) -> tuple[str, str] | None:
    """What an expression matches beyond what it fills, and the mend."""
    fits = _fits(pattern.RegexPattern, field, wanted)
    made = pattern.RegexPattern(**{field: wanted})
    try:
        meant = [text for text in fits if made.fills(field, text)]
    except pattern.PatternError:
        return None  # Nova doesn't ask whether it fits the whole
    if len(meant) == len(fits):
        return None
    return (
        _some(sorted(set(fits) - set(meant))),
        _anchored(wanted, meant, field),
    )


def _anchored(wanted: str, meant: list[str], field: str) -> str:
    """How to write an expression so that it fits just what it fills."""
    for better in (f"{wanted}$", f"(?:{wanted})$"):
        try:
            found = pattern.RegexPattern.parse({field: better})
        except pattern.PatternError:
            continue
        if meant and meant == [
            t for t in _POSSIBLE[field] if found.accepts(field, t)
        ]:
            return f'Write "{better}", or all digits.'
    return f"Write all digits, or leave {field} out to match any."


def _some(texts: list[str]) -> str:
    if len(texts) <= 4:
        return ", ".join(texts)
    return f"{', '.join(texts[:3])} and {len(texts) - 3} more"


def pool_splits(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """VFs of one PF that share a provider and differ in a pool's tag."""
    by_pf = collections.defaultdict(list)
    for device in given.desired:
        if device.parent_addr and not device.tags.get("physical_network"):
            by_pf[device.parent_addr].append(device)
    told = set()
    for pf, devices in by_pf.items():
        first = devices[0]
        for device in devices[1:]:
            if given.layout == "per_class" and (
                device.resource_class != first.resource_class
            ):
                continue
            keys = _differ(first, device)
            pair = (
                given.spec_of[first.address].index,
                given.spec_of[device.address].index,
            )
            if not keys or pair in told:
                continue
            told.add(pair)
            other = given.spec_of[first.address]
            shown = ", ".join(
                f"{key} is {_shown(device, key)} here and {_shown(first, key)}"
                f" at {other.location}"
                for key in keys
            )
            yield facts.on_spec(
                codes.POOL_SPLIT,
                f"VFs {first.address} and {device.address} of PF {pf} would"
                f" be two pools on one provider: {shown}",
                given.spec_of[device.address],
                keys[0],
                str(device.address),
            )


#: Stands for a property that a pool doesn't have; null is one that it has.
_NONE = object()


def _differ(device: tracked.Device, other: tracked.Device) -> list[str]:
    """The tags by which Nova parts two devices into pools."""
    mine, theirs = pools.properties_of(device), pools.properties_of(other)
    return sorted(
        key
        for key in device.tags.keys() | other.tags.keys()
        if mine.get(key, _NONE) != theirs.get(key, _NONE)
    )


def _shown(device: tracked.Device, key: str) -> str:
    if key not in device.tags:
        return "not set"
    value = device.tags[key]
    return "null" if value is None else str(value)


def refusals(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What Nova refuses to publish: errors once it publishes at all.

    The provider tree itself says so, for the layout that is chosen. What
    only Nova's layout refuses is told as well where Nova may be publishing.
    """
    # A name that is too long keeps nova-compute from nothing but publishing;
    # the rule about names says so of every spec, published or not.
    by_anybody = list(
        families.apart(
            given,
            (
                problem
                for problem in given.tree[1]
                if problem.code is not placement_codes.NAME_TOO_LONG
            ),
        )
    )
    if not given.report_in_placement:
        for problem in by_anybody:
            yield _would_be(
                problem,
                f"with [pci] report_in_placement this is {problem.code.id}, and"
                " as it is claims of these devices and all 'inventory'"
                " commands refuse it",
            )
        return
    yield from tree_findings.refused_specs(given.specs)
    yield from by_anybody
    if given.layout == "per_class":
        of_nova = tree.build(given.desired, given.root, "nova", given.spec_of)
        for problem in of_nova[1]:
            if problem.code is placement_codes.MIXED_RESOURCE_CLASSES:
                yield _would_be(
                    problem,
                    "[vfio] provider_layout = per_class publishes them, but"
                    " a nova-compute that reads this file does not start",
                )


def perhaps_mixed(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Neighbours that differ, where no host tells whether they are VFs."""
    if given.layout == "per_class":
        return
    first: dict[tuple[ty.Any, ...], pci_spec.DeviceSpec] = {}
    for number, spec in enumerate(given.specs):
        at = None if spec.address is None else spec.address.single
        if at is None or (given.scan is not None and given.matched[number]):
            continue
        place = (spec.vendor_id, spec.product_id, at.rpartition(":")[0])
        other = first.setdefault(place, spec)
        for key in ("resource_class", "traits"):
            if getattr(other, key) != getattr(spec, key):
                assert other.address is not None
                yield facts.on_spec(
                    codes.PERHAPS_MIXED,
                    f"{at} has other {key} than {other.address.single} of"
                    f" {other.location}: if both are VFs of one PF, Nova"
                    " refuses to publish them",
                    spec,
                    key,
                    at,
                )


def _would_be(problem: finding.Finding, why: str) -> finding.Finding:
    return dataclasses.replace(
        problem,
        code=codes.WOULD_BE_REFUSED,
        message=f"{problem.message}; {why}",
    )


def one_time_use_unpublished(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """``one_time_use`` needs Placement."""
    if given.report_in_placement:
        return
    for spec in given.specs:
        if spec.one_time_use:
            yield facts.on_spec(
                codes.ONE_TIME_USE_UNPUBLISHED,
                "one_time_use needs [pci] report_in_placement = true, and"
                " nova-compute does not start without",
                spec,
                "one_time_use",
            )


def network_and_migratable(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """``live_migratable`` means nothing for a port's device."""
    for spec in given.specs:
        if spec.live_migratable and spec.tags.get("physical_network"):
            yield facts.on_spec(
                codes.NETWORK_AND_MIGRATABLE,
                "Nova ignores live_migratable on a device with a"
                " physical_network",
                spec,
                "live_migratable",
            )


def network_and_managed(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """``managed`` means nothing for a port's device."""
    for spec in given.specs:
        if spec.managed is False and spec.tags.get("physical_network"):
            yield facts.on_spec(
                codes.NETWORK_AND_MANAGED,
                "Nova gives devices with a physical_network to guests as"
                " managed, whatever managed says",
                spec,
                "managed",
            )


def post_copy(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Post-copy and migratable devices exclude each other."""
    if not given.options.get(_MIGRATABLE):
        return
    for spec in given.specs:
        if spec.live_migratable:
            yield facts.on_option(
                codes.POST_COPY,
                f"post-copy is permitted, and the devices of {spec.location}"
                " are live_migratable",
                given.places.get(_MIGRATABLE),
                "[libvirt] live_migration_permit_post_copy",
            )
            return


def wide_tree(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Many providers of one class make many allocation candidates."""
    if not given.report_in_placement:
        return
    counts = collections.Counter(
        resource_class
        for provider in given.tree[0]
        for resource_class in provider.inventories
    )
    for resource_class, count in sorted(counts.items()):
        if count >= _MANY_PROVIDERS:
            yield finding.Finding(
                codes.WIDE_TREE,
                f"{count} providers have {resource_class}: a flavor with N"
                f" of them makes Placement try up to {count} to the power of"
                f" N candidates, {count**4:,} for 4",
                subject=resource_class,
            )


RULES: tuple[facts.Rule, ...] = (
    matches_everything,
    loose_regexes,
    pool_splits,
    refusals,
    perhaps_mixed,
    one_time_use_unpublished,
    network_and_migratable,
    network_and_managed,
    post_copy,
    wide_tree,
)
