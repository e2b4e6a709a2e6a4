# SPDX-License-Identifier: Apache-2.0
"""Rules about names of resource classes and traits."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import typing as ty

import os_resource_classes
import os_traits

from nova_vfio_variant import finding, source
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.pci import jsontext, names
from nova_vfio_variant.placement import codes as placement_codes

_CUSTOM = "CUSTOM_"


@dataclasses.dataclass(frozen=True, slots=True)
class _Name:
    """A name as it was written, and where.

    :param raw: not stripped
    """

    kind: ty.Literal["resource_class", "traits"]
    raw: str
    text: source.SourceText
    start: int
    end: int

    @property
    def published(self) -> str:
        """What it becomes."""
        if self.kind == "traits":
            return names.trait(self.raw.strip())
        return names.resource_class(self.raw, "", "")

    @property
    def of_nova(self) -> str:
        """What Nova makes of it.

        ``_normalize_resource_class`` and ``_normalize_traits`` in
        nova/compute/pci_placement_translator.py.
        """
        upper = self.raw.upper()
        if self.kind == "traits":
            if _is_standard(self.raw):
                return self.raw
            normalize = os_traits.normalize_name
        else:
            if upper in os_resource_classes.STANDARDS:
                return upper
            normalize = os_resource_classes.normalize_name
        return upper if upper.startswith(_CUSTOM) else str(normalize(upper))

    def finding(
        self, code: finding.Code, message: str, hint: str | None = None
    ) -> finding.Finding:
        """A finding at this name."""
        return finding.Finding.on(
            code, message, self.text, self.start, self.end, self.kind, hint
        )


def published_names(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Names that are published as something else, or can't be."""
    for name in _names(given):
        published = name.published
        word = "trait" if name.kind == "traits" else "resource class"
        if len(published) > names.MAX_LENGTH:
            yield name.finding(
                placement_codes.NAME_TOO_LONG,
                f"the {word} is published with {len(published)} characters,"
                f" and Placement takes {names.MAX_LENGTH}",
            )
        elif name.kind == "traits" and _is_standard(name.raw.strip().upper()):
            if name.raw.strip() != name.raw.strip().upper():
                yield name.finding(
                    codes.STANDARD_TRAIT_CASE,
                    f"{name.raw.strip()!r} is published as {published}, which"
                    " is not the standard trait",
                    f"Write {name.raw.strip().upper()}.",
                )
            elif name.of_nova != published:
                yield _otherwise(name, word)
        elif name.of_nova != published:
            yield _otherwise(name, word)
        elif name.raw not in (published, published.removeprefix(_CUSTOM)):
            yield name.finding(
                codes.NAME_CHANGES,
                f"the {word} {name.raw!r} is published as {published}",
                f"Write {published} to find it again in Placement.",
            )


def _otherwise(name: _Name, word: str) -> finding.Finding:
    return name.finding(
        codes.NOVA_NAMES_OTHERWISE,
        f"Nova makes {name.of_nova} of the {word} {name.raw!r}, and we"
        f" {name.published}",
        f"Write {name.published}, without spaces around it.",
    )


def _is_standard(name: str) -> bool:
    return name in _standard()


@functools.cache
def _standard() -> frozenset[str]:
    return frozenset(os_traits.get_traits())


def _names(given: facts.CheckInput) -> ty.Iterator[_Name]:
    """Every name that specs and aliases give, in the order of the text."""
    for spec in given.specs:
        if spec.resource_class:
            start, end = spec.keys["resource_class"][2:]
            yield _Name(
                "resource_class", spec.resource_class, spec.text, start, end
            )
        if spec.traits:
            yield from _traits(spec.text, *spec.keys["traits"][2:])
    for alias in itertools.chain.from_iterable(given.aliases.values()):
        node, _ = jsontext.parse(alias.text)
        members = {} if node is None else node.keys()
        if alias.resource_class and "resource_class" in members:
            at = members["resource_class"].node
            yield _Name(
                "resource_class",
                alias.resource_class,
                alias.text,
                at.start,
                at.end,
            )
        if alias.traits and "traits" in members:
            at = members["traits"].node
            yield from _traits(alias.text, at.start, at.end)


def _traits(
    text: source.SourceText, start: int, end: int
) -> ty.Iterator[_Name]:
    """The names between the commas of a JSON string.

    Each has a place of its own unless the string has escapes.
    """
    quoted = text.text[start:end]
    value = json.loads(quoted)
    plain = quoted == f'"{value}"'
    at = start + 1
    for raw in value.split(","):
        if raw.strip():
            if plain:
                yield _Name("traits", raw, text, at, at + len(raw))
            else:
                yield _Name("traits", raw, text, start, end)
        at += len(raw) + 1


RULES: tuple[facts.Rule, ...] = (published_names,)
