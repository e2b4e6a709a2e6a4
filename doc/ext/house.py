# SPDX-License-Identifier: Apache-2.0
"""The rooms of the code: what the specification says, and what is imported.

The rooms and their order are read from ``specs/the-house.rst``, the imports
from the code: those for types alone too, and those inside of functions. A
test compares the two, and the documentation shows them. It also shows the way
of one VF: functions that a page names, each by its file, with what their
docstrings say of them.
"""

from __future__ import annotations

import ast
import collections
import functools
import pathlib
import re
import typing as ty

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE: ty.Final = "nova_vfio_variant"
_SPEC = ROOT / "specs/the-house.rst"
_ROW = re.compile(r"   \* - ``([a-z_./]+)``$", re.MULTILINE)
#: What stands for the package, and for ``host``, whose rooms are its folders.
_TOP: ty.Final = ("host/__init__.py", "__init__.py")
#: Pixels of a square of the picture, and of the names beside it.
_SQUARE, _NAMES = 20, 150


def rooms() -> list[str]:
    """The rooms, ground floor first, as paths below the package."""
    return [
        name.removesuffix(".py").rstrip("/")
        for name in _ROW.findall(_SPEC.read_text())
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


@functools.cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / PACKAGE / path).read_text())


def imports(path: str, known: ty.Collection[str]) -> set[str]:
    """The modules of the package that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else node.module)
    return found & set(known)


def uses() -> collections.Counter[tuple[str, str]]:
    """How many imports there are of one room by another."""
    known, files = rooms(), modules()
    return collections.Counter(
        (room_of(path, known), room_of(files[other], known))
        for path in files.values()
        for other in imports(path, files)
        if room_of(path, known) != room_of(files[other], known)
    )


def reached(paths: ty.Iterable[str]) -> dict[str, set[str]]:
    """For each file those that it imports, and that these import."""
    files = modules()
    known = {
        path: {files[name] for name in imports(path, files)}
        for path in files.values()
    }
    found: dict[str, set[str]] = {}
    for path in paths:
        left, found[path] = {path}, set()
        while left:
            found[path] |= left
            left = set().union(*(known[each] for each in left)) - found[path]
    return found


class Station(ty.NamedTuple):
    """Where one VF comes by.

    :param path: of the module, below the package
    :param function: its name, behind that of its class
    :param said: the first line of its docstring
    """

    command: str
    path: str
    function: str
    said: str


def way(lines: ty.Iterable[str]) -> list[Station]:
    """The stations that lines name: a command, ":", then MODULE:FUNCTION.

    :raises LookupError: there is no such function
    """
    found = []
    for line in lines:
        command, _, stations = line.partition(": ")
        for station in stations.split():
            name, _, function = station.partition(":")
            path = f"{name}.py"
            if path not in modules().values():
                raise LookupError(f"there is no {path}")
            said = _docstring(path, function).partition("\n")[0]
            found.append(Station(command, path, function, said))
    return found


def _docstring(path: str, function: str) -> str:
    node: ast.AST = _tree(path)
    for part in function.split("."):
        for inner in ast.iter_child_nodes(node):
            if (
                isinstance(inner, ast.ClassDef | ast.FunctionDef)
                and inner.name == part
            ):
                node = inner
                break
        else:
            raise LookupError(f"{path} has no {function}")
    assert isinstance(node, ast.ClassDef | ast.FunctionDef)
    return ast.get_docstring(node) or ""


def picture() -> str:
    """A square for each pair of rooms, as SVG: a row imports its columns.

    Below the diagonal alone, or something is wrong with the house.
    """
    known, found = rooms(), uses()
    side = _NAMES + _SQUARE * len(known)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{side}"'
            f' height="{side - _NAMES + _SQUARE}" font-size="11"'
            ' font-family="sans-serif">'
        ),
        "<title>Which room imports how much of which</title>",
    ]
    for row, name in enumerate(known):
        top = _SQUARE * row
        parts.append(
            f'<text x="{_NAMES - 6}" y="{top + 14}" text-anchor="end"'
            f' fill="currentColor">{row + 1} {name}</text>'
        )
        for column, other in enumerate(known):
            left = _NAMES + _SQUARE * column
            count = found[name, other]
            fill = "#7a7a7a" if row == column else "#4a86c5"
            shade = 1.0 if row == column else min(1.0, 0.25 + count / 20)
            if not count and row != column:
                fill, shade = "currentColor", 0.05
            parts.append(
                f'<rect x="{left}" y="{top}" width="{_SQUARE - 1}"'
                f' height="{_SQUARE - 1}" fill="{fill}"'
                f' fill-opacity="{shade:.2f}"/>'
            )
            if count or row == column:
                said = row + 1 if row == column else count
                parts.append(
                    f'<text x="{left + _SQUARE / 2 - 0.5}" y="{top + 14}"'
                    f' text-anchor="middle" fill="currentColor">{said}</text>'
                )
    return "\n".join([*parts, "</svg>"])
