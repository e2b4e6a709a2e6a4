# SPDX-License-Identifier: Apache-2.0
"""What a contributor is told to run is there, and runs where it is said."""

import configparser
import pathlib
import re

from tests import base

_CHECKOUT = pathlib.Path(__file__).parents[2]
_ROW = re.compile(r"^   \* - ``tox -e (\S+)``\n((?:     .*\n)+)", re.MULTILINE)


class ContributingTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        text = (_CHECKOUT / "CONTRIBUTING.rst").read_text()
        self.rows = _ROW.findall(text)
        self.tox = configparser.ConfigParser(interpolation=None)
        self.tox.read(_CHECKOUT / "tox.ini")
        self.usual = self.tox["tox"]["envlist"].split(",")

    def test_each_environment_stands_in_the_table_once(self) -> None:
        named = [
            section.removeprefix("testenv:")
            for section in self.tox.sections()
            if section.startswith("testenv:")
        ]
        # One of those that differ in the release alone.
        there = {
            re.sub(r"\{([^,]*),.*", r"\1", name)
            for name in (*named, *self.usual)
        }
        self.assertEqual(sorted(there), sorted(name for name, _ in self.rows))

    def test_what_runs_before_a_change_lands_is_said_of_these_alone(
        self,
    ) -> None:
        run = (_CHECKOUT / ".ci/run").read_text()
        lines = [line for line in run.splitlines() if "--notest" not in line]
        self.assertIn("run '.venv/bin/tox' || failed=1", lines)
        there = {
            name
            for line in lines
            for names in re.findall(r"tox -e ([\w.,-]+)", line)
            for name in names.split(",")
        }
        self.assertEqual(
            there | {*self.usual},
            {name for name, told in self.rows if "``.ci/run``" in told},
        )

    def test_what_runs_each_night_is_said_of_these_alone(self) -> None:
        nightly = self.tox["testenv:nightly"]["commands"]
        self.assertEqual(
            {
                name
                for name, _ in self.rows
                if re.search(rf"[ ,.]{re.escape(name)}[ ,\n]", f"{nightly}\n")
            },
            {name for name, told in self.rows if "``nightly``" in told},
        )
