# SPDX-License-Identifier: Apache-2.0
"""What names one machine among all, or its owner, and how to record without.

Texts keep their form, so that they are read as before.
"""

from __future__ import annotations

import dataclasses
import re

_DIGIT = re.compile("[0-9a-f]", re.IGNORECASE)
#: Whatever stands beside it: dm names have each hyphen of theirs twice.
_UUID = re.compile(
    r"[0-9a-f]{8}(?:(?:-{1,2}|_)[0-9a-f]{4}){3}(?:-{1,2}|_)[0-9a-f]{12}",
    re.IGNORECASE,
)
#: A WWN or GUID has 16 digits, a WWID 17 or 33, and a machine's id 32.
_LONG = re.compile(r"[0-9a-f]{16,}", re.IGNORECASE)
#: What systemd's net_id calls an interface by its MAC address: NamePolicy=mac
#: behind the prefixes of systemd.net-naming-scheme(7). And an address itself;
#: that of InfiniBand has 20 octets.
_MAC = re.compile(
    r"(?P<before>(?<![a-z0-9])(?:en|ib|sl|wl|ww)x)[0-9a-f]{12}(?![0-9a-f])"
    r"|(?<![0-9a-f])[0-9a-f]{2}(?:(?::|-{1,2})[0-9a-f]{2}){5,19}(?![0-9a-f])",
    re.IGNORECASE,
)
#: A disk's, by what stands before it: of a file system, or of its maker.
_NAMED = re.compile(
    r"(?<=by-id/)\S+"
    rf"|(?:(?<=by-uuid/)|(?<=by-partuuid/))(?!{_UUID.pattern})\S+"
    r"|(?<![a-z0-9])(?:wwn-|eui\.|iqn\.|naa\.|t10\.|nvme\.[0-9a-f]{4}-)\S+",
    re.IGNORECASE,
)
#: Of a URL: who asks, where, and what goes with the question. A password may
#: have any sign in it, so that what has a colon goes on to the last @.
_URL = re.compile(
    r"(?P<scheme>(?:(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*:)?//)"
    r"(?P<user>[^\s/?#]*:\S*@|[^\s/?#]*@)?"
    r"(?P<where>[^\s?#]*)(?P<more>[?#]\S*)?",
    re.IGNORECASE,
)
#: What goes with the question, wherever it is asked.
_QUERY = re.compile(r"\?[\w.%-]+=\S*")

#: A word of the kernel's command line; a quote hides spaces.
_WORD = re.compile(r'(?:[^\s"]++|"[^"]*+(?:"|$))++')
#: Parameters that tell how PCI, IOMMU, VFIO, NUMA and KVM were set up. The
#: values of others are passwords, addresses and names often enough.
_PARAMETER = re.compile(
    r"(?:(?:intel_|amd_)?iommu(?:\.\w+)?|(?:arm_smmu|vfio|kvm)\w*(?:\.\w+)?|pci|(?:pci_stub|pciehp)\.\w+"
    r"|pcie_(?:acs_override|aspm|port_pm|ports)|intremap|nox2apic|swiotlb"
    r"|(?:default_)?hugepagesz|hugepages|hugetlb_\w+|transparent_hugepage"
    r"|isolcpus|nohz|nohz_full|rcu_nocbs|irqaffinity|numa|numa_balancing"
    r"|movable_node|mitigations|lockdown|nomodeset|efi"
    r"|modprobe\.blacklist|(?:module|initcall)_blacklist"
    r"|rd\.driver\.(?:blacklist|post|pre)"
    r"|(?:i915|mlx5_core|nouveau|nvidia|xe)\.\w+)"
)


def known_parameters(cmdline: str) -> str:
    """The words of a kernel's command line that aren't somebody's own.

    As the kernel reads them (``next_arg`` of ``lib/cmdline.c``): '-' and '_'
    are the same, and what stands behind ``--`` is for init.
    """
    kept = []
    for word in _WORD.findall(cmdline):
        if word == "--":
            break
        name = word.lstrip('"').partition("=")[0].rstrip('"')
        if _PARAMETER.fullmatch(name.replace("-", "_")):
            kept.append(word)
    return " ".join(kept)


@dataclasses.dataclass
class Hider:
    """Takes identities out of all that is recorded of one host.

    Each of what tells things apart becomes the same number everywhere: a
    folder that is called so and the links to it, a disk and its mounts.
    """

    _numbers: dict[str, dict[str, int]] = dataclasses.field(
        default_factory=dict
    )

    def name(self, text: str, *, long: bool = True) -> str:
        """A path or a target: what has an identity in it is numbered.

        :param long: whether a long row of digits is one
        """
        text = _MAC.sub(self._mac, _UUID.sub(self._uuid, text))
        return _LONG.sub(self._long, text) if long else text

    def text(self, text: str, *, long: bool = True) -> str:
        """A text: the same, and what else tells of a machine or its owner.

        :param long: as of :meth:`name`
        """
        text = _QUERY.sub("?0", _URL.sub(_nobody, text))
        return self.name(_NAMED.sub(self._named, text), long=long)

    def _mac(self, match: re.Match[str]) -> str:
        before = match["before"] or ""
        return before + self._numbered("MAC", match[0][len(before) :])

    def _uuid(self, match: re.Match[str]) -> str:
        return self._numbered("UUID", match[0])

    def _long(self, match: re.Match[str]) -> str:
        return self._numbered("long", match[0])

    def _named(self, match: re.Match[str]) -> str:
        return str(self._number("named", match[0]))

    def _numbered(self, kind: str, text: str) -> str:
        """A number in the form of what it stands for."""
        digits = "".join(_DIGIT.findall(text))
        number = iter(f"{self._number(kind, digits):0{len(digits)}x}")
        return _DIGIT.sub(lambda _: next(number), text)

    def _number(self, kind: str, identity: str) -> int:
        known = self._numbers.setdefault(kind, {})
        return known.setdefault(identity.lower(), len(known))


def _nobody(match: re.Match[str]) -> str:
    user = "0@" if match["user"] else ""
    more = "?0" if match["more"] else ""
    return f"{match['scheme']}{user}{match['where']}{more}"
