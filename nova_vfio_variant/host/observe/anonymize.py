# SPDX-License-Identifier: Apache-2.0
"""What names one machine among all, or its owner, and how to record without.

Texts keep their form, so that they are read as before.
"""

from __future__ import annotations

import dataclasses
import re

_IDENTITY = re.compile(
    # An InfiniBand address has 20 octets.
    r"(?P<mac>\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5,19}\b)"
    r"|(?P<uuid>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)"
    r"|(?P<long>\b[0-9a-f]{32}\b)"
    r"|(?P<named>(?<=by-id/)\S+|\b(?:wwn-|eui\.|iqn\.|naa\.)\S+)",
    re.IGNORECASE,
)
#: What systemd's net_id calls an interface by its MAC address: NamePolicy=mac
#: behind the prefixes of systemd.net-naming-scheme(7).
_MAC_NAME = re.compile(r"\b(en|ib|sl|wl|ww)x[0-9a-f]{12}\b")
#: Of a URL: who asks, where, and what goes with the question.
_URL = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)"
    r"(?P<user>[^\s/?#]*@)?(?P<where>[^\s?#]*)(?P<more>[?#]\S*)?",
    re.IGNORECASE,
)

#: A word of the kernel's command line; a quote hides spaces.
_WORD = re.compile(r'(?:[^\s"]|"[^"]*(?:"|$))+')
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
    """Takes identities out of all that is recorded of one host."""

    _mac_names: dict[str, str] = dataclasses.field(default_factory=dict)

    def name(self, text: str) -> str:
        """A path or a target: names made of a MAC address are numbered."""
        return _MAC_NAME.sub(
            lambda match: self._mac_names.setdefault(
                match[0], f"{match[1]}x{len(self._mac_names):012x}"
            ),
            text,
        )

    def text(self, text: str) -> str:
        """A text: so are those, and what else is an identity becomes zeros."""
        return _IDENTITY.sub(_zeros, _URL.sub(_nobody, self.name(text)))


def _zeros(match: re.Match[str]) -> str:
    if match.lastgroup == "named":
        return "0"
    return re.sub(r"[0-9a-f]", "0", match[0], flags=re.IGNORECASE)


def _nobody(match: re.Match[str]) -> str:
    user = "0@" if match["user"] else ""
    more = "?0" if match["more"] else ""
    return f"{match['scheme']}{user}{match['where']}{more}"
