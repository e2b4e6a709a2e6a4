# SPDX-License-Identifier: Apache-2.0
"""Text of others, so that it can stand before a person.

Names in sysfs, of processes and in ``pci.ids``, answers of Placement, files
and arguments may hold what a terminal obeys or what makes a line read as
another one. It is escaped where it is shown and nowhere before: data keeps it.
"""

from __future__ import annotations

import typing as ty

#: Characters of a sentence, and of what is to be done about it. What a sentence
#: names may be pasted, so that much of it is left whole: 256 addresses.
SENTENCE: ty.Final = 1_000
HINT: ty.Final = 10_000


def line(text: str) -> str:
    r"""The text as one line of signs that can be seen.

    What Python doesn't call printable is written as in its strings:
    ``\x1b``, ``\n``, ``\u202e``. Those are control and format characters,
    ends of lines, spaces other than the usual one, and bytes that are no
    UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        sign
        if sign.isprintable()
        else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


def short(text: str, most: int = SENTENCE) -> str:
    """A text that isn't too long to be read, its beginning and its end.

    What is quoted in it may be of any length: a value of a megabyte has a
    place to be looked up at.

    :param most: characters, about
    """
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    left = len(text) - head - tail
    return f"{text[:head]}... ({left:,} characters more) ...{text[-tail:]}"


def lines(text: str) -> str:
    """The same of text whose lines are ours: the ends of them stay."""
    return "\n".join(map(line, text.split("\n")))
