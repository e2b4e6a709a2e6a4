# SPDX-License-Identifier: Apache-2.0
"""Configured hosts of which Nova publishes something."""

import re
from typing import Any

from hypothesis import strategies as st

from tests.conformance import texts
from tests.conformance.ask_tracker import Cells, nodes
from tests.conformance.hosts import Host, choose, evenly

#: Kinds of functions, as an address and as a test of its slot and function,
#: of which a host has one or the other, never a PF beside its VFs.
_KINDS = (
    ({"slot": "10"}, re.compile(r"10\..")),
    ({"function": "[2-7]"}, re.compile(r"..\.[2-7]")),
    ({"function": "0", "slot": "00"}, re.compile(r"00\.0")),
)
_BUSES = ("05", "25", "26", "a0")
_CLASSES = (None, None, "A16_16A", "CUSTOM_X", "gpu vf")
_TRAITS = (None, None, "blue", "blue,big", "HW_GPU_API_VULKAN")
_MIGRATABLE = (None, None, "yes", "yes", "no")
#: Mostly a guest may be anywhere.
CELLS: tuple[Cells, ...] = (
    None, None, None, None, None, [0], [1], [0, 2], [0, 1, 2, 3],
)  # fmt: skip

Tags = dict[str, str | None]


@st.composite
def _tags(draw: st.DrawFn) -> Tags:
    """What the functions of one bus are published with."""
    return {
        "resource_class": choose(draw, _CLASSES),
        "traits": choose(draw, _TRAITS),
        "live_migratable": choose(draw, _MIGRATABLE),
    }


@st.composite
def publishable(
    draw: st.DrawFn,
) -> tuple[dict[str, Any], Host, dict[str, Tags]]:
    """A host with specs, the functions that they take, and tags by bus.

    In some cases the VFs of a PF differ in a tag.
    """
    case = draw(nodes(specs=False, aliases=False))
    there = [
        (kind, some)
        for kind, fits in _KINDS
        if (some := [o for o in case["host"] if fits.match(o["address"][-4:])])
    ]
    kind, some = choose(draw, there)
    tags = {bus: draw(_tags()) for bus in _BUSES}
    split = draw(evenly(0, 5)) == 0
    case["specs"] = [
        texts.write(
            [
                ("address", {"bus": bus, **kind, **more}),
                *((key, value) for key, value in of_it.items() if value),
                *({"managed": "no"} if more else {}).items(),
            ]
        )
        for bus, of_it in tags.items()
        for more in (({"function": "2"}, {}) if split else ({},))
    ]
    return case, some, tags
