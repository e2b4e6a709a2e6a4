# SPDX-License-Identifier: Apache-2.0
"""What cliff writes as it is into what a shell is to read."""

from __future__ import annotations

import argparse
import re
import typing as ty

#: Of each option: what it may be, and how an error says so. A prefix is empty
#: where none is given.
_WORDS: ty.Final = {
    "--name": (
        re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*"),
        "no name of a command: those have ASCII letters, digits and '_.-'",
    ),
    "--prefix": (
        re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*)?"),
        "no beginning of a variable: those have ASCII letters, digits and '_'",
    ),
}


def check(parser: argparse.ArgumentParser) -> None:
    """Let a parser refuse what is more to a shell than a word.

    :param parser: of a command; most have no such option
    """
    for action in parser._actions:  # noqa: SLF001 - has no other name
        for option in _WORDS.keys() & action.option_strings:
            action.type = _Word(option)


class _Word:
    """The type of such an option.

    :param option: its name
    """

    def __init__(self, option: str) -> None:
        self._pattern, self._error = _WORDS[option]

    def __call__(self, text: str) -> str:
        """The text itself.

        :raises ArgumentTypeError: argparse prints it and ends with status 2
        """
        if not self._pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!r} is {self._error}")
        return text
