# SPDX-License-Identifier: Apache-2.0
"""Where mistakes can be made, and the code with one of them."""

import ast
import dataclasses
import difflib
import itertools
import pathlib
import random
import typing as ty
from collections.abc import Iterator, Sequence

import cosmic_ray.ast
import cosmic_ray.mutating
import cosmic_ray.plugins

from tests.mutants import operators

PACKAGE = "nova_vfio_variant"

#: What decides, refuses, restores, undoes and checks.
ROOMS = (
    "check",
    "declaration",
    "host/act",
    "host/decide",
    "host/observe/mdev",
    "node",
    "pci/mdev_names",
    "placement",
    "tracker",
)

#: What stands in these rooms and isn't that.
LEFT_OUT = (
    # words and tables
    "check/catalogue",
    "check/codes",
    "check/deviations",
    "check/nova_mdev_codes",
    "host/decide/codes",
    "host/decide/mdev_codes",
    "placement/codes",
    "tracker/migrations",
    "tracker/models",
    # how another program is started or spoken to
    "host/act/privileged",
    "placement/bounded",
    "placement/client",
    "placement/embedded",
    "placement/memory",
    "placement/rest",
    "placement/service",
    "placement/wsgi",
    "tracker/memory",
    "tracker/schema",
    "tracker/sqlite",
)

#: Mutations that mean nothing: Python's small numbers and words are the same
#: object when they are equal, and no type of ours says what equal is.
_SAME = (
    "ReplaceComparisonOperator_Eq_Is",
    "ReplaceComparisonOperator_Is_Eq",
    "ReplaceComparisonOperator_NotEq_IsNot",
    "ReplaceComparisonOperator_IsNot_NotEq",
)

#: An operator of cosmic-ray's that ``operators.py`` has another for.
_OURS_INSTEAD = "ExceptionReplacer"

#: Decorators without which a program that is right does the same.
_FOR_READERS = (
    "abc.abstractmethod",
    "functools.cache",
    "functools.lru_cache",
    "functools.wraps",
    "ty.overload",
    "ty.override",
)

#: Arguments that stop a program that is wrong.
_GUARDS = ("frozen", "kw_only", "slots", "strict")

#: What the operators look at that there are most of: to show each node to
#: each of them takes a minute.
_LOOKS_AT = {
    "ReplaceBinaryOperator": ("operator",),
    "ReplaceComparisonOperator": ("comparison",),
    "ReplaceUnaryOperator": ("factor", "not_test"),
}

_COMPOUND = (
    "file_input",
    "suite",
    "if_stmt",
    "while_stmt",
    "for_stmt",
    "try_stmt",
    "with_stmt",
    "decorated",
    "funcdef",
    "classdef",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a mistake can be made, in one of several ways.

    :param module: path below the package, with slashes, without ``.py``
    :param function: what it stands in; empty for the module itself
    :param lines: a test that reaches any of them may notice
    :param ways: operators, and which one of their occurrences
    """

    module: str
    function: str
    position: operators.Span
    lines: range
    ways: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one mistake.

    :param line: what the changed lines said
    :param becomes: what they say, empty if they are gone
    """

    place: Place
    operator: str
    source: str
    line: str
    becomes: str

    @property
    def room(self) -> str:
        """The folder."""
        return self.place.module.rpartition("/")[0]

    @property
    def where(self) -> str:
        """The file and the line."""
        return f"{self.place.module}.py:{self.place.position[0][0]}"

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.where} in {self.place.function or 'the module'}",
                *(f"  - {one}" for one in self.line.splitlines()),
                *(f"  + {one}" for one in self.becomes.splitlines()),
            ]
        )


def modules(root: pathlib.Path) -> list[str]:
    """What is looked at, by path below the package."""
    package = root / PACKAGE
    found = (
        path.relative_to(package).with_suffix("").as_posix()
        for room in ROOMS
        for path in (
            (package / room).rglob("*.py")
            if (package / room).is_dir()
            else [package / f"{room}.py"]
        )
    )
    return sorted(one for one in found if not _starts(one, LEFT_OUT))


def sample(
    root: pathlib.Path, count: int, seed: int, only: str = ""
) -> list[Mutant]:
    """So many mutants, each at a place of its own.

    Places are drawn, and then one of their ways: a comparison can be wrong in
    seven ways, and would count seven times.

    :param only: what stands in the name of each module that is looked at
    """
    places = [
        place
        for module in modules(root)
        if only in module
        for place in _places(module, path(root, module).read_text())
    ]
    chance = random.Random(seed)
    chance.shuffle(places)
    chosen: list[Mutant] = []
    for place in places:
        if len(chosen) == count:
            break
        operator, occurrence = chance.choice(place.ways)
        made = _mutant(root, place, operator, occurrence)
        if made is not None:
            chosen.append(made)
    return chosen


def path(root: pathlib.Path, module: str) -> pathlib.Path:
    """Where a module lies."""
    return root / PACKAGE / f"{module}.py"


