# SPDX-License-Identifier: Apache-2.0
"""The conformance run notices bugs: some are planted to see that it does."""

from tests import base
from tests.conformance import interpreter, planted

_WORDS = (*("--cases", "2400", "--seed", "1", "--jobs", "1"), "--only")


class PlantedBugsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # Installed once, before there are processes that want it.
        interpreter.nova_python()

    def test_each_planted_bug_fails_the_run(self) -> None:
        for name, bug, ran in planted.runs(
            planted.BUGS, "tests.conformance.planted", *_WORDS
        ):
            status, stdout, stderr = ran
            self.assertEqual(1, status, f"{name}: {stdout}{stderr}")
            self.assertIn(f"FAILED {bug.question}", stderr, name)
            self.assertIn("Failing test case", stderr, name)
            # Noticed by a comparison, not by Nova's side that fell over.
            self.assertNotIn("Traceback", stderr, name)
            self.assertRegex(
                stdout.splitlines()[-1],
                r"^\d+ cases, seed 1, \d+ intended differences$",
            )

    def test_the_same_run_without_a_bug_succeeds(self) -> None:
        status, stdout, stderr = planted.ran(
            "tests.conformance", *_WORDS, "device states"
        )
        self.assertEqual(0, status, stdout + stderr)
        self.assertRegex(
            stdout.splitlines()[-1],
            r"^2400 cases, seed 1, \d+ intended differences$",
        )
