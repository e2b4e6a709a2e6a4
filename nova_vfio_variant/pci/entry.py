# SPDX-License-Identifier: Apache-2.0
"""One JSON object of a value, read key by key.

What is checked alike in ``device_spec``, ``alias`` and ``host_spec`` stands
here: types, unknown keys, booleans, addresses. Whatever is wrong becomes a finding; nothing raises.
"""

from __future__ import annotations

import difflib
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.pci import codes, pattern, values

if ty.TYPE_CHECKING:
    from nova_vfio_variant import source
    from nova_vfio_variant.pci import jsontext


class Entry:
    """A JSON object that is being read.

    :param text: the value that it stands in
    :param node: the object
    """

    def __init__(self, text: source.SourceText, node: jsontext.Node) -> None:
        self.text = text
        self.node = node
        self.members = node.keys()
        self.findings: list[finding.Finding] = []

    @property
    def failed(self) -> bool:
        """Whether something was found that makes it unusable."""
        return any(
            problem.severity is finding.Severity.ERROR
            and problem.code is not codes.UNKNOWN_KEY
            for problem in self.findings
        )

    def report(
        self,
        code: finding.Code,
        message: str,
        node: jsontext.Node | jsontext.Member | None = None,
        hint: str | None = None,
    ) -> None:
        """Note a finding on a key, on a value, or on the whole object."""
        place = self.node if node is None else node
        self.findings.append(
            finding.Finding.on(
                code,
                message,
                self.text,
                place.start,
                place.end,
                self.text.option,
                hint,
            )
        )

    def unknown(
        self,
        member: jsontext.Member,
        known: ty.Collection[str],
        code: finding.Code = codes.UNKNOWN_KEY,
        consequence: str = "",
    ) -> None:
        """Note a key that isn't known, with the nearest one that is."""
        near = nearest(member.key, known)
        if near is None:
            hint = f"Known are {', '.join(known)}."
        else:
            hint = f"Did you mean {near!r}?"
        self.report(
            code,
            f"unknown key {member.key!r} in {self.text.option}",
            member,
            f"{consequence} {hint}".strip(),
        )

    def text_of(self, key: str) -> str | None:
        """A key's string; None where it isn't there or isn't a string."""
        member = self.members.get(key)
        if member is None:
            return None
        value = member.node.value
        if isinstance(value, str):
            return value
        self.wrong_type(key, member.node, "a string")
        return None

    def wrong_type(self, key: str, node: jsontext.Node, expected: str) -> None:
        """Note a value whose JSON type Nova doesn't expect."""
        hint = None
        if node.value is not None and not isinstance(node.value, list | dict):
            shown = self.text.text[node.start : node.end]
            hint = f'Write "{shown}".'
        elif isinstance(node.value, list) and expected == "a string":
            hint = "Write one string, the items parted by commas."
        self.report(
            codes.WRONG_TYPE,
            f"{key} is {node.kind}, and {expected} is expected",
            node,
            hint,
        )

    def ignored(self, key: str, why: str) -> None:
        """Note a value that Nova reads and that changes nothing."""
        self.report(codes.IGNORED_VALUE, why, self.members[key].node)

    def counts_as_unset(self, key: str) -> None:
        """Note an empty value."""
        self.ignored(key, f"an empty {key} counts as not set")

    def boolean(self, key: str) -> bool | None:
        """A key that Nova reads strictly as a boolean; null counts as unset.

        What counts is what oslo.utils takes, as in Nova.
        """
        member = self.members.get(key)
        if member is None:
            return None
        value = member.node.value
        if value is None:
            self.ignored(key, f"{key} is null, which counts as not set")
            return None
        found = values.boolean(value)
        if found is None:
            self.report(
                codes.NOT_BOOLEAN,
                f"{key} is {value!r}, which is neither yes nor no",
                member.node,
                'Accepted are "yes", "no", "true", "false", "on", "off", '
                '"1", "0", "t", "f", "y", "n", in capitals too.',
            )
        return found

    def address(
        self, node: jsontext.Node, consequence: str = ""
    ) -> pattern.AddressPattern | None:
        """An address that isn't empty: a glob, or regular expressions.

        :param consequence: what an unknown key of the latter would mean
        """
        if isinstance(node.value, dict):
            return self._regex_address(node, consequence)
        if not isinstance(node.value, str):
            self.wrong_type("address", node, "a string or an object")
            return None
        try:
            return pattern.GlobPattern.parse(node.value)
        except pattern.PatternError as error:
            self.report(codes.BAD_ADDRESS, f"address: {error}", node)
            return None

    def _regex_address(
        self, node: jsontext.Node, consequence: str
    ) -> pattern.RegexPattern:
        fields = {}
        for key, member in node.keys().items():
            value = member.node.value
            if key not in pattern.FIELDS:
                self.unknown(
                    member,
                    pattern.FIELDS,
                    codes.UNKNOWN_ADDRESS_KEY,
                    consequence,
                )
            elif not isinstance(value, str):
                self.wrong_type(key, member.node, "a regular expression")
            else:
                try:
                    pattern.RegexPattern.parse({key: value})
                except pattern.PatternError as error:
                    code = codes.BAD_REGEX
                    if error.slow:
                        code = codes.SLOW_REGEX
                    elif error.large:
                        code = codes.LARGE_REGEX
                    self.report(code, str(error), member.node)
                else:
                    fields[key] = value
        return pattern.RegexPattern(**fields)


#: PCI itself calls the product a device.
_MEANT = {"device_id": "product_id", "device": "product_id"}


def nearest(word: str, known: ty.Collection[str]) -> str | None:
    """The known word that is most like this one, None if none is like it."""
    plain = word.strip().lower()
    if _MEANT.get(plain) in known:
        return _MEANT[plain]
    folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(plain, folded, n=1)
    return folded[found[0]] if found else None
