# SPDX-License-Identifier: Apache-2.0
"""JSON that remembers where each object, key and value stands.

Python's :mod:`json` decides what is valid, as it does for Nova; the scanner
here only goes over valid text again and notes the places. What is not valid
becomes findings that name the usual mistakes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import typing as ty
from json import decoder

from nova_vfio_variant import finding, source
from nova_vfio_variant.pci import codes

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")
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
class Node:
    """A JSON value and where it stands.

    :param value: as :func:`json.loads` gives it
    :param start: offset of its first character
    :param end: offset just behind its last
    :param members: of an object, in the order of the text, repeated keys
        among them
    :param items: of a list
    """

    value: ty.Any
    start: int
    end: int
    members: tuple[Member, ...] = ()
    items: tuple[Node, ...] = ()

    def keys(self) -> dict[str, Member]:
        """Of an object, its members by key; the last one counts."""
        return {member.key: member for member in self.members}

    @property
    def kind(self) -> str:
        """What JSON calls this kind of value."""
        if self.value is None:
            return "null"
        return _KINDS[type(self.value)]


_KINDS: dict[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A key of an object with its value.

    :param key: the key
    :param start: offset of the key's opening quote
    :param end: offset just behind its closing quote
    :param node: the value
    """

    key: str
    start: int
    end: int
    node: Node


def parse(
    text: source.SourceText,
) -> tuple[Node | None, tuple[finding.Finding, ...]]:
    """Read a value.

    :returns: the value, None if it isn't JSON; and what is wrong with it,
        repeated keys among it
    """
    try:
        json.loads(text.text)
        node, _ = _scan(text.text, _skip(text.text, 0))
    except json.JSONDecodeError as error:
        return None, tuple(_diagnose(text, error))
    except RecursionError:
        return None, (
            _on(text, codes.NOT_JSON, "objects or lists nested too deeply"),
        )
    except ValueError as error:
        # A number of more digits than Python converts.
        return None, (_on(text, codes.NOT_JSON, f"not JSON: {error}"),)
    return node, tuple(_repeated(text, node))


def _on(
    text: source.SourceText,
    code: finding.Code,
    message: str,
    start: int = 0,
    end: int | None = None,
    hint: str | None = None,
) -> finding.Finding:
    return finding.Finding.on(
        code, message, text, start, end, text.option, hint
    )


def _skip(text: str, offset: int) -> int:
    found = _SPACE.match(text, offset)
    assert found is not None
    return found.end()


def _scan(text: str, start: int) -> tuple[Node, int]:
    """The value at ``start``, and the offset behind it; text is valid."""
    first = text[start]
    if first == '"':
        value, end = decoder.scanstring(text, start + 1, True)  # type: ignore[attr-defined] # typeshed lacks it
        return Node(value, start, end), end
    if first == "{":
        return _scan_object(text, start)
    if first == "[":
        return _scan_list(text, start)
    found = _SCALAR.match(text, start)
    assert found is not None
    return Node(json.loads(found[0]), start, found.end()), found.end()


def _scan_object(text: str, start: int) -> tuple[Node, int]:
    members = []
    offset = _skip(text, start + 1)
    while text[offset] != "}":
        key, offset = _scan(text, offset)
        # Over the colon, and over the comma if one follows.
        node, end = _scan(text, _skip(text, _skip(text, offset) + 1))
        members.append(Member(key.value, key.start, key.end, node))
        offset = _skip(text, end)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
    value = {member.key: member.node.value for member in members}
    end = offset + 1
    return Node(value, start, end, members=tuple(members)), end


def _scan_list(text: str, start: int) -> tuple[Node, int]:
    items = []
    offset = _skip(text, start + 1)
    while text[offset] != "]":
        node, end = _scan(text, offset)
        items.append(node)
        offset = _skip(text, end)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
    value = [item.value for item in items]
    end = offset + 1
    return Node(value, start, end, items=tuple(items)), end


def _repeated(
    text: source.SourceText, node: Node
) -> ty.Iterator[finding.Finding]:
    """A finding for each key that a later one of its object overrides."""
    last = node.keys()
    for member in node.members:
        if last[member.key] is not member:
            yield _on(
                text,
                codes.DUPLICATE_KEY,
                f"key {member.key!r} stands again further on, and the last "
                "one counts",
                member.start,
                member.end,
                hint="Remove all but one.",
            )
        yield from _repeated(text, member.node)
    for item in node.items:
        yield from _repeated(text, item)


