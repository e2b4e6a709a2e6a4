# SPDX-License-Identifier: Apache-2.0
"""Names the mistake in a text that is no JSON: one small function for each.

:mod:`json` says where it stopped, and seldom why. The first mistake that is
recognized there is the one that is told.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as ty

from nova_vfio_variant import finding, source
from nova_vfio_variant.pci import codes

_QUOTES = re.compile("['`´‘’‚“”„«»]")  # noqa: RUF001 - editors make them
_BARE_WORD = re.compile(r"[^\s,{}\[\]\"]+")
_LOOSE_KEY = re.compile(
    r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|(?<=[{,])\s*([A-Za-z_][\w.-]*)\s*:',
    re.DOTALL,
)

_NO_COMMA = "Expecting ',' delimiter"
#: What begins a line of its own, were it not indented.
_LINE = re.compile(r"[A-Za-z_][\w-]*\s*[=:]|\[[\w-]+\]")
_INDENTED = (
    "An indented line goes on with the value above it: begin this one in the "
    "first column."
)
#: Options that take one object and no list.
_NO_LISTS = frozenset({"alias", "pci_alias"})
_ONE_EACH = "Give each alias an option of its own."
#: What json says where a value without quotes stands.
_AT_A_VALUE = ("Expecting value", _NO_COMMA)
_EXPECTED = {
    "Expecting value": "a value is expected",
    _NO_COMMA: "a comma is expected",
    "Expecting ':' delimiter": "a colon is expected",
    "Expecting property name enclosed in double quotes": (
        "a key in double quotes is expected"
    ),
    "Extra data": "nothing more is expected",
}
#: Words that need no quotes, as other languages write them.
_WORDS = {"true": "true", "false": "false", "none": "null", "null": "null"}


@dataclasses.dataclass(frozen=True, slots=True)
class _Stop:
    """Where :mod:`json` stopped.

    :param text: what it read
    :param message: what it says
    :param at: the offset that it names
    :param offset: of the first character from there that is no blank
    """

    text: source.SourceText
    message: str
    at: int
    offset: int

    @property
    def value(self) -> str:
        """The whole text."""
        return self.text.text

    @property
    def rest(self) -> str:
        """What it didn't read."""
        return self.value[self.offset :]


_Found = ty.Iterator[finding.Finding]


def findings(
    text: source.SourceText, error: json.JSONDecodeError
) -> tuple[finding.Finding, ...]:
    """What is wrong where :mod:`json` stopped, at least one finding."""
    offset = len(text.text) - len(text.text[error.pos :].lstrip(" \t\n\r"))
    stop = _Stop(text, error.msg, error.pos, offset)
    for mistake in _MISTAKES:
        if found := tuple(mistake(stop)):
            return found
    return (_unexpected(text, error.msg, offset),)


def on(
    text: source.SourceText,
    code: finding.Code,
    message: str,
    start: int = 0,
    end: int | None = None,
    hint: str | None = None,
) -> finding.Finding:
    """A finding in the text of an option."""
    return finding.Finding.on(
        code, message, text, start, end, text.option, hint
    )


def again(
    text: source.SourceText,
    twice: finding.Code,
    key: str,
    start: int,
    end: int,
) -> finding.Finding:
    """A finding on a key that a later one overrides, where it stands first."""
    counts = (
        ""
        if twice.severity is finding.Severity.ERROR
        else ", and the last one counts"
    )
    return on(
        text,
        twice,
        f"key {key!r} stands again further on{counts}",
        start,
        end,
        "Remove all but one.",
    )


def _empty(stop: _Stop) -> _Found:
    if not stop.value.strip():
        yield on(
            stop.text,
            codes.NOT_JSON,
            "the value is empty",
            0,
            1,
            "Remove the line.",
        )


def _unterminated(stop: _Stop) -> _Found:
    if stop.message.startswith("Unterm"):
        yield on(
            stop.text,
            codes.NOT_JSON,
            "the string that begins here has no closing double quote",
            stop.at,
            _end_of_line(stop.value, stop.at),
            'Add " where the string ends.',
        )


def _control_character(stop: _Stop) -> _Found:
    if stop.message.startswith("Invalid control"):
        found = stop.value[stop.at : stop.at + 1]
        yield on(
            stop.text,
            codes.NOT_JSON,
            f"the character {found!r} can't stand in a JSON string",
            stop.at,
            stop.at + 1,
            "Close the string before the end of the line.",
        )


def _no_escape(stop: _Stop) -> _Found:
    if stop.message.startswith("Invalid \\"):
        # json names the character or, for \u, the digits behind it.
        start = stop.value.rfind("\\", 0, stop.at + 1)
        escape = stop.value[start : stop.at + 2]
        yield on(
            stop.text,
            codes.NOT_JSON,
            f"{escape} is no escape that JSON knows",
            start,
            start + 2,
            "Write a backslash as \\\\.",
        )


