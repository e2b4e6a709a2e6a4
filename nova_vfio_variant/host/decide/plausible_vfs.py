# SPDX-License-Identifier: Apache-2.0
"""Whether a change on record can be one of a PF's VFs. Pure."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host import vf_provider
from nova_vfio_variant.host.decide import plan, planning
from nova_vfio_variant.host.observe import facts
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


def against(
    change: plan.Change, pf: observed.PciFunction, now: facts.HostFacts
) -> ty.Iterator[str]:
    """Why a change can't be one of a PF's VFs."""
    wanted = change.after.numvfs or 0
    if not pf.sriov_totalvfs or wanted > pf.sriov_totalvfs:
        can = pf.sriov_totalvfs or "none"
        yield f"it is to have {wanted} VFs by the journal, and can have {can}"
        return
    serves, _ = vf_provider.of(
        dataclasses.replace(pf, driver=change.before.driver)
    )
    if change.provider not in {None, serves}:
        yield f"its VFs are made by {serves}, and not by {change.provider}"
    for name in change.lost:
        there = now.scan.get(pci_address.PciAddress.parse(name))
        if there is not None and there.physfn != pf.address:
            yield f"{name} is to go with its VFs, and is none of them"
    for step in change.steps:
        if step.subject != change.subject and not _may_come(
            step.subject, pf, now, wanted
        ):
            yield f"{step.subject} is to come with its VFs, and is none"


def _may_come(
    name: str, pf: observed.PciFunction, now: facts.HostFacts, count: int
) -> bool:
    """Whether a function is a VF of a PF's, or may become one."""
    address = pci_address.PciAddress.parse(name)
    there = now.scan.get(address)
    if there is not None:
        return there.physfn == pf.address
    come = planning.predicted(now, pf, count)
    return come is None or any(vf.address == address for vf in come)
