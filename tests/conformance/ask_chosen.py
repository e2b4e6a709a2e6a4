# SPDX-License-Identifier: Apache-2.0
"""Questions about claims for which Placement has chosen the providers."""

from collections.abc import Iterable
from typing import Any

import hypothesis
from hypothesis import strategies as st

from tests.conformance import texts
from tests.conformance.ask_tracker import asks, judge
from tests.conformance.both import Both
from tests.conformance.hosts import choose, evenly
from tests.conformance.nova import Nova
from tests.conformance.publishable import CELLS, publishable
from tests.conformance.question import Met, Question


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    """Instances come to a host that is published."""
    case, some, _ = draw(publishable())
    case["aliases"] = draw(texts.wanted(some))
    case["steps"] = [
        {
            "do": choose(draw, ("claim", "claim", "fits")),
            "choice": draw(st.lists(evenly(0, 6), min_size=1, max_size=4)),
            **draw(asks(case["aliases"], CELLS)),
        }
        for _ in range(draw(evenly(1, 4)))
    ]
    return case


def _compare(nova: Nova, case: dict[str, Any]) -> Iterable[Met]:
    """Claims of what Placement chose, as with PCI in Placement."""
    both = Both(nova, case)
    for step in case["steps"]:
        both.restart()
        if not both.publish():
            hypothesis.reject()
        both.step(step)
    return judge(both, case)


QUESTIONS = (
    Question(
        "claims of chosen providers",
        6,
        _cases(),
        _compare,
        {"granted": 0.15, "fits": 0.03},
    ),
)
