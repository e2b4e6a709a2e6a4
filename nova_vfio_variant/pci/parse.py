# SPDX-License-Identifier: Apache-2.0
"""``[pci] device_spec`` as Nova 34 reads it, with a place for each mistake.

The grammar is that of ``nova.pci.whitelist.Whitelist`` and
``nova.pci.devspec.PciDeviceSpec``. Where this parser is stricter than Nova,
:mod:`nova_vfio_variant.check.deviations` says so and why.
"""

from __future__ import annotations

import re
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.pci import codes, entry, jsontext, pattern, spec

if ty.TYPE_CHECKING:
    from nova_vfio_variant import source

#: Every key that an entry may have.
KEYS: ty.Final = (
    "vendor_id",
    "product_id",
    "address",
    "devname",
    "managed",
    "live_migratable",
    "one_time_use",
    "resource_class",
    "traits",
    "physical_network",
    "trusted",
    "remote_managed",
)
#: Keys that say which devices are meant; all others are tags.
_SELECTORS = frozenset({"vendor_id", "product_id", "address", "devname"})
#: Tags that make no pool key (``PciDeviceStats.ignored_pool_tags``).
_PUBLISHED = frozenset({"resource_class", "traits"})
#: What an alias alone may say.
_OF_ALIAS = frozenset({"name", "device_type", "numa_policy"})
_STRICT_BOOLEANS = ("managed", "live_migratable", "one_time_use")
_FOUR_DIGITS = re.compile("[0-9a-fA-F]{4}")
_MAX_ID = 0xFFFF


def parse_device_specs(
    texts: ty.Sequence[source.SourceText],
) -> tuple[tuple[spec.DeviceSpec, ...], tuple[finding.Finding, ...]]:
    """Read all values of ``device_spec``, in the order of matching.

    An entry with an unknown key is among the specs, as it is to Nova, and
    its finding is an error all the same.

    :returns: the entries that can be used, each with its place as its
        ``index``; and everything that is wrong with the texts
    """
    read = list(entries(texts))
    return (
        tuple(made for made, _ in read if made is not None),
        tuple(problem for _, findings in read for problem in findings),
    )


def entries(
    texts: ty.Sequence[source.SourceText],
) -> ty.Iterator[tuple[spec.DeviceSpec | None, list[finding.Finding]]]:
    """Each entry of ``device_spec``, or None for one that can't be used.

    A value that isn't JSON counts as one entry.

    :returns: the entry beside everything that is wrong with it
    """
    index = 0
    for text in texts:
        node, problems = jsontext.parse(text)
        findings = list(problems)
        if node is None:
            index += 1
            yield None, findings
            continue
        is_list = isinstance(node.value, list)
        for item in node.items if is_list else (node,):
            made = None
            if isinstance(item.value, dict):
                read = _Reader(text, item)
                made = read.device_spec(index)
                findings += read.findings
            else:
                findings.append(_no_object(text, item, is_list))
            index += 1
            yield made, findings
            findings = []


def _no_object(
    text: source.SourceText, item: jsontext.Node, in_list: bool
) -> finding.Finding:
    expected = (
        "an object is expected in the list"
        if in_list
        else "an object or a list of objects is expected"
    )
    return finding.Finding.on(
        codes.WRONG_TYPE,
        f"{text.option} holds {item.kind}, and {expected}",
        text,
        item.start,
        item.end,
        text.option,
        'Write { "address": "0000:25:00.4" }.',
    )


