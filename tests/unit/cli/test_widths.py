# SPDX-License-Identifier: Apache-2.0
"""Tables are wrapped to a width, and addresses stay whole if they can."""

import typing as ty

import prettytable

from nova_vfio_variant.cli import widths
from tests import base

ADDRESS = "0000:41:10.0"
INSTANCE = "11111111-1111-4111-8111-111111111111"


class FittedTest(base.TestCase):
    def drawn(
        self, names: list[str], rows: ty.Sequence[widths.Cells], width: int
    ) -> list[str]:
        table = prettytable.PrettyTable(names)
        table.add_rows([*map(list, widths.fitted(names, rows, width))])
        return table.get_string().splitlines()

    def test_what_fits_is_left_as_it_is(self) -> None:
        rows = [[ADDRESS, 7, "a few words"]]
        self.assertEqual(
            [tuple(rows[0])], widths.fitted(["a", "b", "c"], rows, 38)
        )

    def test_what_is_longest_is_wrapped_between_words(self) -> None:
        rows = [[ADDRESS, "a few words that are more than the others"]]
        for width in (30, 40, 50):
            drawn = self.drawn(["address", "what"], rows, width)
            self.assertLessEqual(max(map(len, drawn)), width)
            self.assertIn(ADDRESS, "\n".join(drawn))
            for word in rows[0][1].split():
                self.assertIn(f" {word} ", "\n".join(drawn))

    def test_words_are_broken_only_where_nothing_else_helps(self) -> None:
        names = ["instance_uuid", "alias_name", "addresses", "status"]
        rows = [[INSTANCE, "fast", f"{ADDRESS}, {ADDRESS}", "allocated"]]
        drawn = self.drawn(names, rows, 83)
        self.assertLessEqual(max(map(len, drawn)), 83)
        self.assertIn(INSTANCE, "\n".join(drawn))
        drawn = self.drawn(names, rows, 70)
        self.assertLessEqual(max(map(len, drawn)), 70)
        self.assertIn(ADDRESS, "\n".join(drawn))

    def test_names_of_columns_are_never_broken(self) -> None:
        names = ["instance_uuid", "status"]
        drawn = self.drawn(names, [[INSTANCE, "allocated"]], 26)
        self.assertIn("instance_uuid | status", drawn[1])

    def test_where_even_the_names_are_too_wide_no_word_is_broken(
        self,
    ) -> None:
        rows = [[ADDRESS, f"{ADDRESS} and {ADDRESS}", INSTANCE]]
        names = ["address", "addresses", "instance"]
        drawn = "\n".join(self.drawn(names, rows, 20))
        self.assertEqual(3, drawn.count(f" {ADDRESS} "), drawn)
        self.assertIn(f" {INSTANCE} ", drawn)

    def test_nothing_is_fitted_to_any_width(self) -> None:
        self.assertEqual([], widths.fitted(["a"], [], 1))
        self.assertEqual([("",)], widths.fitted(["a"], [[""]], 1))
