# SPDX-License-Identifier: Apache-2.0
"""The machine of claims notices bugs: all that are planted to see that."""

from tests import base
from tests.stress import planted, soak


class PlantedBugsTest(base.TestCase):
    def _expect_noticed(self, names: tuple[str, ...]) -> None:
        for name, bug, ran in planted.runs(names):
            status, _, stderr = ran
            self.assertEqual(1, status, f"{name}: {stderr}")
            self.assertIn(bug.question, stderr, name)

    def test_random_runs_find_bugs(self) -> None:
        self._expect_noticed(planted.FOUND)

    def test_others_are_noticed_in_an_order_that_shows_them(self) -> None:
        self._expect_noticed(tuple(planted.ORDERS))

    def test_nothing_is_noticed_in_such_an_order_without_the_bug(self) -> None:
        for name, steps in planted.ORDERS.items():
            self.assertIsNone(soak.follow(steps), name)
