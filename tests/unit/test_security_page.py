# SPDX-License-Identifier: Apache-2.0
"""Each promise of the page about security names tests, which exist."""

import ast
import functools
import itertools
import pathlib
import re

from tests import base

_CHECKOUT = pathlib.Path(__file__).parents[2]
_PAGE = _CHECKOUT / "doc/source/admin/security.rst"
#: A row of a list-table: its first cell, and its second.
_ROW = re.compile(
    r"^   \* - (?P<promise>.*?)\n     - (?P<tests>.*?)(?=\n   \* - |\n\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
_NAMED = re.compile(r"``(tests\.[\w.]+)``")


@functools.cache
def _tests_of(module: str) -> frozenset[str]:
    """The tests of a module, as ``Class.test``."""
    path = _CHECKOUT / (module.replace(".", "/") + ".py")
    if not path.is_file():
        return frozenset()
    return frozenset(
        f"{cls.name}.{test.name}"
        for cls in ast.parse(path.read_text()).body
        if isinstance(cls, ast.ClassDef)
        for test in cls.body
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_")
    )


class SecurityPageTest(base.TestCase):
    def promises(self) -> dict[str, list[str]]:
        """The tests of each promise, by what it says."""
        _, _, checked = _PAGE.read_text().partition("\nWhat is checked\n")
        found = {
            " ".join(row["promise"].split()): _NAMED.findall(row["tests"])
            for row in _ROW.finditer(checked)
        }
        del found["What is promised"]
        return found

    def test_each_promise_names_its_tests(self) -> None:
        promises = self.promises()
        self.assertGreater(len(promises), 30)
        self.assertEqual(
            [], [promise for promise, tests in promises.items() if not tests]
        )

    def test_each_test_that_is_named_is_there(self) -> None:
        named = _NAMED.findall(_PAGE.read_text())
        in_rows = itertools.chain(*self.promises().values())
        self.assertEqual(sorted(named), sorted(in_rows))
        for name in named:
            module, cls, test = name.rsplit(".", 2)
            self.assertIn(f"{cls}.{test}", _tests_of(module), name)

    def test_each_test_that_any_page_names_is_there(self) -> None:
        tests = {
            name
            for path in (_CHECKOUT / "doc/source").rglob("*.rst")
            for name in _NAMED.findall(path.read_text())
            # Others are of whole modules.
            if name.split(".")[-2][:1].isupper()
        }
        self.assertGreater(len(tests), 40)
        for name in tests:
            module, cls, test = name.rsplit(".", 2)
            self.assertIn(f"{cls}.{test}", _tests_of(module), name)
