# SPDX-License-Identifier: Apache-2.0
"""``[pci] alias`` as Nova 34 reads it, with a place for each mistake.

The grammar is that of ``nova.pci.request``: its JSON schema, the merging of
repeated names, and what it validates at the end.
"""

from __future__ import annotations

import re
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.pci import alias, codes, entry, jsontext, parse

if ty.TYPE_CHECKING:
    from nova_vfio_variant import source

#: Every key that an alias may have (``_ALIAS_SCHEMA``).
KEYS: ty.Final = (
    "name",
    "vendor_id",
    "product_id",
    "device_type",
    "numa_policy",
    "resource_class",
    "traits",
    "live_migratable",
    "capability_type",
)
DEVICE_TYPES: ty.Final = ("type-PCI", "type-PF", "type-VF")
NUMA_POLICIES: ty.Final = ("required", "legacy", "preferred", "socket")
DEFAULT_NUMA_POLICY: ty.Final = "legacy"

_MAX_NAME = 256
_FOUR_DIGITS = re.compile("[0-9a-fA-F]{4}")

Aliases = ty.Mapping[str, tuple[alias.Alias, ...]]


def parse_aliases(
    texts: ty.Sequence[source.SourceText], *, in_placement: bool
) -> tuple[Aliases, tuple[finding.Finding, ...]]:
    """Read all values of ``alias``.

    :param in_placement: ``[filter_scheduler] pci_in_placement``
    :returns: for each name the alternatives that can be used; and everything
        that is wrong with the texts
    """
    found: dict[str, list[alias.Alias]] = {}
    findings: list[finding.Finding] = []
    for text in texts:
        node, problems = jsontext.parse(text)
        findings += problems
        if node is None:
            continue
        if not isinstance(node.value, dict):
            findings.append(_not_an_object(text, node))
            continue
        read = _Reader(text, node)
        made = read.value(in_placement)
        if made is not None:
            read.merge(found.setdefault(made.name, []), made, in_placement)
        findings += read.findings
    return (
        {name: tuple(same) for name, same in found.items() if same},
        tuple(findings),
    )


def _not_an_object(
    text: source.SourceText, node: jsontext.Node
) -> finding.Finding:
    hint = 'Write { "name": "NAME", ... }.'
    if isinstance(node.value, list):
        hint = "Give each alias an option of its own."
    return finding.Finding.on(
        codes.WRONG_TYPE,
        f"{text.option} holds {node.kind}, and an object is expected",
        text,
        node.start,
        node.end,
        text.option,
        hint,
    )


