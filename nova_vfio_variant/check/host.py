# SPDX-License-Identifier: Apache-2.0
"""Rules about the host that the configuration counts on.

What is wrong with a device the verdict says; here it is told at the entry of
device_spec that names the device, once for all of its devices that have the
same fault.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import absent, binding, codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.decide import host_spec
from nova_vfio_variant.host.observe import host_scan, machine
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import spec as pci_spec

Functions = list[host_function.PciFunction]

#: Obstacles that are told as the verdict says them.
_TOLD_AS_THEY_ARE = frozenset(
    {
        host_codes.IS_BRIDGE,
        host_codes.HAS_VGPU_TYPE,
        host_codes.MDEV_BELOW,
        host_codes.VDPA_BELOW,
        host_codes.VF_TOKEN,
        host_codes.VENDOR_REBIND,
        host_codes.IS_QUARANTINED,
        host_codes.IS_UNWELL,
        host_codes.UNSETTLED,
    }
)


def having(
    given: facts.CheckInput,
    *wanted: finding.Code,
    managed: bool | None = None,
) -> ty.Iterator[tuple[pci_spec.DeviceSpec, Functions]]:
    """Each spec with those of its devices that have one of these obstacles.

    :param managed: as for :meth:`facts.CheckInput.of_guests`
    """
    if given.verdicts is None:
        return
    for spec, found in given.of_guests(managed=managed):
        those = [
            seen
            for seen in found
            if any(
                obstacle.code in wanted
                for obstacle in given.verdicts.of(seen).obstacles
            )
        ]
        if those:
            yield spec, those


def iommu_off(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Without an IOMMU nothing is given to a guest."""
    scan = given.scan
    if not (scan and given.winners) or _is_iommu_on(scan):
        return
    yield finding.Finding(
        codes.IOMMU_OFF,
        "no PCI function has an IOMMU group"
        + (f" (kernel command line: {scan.cmdline})" if scan.cmdline else ""),
        subject="IOMMU",
        hint=machine.enable_iommu(scan.tree, scan.cmdline),
    )


def _is_iommu_on(scan: host_scan.HostScan) -> bool:
    """Whether a function has an IOMMU group, be it one that can't be read."""
    return bool(scan.iommu_groups) or any(
        "iommu_group" in function.lost for function in scan.functions
    )


