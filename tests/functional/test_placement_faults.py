# SPDX-License-Identifier: Apache-2.0
"""Reports to a Placement that is disturbed, broken or slow."""

import functools
import logging
import time

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.placement import report
from tests.functional.placement_case import (
    AUTOMATIC,
    Answer,
    Crash,
    Dying,
    PlacementTestCase,
    ask,
    connect,
    make,
)


class ConflictTest(PlacementTestCase):
    def disturb(self, times: int) -> None:
        """Write to the first provider just before each of our writes."""
        left = [times]

        def rule(method: str, path: str) -> None:
            one = self.direct.find(make(1).name)
            if method == "PUT" and one and one.uuid in path and left[0]:
                left[0] -= 1
                generation, has = self.direct.inventories(one.uuid)
                self.direct.put_inventories(one.uuid, generation, has)

        self.faults.rules.append(rule)

    def test_a_write_between_read_and_write_is_read_again(self) -> None:
        self.report(make(1), make(2))
        self.disturb(2)
        result = self.report(make(1, 6), make(2, 6))
        self.assertEqual(
            [6, 6],
            [one[0]["CUSTOM_A16_16A"] for one in self.published().values()],
        )
        self.assertEqual(
            {make(1).name, make(2).name},
            {one.provider for one in result.changes},
        )

    def test_conflicts_without_end_are_given_up_and_put_back(self) -> None:
        self.report(make(1), make(2))
        before = self.published()
        self.disturb(1000)
        logged = self.useFixture(
            fixtures.FakeLogger("nova_vfio_variant", level=logging.INFO)
        )
        error = self.assertRaises(
            exception.PlacementConflict,
            self.report,
            make(1, 6),
            make(2, 2),
            make(3, traits=(AUTOMATIC, "CUSTOM_LEFT")),
        )
        self.assertIn("5 times", str(error))
        # Each time but the last.
        self.assertEqual(4, logged.output.count("; trying again\n"))
        self.assertEqual(before, self.published())
        self.assertEqual(
            ["CUSTOM_LEFT"], self.direct.missing_traits(["CUSTOM_LEFT"])
        )

    def test_other_conflicts_are_not_tried_again(self) -> None:
        self.report(make(1))
        self.faults.rules.append(
            lambda method, _: Answer(409) if method == "PUT" else None
        )
        self.faults.seen.clear()
        self.assertRaises(exception.PlacementRefused, self.report, make(1, 6))
        self.assertEqual(1, len(self.faults.writes))


class BrokenPlacementTest(PlacementTestCase):
    def test_a_placement_that_is_down_is_said_to_be(self) -> None:
        self.client = connect("http://127.0.0.1:9", timeout=2)
        error = self.assertRaises(
            exception.PlacementUnreachable, self.report, make(1)
        )
        self.assertNotIn("\n", str(error))
        self.assertEqual({}, self.known.rows)

    def test_a_placement_that_is_slow_is_given_up(self) -> None:
        self.client = connect(self.server.url, timeout=1)

        def rule(method: str, _: str) -> None:
            if method == "GET":
                time.sleep(1.5)

        self.faults.rules.append(rule)
        begun = time.monotonic()
        self.assertRaises(exception.PlacementUnreachable, self.report, make(1))
        self.assertLess(time.monotonic() - begun, 10)
        self.assertEqual({}, self.published())

    def test_a_refused_token_is_said_to_be(self) -> None:
        for status in (401, 403):
            # Placement tells its versions to anybody; what stands before it
            # may not.
            for path in ("", "/resource_providers"):
                self.faults.rules[:] = [
                    functools.partial(self.refuse, status, path)
                ]
                self.client = connect(self.server.url)
                error = self.assertRaises(
                    exception.PlacementDenied, self.report, make(1)
                )
                self.assertIn("[placement]", str(error))
        self.assertEqual({}, self.published())

    def test_a_failure_with_the_first_request_is_said_to_be(self) -> None:
        self.faults.rules.append(lambda *_: Answer(503))
        error = self.assertRaises(
            exception.PlacementUnreachable, self.report, make(1)
        )
        self.assertIn("503", str(error))

    @staticmethod
    def refuse(status: int, under: str, _: str, path: str) -> Answer | None:
        return Answer(status) if path.startswith(under) else None

    def test_a_page_of_something_else_is_said_to_be(self) -> None:
        self.faults.rules.append(lambda *_: Answer(200, "<html>hello</html>"))
        self.assertRaises(exception.PlacementUnreachable, self.report, make(1))

    def test_a_failure_half_way_puts_back_what_was_written(self) -> None:
        self.report(make(1), make(2), make(3))
        before, memory = self.published(), dict(self.known.rows)
        wanted = make(2, 6), make(3, 2), make(4), make(5)
        fails_at = 0
        while True:
            fails_at += 1
            try:
                self.fail_write(fails_at, reached=bool(fails_at % 2))
                self.report(*wanted)
                break
            except exception.PlacementUnreachable as error:
                self.assertIn("500", str(error))
                self.assertNotIn("put back", str(error))
            self.assertEqual(before, self.published())
            self.assertEqual(memory, self.known.rows)
            self.fail_write(fails_at, reached=not fails_at % 2)
            self.assertRaises(
                exception.PlacementUnreachable, self.report, *wanted
            )
            self.assertEqual(before, self.published())
            self.assertEqual(memory, self.known.rows)

        # One goes, two change, two are made in three requests each.
        self.assertEqual(10, fails_at)
        self.assertEqual(4, len(self.published()))

    def fail_write(self, which: int, *, reached: bool) -> None:
        """Answer one write with 500, whether or not Placement did it."""
        left = [which]

        def rule(method: str, _: str) -> Answer | None:
            if method == "GET":
                return None
            left[0] -= 1
            return Answer(500, reached=reached) if left[0] == 0 else None

        self.faults.rules[:] = [rule]

    def test_what_cannot_be_put_back_is_named(self) -> None:
        self.report(make(1))

        dead: list[bool] = []

        def rule(method: str, _: str) -> Answer | None:
            if method == "POST":
                dead.append(True)
            return Answer(500) if dead else None

        self.faults.rules.append(rule)
        error = self.assertRaises(
            exception.PlacementUnreachable, self.report, make(1, 6), make(2)
        )
        self.assertIn(f"{make(1).name}, {make(2).name}", str(error))

        self.faults.rules.clear()
        self.report(make(1, 6), make(2))
        self.assertEqual(2, len(self.published()))


class CrashTest(PlacementTestCase):
    def test_after_a_crash_at_any_write_the_next_report_ends_it(self) -> None:
        first = make(1), make(2), make(3)
        wanted = (
            make(2, 6),
            make(3, 2, "CUSTOM_OTHER", (AUTOMATIC, "CUSTOM_NEW")),
            make(4),
        )
        self.report(*wanted)
        ends = self.published()
        at, after = 1, False
        while True:
            self.report(*first)
            dying = Dying(self.client, at, after=after)
            try:
                report.report(dying, ask(*wanted), self.known)
                break
            except Crash:
                self.report(*wanted)
            self.assertEqual(ends, self.published())
            at, after = (at + 1, False) if after else (at, True)
        # One goes, one changes, one changes twice, one is made in three.
        self.assertEqual(8, at)
        with self.faults.counted() as requests:
            self.report(*wanted)
        self.assertEqual([], self.faults.writes)
        self.assertLessEqual(len(requests), 3)
