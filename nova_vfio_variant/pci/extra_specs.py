# SPDX-License-Identifier: Apache-2.0
"""Extra specs, as a flavor is given: each key and value with its place."""

from __future__ import annotations

import dataclasses
import re
import typing as ty

from nova_vfio_variant import finding, source
from nova_vfio_variant.pci import codes, entry, json_mistakes, jsontext

#: As older clients print them: ``a='b', c='d'``.
_PRINTED = re.compile(r"([^=]+)='(.*?)'(?:, *(?=[^=']+=')|\s*\Z)", re.DOTALL)
#: Keys of what has extra specs in it: ``openstack flavor show``, Nova's API.
_INSIDE: ty.Final = ("properties", "extra_specs")


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One extra spec.

    :param text: what it stands in
    :param key_at: offsets of the key's first character, and behind its last
    :param value_at: likewise
    """

    key: str
    value: str
    text: source.SourceText
    key_at: tuple[int, int]
    value_at: tuple[int, int]

    def part(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the value stands; all of it where it is escaped."""
        begin = self.text.text.find(self.value, *self.value_at)
        if begin < 0:
            return self.value_at
        return begin + start, begin + end

    def on(
        self,
        code: finding.Code,
        message: str,
        at: tuple[int, int] | None = None,
        hint: str | None = None,
    ) -> finding.Finding:
        """A finding on the value, or on another place of the text."""
        start, end = at or self.value_at
        return finding.Finding.on(
            code, message, self.text, start, end, self.key, hint
        )


Settings = dict[str, Setting]


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """The extra specs that were given.

    :param settings: by key
    :param name: of the flavor, where it is known
    :param findings: what is wrong with how they are written
    """

    settings: Settings
    name: str | None = None
    findings: tuple[finding.Finding, ...] = ()


def of_lines(
    lines: ty.Iterable[str], where: str, name: str | None = None
) -> Given:
    """Read ``KEY=VALUE``, one a line.

    :param where: what to call them in place of a file
    """
    whole = "\n".join(line.replace("\n", " ") for line in lines)
    text = source.SourceText.of(whole, where, file=where)
    settings: Settings = {}
    findings: list[finding.Finding] = []
    start = 0
    for line in whole.split("\n") if whole else ():
        end = start + len(line)
        key, equals, value = line.partition("=")
        middle = start + len(key)
        if not equals or not key.strip():
            findings.append(
                finding.Finding.on(
                    codes.WRONG_TYPE,
                    f"{line!r} sets nothing",
                    text,
                    start,
                    end,
                    where,
                    "Write KEY=VALUE.",
                )
            )
        else:
            made = Setting(
                key, value, text, (start, middle), (middle + 1, end)
            )
            findings += _put(settings, made)
        start = end + 1
    return Given(settings, name, tuple(findings))


def _put(settings: Settings, made: Setting) -> ty.Iterator[finding.Finding]:
    """Put a setting in; one with its key that gives way is told of."""
    former = settings.get(made.key)
    settings[made.key] = made
    if former is not None:
        yield json_mistakes.again(
            made.text, codes.DUPLICATE_KEY, made.key, *former.key_at
        )


def of_file(text: source.SourceText) -> Given:
    """Read an object of extra specs, or one of a flavor that has them.

    :param text: all of a file
    """
    node, problems = jsontext.parse(text)
    if node is None:
        return Given({}, None, problems)
    read = entry.Entry(text, node)
    if not isinstance(node.value, dict):
        read.wrong_type("the file", node, "an object")
        return Given({}, None, (*problems, *read.findings))
    name = None
    settings: Settings = {}
    inner = next(
        (read.members[key].node for key in _INSIDE if key in read.members),
        None,
    )
    if inner is None:
        settings = _of_object(read, node)
    else:
        called = node.value.get("name")
        name = called if isinstance(called, str) else None
        if isinstance(inner.value, dict):
            settings = _of_object(read, inner)
        elif isinstance(inner.value, str):
            settings = _of_printed(read, inner)
        elif inner.value is not None:
            read.wrong_type("properties", inner, "an object or a text")
    return Given(settings, name, (*problems, *read.findings))


def _of_object(read: entry.Entry, node: jsontext.Node) -> Settings:
    found = {}
    for key, member in node.keys().items():
        value = member.node.value
        at = (member.node.start, member.node.end)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str):
            found[key] = Setting(
                key, value, read.text, (member.start, member.end), at
            )
        else:
            read.wrong_type(key, member.node, "a string")
    return found


def _of_printed(read: entry.Entry, node: jsontext.Node) -> Settings:
    """What an older client prints: one text for all of them."""
    value = node.value
    begin = read.text.text.find(value, node.start, node.end)
    found: Settings = {}
    done = 0
    for match in _PRINTED.finditer(value):
        if match.start() != done:
            break
        done = match.end()
        at = [
            (begin + match.start(part), begin + match.end(part))
            if begin >= 0
            else (node.start, node.end)
            for part in (1, 2)
        ]
        read.findings += _put(
            found, Setting(match[1], match[2], read.text, at[0], at[1])
        )
    if done < len(value.rstrip()):
        start = node.start if begin < 0 else begin + done
        read.findings.append(
            finding.Finding.on(
                codes.WRONG_TYPE,
                "properties can't be read from here on",
                read.text,
                start,
                node.end,
                read.text.option,
                "Write KEY='VALUE', KEY='VALUE', or an object.",
            )
        )
    return found