def _starts(module: str, names: Sequence[str]) -> bool:
    return any(
        module == name or module.startswith(f"{name}/") for name in names
    )


def _operators() -> dict[str, ty.Any]:
    found: dict[str, ty.Any] = {}
    for name in cosmic_ray.plugins.operator_names():
        made = cosmic_ray.plugins.get_operator(name)
        short = name.partition("/")[2]
        # Those with arguments ask for names of variables.
        if not made.arguments() and short not in (*_SAME, _OURS_INSTEAD):
            found[short] = made
    return found | operators.OPERATORS


_OPERATORS: ty.Final = _operators()


def _places(module: str, source: str) -> list[Place]:
    tree = cosmic_ray.ast.get_ast(source)
    nodes: dict[str, list[ty.Any]] = {"": []}
    for node in cosmic_ray.ast.ast_nodes(tree):
        nodes.setdefault(node.type, []).append(node)
        nodes[""].append(node)
    ways: dict[operators.Span, list[tuple[str, int]]] = {}
    for name, made in _OPERATORS.items():
        kinds = _LOOKS_AT.get(name.partition("_")[0], ("",))
        looker = made()
        found = (
            position
            for node in itertools.chain(*(nodes.get(one, ()) for one in kinds))
            for position in looker.mutation_positions(node)
        )
        for occurrence, position in enumerate(found):
            ways.setdefault(position, []).append((name, occurrence))
    return [
        Place(module, _function(leaf), position, _lines(leaf), tuple(some))
        for position, some in sorted(ways.items())
        if _means_something(leaf := tree.get_leaf_for_position(position[0]))
    ]


def _above(leaf: ty.Any) -> Iterator[tuple[ty.Any, ty.Any]]:
    """Each node that holds it, and the child through which."""
    child, node = leaf, leaf.parent
    while node is not None:
        yield node, child
        child, node = node, node.parent


def _means_something(leaf: ty.Any) -> bool:
    """Whether a mutation there can change what is done."""
    return not any(
        _is_type(node, child) or _is_for_readers(node)
        for node, child in _above(leaf)
    )


def _is_type(node: ty.Any, child: ty.Any) -> bool:
    """Whether what holds the child says of what type something is."""
    if node.type == "annassign":
        return child is node.children[1]
    if node.type == "tfpdef":
        return child is node.children[2]
    if node.type == "funcdef" and child is not node.children[-1]:
        before = node.children[node.children.index(child) - 1]
        return bool(before.get_code().strip() == "->")
    return False


def _is_for_readers(node: ty.Any) -> bool:
    """Whether a program that is right does the same without it.

    An assertion says to a reader what can't be otherwise.
    """
    if node.type == "assert_stmt":
        return True
    if node.type not in ("if_stmt", "argument", "atom_expr", "decorator"):
        return False
    text = node.get_code().strip()
    if node.type == "if_stmt":
        return bool(text.startswith("if ty.TYPE_CHECKING:"))
    if node.type == "argument":
        return node.children[0].get_code().strip() in _GUARDS
    if node.type == "atom_expr":
        return bool(text.startswith("_LOG."))
    return text[1:].partition("(")[0] in _FOR_READERS


def _function(leaf: ty.Any) -> str:
    names = [
        node.name.value
        for node, _ in _above(leaf)
        if node.type in ("funcdef", "classdef")
    ]
    return ".".join(reversed(names))


def _lines(leaf: ty.Any) -> range:
    """The statement, or all of what is made while a module is loaded."""
    statement: range | None = None
    for node, child in _above(leaf):
        if statement is None and node.type in _COMPOUND:
            statement = range(child.start_pos[0], child.end_pos[0] + 1)
        if node.type == "decorated" and child is node.children[0]:
            if node.children[1].type == "classdef":
                # Whoever makes one of the class may notice, wherever.
                continue
            return range(node.start_pos[0], node.end_pos[0] + 1)
        if node.type == "funcdef":
            if child is node.children[-1]:
                assert statement is not None
                return statement
            # A default, which its callers meet.
            return range(node.start_pos[0], node.end_pos[0] + 1)
    return range(1, node.end_pos[0] + 1)


def _mutant(
    root: pathlib.Path, place: Place, operator: str, occurrence: int
) -> Mutant | None:
    source = path(root, place.module).read_text()
    changed = cosmic_ray.mutating.mutate_code(
        source, _OPERATORS[operator](), occurrence
    )
    try:
        same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
    except SyntaxError:
        return None
    if same:
        return None
    gone, come = _difference(source, changed)
    return Mutant(place, operator, changed, gone, come)


def _difference(source: str, changed: str) -> tuple[str, str]:
    gone, come = [], []
    for line in difflib.ndiff(source.splitlines(), changed.splitlines()):
        if line.startswith("- "):
            gone.append(line[2:].strip())
        elif line.startswith("+ "):
            come.append(line[2:].strip())
    return "\n".join(gone), "\n".join(come)
