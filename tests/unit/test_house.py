# SPDX-License-Identifier: Apache-2.0
"""The code is laid out as ``specs/the-house.rst`` says.

The rooms and their order are read from the specification. All imports count:
those for types alone, and those inside of functions.
"""

import ast
import pathlib
import re
import typing as ty

from tests import base

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = "nova_vfio_variant"
SPEC = ROOT / "specs/the-house.rst"
_ROW = re.compile(r"   \* - ``([a-z_./]+)``$", re.MULTILINE)
#: What sees all of the rooms of ``host``, and stands beside none of them.
_TOP: ty.Final = ("host/__init__.py", "__init__.py")


def rooms() -> list[str]:
    """The rooms, ground floor first, as paths below the package."""
    return [
        name.removesuffix(".py").rstrip("/")
        for name in _ROW.findall(SPEC.read_text())
    ]


def room_of(path: str, known: ty.Sequence[str]) -> str:
    """The room that a file stands in: the longest name that fits."""
    fitting = [
        room
        for room in known
        if path.startswith(f"{room}/") or path == f"{room}.py"
    ]
    return max(fitting, key=len, default=f"no room for {path}")


def modules() -> dict[str, str]:
    """Every module's name, and its file below the package."""
    found = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        path = str(file.relative_to(ROOT / PACKAGE))
        name = path.removesuffix(".py").removesuffix("/__init__")
        if path not in _TOP:
            found[f"{PACKAGE}/{name}".replace("/", ".")] = path
    return found


def imports(path: str, known: ty.Collection[str]) -> set[str]:
    """The modules of the package that a file imports, wherever it does."""
    found = set()
    tree = ast.parse((ROOT / PACKAGE / path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else node.module)
    return found & set(known)


class HouseTest(base.TestCase):
    def test_every_module_stands_in_a_room(self) -> None:
        known = rooms()
        files = modules().values()
        self.assertEqual(
            [],
            [path for path in files if room_of(path, known) not in known],
        )
        self.assertEqual(
            [],
            [
                room
                for room in known
                if not any(room_of(path, known) == room for path in files)
            ],
        )

    def test_a_room_imports_only_what_stands_above_it(self) -> None:
        known = rooms()
        files = modules()
        self.assertEqual(
            [],
            [
                f"{path} imports {other}"
                for path in files.values()
                for other in imports(path, files)
                if known.index(room_of(path, known))
                < known.index(room_of(files[other], known))
            ],
        )

    def test_the_host_and_what_is_recorded_know_nothing_of_each_other(
        self,
    ) -> None:
        files = modules()
        apart = ({"tracker", "placement", "guest"}, {"host"})
        self.assertEqual(
            [],
            [
                f"{path} imports {other}"
                for path in files.values()
                for other in imports(path, files)
                for these, those in (apart, apart[::-1])
                if path.partition("/")[0] in these
                and files[other].partition("/")[0] in those
            ],
        )

    def test_nobody_imports_what_is_for_tests(self) -> None:
        files = modules()
        self.assertEqual(
            [],
            [
                path
                for path in files.values()
                if not path.startswith("testing/")
                and any(
                    files[other].startswith("testing/")
                    for other in imports(path, files)
                )
            ],
        )

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        files = modules()
        left = {name: imports(path, files) for name, path in files.items()}
        while done := [name for name, needs in left.items() if not needs]:
            for name in done:
                del left[name]
            left = {name: needs - set(done) for name, needs in left.items()}
        self.assertEqual({}, left)
