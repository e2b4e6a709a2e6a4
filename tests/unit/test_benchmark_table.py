# SPDX-License-Identifier: Apache-2.0
"""What the table of measurements says, and when a goal counts as met."""

from benchmarks import table
from tests import base


def row(size: int, ours: float, theirs: float) -> table.Row:
    return table.Row("sync", size, ours, "Nova", theirs, times_faster=150)


class TableTest(base.TestCase):
    def test_a_goal_is_met_by_so_many_times_or_more(self) -> None:
        self.assertTrue(row(4096, 0.01, 1.5).met)
        self.assertFalse(row(4096, 0.01, 1.4).met)

    def test_a_limit_is_met_up_to_itself(self) -> None:
        limit = table.Row(
            "report", 64, 3, "limit", 3, at_most=1, unit="requests"
        )
        self.assertTrue(limit.met)
        self.assertEqual("ratio at most 1", limit.goal)

    def test_costs_stand_in_the_unit_that_reads_best(self) -> None:
        text = table.render([row(4096, 0.0000025, 7.3), row(512, 0.02, 0.3)])
        self.assertIn("2.5 us", text)
        self.assertIn("7.30 s", text)
        self.assertIn("20.00 ms", text)
        self.assertIn("1/15", text)

    def test_growth_goes_from_the_smallest_size_to_the_largest(self) -> None:
        rows = [row(512, 0.01, 0.3), row(4096, 0.08, 8), row(13000, 0.25, 120)]
        once = table.Row("start", 1, 0.08, "openstack", 0.7)
        lines = table.growth([*rows, once]).splitlines()
        self.assertEqual(2, len(lines))
        self.assertEqual(
            ["sync", "512", "13,000", "x", "25", "x", "25.0"],
            lines[1].split()[:7],
        )
        self.assertTrue(lines[1].endswith("x 400.0"))
