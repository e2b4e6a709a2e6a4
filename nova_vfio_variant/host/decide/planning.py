# SPDX-License-Identifier: Apache-2.0
"""From what is declared and what is seen to the steps in between. Pure.

Some steps can only be known once others are done: VFs that are yet to be
made have no IOMMU group, and a module's driver has no name before it is
loaded. Such changes are marked as expected, and decided anew from a fresh
look at the host.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host import vf_provider
from nova_vfio_variant.host.decide import codes, host_spec, plan, refusal
from nova_vfio_variant.host.observe import drivers, function_state, sriov
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

#: Seconds for a write that does no more than note a word.
_NOTE = 10.0
#: Seconds in which a driver has taken on, or let go of, a function.
_BIND = 60.0
#: Seconds in which a module is loaded.
_LOAD = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, or why nothing is.

    :param plan: the changes, those of refused functions left out
    :param refusals: reasons not to do it; a command that writes stops
    :param findings: what is wrong with the entries on this host; likewise
    :param companions: what is unbound for a function that goes to another
        driver, by that function; all as text
    :param notes: how words were taken, in sentences
    :param vgpus: the vGPU type that is declared for a VF, or laid on it
    """

    plan: plan.Plan
    refusals: tuple[finding.Finding, ...] = ()
    findings: tuple[finding.Finding, ...] = ()
    companions: ty.Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict
    )
    notes: tuple[str, ...] = ()
    vgpus: ty.Mapping[pci_address.PciAddress, str] = dataclasses.field(
        default_factory=dict
    )


#: A plan that changes nothing.
NOTHING: ty.Final = plan.Plan()


def driver_steps(
    subject: str,
    now: function_state.State,
    to: function_state.State,
    reason: str,
) -> tuple[plan.Step, ...]:
    """The writes that take a function from one driver to another.

    Each driver is named in the override before the probe, the host's own as
    well: no other can come first, and a PF's autoprobe flag doesn't matter.
    """
    steps = []
    override = now.override

    def step(
        action: plan.Action, value: str, prior: str, deadline: float
    ) -> None:
        steps.append(
            plan.Step(subject, action, value, prior, reason, deadline)
        )

    def name(driver: str | None) -> None:
        nonlocal override
        if override != driver:
            step(plan.Action.SET_OVERRIDE, driver or "", override or "", _NOTE)
            override = driver

    if to.driver == function_state.KERNELS_CHOICE:
        name(to.override)
        if now.driver is not None:
            step(plan.Action.UNBIND, "", now.driver, _BIND)
        step(plan.Action.PROBE, "", "", _BIND)
    elif to.driver is None:
        name(to.override)
        if now.driver is not None:
            step(plan.Action.UNBIND, "", now.driver, _BIND)
    else:
        if now.driver != to.driver:
            name(to.driver)
            if now.driver is not None:
                step(plan.Action.UNBIND, "", now.driver, _BIND)
            step(plan.Action.PROBE, to.driver, "", _BIND)
        name(to.override)
    return tuple(steps)


def vfs_steps(
    pf: observed.PciFunction,
    now: function_state.State,
    to: function_state.State,
    reason: str,
    *,
    quietly: bool,
    provider: str | None = None,
) -> tuple[plan.Step, ...]:
    """The writes that take a PF from one number of VFs to another.

    :param quietly: new VFs are not to get a driver by themselves
    :param provider: whose way it is done; None for who serves the PF now
    """
    subject = str(pf.address)
    provider = provider or vf_provider.of(pf)[0]
    way = vf_provider.named(provider)
    steps = []
    autoprobe = now.autoprobe
    count = now.numvfs or 0
    wanted = to.numvfs or 0

    def flag(value: bool | None) -> None:
        nonlocal autoprobe
        if value is not None and autoprobe is not None and autoprobe != value:
            steps.append(
                plan.Step(
                    subject,
                    plan.Action.SET_AUTOPROBE,
                    str(int(value)),
                    str(int(autoprobe)),
                    reason,
                    _NOTE,
                )
            )
            autoprobe = value

    if count != wanted:
        if quietly and wanted:
            flag(False)
        elif wanted and to.autoprobe:
            # A crash may have left it off.
            flag(True)
        for value in (0, wanted) if count and wanted else (wanted,):
            steps.append(
                plan.Step(
                    subject,
                    plan.Action.SET_NUMVFS,
                    str(value),
                    str(count),
                    reason,
                    way.deadline(count, value),
                    provider,
                )
            )
            count = value
    flag(to.autoprobe)
    return tuple(steps)


def load_change(module: str, reason: str) -> plan.Change:
    """The change that loads a module."""
    return plan.Change(
        module,
        plan.What.MODULE,
        function_state.State(),
        function_state.State(driver=module),
        (
            plan.Step(
                module, plan.Action.LOAD_MODULE, module, "", reason, _LOAD
            ),
        ),
    )


