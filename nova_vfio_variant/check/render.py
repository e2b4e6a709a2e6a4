# SPDX-License-Identifier: Apache-2.0
"""Findings as text, below the operator's own line, and as data."""

from __future__ import annotations

import textwrap
import typing as ty
import unicodedata

from nova_vfio_variant import finding, shown

#: How far the operator's line and everything about it are moved in.
_INDENT = "    "

#: How wide all may be where nobody says: a line of an operator's file alone is
#: cut then, around the marked place.
_USUAL = 120

#: Less than this is no use, however narrow a terminal is.
_LEAST = 32

_CUT = "..."


def text(
    findings: ty.Iterable[finding.Finding], width: int | None = None
) -> str:
    """Each finding: its sentence, the line with the place marked, the hint.

    What an operator's file holds is escaped, so that it can't command the
    terminal.

    :param width: no line is longer, unless a word is; without it a sentence
        is one line, as a program that looks for it expects
    """
    return "".join(f"{_one(problem, width)}\n" for problem in findings)


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


def _one(found: finding.Finding, width: int | None) -> str:
    inside = max((width or _USUAL) - len(_INDENT), _LEAST)
    lines = _wrapped(shown.line(str(found)), width and inside)
    if found.location is not None and found.line is not None:
        lines += marked(
            found.line, found.location.column, found.length, inside
        )
    for line in found.hint.split("\n") if found.hint else ():
        lines += _wrapped(shown.line(line), width and inside)
    return f"\n{_INDENT}".join(lines)


def _wrapped(line: str, width: int | None) -> list[str]:
    if not width:
        return [line]
    return textwrap.wrap(
        line, width, break_on_hyphens=False, break_long_words=False
    )


def marked(
    line: str, column: int, length: int, width: int = _USUAL
) -> tuple[str, str]:
    """A line, and below it carets under the columns that are meant.

    Tabs become one space and wide characters get two carets, so that the
    carets stand where they should in a terminal.

    :param column: counted from 1
    :param length: in characters; what goes on behind the line's end is not
        marked
    :param width: how many characters there may be; of a longer line only what
        is around the marked place is shown
    """
    start = column - 1
    end = max(min(start + length, len(line)), start + 1)
    first = 0
    if len(line) > width:
        width -= 2 * len(_CUT)
        first = max(start - width // 2, 0)
    last = first + width
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
