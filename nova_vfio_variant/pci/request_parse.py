# SPDX-License-Identifier: Apache-2.0
"""A request as a JSON object, with a place for each mistake.

``etc/nova-vfio/claim-request.schema.json`` says the same for other programs;
a test compares the two.
"""

from __future__ import annotations

import functools
import typing as ty

from nova_vfio_variant import exception, source
from nova_vfio_variant.pci import (
    alias_parse,
    codes,
    entry,
    flavor,
    jsontext,
    request,
)

#: The keys of the object, and of each of its devices.
KEYS: ty.Final = (
    "alias",
    "vgpu_types",
    "devices",
    "closest",
    "strategy",
    "numa",
    "numa_policy",
)
DEVICE_KEYS: ty.Final = ("class", "named", "properties", "count")

_MOST_NODE: ty.Final = 999_999
T = ty.TypeVar("T")


def parse(text: source.SourceText) -> request.Request:
    """Read a request.

    :param text: the whole of a file
    :raises ConfigError: with a finding for each thing that is wrong
    """
    node, problems = jsontext.parse(text, codes.REQUEST_VALUE)
    findings = [*problems]
    made = None
    if node is not None:
        read = _Reader(text, node)
        made = read.whole()
        findings += read.findings
    if made is None or findings:
        first = findings[0]
        raise exception.ConfigError(
            f"{first.location}: {first.message}", first.hint, findings
        )
    return made


class _Reader(entry.Entry):
    """An object of a request, being read."""

    def whole(self) -> request.Request | None:
        """The whole; None if it has an error."""
        if not self._is_object(KEYS):
            return None
        types = self._list("vgpu_types", str, "a string")
        for node in types:
            self._made(functools.partial(request.counted, node.value), node)
        devices = []
        for node in self._items("devices"):
            read = _Reader(self.text, node)
            devices.append(read.device())
            self.findings += read.findings
        cells = self._list("numa", int, "a whole number")
        for node in cells:
            if not 0 <= node.value <= _MOST_NODE:
                self._wrong(node, f"{node.value} is no NUMA node")
        strategy = self._one_of(
            "strategy", (*request.Strategy, *request.OLD_STRATEGIES)
        )
        policy = self._one_of("numa_policy", alias_parse.NUMA_POLICIES)
        alias = self.text_of("alias")
        if alias is not None:
            self._checked("alias", lambda: flavor.expect_counts(alias))
        closest = self._typed("closest", bool, "a boolean")
        if self.findings:
            return None
        return self._made(
            lambda: request.Request(
                alias,
                tuple(node.value for node in types),
                tuple(device for device in devices if device is not None),
                bool(closest),
                None if strategy is None else request.strategy_of(strategy),
                tuple(node.value for node in cells)
                if "numa" in self.members
                else None,
                policy,
            )
        )

    def device(self) -> request.DeviceRequest | None:
        """One of the devices; None if it has an error."""
        if not self._is_object(DEVICE_KEYS):
            return None
        kind = self.text_of("class")
        if kind is not None:
            self._checked("class", lambda: request.class_word(kind))
        named = self._list("named", str, "a string")
        for node in named:
            self._made(
                functools.partial(request.device_word, node.value), node
            )
        properties = self._properties()
        count = self._typed("count", int, "a whole number")
        if self.findings:
            return None
        return self._made(
            lambda: request.DeviceRequest(
                kind, tuple(node.value for node in named), properties, count
            )
        )

    def _properties(self) -> dict[str, str]:
        """Each in its form; a number or a boolean may stand for its text."""
        member = self.members.get("properties")
        if member is None:
            return {}
        if not isinstance(member.node.value, dict):
            self.wrong_type("properties", member.node, "an object")
            return {}
        found = {}
        for key, each in member.node.keys().items():
            value = each.node.value
            if key not in request.PROPERTIES:
                self.unknown(each, [*request.PROPERTIES])
                continue
            if isinstance(value, bool):
                value = "yes" if value else "no"
            is_number = isinstance(value, int) and key in request.NUMBERS
            if not (isinstance(value, str) or is_number):
                self.report(
                    codes.WRONG_TYPE,
                    f"{key} is {each.node.kind}, and a string is expected",
                    each.node,
                    f"accepted is {request.PROPERTIES[key][1]}",
                )
                continue
            made = self._made(
                functools.partial(request.property_value, key, str(value)),
                each.node,
            )
            if made is not None:
                found[key] = made
        return found

    def _is_object(self, keys: ty.Collection[str]) -> bool:
        """Whether it is an object, with a finding for each unknown key."""
        if not isinstance(self.node.value, dict):
            self.report(
                codes.WRONG_TYPE,
                f"{self.node.kind} stands here, and an object is expected",
                hint='Write { "class": "gpu", "count": 2 } in "devices".',
            )
            return False
        for key, member in self.members.items():
            if key not in keys:
                inner = key in DEVICE_KEYS
                self.unknown(
                    member,
                    keys,
                    consequence='It is a key of "devices".' if inner else "",
                )
        return True

    def _items(self, key: str) -> tuple[jsontext.Node, ...]:
        """What stands in a list, with a finding where there is none."""
        member = self.members.get(key)
        if member is None:
            return ()
        if not isinstance(member.node.value, list):
            self.report(
                codes.WRONG_TYPE,
                f"{key} is {member.node.kind}, and a list is expected",
                member.node,
                "Write [...].",
            )
        return member.node.items

    def _list(
        self, key: str, kind: type[T], expected: str
    ) -> tuple[jsontext.Node, ...]:
        """The strings, or numbers, of a list."""
        items = self._items(key)
        for node in items:
            if type(node.value) is not kind:
                self.report(
                    codes.WRONG_TYPE,
                    f"{node.kind} stands in {key}, and {expected} is expected",
                    node,
                )
        return tuple(node for node in items if type(node.value) is kind)

    def _typed(self, key: str, kind: type[T], expected: str) -> T | None:
        member = self.members.get(key)
        if member is None:
            return None
        if type(member.node.value) is not kind:
            self.report(
                codes.WRONG_TYPE,
                f"{key} is {member.node.kind}, and {expected} is expected",
                member.node,
            )
            return None
        return member.node.value

    def _one_of(self, key: str, words: ty.Collection[str]) -> str | None:
        text = self.text_of(key)
        if text is not None and text not in words:
            near = entry.nearest(text, words)
            self._wrong(
                self.members[key].node,
                f"{key} is {text!r}, and {', '.join(words)} are known",
                None if near is None else f"Did you mean {near!r}?",
            )
        return text

    def _checked(self, key: str, make: ty.Callable[[], T]) -> T | None:
        return self._made(make, self.members[key].node)

    def _made(
        self, make: ty.Callable[[], T], node: jsontext.Node | None = None
    ) -> T | None:
        """What is made; where that fails, a finding on a node."""
        try:
            return make()
        except exception.ConfigError as error:
            self._wrong(node or self.node, error.message, error.hint)
            return None

    def _wrong(
        self, node: jsontext.Node, message: str, hint: str | None = None
    ) -> None:
        self.report(codes.REQUEST_VALUE, message, node, hint)
