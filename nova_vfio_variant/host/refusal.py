# SPDX-License-Identifier: Apache-2.0
"""What speaks against a change of the host, each with what to do about it.

Pure: what is known of the host goes in, refusals come out.
"""

import collections.abc
import typing as ty

from nova_vfio_variant import codes, exception, finding
from nova_vfio_variant.host import drivers
from nova_vfio_variant.host import function as observed
from nova_vfio_variant.host import use as uses
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host import facts as host_facts

#: Who has a function, by its address, as half a sentence: ``instance X has
#: it``; where nobody may have it, it begins with :data:`QUARANTINED`.
Claims = collections.abc.Mapping[pci_address.PciAddress, str]
QUARANTINED: ty.Final = "it is quarantined: "

_DOWN = "set the interface down, and out of what uses it"
_USES = {
    uses.Kind.DISPLAY: (
        codes.DISPLAY_IN_USE,
        "boot with the console on another card, or on a serial line",
    ),
    uses.Kind.NETWORK: (codes.NETWORK_IN_USE, _DOWN),
    uses.Kind.LINK: (codes.NETWORK_IN_USE, _DOWN),
    uses.Kind.STORAGE: (
        codes.STORAGE_IN_USE,
        "unmount it, and release what holds it",
    ),
    uses.Kind.OPEN: (codes.IS_OPEN, "end the process"),
    uses.Kind.UNKNOWN: (
        codes.NOT_KNOWN,
        "run the command as root; what can't be read counts as in use",
    ),
}

#: A driver that may stay on a member of a group that goes to a guest: they
#: set driver_managed_dma (drivers/pci/pcie/portdrv.c, pci-stub.c).
HARMLESS: ty.Final = (None, "pcieport", "pci-stub")


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
        line(first) + (f", and {more} more" if more else ""), first.hint
    )


def to_touch(
    facts: "host_facts.HostFacts",
    function: observed.PciFunction,
    claims: Claims,
    driver: str | None = None,
) -> tuple[finding.Finding, ...]:
    """Why a function may not be taken from what it is on now.

    :param claims: of the tracker
    :param driver: as for :func:`is_somebodys`
    """
    found = [*is_somebodys(facts, function, claims, driver)]
    name = str(function.address)
    for use in facts.in_use.get(function.address, ()):
        code, hint = _USES[use.kind]
        found.append(because(code, name, use.what, hint))
    return tuple(found)


def is_somebodys(
    facts: "host_facts.HostFacts",
    function: observed.PciFunction,
    claims: Claims,
    driver: str | None = None,
) -> tuple[finding.Finding, ...]:
    """Why a function that somebody has stays what it is.

    Whoever has a claim on it loses nothing where it comes to a VFIO driver
    from what is none. It has to come to one after each reboot, which claims
    outlast, before its guest can start.

    :param driver: which it goes to; None for none, or for the kernel's choice
    """
    who = claims.get(function.address)
    if who is None:
        return ()
    name = str(function.address)
    if who.startswith(QUARANTINED):
        return (
            because(
                codes.IS_QUARANTINED,
                name,
                who,
                "see to the reason, then run nova-vfio host recover",
            ),
        )
    here = function.driver
    if (
        driver is not None
        and is_vfio(facts, driver)
        and not (here is not None and is_vfio(facts, here))
        and not (function.vfio or "driver" in function.lost)
    ):
        return ()
    return (
        because(
            codes.IS_CLAIMED,
            name,
            who,
            "free it first: nova-vfio claim list, claim delete",
        ),
    )


def is_vfio(facts: "host_facts.HostFacts", driver: str) -> bool:
    """Whether a driver, bound or not, gives functions to guests."""
    return "vfio" in driver or any(
        drivers.same_name(driver, module)
        for _, module in facts.scan.vfio_aliases
    )


def to_bind(
    facts: "host_facts.HostFacts",
    function: observed.PciFunction,
    companions: ty.Collection[pci_address.PciAddress] = (),
    going: ty.Collection[pci_address.PciAddress] = (),
) -> tuple[finding.Finding, ...]:
    """Why a function can't go to a guest, whatever it is on now.

    :param companions: members of its group that may be unbound
    :param going: functions that are to be on a VFIO driver too
    """
    name = str(function.address)
    if function.is_bridge or function.is_host_bridge:
        return (is_bridge(function),)
    found = []
    unknown = _of_unknown_group(facts, function)
    if unknown is not None:
        found.append(unknown)
    elif function.iommu_group is None:
        found.append(
            because(
                codes.NOT_IN_A_GROUP,
                name,
                "it has no IOMMU group"
                if facts.scan.iommu_groups
                else "the IOMMU is off: no function has an IOMMU group",
                "enable VT-d or AMD-Vi in the firmware, and intel_iommu=on "
                "on the kernel's command line",
            )
        )
    if facts.driver_named("vfio-pci") is None and not facts.can_load(
        "vfio_pci"
    ):
        found.append(
            because(
                codes.VFIO_MISSING,
                name,
                "there is no vfio-pci, neither loaded nor among the modules "
                "of the running kernel",
                "install the modules of the running kernel",
            )
        )
    allowed = {*companions, *going}
    found += (
        because(
            codes.GROUP_COMPANIONS,
            name,
            f"{other.address} is in IOMMU group {function.iommu_group} with "
            f"it, on {_driver(other)}",
            "no VFIO driver binds to a bridge; move the card"
            if other.is_bridge
            else f'add "companions": ["{other.address}"] to have it unbound',
        )
        for other in members(facts, function)
        if is_obstacle(other) and other.address not in allowed
    )
    return tuple(found)


