# SPDX-License-Identifier: Apache-2.0
"""How often, and how deep, a regular expression repeats, read as text."""

from __future__ import annotations

import math
import re

_TOKEN = re.compile(
    r"""
    \\.                          # an escaped character
    | \[\^?\]?(?:\\.|[^\]\\])*\]  # a set
    | (?P<open>\()
    | (?P<close>\))
    | (?P<repeat>[*+?]|\{\d*,?\d*\})
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


#: In which blanks or comments may stand between a part and its repeat.
_SPACED = re.compile(r"\(\?[a-zA-Z]*x|\(\?#")
_COUNTED = re.compile(r"\{\d*,?\d*\}")


def size(text: str) -> int:
    """How many parts it has at most with its counted repeats written out.

    A repeat without an upper bound counts as its lower one, for no more is
    ever made of it.
    """
    if _SPACED.search(text):
        return len(text) * math.prod(map(_count, _COUNTED.findall(text)))
    totals = [0]
    last = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "open":
            totals.append(0)
            last = 0
        elif kind == "repeat":
            count = _count(token[0])
            totals[-1] += last * (count - 1)
            last *= count
        else:
            last = 1
            if kind == "close" and len(totals) > 1:
                last = max(totals.pop(), 1)
            totals[-1] += last
    return sum(totals)


def _count(repeat: str) -> int:
    """How often it repeats at most, or at least if there is no most."""
    bounds = repeat.strip("{}").split(",")
    return (
        max((int(bound) for bound in bounds if bound.isdecimal()), default=1)
        or 1
    )


def nesting(text: str) -> int:
    """How deep repeats stand inside groups that are repeated themselves."""
    deepest = [0]
    behind_group = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "open":
            deepest.append(0)
        elif kind == "close" and len(deepest) > 1:
            behind_group = deepest.pop()
            deepest[-1] = max(deepest[-1], behind_group)
            continue
        elif kind == "repeat" and _is_ambiguous(token[0], behind_group):
            deepest[-1] = max(deepest[-1], behind_group + 1)
        behind_group = 0
    return max(deepest)


def _is_ambiguous(repeat: str, depth: int) -> bool:
    """Whether it can share out the same text in several ways.

    It repeats more than once, and either any number of times or something
    that is ambiguous itself.
    """
    if repeat in "*+":
        return True
    low, comma, high = repeat.strip("{}").partition(",")
    if not comma:
        return depth > 0 and low not in ("", "0", "1")
    return high not in ("0", "1") and (low != high or depth > 0)
