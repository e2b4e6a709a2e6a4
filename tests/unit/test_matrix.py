# SPDX-License-Identifier: Apache-2.0
"""The table of releases says what ran, and names what didn't."""

import importlib.util
import pathlib
import re
import sys
import typing as ty

from packaging import requirements
from tests import base
from tests.conformance import interpreter

_FILE = pathlib.Path(__file__).parents[2] / "tools/beside_nova.py"


def _tool() -> ty.Any:
    """The program that makes the rows."""
    spec = importlib.util.spec_from_file_location("beside_nova", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["beside_nova"] = module
    spec.loader.exec_module(module)
    return module


class MatrixTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tool = _tool()
        self.addCleanup(sys.modules.pop, "beside_nova", None)

    def row(
        self, failed: int = 0, part: str = "", fits: bool = True
    ) -> ty.Any:
        return self.tool.Row(
            "2025.1",
            "3.11",
            "31.3.1",
            "13.0.1",
            fits,
            self.tool.Tests(1235, failed, 200),
            self.tool.Tests(40, 0, 60, part),
        )

    def test_what_did_not_run_is_named_with_its_command(self) -> None:
        text = "\n".join(self.tool.page([self.row()]))
        self.assertIn("nova 31.3.1, openstack-placement 13.0.1: yes", text)
        self.assertIn("1235 passed, 200 s", text)
        places = len(self.tool.RELEASES) * len(self.tool.PYTHONS)
        self.assertEqual(3 * (places - 1), text.count("- not run"))
        self.assertIn("``tox -e constraints-newest-py313``", text)

    def test_a_part_of_the_tests_is_no_whole(self) -> None:
        text = "\n".join(self.tool.page([self.row(part="test_cli_main_job")]))
        self.assertIn("40 passed, 60 s (only ``test_cli_main_job``)", text)

    def test_a_failure_and_a_misfit_are_failures(self) -> None:
        self.assertTrue(self.row().good)
        self.assertFalse(self.row(failed=1).good)
        self.assertFalse(self.row(fits=False).good)

    def test_stestrs_last_words_are_counted(self) -> None:
        said = " - Passed: 12\n - Unexpected Success: 1\n - Failed: 2\n"
        self.assertEqual((12, 3), self.tool.counted(said))

    def test_the_readme_names_no_release_that_has_no_run(self) -> None:
        run = {(row.release, row.nova) for row in self.tool.read()}
        text = (_FILE.parents[1] / "README.rst").read_text()
        named = set(re.findall(r"\b20\d\d\.[12]\b", text))
        self.assertLessEqual(named, {release for release, _ in run})
        novas = set(re.findall(r"Nova (\d+\.[\d.]+\d)", text))
        self.assertLessEqual(
            novas, {interpreter.RELEASE, *(nova for _, nova in run)}
        )
        self.assertIn(interpreter.RELEASE, novas)

    def test_what_is_required_fits_the_constraints_of_each_release(
        self,
    ) -> None:
        root = _FILE.parents[1]
        for release in self.tool.RELEASES[:-1]:
            text = (root / f"tests/constraints/{release}.txt").read_text()
            pinned = dict(
                re.findall(r"^(\S+?)={2,3}([^;\s]+)", text, re.MULTILINE)
            )
            pinned = {name.lower(): said for name, said in pinned.items()}
            seen = 0
            for file in ("requirements.txt", "test-requirements.txt"):
                for line in (root / file).read_text().splitlines():
                    if not line or line.startswith("#"):
                        continue
                    need = requirements.Requirement(line)
                    version = pinned.get(need.name.lower())
                    if version is None:
                        continue
                    seen += 1
                    self.assertIn(version, need.specifier, release)
            self.assertGreater(seen, 20)

    def test_every_recorded_run_is_good(self) -> None:
        for row in self.tool.read():
            self.assertTrue(row.good, str(row))