def _diagnose(
    text: source.SourceText, error: json.JSONDecodeError
) -> ty.Iterator[finding.Finding]:
    """Name the mistake at which :mod:`json` stopped."""
    value = text.text
    offset = _skip(value, error.pos)
    on = functools.partial(_on, text)
    if not value.strip():
        yield on(
            codes.NOT_JSON, "the value is empty", 0, 1, "Remove the line."
        )
        return
    if error.msg.startswith(("Invalid control", "Invalid \\", "Untermin")):
        yield _inside_string(text, error)
        return
    if offset == len(value):
        yield on(
            codes.NOT_JSON,
            "the value ends before its brackets are closed",
            len(value.rstrip()) - 1,
            len(value.rstrip()),
            "A value goes on in the next line only if that is indented.",
        )
        return
    if value.startswith(("#", "//"), offset) or (
        value[offset] == ";" and error.msg == "Extra data"
    ):
        yield on(
            codes.INLINE_COMMENT,
            f"what stands behind {value[offset]!r} is part of the value, "
            "not a comment",
            offset,
            _end_of_line(value, offset),
            _INDENTED
            if _begins_line(value, offset)
            else "Give the comment a line of its own above the option.",
        )
        return
    if _QUOTES.match(value[offset]):
        yield on(
            codes.SINGLE_QUOTES,
            f"JSON strings stand in double quotes, not in {value[offset]}",
            offset,
            offset + 1,
            'Write " in its place.',
        )
        return
    before = value[:offset].rstrip()
    if value[offset] in "}]" and before.endswith(","):
        yield on(
            codes.TRAILING_COMMA,
            f"a comma stands before {value[offset]!r}",
            len(before) - 1,
            len(before),
            "Remove the comma.",
        )
        return
    loose = list(_loose_keys(value))
    if any(start == offset for start, _ in loose):
        for start, end in loose:
            key = value[start:end]
            yield on(
                codes.UNQUOTED_KEY,
                f"key {key} lacks its double quotes",
                start,
                end,
                f'Write "{key}".',
            )
        return
    yield _unexpected(text, error.msg, offset)


def _inside_string(
    text: source.SourceText, error: json.JSONDecodeError
) -> finding.Finding:
    """What is wrong in a string that began rightly."""
    if error.msg.startswith("Unterminated"):
        return _on(
            text,
            codes.NOT_JSON,
            "the string that begins here has no closing double quote",
            error.pos,
            _end_of_line(text.text, error.pos),
            hint='Add " where the string ends.',
        )
    # json names the character or, for \u, the digits behind it.
    found = text.text[error.pos : error.pos + 1]
    if error.msg.startswith("Invalid control"):
        message = f"the character {found!r} can't stand in a JSON string"
        hint = "Close the string before the end of the line."
    else:
        start = text.text.rfind("\\", 0, error.pos + 1)
        escape = text.text[start : error.pos + 2]
        message = f"{escape} is no escape that JSON knows"
        hint = "Write a backslash as \\\\."
        return _on(text, codes.NOT_JSON, message, start, start + 2, hint=hint)
    return _on(
        text, codes.NOT_JSON, message, error.pos, error.pos + 1, hint=hint
    )


def _loose_keys(value: str) -> ty.Iterator[tuple[int, int]]:
    """Where keys without quotes stand: start and end of each."""
    for found in _LOOSE_KEY.finditer(value):
        if found[1] is not None:
            yield found.span(1)


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
        return _on(
            text,
            codes.NOT_JSON,
            f"{found} is no JSON object",
            start,
            end,
            hint='Write an object, { "KEY": "VALUE", ... }.',
        )
    if start < end and message in _AT_A_VALUE:
        mend = _WORDS.get(found.lower(), f'"{found}"')
        return _on(
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
            _INDENTED
            if _begins_line(value, offset) and _LINE.match(value, offset)
            else _ONE_EACH
            if text.option in _NO_LISTS
            else "Several objects stand in one list, [{...}, {...}], or each "
            "in an option of its own."
        )
    return _on(
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