def _unclosed(stop: _Stop) -> _Found:
    if not stop.rest:
        end = len(stop.value.rstrip())
        yield on(
            stop.text,
            codes.NOT_JSON,
            "the value ends before its brackets are closed",
            end - 1,
            end,
            "Close them."
            if stop.text.is_whole_file
            else "A value goes on in the next line only if that is indented.",
        )


def _comment(stop: _Stop) -> _Found:
    if stop.rest.startswith(("#", "//")) or (
        stop.rest.startswith(";") and stop.message == "Extra data"
    ):
        yield on(
            stop.text,
            codes.INLINE_COMMENT,
            f"what stands behind {stop.rest[0]!r} is part of the value, "
            "not a comment",
            stop.offset,
            _end_of_line(stop.value, stop.offset),
            "JSON has no comments: remove it."
            if stop.text.is_whole_file
            else _INDENTED
            if _begins_line(stop.value, stop.offset)
            else "Give the comment a line of its own above the option.",
        )


def _other_quotes(stop: _Stop) -> _Found:
    if _QUOTES.match(stop.rest):
        yield on(
            stop.text,
            codes.SINGLE_QUOTES,
            f"JSON strings stand in double quotes, not in {stop.rest[0]}",
            stop.offset,
            stop.offset + 1,
            'Write " in its place.',
        )


def _trailing_comma(stop: _Stop) -> _Found:
    before = stop.value[: stop.offset].rstrip()
    if stop.rest[0] in "}]" and before.endswith(","):
        yield on(
            stop.text,
            codes.TRAILING_COMMA,
            f"a comma stands before {stop.rest[0]!r}",
            len(before) - 1,
            len(before),
            "Remove the comma.",
        )


def _unquoted_keys(stop: _Stop) -> _Found:
    """All of them, as soon as one is met."""
    loose = [
        found.span(1)
        for found in _LOOSE_KEY.finditer(stop.value)
        if found[1] is not None
    ]
    if any(start == stop.offset for start, _ in loose):
        for start, end in loose:
            key = stop.value[start:end]
            yield on(
                stop.text,
                codes.UNQUOTED_KEY,
                f"key {key} lacks its double quotes",
                start,
                end,
                f'Write "{key}".',
            )


_MISTAKES = (
    _empty,
    _unterminated,
    _control_character,
    _no_escape,
    _unclosed,
    _comment,
    _other_quotes,
    _trailing_comma,
    _unquoted_keys,
)


def _unexpected(
    text: source.SourceText, message: str, offset: int
) -> finding.Finding:
    """Something stands where something else belongs."""
    value = text.text
    start, end = _bare_word(value, offset, message)
    found = value[start:end]
    if found and not value[:start].strip() and found.lower() not in _WORDS:
        end = start + len(value[start : _end_of_line(value, start)].rstrip())
        found = value[start:end]
        # Quotes around a whole value never get here: oslo.config takes a
        # pair of them away.
        return on(
            text,
            codes.NOT_JSON,
            f"{found} is no JSON object",
            start,
            end,
            hint='Write an object, { "KEY": "VALUE", ... }.',
        )
    if start < end and message in _AT_A_VALUE:
        mend = _WORDS.get(found.lower(), f'"{found}"')
        return on(
            text,
            codes.UNQUOTED_VALUE,
            f"{found} is no JSON value"
            if found.lower() in _WORDS
            else f"the value {found} lacks its double quotes",
            start,
            end,
            hint=f"Write {mend}.",
        )
    hint = None
    if message == "Extra data":
        hint = (
            "Several objects stand in one list, [{...}, {...}]."
            if text.is_whole_file
            else _INDENTED
            if _begins_line(value, offset) and _LINE.match(value, offset)
            else _ONE_EACH
            if text.option in _NO_LISTS
            else "Several objects stand in one list, [{...}, {...}], or each "
            "in an option of its own."
        )
    return on(
        text,
        codes.NOT_JSON,
        f"not JSON: {_EXPECTED.get(message, message)} at {value[offset]!r}",
        offset,
        max(end, offset + 1),
        hint=hint,
    )


def _bare_word(value: str, offset: int, message: str) -> tuple[int, int]:
    """Start and end of the unquoted word around ``offset``.

    In ``10de`` or ``0000:25:00.4`` JSON reads a number first and stops
    behind it.
    """
    start = offset
    if message == _NO_COMMA:
        while start and _BARE_WORD.match(value[start - 1]):
            start -= 1
        start = value.rfind(":", start, start + 1) + 1 or start
    found = _BARE_WORD.match(value, offset)
    if found is None or (message == _NO_COMMA and start == offset):
        return offset, offset
    return start, found.end()


def _begins_line(value: str, offset: int) -> bool:
    """Whether it is the first thing in a line that goes on with a value."""
    return value[:offset].rstrip(" \t").endswith("\n")


def _end_of_line(value: str, offset: int) -> int:
    end = value.find("\n", offset)
    return len(value) if end < 0 else end
