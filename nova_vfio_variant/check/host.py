# SPDX-License-Identifier: Apache-2.0
"""Rules about the host that the configuration counts on.

Each finding stands at the entry of device_spec that names the devices, and
is about all of its devices that have the same fault.
"""

import typing as ty

from nova_vfio_variant import codes, finding
from nova_vfio_variant.check import absent, binding, carries, facts
from nova_vfio_variant.host import function as host_function
from nova_vfio_variant.host import machine
from nova_vfio_variant.host import scan as host_scan
from nova_vfio_variant.pci import spec as pci_spec

#: Drivers that hold a function without using it (vfio_dev_driver_allowed in
#: drivers/vfio/group.c of kernels that checked it, and the like).
_IDLE = frozenset({"pci-stub", "xen-pciback"})

#: Class of a bridge between two PCI buses, a root port among them.
_PCI_BRIDGE = 0x0604


def iommu_off(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Without an IOMMU nothing is given to a guest."""
    scan = given.scan
    if not (scan and given.winners) or scan.iommu_groups:
        return
    yield finding.Finding(
        codes.IOMMU_OFF,
        "no PCI function has an IOMMU group"
        + (f" (kernel command line: {scan.cmdline})" if scan.cmdline else ""),
        subject="IOMMU",
        hint=machine.enable_iommu(scan.tree, scan.cmdline),
    )


def no_group(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """The IOMMU is on, and doesn't have all devices."""
    if given.scan is None or not given.scan.iommu_groups:
        return
    for spec, found in given.of_guests():
        those = [
            seen
            for seen in found
            if seen.iommu_group is None and "iommu_group" not in seen.lost
        ]
        if those:
            yield facts.on_spec(
                codes.NO_IOMMU_GROUP,
                f"{facts.named(those)} {facts.have(those)}"
                " no IOMMU group, though others have"
                f" one: no guest can have {facts.it(those)}",
                spec,
                None,
                str(those[0].address),
            )


def no_vfio_module(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Neither loaded, nor built in, nor among the kernel's modules."""
    scan = given.scan
    if not (scan and given.winners) or any(
        seen.vfio for seen in scan.functions
    ):
        return
    release = scan.kernel_release
    if (
        "vfio_pci" in scan.modules
        or scan.tree.exists("sys/bus/pci/drivers/vfio-pci")
        or "/vfio-pci.ko"
        in (scan.tree.read_text(f"lib/modules/{release}/modules.dep") or "")
        or any(module == "vfio_pci" for _, module in scan.vfio_aliases)
    ):
        return
    yield finding.Finding(
        codes.NO_VFIO_MODULE,
        "vfio-pci is neither loaded nor a module of"
        + (f" kernel {release}" if release else " the running kernel"),
        subject="vfio-pci",
    )


def carries_host(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``managed: yes`` on what the host itself needs."""
    if given.scan is None:
        return
    loads = carries.Loads(given.scan.tree)
    for spec, found in given.of_guests(managed=True):
        for seen in found:
            load = loads.of(seen, passes_link=_serves_ports(spec, seen, found))
            if load is not None:
                yield facts.on_spec(
                    codes.CARRIES_HOST,
                    f"the host uses {seen.address} ({load}), and libvirt"
                    " would take it from its driver",
                    spec,
                    None,
                    str(seen.address),
                )


def _serves_ports(
    spec: pci_spec.DeviceSpec,
    seen: host_function.PciFunction,
    found: ty.Sequence[host_function.PciFunction],
) -> bool:
    """Whether it is a PF whose VFs the same entry gives to Neutron's ports.

    It is up so that they have a link, and the ports take the VFs.
    """
    return bool(spec.tags.get("physical_network")) and any(
        one.physfn == seen.address for one in found
    )


def shared_groups(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Groups with other members: in use, or just not isolated."""
    scan = given.scan
    if scan is None:
        return
    for spec, found in given.of_guests():
        groups = {
            seen.iommu_group for seen in found if seen.iommu_group is not None
        }
        for group in sorted(groups):
            mine = [seen for seen in found if seen.iommu_group == group]
            others = _others(scan, group, mine)
            if not others and len(mine) == 1:
                continue
            used = [
                one
                for one in others
                if one.driver and not one.vfio and one.driver not in _IDLE
            ]
            if used:
                shown = ", ".join(
                    f"{one.address} on {one.driver}" for one in used[:3]
                )
                yield facts.on_spec(
                    codes.GROUP_IN_USE,
                    f"IOMMU group {group} of {facts.named(mine)} has members that"
                    f" the host uses: {shown}{_behind(scan, group)}",
                    spec,
                    None,
                    str(mine[0].address),
                )
            else:
                all_of_them = [*mine, *others]
                yield facts.on_spec(
                    codes.GROUP_SHARED,
                    f"{facts.named(all_of_them)} share IOMMU group {group}, so"
                    " that no two guests can have them"
                    f"{_behind(scan, group)}",
                    spec,
                    None,
                    str(mine[0].address),
                )


def vgpu_type_unset(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """VFs of a vendor's vGPU driver without a type."""
    for spec, found in given.of_guests():
        those = [
            seen
            for seen in found
            if seen.physfn is not None
            and binding.vgpu_type(given, seen) == "0"
        ]
        if those:
            yield facts.on_spec(
                codes.VGPU_TYPE_UNSET,
                f"{facts.named(those)} {facts.have(those)}"
                " no vGPU type: guests with"
                f" {facts.it(those)} fail when they start",
                spec,
                None,
                str(those[0].address),
            )


def facts_lost(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What the scan could not read."""
    for problem in given.scan.problems if given.scan else ():
        if problem.fact is None:
            code = codes.FUNCTION_UNREAD
            message = f"the function could not be read: {problem.why}"
        else:
            code = codes.FACTS_LOST
            message = f"could not be read: {problem.fact}: {problem.why}"
        yield finding.Finding(code, message, subject=problem.subject)


def unseen(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Rules that could not be asked because the host can't be seen."""
    if given.unseen is not None:
        yield finding.Finding(
            codes.HOST_UNSEEN,
            given.unseen,
            subject="--host-root",
        )


def _others(
    scan: host_scan.HostScan,
    group: int,
    mine: ty.Sequence[host_function.PciFunction],
) -> list[host_function.PciFunction]:
    """The other members that aren't bridges."""
    known = {seen.address for seen in mine}
    members = (scan.get(at) for at in scan.iommu_groups[group])
    return [
        one
        for one in members
        if one is not None and one.address not in known and not one.is_bridge
    ]


def _behind(scan: host_scan.HostScan, group: int) -> str:
    """The bridges of a group: what is behind them they don't isolate."""
    members = (scan.get(at) for at in scan.iommu_groups[group])
    bridges = [
        one
        for one in members
        if one is not None and one.class_code >> 8 == _PCI_BRIDGE
    ]
    if not bridges:
        return ""
    word = "bridge" if len(bridges) == 1 else "bridges"
    return f" (behind {word} {facts.named(bridges)}, without isolation)"


RULES: tuple[facts.Rule, ...] = (
    iommu_off,
    no_group,
    no_vfio_module,
    absent.matches_nothing,
    *binding.RULES,
    carries_host,
    shared_groups,
    vgpu_type_unset,
    facts_lost,
    unseen,
)
