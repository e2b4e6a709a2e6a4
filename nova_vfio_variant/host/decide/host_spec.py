# SPDX-License-Identifier: Apache-2.0
"""``[vfio] host_spec``: what an operator wants this host to be.

The style and the address grammar are those of ``[pci] device_spec``. Nova
doesn't read it, so that ids have four digits and unknown keys are errors.
"""

from __future__ import annotations

import dataclasses
import re
import typing as ty

from nova_vfio_variant import finding, source
from nova_vfio_variant.host.decide import codes
from nova_vfio_variant.host.observe import drivers, sriov
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import codes as pci_codes
from nova_vfio_variant.pci import entry, jsontext, pattern

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import function

#: Every key that an entry may have.
KEYS: ty.Final = (
    "address",
    "vendor_id",
    "product_id",
    "num_vfs",
    "driver",
    "companions",
    "allow_pf",
    "vgpu_type",
    "vgpu_types",
    "heterogeneous",
)
#: Those of them that speak of a PF, and so of none of its VFs.
OF_PFS: ty.Final = ("num_vfs", "vgpu_types", "heterogeneous")
#: Those that speak of vGPUs.
OF_VGPUS: ty.Final = ("vgpu_type", "vgpu_types", "heterogeneous")
#: What an entry may have that stands in a file of its own.
OF_FILES: ty.Final = ("address", "vendor_id", "product_id", *OF_VGPUS)
#: A word for no vGPU type.
NO_TYPE: ty.Final = "none"
#: Words for a driver that aren't a driver's name.
VARIANT: ty.Final = "variant"
HOST: ty.Final = "host"

#: Characters of a type's name.
_LONGEST = 255
_FOUR_DIGITS = re.compile("[0-9a-fA-F]{4}")


@dataclasses.dataclass(frozen=True, slots=True)
class HostSpec:
    """One entry of ``[vfio] host_spec``.

    :param index: its place among all entries, counted from 0
    :param text: the value that it was read from
    :param start: offset in the text where its ``{`` stands
    :param end: offset just behind its ``}``
    :param keys: where each key's value stands: start and end
    :param address: None for any
    :param vendor_id: four lower-case hex digits, None for any
    :param product_id: four lower-case hex digits, None for any
    :param num_vfs: how many VFs a PF is to have; None where it doesn't say
    :param driver: ``variant``, ``host``, or a driver's name; None where it
        doesn't say
    :param companions: other members of the IOMMU group that may be unbound
    :param allow_pf: whether a PF may be taken from its driver
    :param vgpu_type: name or id of the type that a VF is to have, or
        ``none``; None where it doesn't say
    :param vgpu_types: how many of each type a card is to have, by name or id;
        None where it doesn't say
    :param heterogeneous: whether a card's vGPUs may be of several sizes; None
        where it doesn't say
    :param by_options: options of a command say it, and no file
    """

    index: int
    text: source.SourceText
    start: int
    end: int
    keys: ty.Mapping[str, tuple[int, int]]
    address: pattern.AddressPattern | None = None
    vendor_id: str | None = None
    product_id: str | None = None
    num_vfs: int | None = None
    driver: str | None = None
    companions: tuple[pci_address.PciAddress, ...] = ()
    allow_pf: bool = False
    vgpu_type: str | None = None
    vgpu_types: ty.Mapping[str, int] | None = None
    heterogeneous: bool | None = None
    by_options: bool = False

    @property
    def is_of_pf(self) -> bool:
        """Whether it speaks of a PF, and so of none of its VFs."""
        return any(getattr(self, key) is not None for key in OF_PFS)

    @property
    def location(self) -> source.Location:
        """Where the entry begins."""
        return self.text.at(self.start)

    def selects(self, function: function.PciFunction) -> bool:
        """Whether the entry names a function."""
        return (
            self.vendor_id in (None, function.vendor_id)
            and self.product_id in (None, function.product_id)
            and (
                self.address is None
                or pattern.matches(self.address, function.address)
            )
        )

    def on(
        self,
        code: finding.Code,
        message: str,
        key: str | None = None,
        hint: str | None = None,
    ) -> finding.Finding:
        """A finding on one of its values, or on the whole entry."""
        start, end = self.keys.get(key or "", (self.start, self.end))
        return finding.Finding.on(
            code, message, self.text, start, end, self.text.option, hint
        )

    def __str__(self) -> str:
        return self.text.text[self.start : self.end]


