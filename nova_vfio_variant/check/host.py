# SPDX-License-Identifier: Apache-2.0
"""Rules about the host that the configuration counts on.

Each finding stands at the entry of device_spec that names the devices, and
is about all of its devices that have the same fault.
"""

import collections
import typing as ty

from nova_vfio_variant import codes, finding
from nova_vfio_variant.check import absent, carries, facts
from nova_vfio_variant.host import drivers
from nova_vfio_variant.host import function as host_function
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


def not_prepared(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``managed: no`` counts on a VFIO driver that is bound already."""
    for spec, found in _of_guests(given, managed=False):
        by_driver = collections.defaultdict(list)
        for seen in found:
            if not seen.vfio and not _claims_vfio(given, seen):
                by_driver[seen.driver].append(seen)
        for driver, those in by_driver.items():
            module = _variant(given, those[0])
            verb = "is" if len(those) == 1 else "are"
            yield facts.on_spec(
                codes.NOT_PREPARED,
                f"managed is no, and {_listed(those)} {verb}"
                f" {f'on driver {driver}' if driver else 'on no driver'}:"
                " libvirt will refuse to start a guest with"
                f" {'it' if len(those) == 1 else 'them'}",
                spec,
                "managed",
                str(those[0].address),
                (
                    f"Bind {'it' if len(those) == 1 else 'them'} to"
                    f" {module or 'vfio-pci'} before nova-compute starts, or"
                    " leave it to libvirt with managed yes."
                ),
            )


def no_vfio_dev(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """A driver that is named as a VFIO driver, and isn't one to libvirt."""
    for spec, found in _of_guests(given, managed=False):
        those = [
            seen
            for seen in found
            if not seen.vfio and _claims_vfio(given, seen)
        ]
        if those:
            verb = "has" if len(those) == 1 else "have"
            yield facts.on_spec(
                codes.NO_VFIO_DEV,
                f"{_listed(those)} on driver {those[0].driver} {verb} no"
                " vfio-dev/, by which libvirt knows a VFIO driver",
                spec,
                "managed",
                str(those[0].address),
            )


def variant_lost(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``managed: yes`` takes a device from its variant driver."""
    for spec, found in _of_guests(given, managed=True):
        those = [
            seen
            for seen in found
            if seen.vfio and seen.driver not in (None, "vfio-pci")
        ]
        if those:
            verb = "is" if len(those) == 1 else "are"
            why = f"managed is {'yes' if spec.managed else 'not set, which is yes'}"
            hint = None
            if spec.tags.get("physical_network"):
                why = "with a physical_network it is managed, whatever it says"
                hint = "Leave physical_network out, or bind to vfio-pci."
            yield facts.on_spec(
                codes.VARIANT_LOST,
                f"{_listed(those)} {verb} on the variant driver"
                f" {those[0].driver}, and {why}:"
                " libvirt binds the device anew, and migration may be lost",
                spec,
                "managed",
                str(those[0].address),
                hint,
            )


def better_driver(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """A device on another VFIO driver than the one made for it."""
    for spec, found in _of_guests(given, managed=False):
        by_module = collections.defaultdict(list)
        for seen in found:
            module = _variant(given, seen)
            if (
                module is not None
                and seen.vfio_driver is not None
                and not drivers.same_name(module, seen.vfio_driver)
            ):
                by_module[module].append(seen)
        for module, those in by_module.items():
            verb = "is" if len(those) == 1 else "are"
            yield facts.on_spec(
                codes.BETTER_DRIVER,
                f"{_listed(those)} {verb} on {those[0].driver}, and the"
                f" module {module} holds a VFIO driver made for it",
                spec,
                "managed",
                str(those[0].address),
            )


def carries_host(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``managed: yes`` on what the host itself needs."""
    if given.scan is None:
        return
    loads = carries.Loads(given.scan.tree)
    for spec, found in _of_guests(given, managed=True):
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
    for spec, found in _of_guests(given):
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
                    f"IOMMU group {group} of {_listed(mine)} has members that"
                    f" the host uses: {shown}{_behind(scan, group)}",
                    spec,
                    None,
                    str(mine[0].address),
                )
            else:
                all_of_them = [*mine, *others]
                yield facts.on_spec(
                    codes.GROUP_SHARED,
                    f"{_listed(all_of_them)} share IOMMU group {group}, so"
                    " that no two guests can have them"
                    f"{_behind(scan, group)}",
                    spec,
                    None,
                    str(mine[0].address),
                )


def vgpu_type_unset(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """VFs of a vendor's vGPU driver without a type."""
    scan = given.scan
    if scan is None:
        return
    for spec, found in _of_guests(given):
        those = [
            seen
            for seen in found
            if seen.physfn is not None
            and scan.tree.read_text(
                f"{host_scan.DEVICES}/{seen.address}/nvidia/current_vgpu_type"
            )
            == "0"
        ]
        if those:
            verb = "has" if len(those) == 1 else "have"
            yield facts.on_spec(
                codes.VGPU_TYPE_UNSET,
                f"{_listed(those)} {verb} no vGPU type: guests with"
                f" {'it' if len(those) == 1 else 'them'} fail when they"
                " start",
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


def _of_guests(
    given: facts.CheckInput, *, managed: bool | None = None
) -> ty.Iterator[tuple[pci_spec.DeviceSpec, list[host_function.PciFunction]]]:
    """Each spec with the functions that it gives to guests by alias.

    :param managed: only specs that say so, where not saying is yes. Neutron
        ports have hostdevs that are always managed, whatever the spec says
        (nova.virt.libvirt.config), and count as such.
    """
    for spec in given.specs:
        says = spec.managed is not False or bool(
            spec.tags.get("physical_network")
        )
        if managed in (None, says) and spec.index in given.by_spec:
            yield spec, given.by_spec[spec.index]


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
    return f" (behind {word} {_listed(bridges)}, without isolation)"


def _claims_vfio(
    given: facts.CheckInput, seen: host_function.PciFunction
) -> bool:
    """Whether its driver is named as a VFIO driver.

    By ``modules.alias``, or because it is NVIDIA's, which serves vGPUs and
    is a VFIO driver of the VFs that it has given a type.
    """
    driver = seen.driver
    if driver is None or given.scan is None:
        return False
    return driver == "nvidia" or any(
        drivers.same_name(driver, module)
        for _, module in given.scan.vfio_aliases
    )


def _variant(
    given: facts.CheckInput, seen: host_function.PciFunction
) -> str | None:
    """The module of the variant driver made for a function, if any."""
    if given.scan is None or seen.modalias is None:
        return None
    module = drivers.best_variant(seen.modalias, given.scan.vfio_aliases)
    if module is None or drivers.same_name(module, "vfio-pci"):
        return None
    return module


def _listed(found: ty.Iterable[host_function.PciFunction]) -> str:
    return facts.listed(seen.address for seen in found)


RULES: tuple[facts.Rule, ...] = (
    iommu_off,
    no_vfio_module,
    absent.matches_nothing,
    not_prepared,
    no_vfio_dev,
    variant_lost,
    better_driver,
    carries_host,
    shared_groups,
    vgpu_type_unset,
    facts_lost,
    unseen,
)
