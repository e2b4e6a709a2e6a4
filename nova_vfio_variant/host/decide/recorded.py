# SPDX-License-Identifier: Apache-2.0
"""Obstacles that are recorded: whose a function is, and what became of it."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, obstacles
from nova_vfio_variant.host.decide import purpose as purposes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import groups, records, sriov, vfio
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


def of_function(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    recorded: records.Records,
    purpose: purposes.Purpose,
) -> ty.Iterator[finding.Finding]:
    """Whose it is, and whether it is what was recorded."""
    at = function.address
    if recorded.unreadable is not None:
        yield obstacles.not_known(at, recorded.unreadable, "see to that first")
    reason = recorded.quarantined.get(at)
    if reason is not None:
        yield obstacles.is_quarantined(at, reason)
    owner = recorded.owners.get(at)
    is_others = owner is None or owner != purpose.instance_uuid
    if purpose.driver is None:
        yield from _of_guests(function, recorded, is_others=is_others)
    if at in recorded.unsettled or function.physfn in recorded.unsettled:
        yield finding.Finding(
            codes.UNSETTLED,
            "a change of "
            + (
                "it"
                if at in recorded.unsettled
                else f"its PF {function.physfn}"
            )
            + " was begun and has not ended",
            subject=str(at),
        )
    tracked = recorded.identities.get(at)
    if tracked is not None and tracked.is_another(function.identity):
        yield obstacles.another_device(facts, function, recorded.identities)
    if owner is not None and is_others:
        goes_to_vfio = purpose.driver is not None and not vfio.is_named(
            facts.scan, function
        )
        if not goes_to_vfio or "driver" in function.lost:
            yield obstacles.is_claimed(at, owner)
    if at in recorded.spent and is_others:
        yield finding.Finding(
            codes.SPENT,
            "it was used once, and nobody gets it until it is clean",
            subject=str(at),
            hint=f"nova-vfio device scrub {at}",
        )
    if purpose.driver is None:
        yield from _of_family_owners(function, facts, recorded, purpose)


def _of_guests(
    function: observed.PciFunction,
    recorded: records.Records,
    *,
    is_others: bool,
) -> ty.Iterator[finding.Finding]:
    """Why no guest gets it; who has a cordoned one keeps it.

    :param is_others: who asks doesn't have it
    """
    at = function.address
    if at in recorded.unwell:
        yield obstacles.is_unwell(at, recorded.unwell[at])
    if is_others:
        yield from obstacles.of_cordon(function, recorded.cordoned)


def _of_family_owners(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    recorded: records.Records,
    purpose: purposes.Purpose,
) -> ty.Iterator[finding.Finding]:
    """Who has its PF, or one of its VFs."""
    if not recorded.owners:
        return
    at = function.address
    family: list[pci_address.PciAddress] = []
    if function.physfn is not None:
        family.append(function.physfn)
    elif function.sriov_totalvfs:
        family += [
            vf.address for vf in sriov.vfs_of(facts.scan, function.address)
        ]
    for other in family:
        owner = recorded.owners.get(other)
        if owner is not None:
            word = "PF" if function.physfn is not None else "VF"
            yield finding.Finding(
                codes.FAMILY_CLAIMED,
                f"instance {owner} has its {word} {other}",
                subject=str(at),
            )
            return


def of_group(
    function: observed.PciFunction,
    facts: host_facts.HostFacts,
    recorded: records.Records,
    purpose: purposes.Purpose,
) -> ty.Iterator[finding.Finding]:
    """Whether another instance has a member of its group."""
    if not recorded.owners:
        return
    mine = purpose.instance_uuid or recorded.owners.get(function.address)
    for other in groups.members(facts.scan, function):
        owner = recorded.owners.get(other.address)
        if owner is not None and owner != mine:
            yield finding.Finding(
                codes.GROUP_CLAIMED,
                f"instance {owner} has {other.address}, which is in IOMMU"
                f" group {function.iommu_group} with it",
                subject=str(function.address),
            )
            return