def more(
    companions: ty.Iterable[pci_address.PciAddress] = (),
    *,
    allow_pf: bool = False,
    by_options: bool = False,
) -> str:
    """What is to be said beside, as one writes it: in an entry, or options."""
    named = sorted({*companions})
    if by_options:
        words = [f"--companion {address}" for address in named]
        return " ".join(words + ["--allow-pf"] * allow_pf)
    listed = '", "'.join(map(str, named))
    words = [f'"companions": ["{listed}"]'] * bool(named)
    return " and ".join(words + ['"allow_pf": true'] * allow_pf)


def parse_host_specs(
    texts: ty.Sequence[source.SourceText],
    *,
    vgpus_only: bool = False,
) -> tuple[tuple[HostSpec, ...], tuple[finding.Finding, ...]]:
    """Read all values of ``host_spec``.

    A key that stands twice is an error: which was meant nobody knows.

    :param vgpus_only: they may speak of vGPUs alone
    :returns: the entries that can be used, and everything that is wrong;
        whoever writes to the host stops at any error among that
    """
    specs: list[HostSpec] = []
    findings: list[finding.Finding] = []
    for text in texts:
        node, found = jsontext.parse(text, codes.HOST_SPEC_VALUE)
        findings += found
        if node is None:
            continue
        for item in node.items if isinstance(node.value, list) else (node,):
            read = _Reader(text, item)
            read.vgpus_only = vgpus_only
            made = read.host_spec(len(specs))
            findings += read.findings
            if made is not None:
                specs.append(made)
    return tuple(specs), tuple(findings)


def _is_type(text: str) -> bool:
    """Whether a text can be the name or the number of a vGPU type."""
    return (
        0 < len(text) <= _LONGEST and text.isprintable() and bool(text.strip())
    )


