# SPDX-License-Identifier: Apache-2.0
"""What resets a function, and what is against that. Pure.

The kernel does it: it takes the first way in ``reset_method`` that works, and
has the bridge above reset its bus only where nothing else is on that
(``pci_parent_bus_reset`` in drivers/pci/pci.c). No bridge is written to.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, plan, planning, refusal
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import resets
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

#: Seconds in which a function is there again: the kernel itself waits for up
#: to a minute (PCIE_RESET_READY_POLL_MS in drivers/pci/pci.h).
_RESET: ty.Final = 90.0


def decision(
    facts: host_facts.HostFacts,
    address: pci_address.PciAddress,
    reason: str = "it is asked for",
) -> planning.Decision:
    """The reset of a function, or what is against it."""
    function = facts.scan.get(address)
    if function is None:
        return planning.Decision(
            planning.NOTHING, refusal.no_such_function(facts, address)
        )
    against = tuple(dict.fromkeys(refusals(facts, function)))
    if against:
        return planning.Decision(planning.NOTHING, against)
    now = facts.states[address]
    method = resets.method(facts.scan.tree, address) or resets.UNSAID
    step = plan.Step(
        str(address), plan.Action.RESET, method, "", reason, _RESET
    )
    return planning.Decision(
        plan.Plan(
            (
                plan.Change(
                    str(address),
                    plan.What.RESET,
                    now,
                    now,
                    (step,),
                    None if function.physfn is None else str(function.physfn),
                    identity=function.identity,
                ),
            )
        )
    )


def refusals(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> ty.Iterator[finding.Finding]:
    """Why a function may not be reset."""
    yield from refusal.is_no_bridge(function)
    yield from refusal.to_touch(facts, function)
    if function.sriov_numvfs != 0:
        yield refusal.because(
            codes.NO_RESET,
            str(function.address),
            "how many VFs it has can't be read"
            if function.sriov_numvfs is None
            else f"it has {function.sriov_numvfs} VFs, which a reset takes",
            refusal.NO_VFS,
        )
    if facts.scan.tree.root is None:
        return
    method = resets.method(facts.scan.tree, function.address)
    if method is None:
        yield refusal.because(
            codes.NO_RESET,
            str(function.address),
            "the kernel knows no way to reset it",
            "its reset_method is empty, or it has no reset: power the host"
            " off to reset it",
        )
    elif method in resets.BUS:
        for other in _beside(facts, function):
            yield refusal.because(
                codes.NO_RESET,
                str(function.address),
                f"it is only reset with all of its bus, and {other} is there",
                "power the host off to reset it",
            )


def _beside(
    facts: host_facts.HostFacts, function: observed.PciFunction
) -> ty.Iterator[pci_address.PciAddress]:
    """The other functions of a function's bus."""
    mine = function.address
    for other in facts.scan.functions:
        at = other.address
        if at != mine and (at.domain, at.bus) == (mine.domain, mine.bus):
            yield at