def vfs_change(
    facts: host_facts.HostFacts,
    pf: observed.PciFunction,
    to: function_state.State,
    reason: str,
    *,
    quietly: bool,
    probes: ty.Iterable[pci_address.PciAddress] = (),
) -> plan.Change:
    """The change of a PF's number of VFs.

    :param probes: VFs that get the kernel's choice of driver afterwards
    """
    now = facts.states[pf.address]
    steps = vfs_steps(pf, now, to, reason, quietly=quietly)
    steps += probes_of(probes, reason)
    return plan.Change(
        str(pf.address),
        plan.What.VFS,
        now,
        to,
        steps,
        lost={
            str(vf.address): facts.states[vf.address]
            for vf in sriov.vfs_of(facts.scan, pf.address)
        }
        if now.numvfs != to.numvfs
        else {},
        identity=pf.identity,
    )


def probes_of(
    vfs: ty.Iterable[pci_address.PciAddress], reason: str
) -> tuple[plan.Step, ...]:
    """The steps that give VFs the kernel's choice of driver."""
    return tuple(
        plan.Step(str(address), plan.Action.PROBE, "", "", reason, _BIND)
        for address in vfs
    )


def vfs_refusals(
    facts: host_facts.HostFacts,
    pf: observed.PciFunction,
    count: int,
) -> ty.Iterator[finding.Finding]:
    """Why a PF can't be given another number of VFs."""
    name = str(pf.address)
    if not pf.sriov_totalvfs:
        yield refusal.because(
            codes.NOT_A_PF,
            name,
            "it has no SR-IOV capability, and can't have VFs",
            "name a PF; enable SR-IOV in the firmware of host and card",
        )
        return
    if count > pf.sriov_totalvfs:
        yield refusal.because(
            codes.TOO_MANY_VFS,
            name,
            f"{count} VFs are asked for, and it can have {pf.sriov_totalvfs}",
            f"ask for {pf.sriov_totalvfs} or fewer",
        )
    if pf.driver is None or pf.vfio:
        yield refusal.because(
            codes.PF_WITHOUT_DRIVER,
            name,
            "it has no driver"
            if pf.driver is None
            else f"it is on {pf.driver}: VFs of a PF on a VFIO driver can be "
            "opened by nobody but who holds its token",
            "give it back to its own driver first",
        )
    _, way = vf_provider.of(pf)
    why = way.refusal(pf, count)
    if why is not None:
        yield refusal.because(
            codes.PROVIDER_REFUSES, name, why, "change num_vfs accordingly"
        )
    why = facts.why_not_run(way.program) if way.program else None
    if why is not None:
        yield refusal.because(
            codes.PROVIDER_REFUSES,
            name,
            why,
            "install the vendor's driver for hosts as root: it comes with it",
        )
    if way.disturbs_pf:
        yield from refusal.to_touch(facts, pf)
    else:
        yield from refusal.is_another(facts, pf)
        yield from refusal.is_somebodys(facts, pf)
    yield from vfs_in_use(facts, pf)


def loses_vfs(
    facts: host_facts.HostFacts,
    pf: observed.PciFunction,
    count: int | None,
) -> tuple[finding.Finding, ...]:
    """Why a function may not lose its driver: its VFs would go too.

    :param count: how many VFs it has then
    """
    if not count:
        return ()
    return (
        refusal.has_vfs(pf, count),
        *vfs_in_use(facts, pf),
    )


def vfs_in_use(
    facts: host_facts.HostFacts, pf: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """Why the VFs of a PF may not go."""
    for vf in sriov.vfs_of(facts.scan, pf.address):
        for obstacle in refusal.to_touch(facts, vf):
            yield dataclasses.replace(
                obstacle,
                code=codes.VFS_IN_USE,
                subject=str(pf.address),
                message=f"VF {vf.address} would go with the others, and "
                f"{obstacle.message}",
            )


def predicted(
    facts: host_facts.HostFacts, pf: observed.PciFunction, count: int
) -> tuple[observed.PciFunction, ...] | None:
    """The VFs that a PF would have; None if it doesn't say where.

    Without driver and IOMMU group; subsystem ids are left blank, and the
    class is the PF's.
    """
    known = facts.sriov.get(pf.address)
    if known is None:
        return None
    found = []
    for number in range(count):
        place = known.routing.address(pf.address, number)
        if place is None:
            return None
        found.append(
            observed.PciFunction(
                place,
                pf.vendor_id,
                known.vf_device,
                pf.class_code,
                physfn=pf.address,
                modalias=f"pci:v0000{pf.vendor_id.upper()}d0000"
                f"{known.vf_device.upper()}sv00000000sd00000000"
                f"bc{pf.class_code >> 16:02X}sc{pf.class_code >> 8 & 0xFF:02X}"
                f"i{pf.class_code & 0xFF:02X}",
                vf_index=number,
            )
        )
    return tuple(found)


def driver_of(
    facts: host_facts.HostFacts, function: observed.PciFunction, word: str
) -> tuple[str | None, str | None]:
    """The driver that is meant, and the module to load for it first.

    :param word: ``variant`` or a driver's name
    :returns: (driver, module); no driver where there is none such, and no
        module where the driver is there
    """
    name: str | None = word
    if word == host_spec.VARIANT:
        name = drivers.best_variant(
            function.modalias or "", facts.scan.vfio_aliases
        )
        if name is None:
            return None, None
    assert name is not None
    there = facts.driver_named(name)
    if there is not None:
        return there, None
    if facts.can_load(name):
        return name, name.replace("-", "_")
    return None, None
