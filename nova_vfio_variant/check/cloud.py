# SPDX-License-Identifier: Apache-2.0
"""Rules about options that mean something only beside others.

Some of them stand in the files of other services, which are not here: what
these have to say is told where this file gives reason to.
"""

from __future__ import annotations

import difflib
import typing as ty

from nova_vfio_variant import finding, source
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts, nova_here
from nova_vfio_variant.pci import spec as pci_spec

_FILTERS = ("filter_scheduler", "enabled_filters")
_IN_PLACEMENT = ("filter_scheduler", "pci_in_placement")
_REPORT = ("pci", "report_in_placement")

#: The scheduler's filter that looks whether a host has the devices.
_FILTER = "PciPassthroughFilter"

#: How many resource classes a sentence names.
_NAMED = 3


def filter_missing(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """A scheduler that doesn't look for devices, where its filters stand."""
    text = given.places.get(_FILTERS)
    enabled = given.options.get(_FILTERS)
    if text is None or enabled is None or not given.aliases:
        return
    if _FILTER in enabled:
        return
    # With its module before it the filter has a name that Nova doesn't know.
    near = [
        name for name in enabled if name.rpartition(".")[2] == _FILTER
    ] or difflib.get_close_matches(_FILTER, enabled, 1, 0.8)
    better = [_FILTER if name in near else name for name in enabled]
    if not near:
        better.append(_FILTER)
    start = text.text.find(near[0]) if near else 0
    yield finding.Finding.on(
        codes.FILTER_MISSING,
        f"{near[0]} is no filter of Nova's, and {_FILTER} is missing"
        if near
        else f"{_FILTER} is not among the scheduler's filters",
        text,
        start,
        start + len(near[0]) if near else None,
        "[filter_scheduler] enabled_filters",
        (f"Did you mean {_FILTER}? " if near else "")
        + f"In its place write enabled_filters = {','.join(better)}",
    )


def asked_and_unpublished(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """``pci_in_placement`` where Nova doesn't publish this host's devices."""
    if not given.in_placement or given.report_in_placement:
        return
    if nova_here.is_absent(given) or not _published(given):
        return
    asked = sorted(
        {
            str(alias.asked_class)
            for same in given.aliases.values()
            for alias in same
        }
    )
    if not asked:
        return
    more = f" and {len(asked) - _NAMED} more" if len(asked) > _NAMED else ""
    place = given.places.get(_IN_PLACEMENT)
    yield facts.on_option(
        codes.ASKED_AND_UNPUBLISHED,
        f"flavors ask Placement for {', '.join(asked[:_NAMED])}{more}, which"
        " Nova does not publish from this host: there is no valid host",
        place,
        "[filter_scheduler] pci_in_placement",
        f"{_set_to_true(given.places.get(_REPORT))}; it can't be undone.",
    )
    yield facts.on_option(
        codes.ALSO_ELSEWHERE,
        "nova-api, nova-scheduler and nova-conductor have to read"
        " pci_in_placement and these aliases as well",
        place,
        "[filter_scheduler] pci_in_placement",
    )


def _set_to_true(there: source.SourceText | None) -> str:
    line = "report_in_placement = true"
    if there is None:
        return f"Add {line} to [pci]"
    return f"Write {line} in place of the line at {there.at(0)}"


def published_and_unasked(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """``report_in_placement`` where flavors don't ask Placement."""
    if (
        given.report_in_placement
        and not given.in_placement
        and given.aliases
        and _published(given)
    ):
        yield facts.on_option(
            codes.PUBLISHED_AND_UNASKED,
            "devices are published, and flavors don't ask Placement for them",
            given.places.get(_REPORT),
            "[pci] report_in_placement",
        )


def _published(given: facts.CheckInput) -> list[pci_spec.DeviceSpec]:
    """The entries whose devices Nova could publish; others are Neutron's."""
    return [
        spec for spec in given.specs if not spec.tags.get("physical_network")
    ]


RULES: tuple[facts.Rule, ...] = (
    filter_missing,
    asked_and_unpublished,
    published_and_unasked,
)