class _Reader(entry.Entry):
    """One alias, being read."""

    def value(self, in_placement: bool) -> alias.Alias | None:
        """The alias as a value; None if it has an error."""
        self._unknown_keys()
        name = self._name()
        vendor_id = self._id("vendor_id")
        product_id = self._id("product_id")
        device_type = self._word("device_type", DEVICE_TYPES)
        policy = self._word("numa_policy", NUMA_POLICIES)
        resource_class = self._published("resource_class")
        traits = self._published("traits")
        live_migratable = self._live_migratable()
        capability_type = self._capability_type()
        if self.failed or name is None:
            return None
        if not (vendor_id and product_id) and not (
            in_placement and resource_class
        ):
            self._without_ids(name, in_placement, bool(resource_class))
            return None
        if any(problem.code is codes.UNKNOWN_KEY for problem in self.findings):
            # Unlike in device_spec, Nova refuses it.
            return None
        return alias.Alias(
            name=name,
            text=self.text,
            vendor_id=vendor_id,
            product_id=product_id,
            device_type=device_type,
            numa_policy=policy or DEFAULT_NUMA_POLICY,
            resource_class=resource_class,
            traits=parse.split_traits(traits),
            live_migratable=live_migratable,
            capability_type=capability_type,
            in_placement=in_placement,
        )

    def merge(
        self,
        same: list[alias.Alias],
        made: alias.Alias,
        in_placement: bool,
    ) -> None:
        """Add an alternative to those of its name, unless it contradicts."""
        if same:
            first = same[0]
            at = self.members["name"].node
            where = f"alias {made.name!r} of {first.location}"
            if first.numa_policy != made.numa_policy:
                self.report(
                    codes.ALIAS_DIFFERS,
                    f"numa_policy is {made.numa_policy}, and that of {where} "
                    f"is {first.numa_policy}",
                    self._at("numa_policy"),
                )
                return
            if first.device_type != made.device_type:
                message = (
                    f"device_type is {made.device_type or 'not set'}, and "
                    f"that of {where} is {first.device_type or 'not set'}"
                )
            elif made.device_type is None:
                message = f"neither this alias nor {where} has a device_type"
            else:
                message = ""
            if message:
                self.report(
                    codes.ALIAS_DIFFERS,
                    message,
                    self._at("device_type"),
                    "Aliases of one name all need the same device_type.",
                )
                return
            if in_placement:
                self.report(
                    codes.ALIAS_REPEATED,
                    f"{where} has this name, and pci_in_placement takes one "
                    "alias a name",
                    at,
                    "Give the devices one resource_class, and ask for that.",
                )
                return
        same.append(made)

    def _at(self, key: str) -> jsontext.Node:
        """The value of a key, or the name where it has a default."""
        return (self.members.get(key) or self.members["name"]).node

    def _unknown_keys(self) -> None:
        for key, member in self.members.items():
            if key not in KEYS:
                self.unknown(
                    member,
                    KEYS,
                    consequence=(
                        "It is a key of device_spec, not of alias."
                        if key in parse.KEYS
                        else ""
                    ),
                )

    def _name(self) -> str | None:
        if "name" not in self.members:
            self.report(
                codes.ALIAS_WITHOUT_NAME,
                "the alias has no name",
                hint='Add "name": "NAME", by which flavors ask for it.',
            )
            return None
        name = self.text_of("name")
        if name is None:
            return None
        node = self.members["name"].node
        if len(name) > _MAX_NAME:
            self.report(
                codes.ALIAS_WITHOUT_NAME,
                f"the alias's name has {len(name)} characters, and "
                f"{_MAX_NAME} are allowed",
                node,
            )
        elif not name.strip():
            self.report(
                codes.ALIAS_WITHOUT_NAME, "the alias's name is blank", node
            )
        return name.strip()

    def _id(self, key: str) -> str | None:
        text = self.text_of(key)
        if text is not None and not _FOUR_DIGITS.fullmatch(text):
            self.report(
                codes.BAD_ID,
                f"{key} {text!r} is not exactly four hex digits",
                self.members[key].node,
            )
        return None if text is None else text.lower()

    def _word(self, key: str, words: ty.Collection[str]) -> str | None:
        text = self.text_of(key)
        if text is not None and text not in words:
            near = entry.nearest(text, words)
            self.report(
                codes.ALIAS_VALUE,
                f"{key} is {text!r}, and {', '.join(words)} are known",
                self.members[key].node,
                None if near is None else f"Did you mean {near!r}?",
            )
        return text

    def _published(self, key: str) -> str | None:
        text = self.text_of(key)
        if text == "":
            self.counts_as_unset(key)
        return text or None

    def _live_migratable(self) -> bool | None:
        """A string, by Nova's schema, that is strictly a boolean."""
        if self.text_of("live_migratable") is None:
            return None
        return self.boolean("live_migratable")

    def _capability_type(self) -> str | None:
        text = self._word("capability_type", ("pci",))
        if text == "pci":
            self.report(
                codes.ALIAS_MATCHES_NOTHING,
                "Nova compares capability_type with a property that no "
                "device has, and so finds none for this alias",
                self.members["capability_type"],
                "Remove capability_type.",
            )
        return text

    def _without_ids(
        self, name: str, in_placement: bool, has_class: bool
    ) -> None:
        if in_placement:
            wanted = "vendor_id and product_id, or resource_class"
        else:
            wanted = "vendor_id and product_id"
        hint = None
        if has_class:
            hint = (
                "resource_class alone will do with "
                "[filter_scheduler] pci_in_placement = true."
            )
        self.report(
            codes.ALIAS_WITHOUT_IDS,
            f"alias {name!r} needs {wanted}",
            self.members["name"].node,
            hint,
        )
