# SPDX-License-Identifier: Apache-2.0
"""Setting vGPU types for a claim, whose devices are its own to change."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host import vgpu
from nova_vfio_variant.host.act import converge, recover
from nova_vfio_variant.host.decide import (
    plan,
    planning,
    refusal,
    vgpu_capacity,
)
from nova_vfio_variant.host.observe import (
    facts,
    scanner,
    vendor_vgpu,
    vgpu_card,
)
from nova_vfio_variant.node import preparation
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.pci import function as observed
    from nova_vfio_variant.tracker import store as tracker_store

Address = pci_address.PciAddress
#: The id of the type that each VF is to have.
Types = ty.Mapping[Address, str]


def look(context: node_context.Context) -> facts.HostFacts:
    """The host as it is now."""
    return facts.gather(scanner.scan(context.tree))


def set_types(
    context: node_context.Context,
    store: tracker_store.Store,
    types: Types,
    instance_uuid: str,
) -> dict[Address, str]:
    """Give VFs their types, each as a step of its own, and read them back.

    What a crash left is brought to its end first. Whoever calls holds the
    lock of the state path.

    :param instance_uuid: whose claims don't keep its VFs from being changed
    :returns: why some don't have their type, each in one sentence
    :raises HostError: the host can't be written, or a write hung
    """
    failed: dict[Address, str] = {}

    def decide(now: facts.HostFacts) -> planning.Decision:
        return _decision(types, now)

    host = preparation.Preparation(context)
    with host.acting_on(store, instance_uuid) as actor:
        recover.recover(actor)
        for turn in converge.rounds(
            actor, decide, plan.Command.VGPU, partly=True
        ):
            for attempt in turn.attempts:
                if isinstance(attempt, converge.Failure):
                    address = Address.parse(attempt.subject)
                    failed[address] = attempt.why_not
        now = actor.look()
    for address, type_id in types.items():
        seen = now.vgpus.get(address)
        if seen is None or seen.current != type_id:
            said = failed.setdefault(address, f"{address}: it was not set")
            failed[address] = said + _why(now, address, type_id)
        else:
            failed.pop(address, None)
    return failed


def expect(failed: ty.Mapping[Address, str]) -> None:
    """See that all have their types.

    :raises HostStepFailed: some don't
    """
    if failed:
        raise exception.HostStepFailed(
            "; ".join(failed.values()),
            "'nova-vfio vgpu types' shows what each card can be given now",
        )


def _decision(types: Types, now: facts.HostFacts) -> planning.Decision:
    changes: list[plan.Change] = []
    refusals: list[finding.Finding] = []
    for address, type_id in sorted(types.items()):
        function = now.scan.get(address)
        if function is None:
            refusals += refusal.unreadable(now, str(address))
            continue
        against = refusal.to_divide(now, function)
        change = _change(now, function, type_id)
        if change is None:
            continue
        refusals += against
        if not against:
            changes.append(change)
    return planning.Decision(
        plan.Plan(tuple(changes)), refusals=tuple(refusals)
    )


def _change(
    now: facts.HostFacts, function: observed.PciFunction, type_id: str
) -> plan.Change | None:
    """What gives a VF its type; None if it has it, or can't have one."""
    before = now.states[function.address]
    way = vgpu.of(function)
    if way is None or before.vgpu_type in (None, type_id):
        return None
    name, framework = way
    return plan.Change(
        str(function.address),
        plan.What.VGPU,
        before,
        dataclasses.replace(before, vgpu_type=type_id),
        (
            plan.Step(
                str(function.address),
                plan.Action.SET_VGPU_TYPE,
                type_id,
                before.vgpu_type or "",
                "a claim ends"
                if type_id == vendor_vgpu.NONE
                else "a claim asks for it",
                framework.deadline(),
                name,
            ),
        ),
        None if function.physfn is None else str(function.physfn),
        identity=function.identity,
    )


def _why(now: facts.HostFacts, address: Address, type_id: str) -> str:
    """Why a card has none of a type by now, as half a sentence."""
    function = now.scan.get(address)
    if (
        function is None
        or function.physfn is None
        or type_id == vendor_vgpu.NONE
    ):
        return ""
    card = function.physfn
    vfs = vgpu_card.cards(now).get(card, {})
    why = vgpu_capacity.of_type(vgpu_card.Card(card, vfs), type_id).why
    return "" if why is None else f"; {why}"
