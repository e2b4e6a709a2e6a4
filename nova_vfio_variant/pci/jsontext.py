# SPDX-License-Identifier: Apache-2.0
"""JSON that remembers where each object, key and value stands.

Python's :mod:`json` decides what is valid, as it does for Nova; the scanner
here only goes over valid text again and notes the places. What is not valid
becomes findings that name the usual mistakes
(:mod:`~nova_vfio_variant.pci.json_mistakes`).
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as ty
from json import decoder

from nova_vfio_variant import finding, source
from nova_vfio_variant.pci import codes, json_mistakes

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")


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
    text: source.SourceText, twice: finding.Code = codes.DUPLICATE_KEY
) -> tuple[Node | None, tuple[finding.Finding, ...]]:
    """Read a value.

    :param twice: what a key is that stands twice in an object; with an error
        nobody goes by the last one, as Nova does
    :returns: the value, None if it isn't JSON; and what is wrong with it,
        repeated keys among it
    """
    try:
        json.loads(text.text)
        node, _ = _scan(text.text, _skip(text.text, 0))
    except json.JSONDecodeError as error:
        return None, json_mistakes.findings(text, error)
    except RecursionError:
        return None, (
            json_mistakes.on(
                text, codes.NOT_JSON, "objects or lists nested too deeply"
            ),
        )
    except ValueError as error:
        # A number of more digits than Python converts.
        return None, (
            json_mistakes.on(text, codes.NOT_JSON, f"not JSON: {error}"),
        )
    return node, tuple(_repeated(text, node, twice))


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
    text: source.SourceText, node: Node, twice: finding.Code
) -> ty.Iterator[finding.Finding]:
    """A finding for each key that a later one of its object overrides."""
    last = node.keys()
    for member in node.members:
        if last[member.key] is not member:
            yield json_mistakes.again(
                text, twice, member.key, member.start, member.end
            )
        yield from _repeated(text, member.node, twice)
    for item in node.items:
        yield from _repeated(text, item, twice)
