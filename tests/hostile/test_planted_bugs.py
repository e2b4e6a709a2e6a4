# SPDX-License-Identifier: Apache-2.0
"""The hostile run notices bugs: some are planted to see that it does."""

import pathlib

import fixtures

from tests import base
from tests.conformance import planted as runs
from tests.hostile import kind, planted

_WORDS = (
    *("--inputs", "400", "--commands", "0", "--seed", "1", "--jobs", "1"),
    *("--first", "--only"),
)


class PlantedBugsTest(base.TestCase):
    def test_each_planted_bug_fails_the_run(self) -> None:
        for name, bug, ran in runs.runs(
            planted.BUGS, "tests.hostile.planted", *_WORDS
        ):
            status, stdout, stderr = ran
            self.assertEqual(1, status, f"{name}: {stdout}{stderr}")
            self.assertIn(f"FAILED {bug.question}", stderr)
            self.assertIn("again: python -m tests.hostile --seed 1", stderr)
            self.assertIn("input: ", stderr)
            self.assertRegex(
                stdout.splitlines()[-1],
                r"^\d+ inputs, seed 1, 1 failures, \d+ s$",
            )

    def test_the_same_run_without_a_bug_succeeds(self) -> None:
        status, stdout, stderr = runs.ran("tests.hostile", *_WORDS, "alias")
        self.assertEqual(0, status, stdout + stderr)
        self.assertRegex(
            stdout.splitlines()[-1],
            r"^400 inputs, seed 1, 0 failures, \d+ s$",
        )

    def test_what_is_written_beside_the_work_folder_is_seen(self) -> None:
        for path in (*("guard/canary", "guard/new", "home/x", "tmp/x", "y"),):
            root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
            place = kind.Place(root)
            (place.work / "file").write_text("x")
            place.expect_untouched()
            (root / path).write_text("x")
            error = self.assertRaises(kind.Fault, place.expect_untouched)
            self.assertIn(path, str(error))
