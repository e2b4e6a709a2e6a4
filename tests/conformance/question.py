# SPDX-License-Identifier: Apache-2.0
"""One kind of question that both sides are asked, and what may differ."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant.check.deviations import Deviation
from tests.conformance.nova import Nova

#: An intended difference that was met, or a word for what happened.
Met = Deviation | str
Compare = Callable[[Nova, Any], Iterable[Met]]


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A kind of question.

    :param name: what it is about
    :param share: how many of a hundred cases are of this kind
    :param cases: draws a whole case
    :param compare: asks both sides about one case, returns the intended
        differences that it met, and words for what else happened, and fails
        on any other difference. A case in which there is nothing to ask it
        rejects, so that it doesn't count
    :param often: for such a word, the part of all cases that it is true of
        at least: two sides that always refuse would agree for ever
    """

    name: str
    share: int
    cases: st.SearchStrategy[Any]
    compare: Compare
    often: Mapping[str, float] = dataclasses.field(default_factory=dict)


#: Asks both sides about one case, and returns both answers.
Hear = Callable[[Nova], tuple[Any, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Witness:
    """One case that shows an intended difference.

    :param hear: asks about it
    :param nova: Nova's answer: another one would be another difference
    :param ours: likewise
    """

    hear: Hear
    nova: Any
    ours: Any


WITNESSES: dict[Deviation, Witness] = {}


def shows(
    deviation: Deviation, *, nova: Any, ours: Any
) -> Callable[[Hear], Hear]:
    """Make a function the witness of a deviation, with what is heard."""

    def register(hear: Hear) -> Hear:
        if deviation in WITNESSES:
            raise ValueError(f"{deviation.id} has a witness already")
        WITNESSES[deviation] = Witness(hear, nova, ours)
        return hear

    return register


def same(nova: Any, ours: Any, case: Any) -> None:
    """Fail unless both sides say the same.

    :raises AssertionError: with both answers and the case
    """
    if nova != ours:
        raise AssertionError(
            f"Nova and we differ\n  case: {case}\n  Nova: {nova}\n"
            f"  ours: {ours}"
        )
