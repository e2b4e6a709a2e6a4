# SPDX-License-Identifier: Apache-2.0
"""What speaks against a change of the host, each with what to do about it.

Pure: what is known of the host goes in, refusals come out.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host.decide import codes, obstacles
from nova_vfio_variant.host.observe import drivers, sriov, vendor_vgpu, vfio
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts

#: Where the addresses that a host has are to be seen.
SHOWN_BY: ty.Final = "nova-vfio host list shows what is there"
#: How a PF loses its VFs.
NO_VFS: ty.Final = (
    'take them away first: "num_vfs": 0 in a host_spec entry of its own'
)


def because(
    code: finding.Code, subject: str, message: str, hint: str
) -> finding.Finding:
    """One reason not to do something.

    :param code: of which kind it is
    :param subject: address of the function, as text
    :param message: one sentence without a full stop
    :param hint: what to do about it
    """
    return finding.Finding(code, message, subject=subject, hint=hint)


def line(reason: finding.Finding) -> str:
    """A reason as one line says it, without its severity."""
    return f"{reason.subject}: {reason.message} [{reason.code.id}]"


def error(refusals: ty.Sequence[finding.Finding]) -> exception.HostRefused:
    """What is raised where there are refusals: the first, and how many."""
    first = refusals[0]
    more = len(refusals) - 1
    return exception.HostRefused(
        line(first) + (f", and {more} more" if more else ""),
        first.hint,
        refusals,
    )


def misfit(findings: ty.Sequence[finding.Finding]) -> exception.ConfigError:
    """What is raised where what is declared doesn't fit the host."""
    return exception.ConfigError(
        f"{findings[0].subject or 'host_spec'} doesn't fit this host",
        findings=findings,
    )


def to_touch(
    facts: host_facts.HostFacts,
    function: observed.PciFunction,
) -> tuple[finding.Finding, ...]:
    """Why a function may not be taken from what it is on now."""
    return obstacles.counting(
        facts,
        function,
        (
            *is_another(facts, function),
            *is_somebodys(facts, function),
            *in_use(facts, function),
            *unseen(facts, function),
            *_unread(function),
            *not_put_back(function),
        ),
    )