class _Reader(entry.Entry):
    """One entry of ``device_spec``, being read."""

    def device_spec(self, index: int) -> spec.DeviceSpec | None:
        """The entry as a value; None if it has an error."""
        self._unknown_keys()
        vendor_id = self._id("vendor_id")
        product_id = self._id("product_id")
        address = self._address()
        devname = self._devname(address)
        booleans = {key: self.boolean(key) for key in _STRICT_BOOLEANS}
        self._remote_managed()
        published = {key: self._name(key) for key in sorted(_PUBLISHED)}
        self._network_tags()
        if self.failed:
            return None
        tags = {
            key: member.node.value
            for key, member in self.members.items()
            if key not in _SELECTORS and key not in _PUBLISHED
        }
        tags |= {
            key: "true" if value else "false"
            for key, value in booleans.items()
            if value is not None
        }
        return spec.DeviceSpec(
            index=index,
            text=self.text,
            start=self.node.start,
            end=self.node.end,
            keys=self._places(),
            address=address,
            vendor_id=vendor_id,
            product_id=product_id,
            devname=devname,
            managed=booleans["managed"],
            live_migratable=booleans["live_migratable"],
            one_time_use=booleans["one_time_use"],
            resource_class=published["resource_class"] or None,
            traits=split_traits(published["traits"]),
            tags=tags,
        )

    def _places(self) -> dict[str, tuple[int, int, int, int]]:
        """Where each key stands; those of an address object with a dot."""
        places = {}
        for key, member in self.members.items():
            places[key] = _place(member)
            if key == "address":
                for field in member.node.members:
                    places[f"address.{field.key}"] = _place(field)
        return places

    def _unknown_keys(self) -> None:
        for key, member in self.members.items():
            if key not in KEYS:
                self.unknown(
                    member,
                    KEYS,
                    consequence=(
                        "It is a key of alias, not of device_spec."
                        if key in _OF_ALIAS
                        else "Nova would accept it silently and match "
                        "nothing with it."
                    ),
                )

    def _id(self, key: str) -> str | None:
        """A hex number, read by accident of ``int`` as Nova reads it."""
        text = self.text_of(key)
        if key == "vendor_id" and text is not None:
            # Nova strips the vendor's alone, which tells for " * ".
            text = text.strip()
        if text is None or text == pattern.ANY:
            return None
        node = self.members[key].node
        try:
            number = int(text, 16)
        except ValueError:
            self.report(
                codes.BAD_ID,
                f"{key} {text!r} is neither a hex number nor *",
                node,
            )
            return None
        if number > _MAX_ID:
            self.report(
                codes.BAD_ID, f"{key} {text!r} is greater than ffff", node
            )
            return None
        if not _FOUR_DIGITS.fullmatch(node.value):
            hint = f'Write "{number:04x}".' if number >= 0 else None
            self.report(
                codes.ODD_ID,
                f"{key} {node.value!r} counts as {number:04x}",
                node,
                hint,
            )
        return f"{number:04x}"

    def _address(self) -> pattern.AddressPattern | None:
        """A glob or a regular expression; None matches every address."""
        member = self.members.get("address")
        if member is None:
            return None
        if member.node.value in (None, "", {}):
            # Without anything else to go by, a rule about matching says more.
            if len(_SELECTORS & self.members.keys()) > 1:
                self.ignored("address", "an empty address counts as not set")
            return None
        return self.address(
            member.node, "Nova would ignore it and match every value."
        )

    def _devname(self, address: pattern.AddressPattern | None) -> str | None:
        member = self.members.get("devname")
        if member is None:
            return None
        if member.node.value in (None, ""):
            self.ignored("devname", "an empty devname counts as not set")
            return None
        name = self.text_of("devname")
        if name is not None and address is not None:
            self.report(
                codes.ADDRESS_AND_DEVNAME,
                "an entry has an address or a devname, not both",
                member,
            )
        return name

    def _remote_managed(self) -> None:
        """Read strictly: to Nova "treu" is as good as "no"."""
        self.boolean("remote_managed")

    def _name(self, key: str) -> str | None:
        """A text that counts as not set where it is null or empty."""
        member = self.members.get(key)
        if member is None:
            return None
        if member.node.value in (None, ""):
            self.counts_as_unset(key)
            return None
        return self.text_of(key)

    def _network_tags(self) -> None:
        """``physical_network`` and ``trusted``, and what they make void."""
        trusted = self._name("trusted")
        if trusted and trusted.lower() not in ("true", "false"):
            self.ignored(
                "trusted",
                f"trusted {trusted!r} equals neither true nor false, and "
                "Nova compares it with these",
            )
        network = self.members.get("physical_network")
        if network is None or network.node.value is None:
            return
        if not self.text_of("physical_network"):
            return
        for key in ("resource_class", "traits", "one_time_use"):
            if key in self.members and self.members[key].node.value:
                self.ignored(
                    key,
                    f"{key} means nothing beside physical_network: such "
                    "devices are not published",
                )


def _place(member: jsontext.Member) -> tuple[int, int, int, int]:
    return (member.start, member.end, member.node.start, member.node.end)


def split_traits(text: str | None) -> tuple[str, ...]:
    """The names between the commas, stripped, without empty ones.

    Nova strips nothing (pci_placement_translator.get_traits), so that its
    own example ``"blue, big"`` asks for ``CUSTOM__BIG``.
    """
    names = (name.strip() for name in (text or "").split(","))
    return tuple(name for name in names if name)
