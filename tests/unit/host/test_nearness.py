# SPDX-License-Identifier: Apache-2.0
"""Which functions are the closest together."""

import itertools
import typing as ty

import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import nearness
from tests import base

PATHS = st.builds(
    lambda node, root, port, card: nearness.path(
        node,
        None if root is None else f"{node}/{root}",
        None if port is None else f"{node}/{root}/{port}",
        f"{node}/{root}/{port}/{card}",
    ),
    st.sampled_from([0, 1, None]),
    st.sampled_from(["a", "b", None]),
    st.sampled_from(["p", "q", None]),
    st.sampled_from("xy"),
)


def exhausted(
    paths: ty.Sequence[nearness.Path],
    count: int,
    beside: ty.Sequence[nearness.Path],
) -> tuple[int, ...]:
    """The same, of all sets that there are."""
    return min(
        itertools.combinations(range(len(paths)), count),
        key=lambda numbers: (
            nearness.measure([*beside, *(paths[at] for at in numbers)]),
            numbers,
        ),
    )


def at(card: str, port: str = "p", node: int | None = 0) -> nearness.Path:
    return nearness.path(node, f"root{node}", f"{node}{port}", card)


class NearnessTest(base.TestCase):
    def test_the_distance_is_what_is_still_shared(self) -> None:
        here = nearness.path(0, "pci0000:00", "port", "card")
        for far, there in enumerate(
            (
                here,
                nearness.path(0, "pci0000:00", "port", "other"),
                nearness.path(0, "pci0000:00", "another", "other"),
                nearness.path(0, "pci0000:40", "another", "other"),
                nearness.path(1, "pci0000:80", "another", "other"),
            )
        ):
            self.assertEqual(far, nearness.distance(here, there))
            self.assertEqual(far, nearness.distance(there, here))

    def test_nothing_is_shared_where_it_is_not_known(self) -> None:
        one, other = (nearness.path(None, None, None, card) for card in "ab")
        self.assertEqual(4, nearness.distance(one, other))
        self.assertEqual(0, nearness.distance(one, one))

    def test_one_card_goes_before_cards_that_come_first(self) -> None:
        paths = [at("a"), at("b"), at("c"), at("c")]
        self.assertEqual((2, 3), nearness.closest(paths, 2))
        # As much as can be of one card, then of one switch.
        paths = [at("a"), at("b", "q"), at("c"), at("c")]
        self.assertEqual((0, 2, 3), nearness.closest(paths, 3))

    def test_equal_ones_come_in_the_order_that_they_are_given_in(self) -> None:
        paths = [at("a", node=1), at("a", node=1), at("b"), at("b")]
        self.assertEqual((0, 1), nearness.closest(paths, 2))

    def test_what_is_chosen_already_draws_others_near(self) -> None:
        paths = [at("a"), at("a"), at("b", node=1)]
        beside = [at("c", node=1)]
        self.assertEqual((2,), nearness.closest(paths, 1, beside))

    def test_too_few_are_refused(self) -> None:
        error = self.assertRaises(
            exception.NotEnoughDevices, nearness.closest, [at("a")], 2
        )
        self.assertIn("2 asked for, and 1", error.message)

    @hypothesis.given(
        st.lists(PATHS, min_size=1, max_size=8),
        st.integers(1, 5),
        st.lists(PATHS, max_size=2),
    )
    def test_no_set_of_all_is_closer(
        self,
        paths: list[nearness.Path],
        count: int,
        beside: list[nearness.Path],
    ) -> None:
        hypothesis.assume(count <= len(paths))
        self.assertEqual(
            exhausted(paths, count, beside),
            nearness.closest(paths, count, beside),
        )
