# SPDX-License-Identifier: Apache-2.0
"""What an IOMMU group means for giving a function of it away. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, host_spec, obstacles
from nova_vfio_variant.host.observe import groups
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts


def of_group(
    facts: host_facts.HostFacts,
    function: observed.PciFunction,
    leaving: ty.Collection[pci_address.PciAddress] = (),
) -> ty.Iterator[finding.Finding]:
    """What its IOMMU group says against giving it away.

    :param leaving: members that are to leave their driver, or to be on a
        VFIO driver too
    """
    hidden = _of_unknown_group(facts, function)
    if hidden is not None:
        yield hidden
        return
    name = str(function.address)
    if function.iommu_group is None:
        yield finding.Finding(
            codes.NOT_IN_A_GROUP,
            "it has no IOMMU group"
            if facts.scan.iommu_groups
            else "the IOMMU is off: no function has an IOMMU group",
            subject=name,
            hint=facts.how_to_get_an_iommu,
        )
        return
    against = groups.in_the_way(facts.scan, function)
    staying = [
        seen
        for seen in against
        if seen.address not in leaving or seen.is_any_bridge
    ]
    for other in against:
        if "driver" in other.lost:
            yield obstacles.not_known(
                function.address,
                f"{other.address} is in IOMMU group {function.iommu_group}"
                " with it, on a driver that could not be read",
            )
        elif other in staying:
            yield of_member(function, other, staying)
        else:
            yield finding.Finding(
                codes.MATES_TO_PREPARE,
                f"{other.address} of IOMMU group {function.iommu_group} is on"
                f" driver {other.driver} yet",
                subject=name,
            )


def of_member(
    function: observed.PciFunction,
    member: observed.PciFunction,
    companions: ty.Iterable[observed.PciFunction],
    verb: str = "add",
    *,
    by_options: bool = False,
) -> finding.Finding:
    """That one member of its group keeps a function from a guest.

    :param companions: all that are to be named to have them unbound
    :param verb: what is done with the list of them
    :param by_options: options of a command name them, and no ``host_spec``
    """
    return finding.Finding(
        codes.GROUP_COMPANIONS,
        f"{member.address} is in IOMMU group {function.iommu_group} with it, "
        f"on driver {member.driver}",
        subject=str(function.address),
        hint=_mend(member, companions, verb, by_options=by_options),
    )


def _mend(
    member: observed.PciFunction,
    companions: ty.Iterable[observed.PciFunction],
    verb: str,
    *,
    by_options: bool,
) -> str:
    if member.is_any_bridge:
        return (
            "take the bridge from its driver: driverctl set-override"
            f" {member.address} none; or give the guest a function of another"
            " group"
        )
    named = [
        function
        for function in companions
        if not (function.is_any_bridge or "driver" in function.lost)
    ]
    mend = host_spec.more(
        (function.address for function in named),
        allow_pf=any(one.kind is observed.Kind.PF for one in named),
        by_options=by_options,
    )
    return f"{verb} {mend} to have them unbound"


def _of_unknown_group(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> finding.Finding | None:
    """Whether its group, or who is in it, could not be read."""
    if "iommu_group" in function.lost:
        return obstacles.not_known(
            function.address, "its IOMMU group could not be read"
        )
    if function.iommu_group is None:
        return None
    mates = facts.scan.unread_in(function.iommu_group)
    hidden = mates or facts.scan.hidden
    if not hidden:
        return None
    may_be = "is" if mates else "may be"
    return obstacles.not_known(
        function.address,
        f"{hidden[0]} could not be read, and {may_be} in IOMMU group"
        f" {function.iommu_group} with it",
    )
