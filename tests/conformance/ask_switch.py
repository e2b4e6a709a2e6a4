# SPDX-License-Identifier: Apache-2.0
"""Questions about a switch that Nova lets nobody turn back."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant.check import published
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.finding import Severity
from nova_vfio_variant.placement.provider import Published
from tests.conformance.both import NODE
from tests.conformance.hosts import choose, evenly
from tests.conformance.nova import Answer, Nova
from tests.conformance.question import Met, Question, same

_MANAGED = "COMPUTE_MANAGED_PCI_DEVICE"
_TRAITS: tuple[list[str], ...] = (
    [],
    ["CUSTOM_BLUE"],
    ["OWNER_NOVA"],
    [_MANAGED, "OWNER_NOVA"],
    ["CUSTOM_BLUE", _MANAGED],
)


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    """What is published, and whether Nova is to publish at all."""
    total = draw(evenly(1, 16))
    return {
        "existing": [
            {
                "name": f"{NODE}_0000:{bus}:00.0",
                "inventory": {"CUSTOM_X": {"total": total, "max_unit": total}},
                "traits": choose(draw, _TRAITS),
            }
            for bus in ("05", "25", "26")[: draw(evenly(0, 3))]
        ],
        "report_in_placement": draw(st.booleans()),
    }


def _compare(nova: Nova, case: dict[str, Any]) -> Iterable[Met]:
    """Whether nova-compute would start."""
    told = nova.ask(
        "track",
        specs=[],
        host=[],
        steps=[{"do": "publish", "existing": case["existing"]}],
        report_in_placement=case["report_in_placement"],
    )
    assert told.error is None, (told, case)
    theirs = Answer.read(told.value["steps"][0])
    providers = {
        one["name"]: Published(
            one["name"], one["name"], 1, one["inventory"], tuple(one["traits"])
        )
        for one in case["existing"]
    }
    given = facts.CheckInput(
        options={
            ("pci", "report_in_placement"): case["report_in_placement"],
            ("vfio", "placement"): "service",
            ("vfio", "provider_root"): NODE,
        },
        published=facts.Published(providers, {name: {} for name in providers}),
    )
    errors = [
        found
        for rule in published.RULES
        for found in rule(given)
        if found.severity is Severity.ERROR
    ]
    same(theirs.error is not None, bool(errors), (theirs, errors, case))
    return [] if theirs.error is None else [theirs.error]


QUESTIONS = (
    Question(
        "publishing switched off",
        1,
        _cases(),
        _compare,
        {"PlacementPciException": 0.1},
    ),
)
