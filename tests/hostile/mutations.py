# SPDX-License-Identifier: Apache-2.0
"""What is made of good texts, bytes and JSON values so that they are bad."""

import copy
import json
import random
import re
import typing as ty

#: Pieces of text that somebody's parser may stumble over.
ODD: ty.Final = (
    *("", " ", "\t", "\n", "\r\n", "\r", "\0", "\f", "\v", "\x1b[2J", "\x7f"),
    *("\x85", "\u2028", "\u202e", "\ufeff", "\u00e9", "\u0130", "\U0001f4a5"),
    *("\u0664\u0665", "\u00b2", "*", "**", ".", "..", "/", "//", "../.."),
    *("%s", "%(x)s", "{}", "{0}", "$", "$$", "$x", "${x}", "$host", "\\$"),
    *("\\", "\\\\", "'", '"', "`", ";", "&", "|", "<!--", "#", "=", ":", ","),
    *("[", "]", "{", "}", "(", ")", "[[", "{{", "null", "true", "NaN"),
    *("-1", "0", "00", "0x", "0x10", "1e999", "1_0", "+1", "1.5", "-0"),
    *("65536", "4294967296", "18446744073709551616", "9" * 5000, "f" * 300),
    *("A" * 5000, "(" * 300, "[" * 3000, '{"a":' * 3000, r"\ud800", r"\u0000"),
    *("0000:25:00.4", "ffffffff:ff:1f.7", "[pci]", "[vfio]", "__class__"),
)

#: Values that JSON may have where another one is expected.
VALUES: ty.Final[tuple[ty.Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1),
    *(10**300, 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", " ", "0", "no", "\0", "\x1b[31m", "\u202e", "\ud800", "A" * 5000),
    *("../../guard/canary", "0000:25:00.4", "*"),
    *([], [[]], [None], {}, {"": {}}, {"a": None}, ["a", 1, None, {}]),
)

_NUMBER = re.compile(r"[0-9]+")


def text(rng: random.Random, good: str) -> str:
    """A text with some mistakes in it."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        start = rng.randint(0, len(good))
        end = min(len(good), start + rng.choice((0, 1, 1, 3, 10, 40)))
        piece = good[start:end]
        way = rng.randrange(8)
        if way == 0:
            new = ""
        elif way == 1:
            new = piece * rng.choice((2, 3, 50))
        elif way == 2:
            new = rng.choice(ODD) + piece
        elif way == 3:
            new = piece.swapcase()
        elif way == 4:
            new = piece[::-1]
        elif way == 5:
            return good[:start]
        elif way == 6:
            new = chr(rng.choice((rng.randrange(128), rng.randrange(0xD800))))
        else:
            new = rng.choice(ODD)
        good = good[:start] + new + good[end:]
        if rng.random() < 0.1:
            good = _NUMBER.sub(lambda _: rng.choice(ODD), good, 1)
    return good


def data(rng: random.Random, good: bytes) -> bytes:
    """Bytes with some damage."""
    found = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        start = rng.randint(0, len(found))
        end = min(len(found), start + rng.choice((1, 1, 2, 8, 64, 512)))
        way = rng.randrange(8)
        if way == 0:
            del found[start:end]
        elif way == 1:
            found[start:end] = bytes(found[start:end]) * 2
        elif way == 2:
            found[start:start] = rng.randbytes(rng.choice((1, 2, 16)))
        elif way == 3:
            found[start:end] = bytes(end - start)
        elif way == 4:
            found[start:end] = b"\xff" * (end - start)
        elif way == 5:
            del found[start:]
        elif start < len(found):
            found[start] ^= 1 << rng.randrange(8)
    return bytes(found)


def value(rng: random.Random, good: ty.Any) -> ty.Any:
    """A JSON value of which something is another one."""
    good = copy.deepcopy(good)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        good = _changed(rng, good)
    return good


def _changed(rng: random.Random, good: ty.Any) -> ty.Any:
    """The value with one change, anywhere in it."""
    if isinstance(good, dict | list) and good and rng.random() < 0.9:
        places = list(good) if isinstance(good, dict) else range(len(good))
        place = rng.choice(places)
        way = rng.random()
        if way < 0.12:
            del good[place]
        elif way < 0.25:
            other = rng.choice((rng.choice(VALUES), good[place]))
            _add(rng, good, copy.deepcopy(other))
        else:
            good[place] = _changed(rng, good[place])
        return good
    way = rng.random()
    if isinstance(good, str) and way < 0.5:
        return text(rng, good)
    if isinstance(good, int) and way < 0.5:
        return good + rng.choice((-1, 1, 2**16, 2**31, 2**63, -(2**64)))
    if way < 0.6:
        return [good]
    return copy.deepcopy(rng.choice(VALUES))


def _add(rng: random.Random, good: ty.Any, other: ty.Any) -> None:
    """Add a value to an object or a list."""
    if isinstance(good, dict):
        good[rng.choice(ODD)] = other
    else:
        good.insert(rng.randint(0, len(good)), other)


def as_json(rng: random.Random, good: ty.Any) -> str:
    """JSON of a value with mistakes, in the value or in the writing."""
    way = rng.random()
    if way < 0.05:
        return json.dumps(good)
    if way < 0.6:
        return json.dumps(value(rng, good))
    if way < 0.7:
        depth = rng.choice((100, 990, 5000, 100_000))
        return "[" * depth + json.dumps(good) + "]" * depth
    if way < 0.75 and isinstance(good, dict):
        # The same keys once more, with other values.
        return f"{json.dumps(good)[:-1]}, {json.dumps(value(rng, good))[1:]}"
    return text(rng, json.dumps(good))
