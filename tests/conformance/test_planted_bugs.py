# SPDX-License-Identifier: Apache-2.0
"""The conformance run notices bugs: some are planted to see that it does."""

import concurrent.futures
import os
import subprocess
import sys

from tests import base
from tests.conformance import interpreter, planted
from tests.conformance.nova import TOP


def run_conformance(*command: str, only: str) -> tuple[int, str, str]:
    """One run in a process of its own: its status, stdout and stderr."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            *command,
            "--cases",
            "1200",
            "--seed",
            "1",
            "--jobs",
            "1",
            "--only",
            only,
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


class PlantedBugsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # Installed once, before there are processes that want it.
        interpreter.nova_python()

    def test_each_planted_bug_fails_the_run(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = {
                name: pool.submit(
                    run_conformance,
                    "tests.conformance.planted",
                    name,
                    only=bug.question,
                )
                for name, bug in planted.BUGS.items()
            }
        for name, run in runs.items():
            status, stdout, stderr = run.result()
            self.assertEqual(1, status, f"{name}: {stdout}{stderr}")
            question = planted.BUGS[name].question
            self.assertIn(f"FAILED {question}", stderr, name)
            self.assertIn("Failing test case", stderr, name)
            self.assertRegex(
                stdout.splitlines()[-1],
                r"^\d+ cases, seed 1, \d+ intended differences$",
            )

    def test_the_same_run_without_a_bug_succeeds(self) -> None:
        status, stdout, stderr = run_conformance(
            "tests.conformance", only="device states"
        )
        self.assertEqual(0, status, stdout + stderr)
        self.assertRegex(
            stdout.splitlines()[-1],
            r"^1200 cases, seed 1, \d+ intended differences$",
        )
