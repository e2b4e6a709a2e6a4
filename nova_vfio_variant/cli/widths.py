# SPDX-License-Identifier: Apache-2.0
"""How wide what is printed may be, and tables that are no wider.

cliff's own fitting breaks columns as soon as they are wider than the others,
addresses and UUIDs among them, and asks only a terminal for its width.
"""

from __future__ import annotations

import argparse
import os
import shutil
import textwrap
import typing as ty

#: Of a table of default columns where nobody says and no terminal is.
USUAL: ty.Final = 120

#: What cliff reads as numbers when it makes a command's parser.
_VARIABLES: ty.Final = ("CLIFF_FIT_WIDTH", "CLIFF_MAX_TERM_WIDTH")

Cells = ty.Sequence[ty.Any]


def unread() -> str | None:
    """What of the environment is no number; None if all is fine."""
    for name in _VARIABLES:
        text = os.environ.get(name, "0")
        try:
            int(text)
        except ValueError:
            return f"{name}: {text!r} is no number"
    return None


def asked(parsed_args: argparse.Namespace, stream: ty.TextIO) -> int | None:
    """The width that the options or the terminal ask for; None if neither.

    :param stream: what is printed to
    """
    if parsed_args.max_width > 0:
        return int(parsed_args.max_width)
    return terminal(stream, fit=parsed_args.fit_width)


def terminal(stream: ty.TextIO, *, fit: bool = False) -> int | None:
    """The terminal's width, or what COLUMNS says; None for a pipe or a file.

    :param fit: 80 also for those
    """
    if not fit and not stream.isatty():
        return None
    return shutil.get_terminal_size().columns


def fitted(
    names: ty.Sequence[str], rows: ty.Sequence[Cells], width: int
) -> list[Cells]:
    """Rows whose text is wrapped so that their table is no wider.

    What is longest is wrapped first, between words; words are broken only
    where it doesn't fit otherwise, and names of columns never. Where even
    these don't fit, the table is wider, and no word is broken for nothing.
    """
    columns = [
        [str(row[number]) for row in rows] for number in range(len(names))
    ]
    widths = _shared(
        [len(name) for name in names],
        [
            max(
                (len(word) for text in column for word in text.split()),
                default=0,
            )
            for column in columns
        ],
        [max(map(len, column), default=0) for column in columns],
        # As prettytable draws it: "| " and " " around each, and "|" at last.
        width - 3 * len(names) - 1,
    )
    return [
        tuple(
            _wrapped(cell, limit)
            for cell, limit in zip(row, widths, strict=True)
        )
        for row in rows
    ]


def _shared(
    names: list[int], words: list[int], whole: list[int], width: int
) -> list[int]:
    """How wide each column is to be, of a width that they share.

    :param names: how wide their names are
    :param words: how wide their longest words are
    :param whole: how wide they are if nothing is wrapped
    """
    for at_least in (words, [0] * len(names)):
        for most in range(max([*whole, 1]), 0, -1):
            widths = [
                max(name, word, min(wanted, most))
                for name, word, wanted in zip(
                    names, at_least, whole, strict=True
                )
            ]
            if sum(widths) <= width:
                return widths
    return [*map(max, names, words)]


def _wrapped(cell: object, width: int) -> object:
    if not isinstance(cell, str) or len(cell) <= width:
        return cell
    return "\n".join(lines(cell, width))


def lines(text: str, width: int) -> list[str]:
    """A line of text as lines that are no longer."""
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False)
