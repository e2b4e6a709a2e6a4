# SPDX-License-Identifier: Apache-2.0
"""May this function go to a guest, now, for this purpose? Pure.

Every command that lists, checks, plans, claims, publishes or prints asks
here, so that no two can say different things of one device. The table of
states and purposes stands in ``specs/assignability.rst``.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import (
    codes,
    group_obstacles,
    obstacles,
    vgpu_obstacles,
)
from nova_vfio_variant.host.decide import purpose as purposes
from nova_vfio_variant.host.decide import recorded as recorded_obstacles
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import groups, records, vfio
from nova_vfio_variant.host.observe.use import Kind, Use
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

Address = pci_address.PciAddress


class State(enum.StrEnum):
    """What a verdict comes to."""

    READY = "ready"
    PREPARABLE = "preparable"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


Purpose = purposes.Purpose
ANYBODY: ty.Final = purposes.ANYBODY

Records = records.Records
NOTHING_RECORDED: ty.Final = records.NOTHING

#: Obstacles that stay until somebody sees to the host, and so are published
#: as reserved. What a process has open, or a mount, isn't among them.
LASTING: ty.Final = frozenset(
    {
        codes.IS_BRIDGE,
        codes.NOT_IN_A_GROUP,
        codes.GROUP_COMPANIONS,
        codes.VFIO_MISSING,
        codes.NO_VFIO_DEV,
        codes.VENDOR_REBIND,
        codes.VF_TOKEN,
        codes.NO_VGPU_TYPE,
        codes.HAS_VGPU_TYPE,
        codes.PF_HAS_VFS,
        codes.IS_QUARANTINED,
        codes.IS_UNWELL,
        codes.IS_CORDONED,
        codes.ANOTHER_DEVICE,
    }
)

#: Obstacles that end when a guest ends, or a command: what a configuration
#: is written for doesn't hang on them.
MOMENTARY: ty.Final = frozenset(
    {
        codes.IS_OPEN,
        codes.IS_CLAIMED,
        codes.FAMILY_CLAIMED,
        codes.GROUP_CLAIMED,
        codes.SPENT,
        codes.IS_CORDONED,
        codes.UNSETTLED,
    }
)

#: What is to be done first, and is no obstacle then.
PREPARING: ty.Final = frozenset(
    {codes.NOT_BOUND, codes.MATES_TO_PREPARE, codes.VGPU_TYPE_TO_SET}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, with its reasons.

    :param blocking: why it can't go to a guest now
    :param unknown: what can't be read, and so blocks
    :param preparing: what is to be done first
    :param remarks: what is no obstacle and worth knowing
    :param unseen: what such a host can never show; the verdict stands
        without it
    """

    blocking: tuple[finding.Finding, ...] = ()
    unknown: tuple[finding.Finding, ...] = ()
    preparing: tuple[finding.Finding, ...] = ()
    remarks: tuple[finding.Finding, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """What it comes to."""
        if self.blocking:
            return State.BLOCKED
        if self.unknown:
            return State.UNKNOWN
        return State.PREPARABLE if self.preparing else State.READY

    @property
    def is_assignable(self) -> bool:
        """Whether a guest may be given it: at once, or once prepared."""
        return not (self.blocking or self.unknown)

    @property
    def obstacles(self) -> tuple[finding.Finding, ...]:
        """All that keeps it from being ready, the worst first."""
        return (*self.blocking, *self.unknown, *self.preparing)

    @property
    def lasting(self) -> tuple[finding.Finding, ...]:
        """The obstacles that stay until somebody sees to the host."""
        return tuple(
            obstacle for obstacle in self.blocking if obstacle.code in LASTING
        )


def verdict(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    recorded: Records = NOTHING_RECORDED,
    purpose: Purpose = ANYBODY,
) -> Verdict:
    """Whether a function may go to a guest, now, for this purpose."""
    if function.is_any_bridge:
        return Verdict((obstacles.is_bridge(function),), unseen=facts.unseen)
    leaving = {*purpose.companions, *purpose.mates}
    found = [
        *group_obstacles.of_group(facts, function, leaving),
        *obstacles.of_header(function),
        *_of_driver(function, facts, purpose),
        *_of_family(function, facts, purpose),
    ]
    if purpose.moves(function):
        found[:0] = recorded_obstacles.of_function(
            function, facts, recorded, purpose
        )
        found += _of_uses(function, facts, recorded, purpose)
    if purpose.driver is None:
        found += _of_mates(function, facts, recorded, leaving)
        found += recorded_obstacles.of_group(
            function, facts, recorded, purpose
        )
    return _weighed(function, found, recorded, facts.unseen)


def vanished(
    address: Address,
    facts: host_facts.HostFacts,
    recorded: Records = NOTHING_RECORDED,
) -> Verdict:
    """The verdict on an address at which nothing can be seen."""
    if address in facts.scan.unread:
        return Verdict(
            unknown=(obstacles.unread(address),), unseen=facts.unseen
        )
    return Verdict(
        (obstacles.vanished(facts, address, recorded.identities),),
        unseen=facts.unseen,
    )


def _weighed(
    function: observed.PciFunction,
    found: ty.Iterable[finding.Finding],
    recorded: Records,
    unseen: tuple[str, ...],
) -> Verdict:
    """Sort what was found by what it means; what was overruled is told."""
    allowed = recorded.allowed.get(function.address, {})
    blocking, unknown, preparing, remarks = [], [], [], []
    for problem in dict.fromkeys(found):
        if (
            problem.code.id in allowed
            and problem.code in obstacles.OVERRULABLE
        ):
            remarks.append(
                finding.Finding(
                    codes.OVERRULED,
                    f"overruled: {allowed[problem.code.id]} ({problem.code.id}:"
                    f" {problem.message})",
                    subject=problem.subject,
                )
            )
        elif problem.code is codes.NOT_KNOWN:
            unknown.append(problem)
        elif problem.code in PREPARING:
            preparing.append(problem)
        elif problem.severity is finding.Severity.INFO:
            remarks.append(problem)
        else:
            blocking.append(problem)
    return Verdict(
        tuple(blocking),
        tuple(unknown),
        tuple(preparing),
        tuple(remarks),
        unseen,
    )


def _of_mates(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    recorded: Records,
    leaving: ty.Collection[Address],
) -> ty.Iterator[finding.Finding]:
    """What keeps members of its group on the drivers that they are to leave.

    Their own verdict, or a refusal, says so of them; here it counts against
    the function that waits for them.
    """
    for mate in groups.in_the_way(facts.scan, function):
        if mate.address not in leaving:
            continue
        found = [
            obstacle
            for use in facts.in_use.get(mate.address, ())
            for obstacle in obstacles.of_use(mate, use)
        ]
        found += obstacles.of_vgpu_type(facts, mate)
        found += obstacles.of_vgpu_folder(facts, mate)
        if mate.sriov_numvfs:
            found.append(obstacles.has_vfs(mate))
        reason = recorded.quarantined.get(mate.address)
        if reason is not None:
            found.append(obstacles.is_quarantined(mate.address, reason))
        for obstacle in obstacles.counting(facts, mate, found):
            if obstacle.code is not codes.LINK_UP:
                yield dataclasses.replace(
                    obstacle,
                    subject=str(function.address),
                    message=f"{mate.address} has to leave its driver for"
                    f" it: {obstacle.message}",
                )


def _of_driver(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    purpose: Purpose,
) -> ty.Iterator[finding.Finding]:
    """What the driver that it is on, or has to come to, lets one expect."""
    name = str(function.address)
    vendor = facts.vgpus.get(function.address)
    if purpose.driver is None and (vendor or purpose.vgpu_type):
        yield from vgpu_obstacles.of_vgpu(function, vendor, purpose)
        return
    if purpose.moves(function):
        yield from obstacles.of_vgpu_type(facts, function)
        yield from obstacles.of_vgpu_folder(facts, function)
    if function.vfio or (purpose.is_port and function.vdpa):
        return
    if (
        purpose.managed is False
        and purpose.driver is None
        and vfio.is_named(facts.scan, function)
    ):
        yield vgpu_obstacles.no_vfio_dev(function)
        return
    if "driver" in function.lost:
        yield obstacles.driver_not_known(function)
        return
    yield from obstacles.of_vfio(facts, function)
    if purpose.driver is not None:
        return
    on = f"on driver {function.driver}" if function.driver else "on no driver"
    who = {
        True: "libvirt binds it when the guest starts",
        False: "managed is no, so that it has to be bound before",
        None: "libvirt binds it with managed yes, host apply otherwise",
    }[purpose.managed]
    yield finding.Finding(
        codes.NOT_BOUND,
        f"it is {on}: {who}",
        subject=name,
        hint="nothing is to be done" if purpose.managed else None,
    )


def _of_family(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    purpose: Purpose,
) -> ty.Iterator[finding.Finding]:
    """What its PF, or its VFs, mean for it."""
    if function.physfn is not None:
        yield from obstacles.of_pf(facts, function)
    elif function.sriov_numvfs is None:
        yield obstacles.not_known(
            function.address, "how many VFs it has could not be read"
        )
    elif function.sriov_numvfs and purpose.driver is None:
        yield obstacles.has_vfs(function)


def _of_uses(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    recorded: Records,
    purpose: Purpose,
) -> ty.Iterator[finding.Finding]:
    """What it is used for now, by the host or by a guest."""
    owner = recorded.owners.get(function.address)
    uses = facts.in_use.get(function.address, ())
    if function.vdpa and not any(usage.kind is Kind.VDPA for usage in uses):
        # Mostly the bus names it; a recording may lack that.
        uses = (*uses, Use(Kind.VDPA, "it carries a vDPA device"))
    for use in uses:
        holder = use.holder
        as_wanted = (
            purpose.is_port
            if use.kind is Kind.VDPA
            else use.kind is Kind.OPEN and function.vfio
        )
        if (
            as_wanted
            and holder is not None
            and owner is not None
            and holder.instance_uuid == owner == purpose.instance_uuid
        ):
            continue  # It is where it belongs.
        yield from obstacles.of_use(function, use, is_port=purpose.is_port)