def to_unbind(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> tuple[finding.Finding, ...]:
    """Why a function may not lose its driver and stay what it is."""
    return (
        *to_touch(facts, function),
        *obstacles.of_vgpu_folder(facts, function),
    )


def to_divide(
    facts: host_facts.HostFacts,
    function: observed.PciFunction,
) -> tuple[finding.Finding, ...]:
    """Why a function's vGPU type stays what it is.

    It keeps its driver, so that what that is doesn't matter.
    """
    used = tuple(
        reason
        for reason in in_use(facts, function)
        if reason.code is not codes.HAS_VGPU_TYPE
    )
    return obstacles.counting(
        facts,
        function,
        (
            *is_another(facts, function),
            *is_somebodys(facts, function),
            *used,
            *unseen(facts, function),
        ),
    )


def to_mix(
    facts: host_facts.HostFacts, pf: observed.PciFunction
) -> ty.Iterator[tuple[pci_address.PciAddress, finding.Finding]]:
    """Why a card stays one for vGPUs of one size, or of several.

    Its driver says "In use by another client" as soon as it has any.

    :returns: which function each reason is about
    """
    for reason in (*is_another(facts, pf), *is_somebodys(facts, pf)):
        yield pf.address, reason
    for vf in sriov.vfs_of(facts.scan, pf.address):
        vgpu = facts.vgpus.get(vf.address)
        if vgpu is not None and vgpu.current != vendor_vgpu.NONE:
            yield (
                vf.address,
                because(
                    codes.CARD_HAS_VGPUS,
                    str(pf.address),
                    f"its VF {vf.address} has vGPU type {vgpu.current or '?'}",
                    "take it away first: nova-vfio vgpu set"
                    f" {vf.address} none",
                ),
            )


def _unread(
    function: observed.PciFunction,
) -> ty.Iterator[finding.Finding]:
    """Whether nobody knows which driver it would be taken from."""
    if "driver" in function.lost:
        yield obstacles.driver_not_known(function)


def not_put_back(
    function: observed.PciFunction,
) -> ty.Iterator[finding.Finding]:
    """Whether what it is on now couldn't be written again to undo a change."""
    yield from override_not_read(function)
    for what, name, hint in (
        (
            "driver_override",
            function.driver_override,
            (
                "take it away first, which binds the function anew: driverctl"
                f" unset-override {function.address}"
            ),
        ),
        ("driver", function.driver, "name another function"),
    ):
        if name is not None and not drivers.is_name(name):
            yield because(
                codes.NOT_PUT_BACK,
                str(function.address),
                f"its {what} is {name!r}, which could not be put back",
                hint,
            )


def override_not_read(
    function: observed.PciFunction,
) -> ty.Iterator[finding.Finding]:
    """Whether nobody knows its override, nor could see whether it was set.

    Below ``--host-root`` it may be a link, which isn't followed.
    """
    if "driver_override" in function.lost:
        yield because(
            codes.NOT_PUT_BACK,
            str(function.address),
            "its driver_override can't be read, and could not be put back",
            "'nova-vfio host list' says why",
        )


def is_no_bridge(
    function: observed.PciFunction,
) -> ty.Iterator[finding.Finding]:
    """Whether it carries other functions, and isn't touched."""
    if function.is_any_bridge:
        yield obstacles.is_bridge(function)


def is_another(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """Whether it isn't the device that was tracked at its address."""
    tracked = facts.records.identities.get(function.address)
    if tracked is not None and tracked.is_another(function.identity):
        yield obstacles.another_device(
            facts, function, facts.records.identities
        )


def in_use(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> tuple[finding.Finding, ...]:
    """What the host is seen to use a function for."""
    found: list[finding.Finding] = []
    for use in facts.in_use.get(function.address, ()):
        found += (
            obstacle
            for obstacle in obstacles.of_use(function, use)
            if obstacle.code is not codes.LINK_UP
        )
    found += obstacles.of_vgpu_type(facts, function)
    return tuple(found)


def unseen(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> tuple[finding.Finding, ...]:
    """What can't be seen of a host that can be changed all the same.

    A recording can't be changed; what is planned for it is for another one.
    """
    bound = function.driver is not None or "driver" in function.lost
    if (
        uses.PROCESSES not in facts.unseen
        or facts.scan.tree.root is None
        or not bound
    ):
        return ()
    return (
        because(
            codes.NOT_KNOWN,
            str(function.address),
            "/proc/1: not shown, which may have it open",
            "run the command where the host's processes are seen",
        ),
    )


def is_somebodys(
    facts: host_facts.HostFacts,
    function: observed.PciFunction,
    driver: str | None = None,
) -> tuple[finding.Finding, ...]:
    """Why a function that somebody has stays what it is.

    Whoever has a claim on it loses nothing where it comes to a VFIO driver
    from none. It has to come to one after each reboot, which claims outlast,
    before its guest can start.

    :param driver: which a VF gets that is yet to be made
    """
    at = function.address
    reason = facts.records.quarantined.get(at)
    if reason is not None:
        return (obstacles.is_quarantined(at, reason),)
    owner = facts.records.owners.get(at)
    if owner is None or (driver is not None and is_vfio(facts, driver)):
        return ()
    return (obstacles.is_claimed(at, owner),)


def is_vfio(facts: host_facts.HostFacts, driver: str) -> bool:
    """Whether a driver, bound or not, gives functions to guests.

    One of which that can't be known counts as the host's.
    """
    return bool(vfio.is_driver(facts.scan, driver))


def unreadable(
    facts: host_facts.HostFacts, name: str
) -> tuple[finding.Finding, ...]:
    """Why a function that is there and can't be read is left alone.

    :param name: its address, as text
    """
    if pci_address.PciAddress.parse(name) not in facts.scan.unread:
        return ()
    return (obstacles.unread(pci_address.PciAddress.parse(name)),)


def nothing_meant(
    address: pci_address.PciAddress, message: str, hint: str
) -> finding.Finding:
    """Why nothing can be done for an address that somebody named alone."""
    return because(codes.NOTHING_MEANT, str(address), message, hint)


def no_such_function(
    facts: host_facts.HostFacts, address: pci_address.PciAddress
) -> tuple[finding.Finding, ...]:
    """Why nothing can be done for what isn't there, or can't be read."""
    return unreadable(facts, str(address)) or (
        nothing_meant(
            address,
            obstacles.NO_SUCH_FUNCTION,
            SHOWN_BY,
        ),
    )


def has_vfs(function: observed.PciFunction, count: int) -> finding.Finding:
    """Why a PF with VFs may not be taken from its driver."""
    return because(
        codes.VFS_IN_USE,
        str(function.address),
        f"it has {count} VFs, which go when it loses its driver",
        f"take it from {function.driver}, and its VFs with it, as whoever made"
        f" them gave it there: driverctl unset-override {function.address}"
        if function.vfio
        else NO_VFS,
    )
