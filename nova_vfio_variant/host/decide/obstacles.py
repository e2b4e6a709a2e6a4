# SPDX-License-Identifier: Apache-2.0
"""Each obstacle to giving a function away, stated once. Pure.

:mod:`~nova_vfio_variant.host.decide.assignability` puts them together into the
verdict, and :mod:`~nova_vfio_variant.host.decide.refusal` into what speaks against
a change of the host. Those of IOMMU groups and of vGPUs stand in modules beside
this one.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.host.observe import vfio
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.host.observe import records

Identities = ty.Mapping[pci_address.PciAddress, observed.Identity]

NO_SUCH_FUNCTION: ty.Final = "this host has no such function"
_AS_ROOT = "run the command as root; what can't be read counts as in use"
_USES = {
    uses.Kind.DISPLAY: codes.DISPLAY_IN_USE,
    uses.Kind.NETWORK: codes.NETWORK_IN_USE,
    uses.Kind.LINK: codes.NETWORK_IN_USE,
    uses.Kind.STORAGE: codes.STORAGE_IN_USE,
    uses.Kind.OPEN: codes.IS_OPEN,
    uses.Kind.MDEV: codes.MDEV_BELOW,
    uses.Kind.VDPA: codes.VDPA_BELOW,
    uses.Kind.UNKNOWN: codes.NOT_KNOWN,
}
_MENDS = {
    uses.Kind.DISPLAY: "boot with the console on another card, or on a serial"
    " line",
    uses.Kind.STORAGE: "unmount it, and release what holds it",
    uses.Kind.OPEN: "end the process",
    uses.Kind.UNKNOWN: _AS_ROOT,
}
#: As the kernel has its name, of which it keeps 15 characters.
_PERSISTENCED: ty.Final = "nvidia-persiste"
#: What a function on a VFIO driver can still be used for: it has no
#: interface, disk or screen of the host any more.
_BESIDE_VFIO = (
    uses.Kind.OPEN,
    uses.Kind.MDEV,
    uses.Kind.VDPA,
    uses.Kind.UNKNOWN,
)


#: Obstacles that somebody who knows better may overrule, device by device:
#: what is seen on the host, not what is recorded of owners and identities.
OVERRULABLE: ty.Final = frozenset(
    {
        codes.DISPLAY_IN_USE,
        codes.NETWORK_IN_USE,
        codes.STORAGE_IN_USE,
        codes.IS_OPEN,
        codes.MDEV_BELOW,
        codes.VDPA_BELOW,
        codes.NOT_KNOWN,
        codes.GROUP_COMPANIONS,
        codes.VFIO_MISSING,
        codes.NO_VFIO_DEV,
        codes.VF_TOKEN,
        codes.NO_VGPU_TYPE,
        codes.PF_HAS_VFS,
        codes.VENDOR_REBIND,
    }
)


def counting(
    facts: host_facts.HostFacts,
    function: observed.PciFunction,
    found: ty.Iterable[finding.Finding],
) -> tuple[finding.Finding, ...]:
    """The obstacles of a function that nobody overruled."""
    allowed = facts.records.allowed.get(function.address, {})
    return tuple(
        problem
        for problem in found
        if not (problem.code.id in allowed and problem.code in OVERRULABLE)
    )


def not_known(
    address: pci_address.PciAddress, what: str, hint: str = _AS_ROOT
) -> finding.Finding:
    """Something about a function can't be read, and counts against it."""
    return finding.Finding(
        codes.NOT_KNOWN, what, subject=str(address), hint=hint
    )


def driver_not_known(function: observed.PciFunction) -> finding.Finding:
    """A function of which nobody knows what driver it is on."""
    return not_known(function.address, "its driver could not be read")


def unread(address: pci_address.PciAddress) -> finding.Finding:
    """A function that is there and can't be read is left alone."""
    return not_known(
        address,
        "it can't be read",
        "see to that first; what can't be read counts as in use",
    )