class _Reader(entry.Entry):
    """One entry of ``host_spec``, being read.

    :ivar vgpus_only: it may speak of vGPUs alone
    """

    vgpus_only = False

    @property
    def _example(self) -> str:
        return '"vgpu_type": "none"' if self.vgpus_only else '"num_vfs": 4'

    def host_spec(self, index: int) -> HostSpec | None:
        """The entry as a value; None if it has an error."""
        if not isinstance(self.node.value, dict):
            self.report(
                pci_codes.WRONG_TYPE,
                f"{self.text.option} holds {self.node.kind}, and an object "
                "or a list of objects is expected",
                hint=f'write {{ "address": "0000:25:00.0", {self._example} }}',
            )
            return None
        for key, member in self.members.items():
            if key not in KEYS:
                known = OF_FILES if self.vgpus_only else KEYS
                self.unknown(member, known)
            elif self.vgpus_only and key not in OF_FILES:
                self.report(
                    codes.HOST_SPEC_VALUE,
                    f"{key} is not about vGPUs, and belongs into host_spec",
                    member,
                    f"known here are {', '.join(OF_FILES)}",
                )
        made = HostSpec(
            index=index,
            text=self.text,
            start=self.node.start,
            end=self.node.end,
            keys={
                key: (member.node.start, member.node.end)
                for key, member in self.members.items()
            },
            address=self._address(),
            vendor_id=self._id("vendor_id"),
            product_id=self._id("product_id"),
            num_vfs=self._num_vfs(),
            driver=self._driver(),
            companions=self._companions(),
            allow_pf=bool(self.boolean("allow_pf")),
            vgpu_type=self._vgpu_type(),
            vgpu_types=self._vgpu_types(),
            heterogeneous=self.boolean("heterogeneous"),
        )
        if not self.failed:
            self._together(made)
        return None if self.failed else made

    def _together(self, made: HostSpec) -> None:
        """What the keys say together."""
        if made.address is None and not (made.vendor_id and made.product_id):
            self.report(
                codes.HOST_SPEC_VAGUE,
                "the entry names neither an address nor a vendor_id and a "
                "product_id, and would mean every function",
                hint='add "address": "0000:25:00.0"',
            )
        of_pf = [key for key in OF_PFS if getattr(made, key) is not None]
        if not of_pf and made.driver is None and made.vgpu_type is None:
            self.report(
                codes.HOST_SPEC_VAGUE,
                "the entry has no vGPU type, and asks for nothing"
                if self.vgpus_only
                else "the entry has neither num_vfs nor driver nor a vGPU "
                "type, and asks for nothing",
                hint=f"add {self._example}"
                + ("" if self.vgpus_only else ', or "driver": "variant"'),
            )
        of_vf = [key for key in ("vgpu_type",) if made.vgpu_type is not None]
        if made.driver not in (None, HOST):
            of_vf.append("driver")
        if of_pf and of_vf:
            self.report(
                codes.DRIVER_BESIDE_VFS,
                f"{of_pf[0]} speaks of a PF and {of_vf[0]} of its VFs; one "
                "entry can't name both",
                self.members[of_vf[0]],
                "give the VFs an entry of their own",
            )
        elif len(of_vf) > 1:
            self.report(
                codes.VGPU_DRIVER,
                "a VF with a vGPU type stays on its vendor's driver; one "
                "entry can't name another",
                self.members["driver"],
                "leave driver out",
            )

    def _id(self, key: str) -> str | None:
        text = self.text_of(key)
        if text is None or text == pattern.ANY:
            return None
        if not _FOUR_DIGITS.fullmatch(text):
            self.report(
                pci_codes.BAD_ID,
                f"{key} {text!r} is not four hex digits",
                self.members[key].node,
            )
            return None
        return text.lower()

    def _address(self) -> pattern.AddressPattern | None:
        member = self.members.get("address")
        if member is None:
            return None
        if member.node.value in (None, "", {}):
            self.report(
                pci_codes.WRONG_TYPE,
                "address is a string such as 0000:25:00.0, or an object of "
                "regular expressions",
                member.node,
            )
            return None
        return self.address(member.node)

    def _num_vfs(self) -> int | None:
        member = self.members.get("num_vfs")
        if member is None:
            return None
        value = member.node.value
        if isinstance(value, bool) or not isinstance(value, int):
            self._bad("num_vfs", f"is {member.node.kind}, and a whole number")
            return None
        if not sriov.is_count(value):
            self._bad("num_vfs", f"is {value}, and a number from 0 to 65535")
            return None
        return value

    def _driver(self) -> str | None:
        text = self.text_of("driver")
        if text is None or drivers.is_name(text):
            return text
        self._bad("driver", f"is {text!r}, and variant, host or a name")
        return None

    def _vgpu_type(self) -> str | None:
        text = self.text_of("vgpu_type")
        if text is None or _is_type(text):
            return text
        self._bad("vgpu_type", f"is {text!r}, and a type's name or number")
        return None

    def _vgpu_types(self) -> ty.Mapping[str, int] | None:
        member = self.members.get("vgpu_types")
        if member is None:
            return None
        if not isinstance(member.node.value, dict):
            self._bad(
                "vgpu_types",
                f"is {member.node.kind}, and an object of names and numbers",
            )
            return None
        found = {}
        for name, given in member.node.keys().items():
            count = given.node.value
            if not _is_type(name) or name == NO_TYPE:
                problem = f"names {name!r}, and a type's name or number"
            elif isinstance(count, bool) or not isinstance(count, int):
                problem = (
                    f"has {given.node.kind} of {name}, and a whole number"
                )
            elif not sriov.is_count(count):
                problem = (
                    f"has {count} of {name}, and a number from 0 to 65535"
                )
            else:
                found[name] = count
                continue
            self.report(
                codes.HOST_SPEC_VALUE,
                f"vgpu_types {problem} is expected",
                given,
            )
        return found

    def _companions(self) -> tuple[pci_address.PciAddress, ...]:
        member = self.members.get("companions")
        if member is None:
            return ()
        if not isinstance(member.node.value, list):
            self._bad("companions", f"is {member.node.kind}, and a list")
            return ()
        found = []
        for item in member.node.items:
            try:
                found.append(pci_address.PciAddress.parse(item.value))
            except (TypeError, ValueError):
                shown = self.text.text[item.start : item.end]
                self.report(
                    codes.HOST_SPEC_VALUE,
                    f"companions holds {shown}, and a full PCI address such "
                    "as 0000:25:00.1 is expected",
                    item,
                )
        return tuple(found)

    def _bad(self, key: str, problem: str) -> None:
        self.report(
            codes.HOST_SPEC_VALUE,
            f"{key} {problem} is expected",
            self.members[key].node,
        )
