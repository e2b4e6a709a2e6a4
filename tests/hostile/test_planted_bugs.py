# SPDX-License-Identifier: Apache-2.0
"""The hostile run notices bugs: some are planted to see that it does."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

import fixtures

from tests import base
from tests.hostile import kind, planted

_TOP = pathlib.Path(__file__).parents[2]


def run_hostile(*command: str, only: str) -> tuple[int, str, str]:
    """One run in a process of its own: its status, stdout and stderr."""
    ran = subprocess.run(
        [
            *(sys.executable, "-m", *command, "--inputs", "400"),
            *("--commands", "0", "--seed", "1", "--jobs", "1"),
            *("--first", "--only", only),
        ],
        cwd=_TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


class PlantedBugsTest(base.TestCase):
    def test_each_planted_bug_fails_the_run(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = {
                name: pool.submit(
                    run_hostile,
                    "tests.hostile.planted",
                    name,
                    only=bug.question,
                )
                for name, bug in planted.BUGS.items()
            }
        for name, run in runs.items():
            status, stdout, stderr = run.result()
            self.assertEqual(1, status, f"{name}: {stdout}{stderr}")
            self.assertIn(f"FAILED {planted.BUGS[name].question}", stderr)
            self.assertIn("again: python -m tests.hostile --seed 1", stderr)
            self.assertIn("input: ", stderr)
            self.assertRegex(
                stdout.splitlines()[-1],
                r"^\d+ inputs, seed 1, 1 failures, \d+ s$",
            )

    def test_the_same_run_without_a_bug_succeeds(self) -> None:
        status, stdout, stderr = run_hostile("tests.hostile", only="alias")
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
