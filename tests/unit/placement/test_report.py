# SPDX-License-Identifier: Apache-2.0
"""What a report says that it did."""

from nova_vfio_variant import exception
from nova_vfio_variant.placement import provider, report, retry, updates
from tests import base

RC = "CUSTOM_A"


def wanted(name: str, total: int) -> provider.Provider:
    return provider.Provider(
        name, "root", {RC: provider.Inventory(total, total)}, ()
    )


def there(name: str, used: int = 0) -> provider.Published:
    record = {"total": 4, "max_unit": 4, "reserved": 0}
    return provider.Published(
        f"uuid of {name}", name, 1, {RC: record}, (), {RC: used}
    )


class ResultTest(base.TestCase):
    def test_changes_are_told_by_provider_whatever_was_written_first(
        self,
    ) -> None:
        done = report.result(
            [
                updates.of(None, there("c")),
                updates.of(wanted("b", 6), there("b")),
                updates.of(wanted("a", 1), None),
            ]
        )
        self.assertEqual(
            [("add", "a"), ("update", "b"), ("delete", "c")],
            list(
                dict.fromkeys(
                    (row.change, row.provider) for row in done.changes
                )
            ),
        )

    def test_what_stays_for_its_users_is_told_once(self) -> None:
        kept = updates.of(wanted("a", 1), there("a", used=2))
        (said,) = report.result([kept, kept]).warnings
        self.assertIn("CUSTOM_A of a stays at 2 where 1 would be right", said)

    def test_where_there_is_no_placement_all_is_added(self) -> None:
        self.assertEqual(
            {("add", "a"), ("add", "b")},
            {
                (row.change, row.provider)
                for row in report.additions([wanted("a", 1), wanted("b", 2)])
            },
        )


class GivenUpTest(base.TestCase):
    def test_an_error_stays_what_it_was(self) -> None:
        error = exception.PlacementDenied("no", "look there")
        given_up = report.given_up(error, [])
        self.assertIsInstance(given_up, exception.PlacementDenied)
        self.assertEqual(
            ("no", "look there"), (given_up.message, given_up.hint)
        )

    def test_what_is_left_half_done_is_named(self) -> None:
        given_up = report.given_up(
            exception.PlacementUnreachable("gone"), ["one", "two"]
        )
        self.assertEqual(
            "gone; what was written to one, two could not be put back",
            given_up.message,
        )

    def test_a_conflict_says_how_often_it_was_tried(self) -> None:
        given_up = report.given_up(exception.PlacementConflict("moved"), [])
        self.assertIn("others changed the same providers 5", given_up.message)
        self.assertIn("while we wrote: moved", given_up.message)


class RetryTest(base.TestCase):
    def tries(self, error: Exception, times: int) -> int:
        """How often something is done that fails so many times."""
        done = 0

        def work() -> None:
            nonlocal done
            done += 1
            if done <= times:
                raise error

        again = retry.retrying().copy(wait=lambda _: 0)
        try:
            again(work)
        except type(error) as raised:
            self.assertIs(error, raised)
        return done

    def test_a_generation_that_moves_is_tried_again_and_nothing_else(
        self,
    ) -> None:
        moved = exception.PlacementConflict("moved")
        self.assertEqual(
            [1, 3, retry.ATTEMPTS],
            [self.tries(moved, times) for times in (0, 2, 100)],
        )
        self.assertEqual(1, self.tries(exception.PlacementRefused("no"), 100))
