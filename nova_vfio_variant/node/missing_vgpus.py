# SPDX-License-Identifier: Apache-2.0
"""Declared vGPUs that are gone, as after a reboot, and how they come back. Pure.

A card on which something else stands by now is left as it is: to take that
away is for ``host apply``.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.decide import apply as host_apply
from nova_vfio_variant.host.decide import (
    codes,
    host_spec,
    plan,
    planning,
    refusal,
    vgpu_changes,
)
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.pci import address as pci_address

Address = pci_address.PciAddress

_REASON: ty.Final = "it was declared, and is gone"


def of_vgpus(
    specs: ty.Iterable[host_spec.HostSpec],
) -> tuple[host_spec.HostSpec, ...]:
    """What entries say of vGPUs, and nothing else of them."""
    return tuple(
        dataclasses.replace(
            spec, num_vfs=None, driver=None, companions=(), allow_pf=False
        )
        for spec in specs
        if any(getattr(spec, key) is not None for key in host_spec.OF_VGPUS)
    )


def decision(
    specs: ty.Sequence[host_spec.HostSpec], now: host_facts.HostFacts
) -> planning.Decision:
    """What sets again what is gone, and why other things aren't set.

    What entries say goes before what was declared by hand or by a file, which
    is remembered.

    :param specs: of vGPUs alone
    """
    declared = host_apply.decision(specs, now)
    gone = {
        address: type_id
        for address, type_id in now.records.vgpu_laid.items()
        if not _is_covered(address, specs, now)
        and address in now.vgpus
        and now.vgpus[address].current == vendor_vgpu.NONE
    }
    of_cards = {
        function.physfn
        for function in map(now.scan.get, gone)
        if function is not None
    }
    by_hand = vgpu_changes.decision(
        gone,
        now,
        _REASON,
        # What a crash left of a card whose VFs were made anew.
        dict.fromkeys(now.records.vgpu_mixed & of_cards, True),
    )
    changes = (*declared.plan.changes, *by_hand.plan.changes)
    others = {
        _card(change): change
        for change in reversed(changes)
        if change.before.vgpu_type not in (None, vendor_vgpu.NONE)
    }
    return planning.Decision(
        plan.Plan(
            tuple(change for change in changes if _card(change) not in others)
        ),
        (
            *declared.refusals,
            *by_hand.refusals,
            *(
                refusal.because(
                    codes.HAS_VGPU_TYPE,
                    change.subject,
                    f"it has vGPU type {change.before.vgpu_type}, and another"
                    " is declared",
                    "nova-vfio host apply changes it",
                )
                for change in others.values()
            ),
        ),
        declared.findings,
        vgpus=declared.vgpus,
    )


def alone(found: planning.Decision) -> planning.Decision:
    """What can be done of it, whatever is against the rest."""
    return planning.Decision(found.plan, vgpus=found.vgpus)


def _card(change: plan.Change) -> str:
    """The card of a change: its own mode's, or its VF's."""
    return change.pf or change.subject


def _is_covered(
    address: Address,
    specs: ty.Iterable[host_spec.HostSpec],
    now: host_facts.HostFacts,
) -> bool:
    """Whether an entry says what a VF, or its card, is to have."""
    function = now.scan.get(address)
    if function is None:
        return True
    pf = None if function.physfn is None else now.scan.get(function.physfn)
    return any(
        spec.selects(seen)
        for spec in specs
        for seen in (function, pf)
        if seen is not None
    )