def no_group(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """The IOMMU is on, and doesn't have all devices."""
    if given.scan is None or not _is_iommu_on(given.scan):
        return
    for spec, those in having(given, host_codes.NOT_IN_A_GROUP):
        yield facts.on_spec(
            codes.NO_IOMMU_GROUP,
            f"{facts.named(those)} {facts.have(those)} no IOMMU group, though"
            f" others have one: no guest can have {facts.it(those)}",
            spec,
            None,
            str(those[0].address),
        )


def no_vfio_module(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Neither loaded, nor built in, nor among the kernel's modules."""
    if given.scan is None or not any(having(given, host_codes.VFIO_MISSING)):
        return
    release = given.scan.kernel_release
    yield finding.Finding(
        codes.NO_VFIO_MODULE,
        "vfio-pci is neither loaded nor a module of"
        + (f" kernel {release}" if release else " the running kernel"),
        subject="vfio-pci",
    )


def carries_host(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``managed: yes`` on what the host itself needs."""
    if given.verdicts is None:
        return
    for spec, found in given.of_guests(managed=True):
        for seen in found:
            use = use_of(given, seen)
            if use is not None:
                yield facts.on_spec(
                    codes.CARRIES_HOST,
                    f"the host uses {seen.address} ({use}), and libvirt"
                    " would take it from its driver",
                    spec,
                    None,
                    str(seen.address),
                )


def use_of(
    given: facts.CheckInput, seen: host_function.PciFunction
) -> str | None:
    """What the host uses a function for, as half a sentence."""
    if seen.vfio or given.verdicts is None:
        return None
    for obstacle in given.verdicts.of(seen).blocking:
        if obstacle.code in binding.USES:
            return obstacle.message
    return None


def shared_groups(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Groups with other members: in use, or just not isolated."""
    verdicts = given.verdicts
    if verdicts is None:
        return
    scan = verdicts.facts.scan
    for spec, found in given.of_guests():
        groups: dict[int, Functions] = collections.defaultdict(list)
        for seen in found:
            if seen.iommu_group is not None:
                groups[seen.iommu_group].append(seen)
        for group, mine in sorted(groups.items()):
            if len(scan.iommu_groups[group]) == 1:
                continue
            # What is in the way of one may be another of the same entry.
            blocked = {
                seen.address: against
                for seen in mine
                if (
                    against := [
                        obstacle
                        for obstacle in verdicts.of(seen).blocking
                        if obstacle.code is host_codes.GROUP_COMPANIONS
                    ]
                )
            }
            if blocked:
                those = [seen for seen in mine if seen.address in blocked]
                yield _in_use(
                    given, spec, group, those, blocked[those[0].address]
                )
            elif len(mine) > 1:
                yield facts.on_spec(
                    codes.GROUP_SHARED,
                    f"{facts.named(mine)} share IOMMU group {group}, so that"
                    f" no two guests can have them{_behind(scan, group)}",
                    spec,
                    None,
                    str(mine[0].address),
                )


def _in_use(
    given: facts.CheckInput,
    spec: pci_spec.DeviceSpec,
    group: int,
    mine: Functions,
    against: ty.Sequence[finding.Finding],
) -> finding.Finding:
    """A group whose members keep it from any guest."""
    shown = ", ".join(
        refusal.message.partition(" is in IOMMU group ")[0]
        + refusal.message.rpartition(",")[2]
        for refusal in against[:3]
    )
    assert given.scan is not None
    return facts.on_spec(
        codes.GROUP_IN_USE,
        f"IOMMU group {group} of {facts.named(mine)} has members that"
        f" the host uses: {shown}{_behind(given.scan, group)}",
        spec,
        None,
        str(mine[0].address),
        _companions(given, mine[0], against[0].hint or ""),
    )


def _companions(
    given: facts.CheckInput, seen: host_function.PciFunction, mend: str
) -> str:
    """Where the companions of a device are to be written."""
    adding, named, rest = mend.partition('"companions": ')
    if not named:
        return _sentence(mend) or mend
    specs, _ = host_spec.parse_host_specs(given.host_specs)
    for spec in specs:
        if spec.driver is not None and spec.selects(seen):
            return (
                f"{adding.capitalize()}{named}{rest} to the host_spec at"
                f" {spec.location}."
            ).replace(" to have", ", to have")
    listed, _, _ = rest.partition(" to have")
    return (
        "To have the others unbound, write host_spec ="
        f' {{ "address": "{seen.address}", "driver": "vfio-pci",'
        f' "companions": {listed} }} to [vfio].'
    )


def as_the_verdict_says(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Lasting obstacles that have no sentence of their own here."""
    if given.verdicts is None:
        return
    for spec, found in given.of_guests():
        by_code: dict[finding.Code, Functions] = collections.defaultdict(list)
        first: dict[finding.Code, finding.Finding] = {}
        for seen in found:
            for obstacle in given.verdicts.of(seen).blocking:
                if obstacle.code in _TOLD_AS_THEY_ARE or (
                    # Those of a mate; of its own other rules tell.
                    obstacle.code is host_codes.PF_HAS_VFS
                    and not seen.sriov_numvfs
                ):
                    by_code[obstacle.code].append(seen)
                    first.setdefault(obstacle.code, obstacle)
        for code, those in by_code.items():
            distinct = list(dict.fromkeys(those))
            others = len(distinct) - 1
            yield facts.on_spec(
                code,
                f"{distinct[0].address}: {first[code].message}"
                + (f"; and {others} more of this entry" if others else ""),
                spec,
                None,
                str(distinct[0].address),
                _sentence(first[code].hint),
            )


def _sentence(hint: str | None) -> str | None:
    """A mend as this report writes it: with a capital and a full stop."""
    if not hint:
        return None
    return f"{hint[0].upper()}{hint[1:]}{'' if hint.endswith('.') else '.'}"


def not_known(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What can't be read of devices, and so keeps them from guests."""
    if given.verdicts is None:
        return
    told: dict[str, tuple[finding.Finding, Functions]] = {}
    for seen, _ in given.winners:
        for obstacle in given.verdicts.of(seen).unknown:
            told.setdefault(obstacle.message, (obstacle, []))[1].append(seen)
    for obstacle, those in told.values():
        yield dataclasses.replace(
            obstacle,
            message=f"{facts.named(those)}: {obstacle.message}",
            subject=None,
            hint=_sentence(obstacle.hint),
        )


def overruled(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Obstacles that somebody overruled by hand, with the reason given."""
    if given.verdicts is None:
        return
    for seen, _ in given.winners:
        for remark in given.verdicts.of(seen).remarks:
            if remark.code is host_codes.OVERRULED:
                yield remark


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


def _behind(scan: host_scan.HostScan, group: int) -> str:
    """The bridges of a group: what is behind them they don't isolate."""
    members = (scan.get(at) for at in scan.iommu_groups[group])
    bridges = [
        function
        for function in members
        if function is not None and function.is_bridge
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
    as_the_verdict_says,
    not_known,
    overruled,
    facts_lost,
    unseen,
)