def is_bridge(function: observed.PciFunction) -> finding.Finding:
    """Why a bridge is never taken from its driver."""
    return because(
        codes.IS_BRIDGE,
        str(function.address),
        "it is a bridge, and carries what stands behind it",
        "name the function behind it",
    )


def _of_unknown_group(
    facts: "host_facts.HostFacts", function: observed.PciFunction
) -> finding.Finding | None:
    """Whether its group, or who is in it, could not be read."""
    if "iommu_group" in function.lost:
        what = "its IOMMU group could not be read"
    else:
        hidden = facts.scan.hidden
        if not hidden or function.iommu_group is None:
            return None
        what = (
            f"{hidden[0]} could not be read, and may be in IOMMU group"
            f" {function.iommu_group} with it"
        )
    return because(
        codes.NOT_KNOWN,
        str(function.address),
        what,
        _USES[uses.Kind.UNKNOWN][1],
    )


def unreadable(
    facts: "host_facts.HostFacts", name: str
) -> tuple[finding.Finding, ...]:
    """Why a function that is there and can't be read is left alone.

    :param name: its address, as text
    """
    if pci_address.PciAddress.parse(name) not in facts.scan.unread:
        return ()
    return (
        because(
            codes.NOT_KNOWN,
            name,
            "it can't be read",
            "see to that first; what can't be read counts as in use",
        ),
    )


def nothing_meant(
    address: pci_address.PciAddress, message: str, hint: str
) -> finding.Finding:
    """Why nothing can be done for an address that somebody named alone."""
    return because(codes.NOTHING_MEANT, str(address), message, hint)


def no_such_function(
    facts: "host_facts.HostFacts", address: pci_address.PciAddress
) -> tuple[finding.Finding, ...]:
    """Why nothing can be done for what isn't there, or can't be read."""
    return unreadable(facts, str(address)) or (
        nothing_meant(
            address,
            "this host has no such function",
            "nova-vfio host list shows what is there",
        ),
    )


def has_vfs(function: observed.PciFunction, count: int) -> finding.Finding:
    """Why a PF with VFs may not be taken from its driver."""
    return because(
        codes.VFS_IN_USE,
        str(function.address),
        f"it has {count} VFs, which go when it loses its driver",
        "take them away first, as they were made: by its sriov_numvfs"
        if function.vfio
        else 'take them away first: "num_vfs": 0 in an entry of its own',
    )


def members(
    facts: "host_facts.HostFacts", function: observed.PciFunction
) -> ty.Iterator[observed.PciFunction]:
    """The other members of a function's IOMMU group."""
    if function.iommu_group is None:
        return
    for address in facts.scan.iommu_groups.get(function.iommu_group, ()):
        other = facts.scan.get(address)
        if other is not None and address != function.address:
            yield other


def is_obstacle(member: observed.PciFunction) -> bool:
    """Whether a group with this member, as it is now, isn't viable."""
    return not member.vfio and (
        member.driver not in HARMLESS or "driver" in member.lost
    )


def _driver(member: observed.PciFunction) -> str:
    if "driver" in member.lost:
        return "a driver that could not be read"
    return f"driver {member.driver}"


def of_function(
    facts: "host_facts.HostFacts",
    function: observed.PciFunction,
    claims: Claims | None = None,
) -> tuple[finding.Finding, ...]:
    """Why a function can't be given to a guest now; for ``host show``."""
    found = to_bind(facts, function)
    if not function.vfio:
        if function.sriov_numvfs:
            found += (has_vfs(function, function.sriov_numvfs),)
        found += to_touch(facts, function, claims or {})
    else:
        found += tuple(
            one
            for one in to_touch(facts, function, claims or {})
            if one.code in (codes.IS_OPEN, codes.IS_CLAIMED, codes.NOT_KNOWN)
        )
    return found