def is_bridge(function: observed.PciFunction) -> finding.Finding:
    """A bridge is never taken from its driver."""
    return finding.Finding(
        codes.IS_BRIDGE,
        "it is the host bridge, and has nothing to give"
        if function.is_host_bridge
        else "it is a bridge, and carries what stands behind it",
        subject=str(function.address),
        hint="name another function"
        if function.is_host_bridge
        else "name the function behind it",
    )


def of_header(function: observed.PciFunction) -> ty.Iterator[finding.Finding]:
    """Whether nobody can say that it is no bridge."""
    if "config" in function.lost:
        yield not_known(
            function.address,
            "its header, which may be a bridge's, can't be read",
        )


def of_vgpu_type(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """What a VF would lose with its vendor's driver."""
    vgpu = facts.vgpus.get(function.address)
    if vgpu is not None and vgpu.current != "0":
        yield finding.Finding(
            codes.HAS_VGPU_TYPE,
            f"it has vGPU type {vgpu.current or '?'}, which it would lose",
            subject=str(function.address),
            hint="leave it on its driver, or take the type away first: "
            f"nova-vfio vgpu set {function.address} none",
        )


def of_vgpu_folder(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """Why a VF with a vendor's folder goes to no other driver."""
    if function.address in facts.vgpus:
        yield finding.Finding(
            codes.VGPU_DRIVER,
            "it has a vendor's vGPU folder, and would take no guest once it "
            f"has left {function.driver or 'its driver'}",
            subject=str(function.address),
            hint=codes.VGPU_DRIVER.mend,
        )


def has_vfs(function: observed.PciFunction) -> finding.Finding:
    """A PF goes nowhere while it has VFs."""
    return finding.Finding(
        codes.PF_HAS_VFS,
        f"it has {function.sriov_numvfs} VFs, and can't go to a guest as a"
        " whole",
        subject=str(function.address),
    )


def is_quarantined(
    address: pci_address.PciAddress, reason: str
) -> finding.Finding:
    """Nobody gets it."""
    return finding.Finding(
        codes.IS_QUARANTINED,
        f"it is quarantined: {reason}",
        subject=str(address),
        hint="see to the reason, then run nova-vfio host recover",
    )


def is_unwell(address: pci_address.PciAddress, why: str) -> finding.Finding:
    """Guests failed on it, and the next one would, too."""
    return finding.Finding(
        codes.IS_UNWELL,
        f"no guest gets it: {why}",
        subject=str(address),
        hint="make its card's VFs anew, or see to the guests; then"
        f" nova-vfio vgpu clear {address}",
    )


def of_cordon(
    function: observed.PciFunction, cordoned: records.Quarantines
) -> ty.Iterator[finding.Finding]:
    """That no new claim gets it: somebody said so, of it or of its PF.

    :param cordoned: why, by the address of which it was said
    """
    for at in (function.address, function.physfn):
        if at is not None and at in cordoned:
            its = "it" if at == function.address else f"its PF {at}"
            yield finding.Finding(
                codes.IS_CORDONED,
                f"{its} is cordoned: {cordoned[at]}",
                subject=str(function.address),
                hint=f"see to the reason, then nova-vfio device uncordon {at}",
            )
            return


def is_claimed(address: pci_address.PciAddress, owner: str) -> finding.Finding:
    """Somebody has it."""
    return finding.Finding(
        codes.IS_CLAIMED,
        f"instance {owner} has it",
        subject=str(address),
        hint="free it first: nova-vfio claim list, claim delete",
    )


def another_device(
    facts: host_facts.HostFacts,
    function: observed.PciFunction,
    identities: Identities,
) -> finding.Finding:
    """It isn't the device that was tracked at its address."""
    tracked = identities[function.address]
    where = _whereabouts(facts, function.address, identities)
    return finding.Finding(
        codes.ANOTHER_DEVICE,
        f"it is another device ({function.identity.shown}) than the tracked"
        f" one ({tracked.shown}); {where}",
        subject=str(function.address),
    )


def vanished(
    facts: host_facts.HostFacts,
    address: pci_address.PciAddress,
    identities: Identities,
) -> finding.Finding:
    """There is nothing at an address."""
    said = NO_SUCH_FUNCTION
    if address in identities:
        where = _whereabouts(facts, address, identities)
        said = f"it is tracked, and {said}; {where}"
    return finding.Finding(codes.VANISHED, said, subject=str(address))


def _whereabouts(
    facts: host_facts.HostFacts,
    address: pci_address.PciAddress,
    identities: Identities,
) -> str:
    """Where the device may be that was tracked at an address.

    What is tracked at its own address, and is still what it was, is told
    apart: it may be another one, or one that moved before the last sync.
    """
    tracked = identities[address]
    moved: list[str] = []
    alike: list[str] = []
    for function in facts.scan.functions:
        if function.address != address and tracked.may_have_moved_to(
            function.identity
        ):
            known = identities.get(function.address)
            stayed = known is not None and not known.is_another(
                function.identity
            )
            (alike if stayed else moved).append(str(function.address))
    if moved:
        return f"what was tracked may be {', '.join(moved[:3])} now"
    if alike:
        return f"tracked devices like it: {', '.join(alike[:3])}"
    return "what was tracked is nowhere on this host"


def of_use(
    function: observed.PciFunction, use: uses.Use, *, is_port: bool = False
) -> ty.Iterator[finding.Finding]:
    """What one use of a function says against giving it away.

    :param is_port: it goes to one of Neutron's ports
    """
    name = str(function.address)
    if function.vfio and use.kind not in _BESIDE_VFIO:
        return
    if use.kind is uses.Kind.LINK and (
        function.physfn is not None or function.sriov_numvfs
    ):
        # udev sets every new interface up, and libvirt takes it all the same.
        # A PF is up so that its VFs have a link.
        yield finding.Finding(codes.LINK_UP, use.what, subject=name)
        return
    if use.kind is uses.Kind.VDPA and is_port:
        if use.holder is not None:
            yield finding.Finding(codes.IS_OPEN, use.what, subject=name)
        return
    hint = _MENDS.get(use.kind)
    if use.holder is not None and use.holder.command == _PERSISTENCED:
        hint = (
            f"it is nvidia-persistenced: 'nova-vfio device bind {name}"
            " --stop-persistenced' stops it meanwhile, and so do device"
            " unbind, reset and scrub"
        )
    if use.kind in (uses.Kind.NETWORK, uses.Kind.LINK):
        hint = (
            "name another function: it carries this host's own connection"
            if "default route" in use.what
            else "set the interface down, and out of what uses it"
        )
    yield finding.Finding(_USES[use.kind], use.what, subject=name, hint=hint)


def of_pf(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """What the PF of a VF says against giving the VF away."""
    if function.physfn is None:
        return
    pf = facts.scan.get(function.physfn)
    if pf is None:
        if function.physfn in facts.scan.unread:
            yield not_known(
                function.address,
                f"its PF {function.physfn} could not be read",
            )
    elif pf.vfio and not function.has_vgpu_folder:
        # A vendor's vGPU driver has the PF for itself, and sets no token.
        yield finding.Finding(
            codes.VF_TOKEN,
            f"its PF {pf.address} is on {pf.driver}: without the VF token"
            " of whoever has the PF nobody can open it",
            subject=str(function.address),
            hint=f"give {pf.address} back to its own driver, which makes the"
            " VFs anew",
        )


def of_vfio(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """Whether there is a VFIO driver that it could be put on."""
    there = vfio.available(facts.scan)
    if there is None:
        yield not_known(
            function.address,
            "whether there is a vfio-pci can't be known: the modules of the"
            " running kernel can't be seen",
            "let /lib/modules be seen, or load vfio-pci",
        )
    elif not there:
        yield finding.Finding(
            codes.VFIO_MISSING,
            "there is no vfio-pci, neither loaded nor among the modules of"
            " the running kernel",
            subject=str(function.address),
            hint="install the modules of the running kernel",
        )
