# SPDX-License-Identifier: Apache-2.0
"""The conformance run notices bugs: some are planted to see that it does."""

import subprocess
import sys

from tests import base
from tests.conformance import planted
from tests.conformance.nova import TOP


class PlantedBugsTest(base.TestCase):
    def run_conformance(
        self, *command: str, only: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                *command,
                "--cases",
                "1200",
                "--seed",
                "1",
                "--only",
                only,
            ],
            cwd=TOP,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_each_planted_bug_fails_the_run(self) -> None:
        for name, bug in planted.BUGS.items():
            ran = self.run_conformance(
                "tests.conformance.planted", name, only=bug.question
            )
            self.assertEqual(1, ran.returncode, f"{name}: {ran}")
            self.assertIn(f"FAILED {bug.question}", ran.stderr, name)
            self.assertIn("Failing test case", ran.stderr, name)
            self.assertRegex(
                ran.stdout.splitlines()[-1],
                r"^\d+ cases, seed 1, \d+ intended differences$",
            )

    def test_the_same_run_without_a_bug_succeeds(self) -> None:
        ran = self.run_conformance("tests.conformance", only="device states")
        self.assertEqual(0, ran.returncode, str(ran))
        self.assertRegex(
            ran.stdout.splitlines()[-1],
            r"^1200 cases, seed 1, \d+ intended differences$",
        )
