# SPDX-License-Identifier: Apache-2.0
"""What speaks against a change of the host, each with what to do about it.

Pure: what is known of the host goes in, refusals come out.
"""

import collections.abc
import typing as ty

from nova_vfio_variant import codes, exception, finding
from nova_vfio_variant.host import drivers, groups
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
    vgpu_type = facts.vgpu_types.get(function.address, "0")
    if vgpu_type != "0":
        found.append(
            because(
                codes.HAS_VGPU_TYPE,
                name,
                f"it has vGPU type {vgpu_type}, which it would lose",
                "leave it on its driver, or take the type away first: write "
                "0 to its nvidia/current_vgpu_type",
            )
        )
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
    allowed: ty.Collection[pci_address.PciAddress] = (),
) -> tuple[finding.Finding, ...]:
    """Why a function can't go to a guest, whatever it is on now.

    :param allowed: members of its group that will be in nobody's way
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
    found += _pf_on_vfio(facts, function)
    others = in_the_way(facts, function, allowed)
    found += (group_member(function, one, others) for one in others)
    return tuple(found)


def in_the_way(
    facts: "host_facts.HostFacts",
    function: observed.PciFunction,
    allowed: ty.Collection[pci_address.PciAddress] = (),
) -> list[observed.PciFunction]:
    """The members of its group that keep a function from a guest.

    :param allowed: those that will be in nobody's way
    """
    return [
        one
        for one in groups.in_the_way(facts.scan, function)
        if one.address not in allowed
    ]


def group_member(
    function: observed.PciFunction,
    member: observed.PciFunction,
    companions: ty.Iterable[observed.PciFunction],
    verb: str = "add",
) -> finding.Finding:
    """That one member of its group keeps a function from a guest.

    :param companions: all that are to be named to have them unbound
    :param verb: what is done with the list of them
    """
    if member.is_bridge or member.is_host_bridge:
        mend = (
            f"take the bridge from its driver: echo {member.address} > "
            f"/sys/bus/pci/drivers/{member.driver}/unbind; or give the guest "
            "a function of another group"
        )
    elif "driver" in member.lost:
        mend = "see to that first; what can't be read counts as in use"
    else:
        named = [
            one
            for one in companions
            if not (
                one.is_bridge or one.is_host_bridge or "driver" in one.lost
            )
        ]
        listed = ", ".join(
            f'"{one}"' for one in sorted({one.address for one in named})
        )
        mend = f'{verb} "companions": [{listed}]'
        if any(one.kind is observed.Kind.PF for one in named):
            mend += ' and "allow_pf": true'
        mend += " to have them unbound"
    return because(
        codes.GROUP_COMPANIONS,
        str(function.address),
        f"{member.address} is in IOMMU group {function.iommu_group} with it, "
        f"on {_driver(member)}",
        mend,
    )


def _pf_on_vfio(
    facts: "host_facts.HostFacts", function: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """Why a VF can be opened by nobody here: its PF is on a VFIO driver."""
    pf = None if function.physfn is None else facts.scan.get(function.physfn)
    if pf is not None and pf.vfio:
        yield because(
            codes.PF_ON_VFIO,
            str(function.address),
            f"its PF {pf.address} is on {pf.driver}: the VF can only be "
            "opened with the token of whoever holds the PF",
            f"give {pf.address} back to its own driver, which makes the VFs "
            "anew",
        )


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
        found += tuple(
            one
            for one in to_touch(facts, function, claims or {})
            if one.code is not codes.HAS_VGPU_TYPE
        )
    else:
        found += tuple(
            one
            for one in to_touch(facts, function, claims or {})
            if one.code in (codes.IS_OPEN, codes.IS_CLAIMED, codes.NOT_KNOWN)
        )
    return found
