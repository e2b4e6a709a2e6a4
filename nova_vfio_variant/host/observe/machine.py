# SPDX-License-Identifier: Apache-2.0
"""What kind of machine a host is, as far as advice depends on it."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.tree import host_tree

Machine = ty.Literal["intel", "amd", "x86", "arm", "power", "s390"]

#: By what ``kernel.arch`` says (since Linux 6.1), which is the kernel's
#: UTS_MACHINE.
_BY_ARCH: dict[str, Machine] = {
    "aarch64": "arm",
    "ppc64": "power",
    "ppc64le": "power",
    "s390x": "s390",
}
#: By what /proc/cpuinfo has on a line of its own.
_BY_CPUINFO: dict[str, Machine] = {
    "GenuineIntel": "intel",
    "AuthenticAMD": "amd",
    "HygonGenuine": "amd",
    "IBM/S390": "s390",
    "CPU implementer": "arm",
    "POWER": "power",
}
#: Words of the kernel's command line that keep an IOMMU off.
_OFF = frozenset({"iommu=off", "intel_iommu=off", "amd_iommu=off"})

_ENABLE: dict[Machine | None, str] = {
    "intel": "Enable VT-d in the firmware",
    "amd": "Enable AMD-Vi (IOMMU) in the firmware",
    "arm": "Enable the SMMU in the firmware, which describes it to the kernel",
    "power": "See in the kernel's log why the firmware gives the functions no"
    " DMA window",
    "s390": "See in the kernel's log why its IOMMU driver has no groups",
}


def kind(tree: host_tree.HostTree) -> Machine | None:
    """The machine, or None where nothing tells."""
    arch = (tree.read_text("proc/sys/kernel/arch") or "").strip()
    if arch in _BY_ARCH:
        return _BY_ARCH[arch]
    cpuinfo = tree.read_text("proc/cpuinfo") or ""
    for word, machine in _BY_CPUINFO.items():
        if word in cpuinfo:
            return machine
    return "x86" if arch == "x86_64" else None


def enable_iommu(tree: host_tree.HostTree, cmdline: str | None) -> str:
    """How to get an IOMMU on this machine; nothing that is done already."""
    words = set((cmdline or "").split())
    found = kind(tree)
    off = sorted(words & _OFF)
    advice = [
        _ENABLE.get(found, "Enable VT-d or AMD-Vi in the firmware"),
    ]
    if off:
        advice.append(
            f"remove {' and '.join(off)} from the kernel's command line"
        )
    elif found in ("intel", "x86", None) and "intel_iommu=on" not in words:
        which = "" if found == "intel" else " on Intel"
        advice.append(
            f"add intel_iommu=on to the kernel's command line{which}"
        )
    return f"{', '.join(advice)}, and reboot."
