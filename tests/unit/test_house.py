# SPDX-License-Identifier: Apache-2.0
"""The code is laid out as ``specs/the-house.rst`` says."""

import ast
import functools
import importlib.util
import pathlib
import re
import typing as ty

from nova_vfio_variant.cli import main
from tests import base

_FILE = pathlib.Path(__file__).parents[2] / "doc/ext/house.py"
_TESTS = pathlib.Path(__file__).parents[1]
_CONTRIBUTOR = _TESTS.parent / "doc/source/contributor/index.rst"

#: A command, and functions that a VF passes there.
_WAY = re.compile(r"^   ([a-z]+ [a-z]+: .*/.*)$", re.MULTILINE)

_MARK = re.compile(r"^ *# (Longer than \d+ lines): \S", re.MULTILINE)
_Measured = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_LIMITS: dict[type[ast.AST], int] = {
    ast.Module: 400,
    ast.ClassDef: 250,
    ast.FunctionDef: 60,
    ast.AsyncFunctionDef: 60,
}


@functools.cache
def _house() -> ty.Any:
    """What the documentation reads the house with; it reads a file once."""
    spec = importlib.util.spec_from_file_location("house", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _measured(
    text: str,
) -> ty.Iterator[tuple[str, int, int, set[str]]]:
    """Name, lines, limit and marks of all in a module that has a limit.

    A mark stands before the first statement of what it is about.
    """
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        limit = _LIMITS.get(type(node))
        if not isinstance(node, _Measured) or limit is None:
            continue
        name = "the module"
        start, end = 1, len(lines)
        if not isinstance(node, ast.Module):
            name, start, end = node.name, node.lineno, node.end_lineno or 0
        documented = ast.get_docstring(node) is not None
        statements = node.body[documented:]
        until = statements[0].lineno - 1 if statements else end
        head = "\n".join(lines[start - 1 : until])
        yield name, end - start + 1, limit, set(_MARK.findall(head))


class HouseTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.house = _house()
        self.rooms = self.house.rooms()
        self.files: dict[str, str] = self.house.modules()

    def room(self, path: str) -> str:
        """The room that a file stands in."""
        return str(self.house.room_of(path, self.rooms))

    def imports(self) -> ty.Iterator[tuple[str, str]]:
        """Each file, with each file of ours that it imports."""
        for path in self.files.values():
            for other in self.house.imports(path, self.files):
                yield path, self.files[other]

    def test_every_module_stands_in_a_room(self) -> None:
        found = {self.room(path) for path in self.files.values()}
        self.assertEqual(set(self.rooms), found)

    def test_a_room_imports_only_what_stands_above_it(self) -> None:
        place = self.rooms.index
        self.assertEqual(
            [],
            [
                f"{path} imports {other}"
                for path, other in self.imports()
                if place(self.room(path)) < place(self.room(other))
            ],
        )

    def test_the_host_and_what_is_recorded_know_nothing_of_each_other(
        self,
    ) -> None:
        apart = ({"tracker", "placement", "guest"}, {"host"})
        self.assertEqual(
            [],
            [
                f"{path} imports {other}"
                for path, other in self.imports()
                for these, those in (apart, apart[::-1])
                if path.partition("/")[0] in these
                and other.partition("/")[0] in those
            ],
        )

    def test_nobody_imports_what_is_for_tests(self) -> None:
        self.assertEqual(
            [],
            [
                path
                for path, other in self.imports()
                if other.startswith("testing/")
                and not path.startswith("testing/")
            ],
        )

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        left: dict[str, set[str]] = {
            path: set() for path in self.files.values()
        }
        for path, other in self.imports():
            left[path].add(other)
        while done := [path for path, needs in left.items() if not needs]:
            for path in done:
                del left[path]
            left = {path: needs - set(done) for path, needs in left.items()}
        self.assertEqual({}, left)

    def test_the_picture_has_each_room_and_nothing_above_the_diagonal(
        self,
    ) -> None:
        drawn = self.house.picture()
        for number, room in enumerate(self.rooms, 1):
            self.assertIn(f">{number} {room}<", drawn)
        self.assertGreater(len(self.house.uses()), len(self.rooms))

    def test_the_way_of_a_vf_is_one_that_its_commands_go(self) -> None:
        lines = _WAY.findall(_CONTRIBUTOR.read_text())
        stations = self.house.way(lines)
        self.assertGreater(len(stations), 20)
        begun = {
            name: f"cli/{place.partition(':')[0]}.py"
            for name, place in main.COMMANDS.items()
        }
        reached = self.house.reached(set(begun.values()))
        for station in stations:
            self.assertIn(station.path, reached[begun[station.command]])
            self.assertTrue(station.said, station.function)

    def test_a_way_through_what_is_not_there_is_refused(self) -> None:
        for missing, why in (
            ("host/scanner:scan", "there is no host/scanner.py"),
            ("guest/libvirt:element", "guest/libvirt.py has no element"),
        ):
            refused = self.assertRaises(
                LookupError, self.house.way, [f"guest xml: {missing}"]
            )
            self.assertEqual((why,), refused.args)

    def test_what_is_too_long_and_nothing_else_says_why(self) -> None:
        wrong = []
        for path in self.files.values():
            text = (self.house.ROOT / self.house.PACKAGE / path).read_text()
            unread = len(_MARK.findall(text))
            for name, lines, limit, marks in _measured(text):
                unread -= len(marks)
                mark = f"Longer than {limit} lines"
                if marks != ({mark} if lines > limit else set()):
                    said = ", ".join(marks) or f"no '# {mark}: REASON'"
                    wrong.append(f"{path}: {name}: {lines} lines, and {said}")
            if unread:
                wrong.append(f"{path}: a reason stands where nothing is long")
        self.assertEqual([], wrong)


class TestsTest(base.TestCase):
    def test_no_test_module_is_imported(self) -> None:
        """What tests share stands in a module that has no tests."""
        self.assertEqual(
            [],
            [
                f"{path.relative_to(_TESTS)} imports {name}"
                for path in sorted(_TESTS.rglob("*.py"))
                for name in _imported(path)
                if name.startswith("tests.") and ".test_" in name
            ],
        )


def _imported(path: pathlib.Path) -> ty.Iterator[str]:
    """The whole name of whatever a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
