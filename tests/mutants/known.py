# SPDX-License-Identifier: Apache-2.0
"""Mutants that survive and are looked at: ``known.toml``, with why."""

import dataclasses
import pathlib
import tomllib

from tests.mutants import making

_FILE = pathlib.Path(__file__).with_name("known.toml")


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A mutant, recognised wherever it stands in a file of its room.

    :param function: the names of its classes and functions, with dots
    :param line: the lines that change, without what is before and behind
    :param becomes: likewise
    :param equivalent: no caller can see a difference, so that no test can
        notice it
    :param why: so, or why nobody is to notice it
    """

    room: str
    function: str
    line: str
    becomes: str
    equivalent: bool
    why: str


def load() -> list[Known]:
    """All that are known.

    :raises TypeError: for a key that is missing or unknown
    """
    with _FILE.open("rb") as file:
        told = tomllib.load(file)
    return [
        Known(**one | {key: one[key].strip() for key in ("line", "becomes")})
        for one in told.get("mutant", [])
    ]


def find(known: list[Known], mutant: making.Mutant) -> Known | None:
    """What is known of a mutant."""
    sought = (
        mutant.room,
        mutant.place.function,
        mutant.line,
        mutant.becomes,
    )
    for one in known:
        if (one.room, one.function, one.line, one.becomes) == sought:
            return one
    return None


def gone(known: list[Known], root: pathlib.Path) -> list[Known]:
    """Those whose lines aren't in their room any more."""
    lines: dict[str, set[str]] = {}
    for module in making.modules(root):
        room = module.rpartition("/")[0]
        text = making.path(root, module).read_text()
        lines.setdefault(room, set()).update(
            line.strip() for line in text.splitlines()
        )
    return [
        one
        for one in known
        if not set(one.line.splitlines()) <= lines.get(one.room, set())
    ]
