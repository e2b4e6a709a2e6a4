# SPDX-License-Identifier: Apache-2.0
"""Findings as text, below the operator's own line, and as data."""

from __future__ import annotations

import typing as ty
import unicodedata

from nova_vfio_variant import finding, shown

#: How far the operator's line and everything about it are moved in.
_INDENT = "    "

#: Lines longer than this are shown around the marked place only.
_WIDTH = 112

#: How much of a long line is shown before the marked place.
_BEFORE = 48

_CUT = "..."


def text(findings: ty.Iterable[finding.Finding]) -> str:
    """Each finding: its sentence, the line with the place marked, the hint.

    What an operator's file holds is escaped, so that it can't command the
    terminal.
    """
    return "".join(f"{_one(problem)}\n" for problem in findings)


def data(found: finding.Finding) -> dict[str, str | None]:
    """The same as data, for ``-f json``."""
    return {
        "severity": str(found.severity),
        "code": found.code.id,
        "location": None if found.location is None else str(found.location),
        "subject": found.subject,
        "message": found.message,
        "hint": found.hint,
    }


def _one(found: finding.Finding) -> str:
    lines = [shown.line(str(found))]
    if found.location is not None and found.line is not None:
        lines += marked(found.line, found.location.column, found.length)
    if found.hint:
        lines += map(shown.line, found.hint.split("\n"))
    return f"\n{_INDENT}".join(lines)


def marked(line: str, column: int, length: int) -> tuple[str, str]:
    """A line, and below it carets under the columns that are meant.

    Tabs become one space and wide characters get two carets, so that the
    carets stand where they should in a terminal.

    :param column: counted from 1
    :param length: in characters; what goes on behind the line's end is not
        marked
    """
    start = column - 1
    end = max(min(start + length, len(line)), start + 1)
    first = max(start - _BEFORE, 0) if len(line) > _WIDTH else 0
    last = max(first + _WIDTH, min(end, start + _WIDTH))
    piece = _printable(line[first:last])
    before = _cells(_printable(line[first:start]))
    carets = max(_cells(_printable(line[start : min(end, last)])), 1)
    if first:
        piece = _CUT + piece
        before += len(_CUT)
    if last < len(line):
        piece += _CUT
    return piece, " " * before + "^" * carets


def _printable(line: str) -> str:
    return shown.line(line.replace("\t", " "))


def _cells(piece: str) -> int:
    """How many columns of a terminal it takes."""
    return sum(
        0
        if unicodedata.combining(sign)
        else 1 + (unicodedata.east_asian_width(sign) in {"W", "F"})
        for sign in piece
    )
