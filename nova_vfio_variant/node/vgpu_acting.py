# SPDX-License-Identifier: Apache-2.0
"""Setting vGPU types for a claim, whose devices are its own to change."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host.act import converge, recover
from nova_vfio_variant.host.decide import (
    codes,
    identity,
    plan,
    planning,
    refusal,
    vgpu_changes,
)
from nova_vfio_variant.host.observe import facts, scanner
from nova_vfio_variant.node import preparation
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store

Address = pci_address.PciAddress
#: Of each VF the type that it has, and the one that it is to have. What has
#: another one by then is somebody else's.
Moves = ty.Mapping[Address, tuple[str, str]]


def look(context: node_context.Context) -> facts.HostFacts:
    """The host as it is now."""
    return facts.gather(scanner.scan(context.tree))


def set_types(
    context: node_context.Context,
    store: tracker_store.Store,
    moves: Moves,
    instance_uuid: str,
    reason: str,
) -> dict[Address, str]:
    """Give VFs their types, each as a step of its own, and read them back.

    What a crash left is brought to its end first. Whoever calls holds the
    lock of the state path.

    :param instance_uuid: whose claims don't keep its VFs from being changed
    :param reason: why, in one sentence
    :returns: why some don't have their type, each in one sentence
    :raises HostError: the host can't be written, or a write hung
    """
    failed: dict[Address, str] = {}

    host = preparation.Preparation(context)
    with host.acting_on(store, instance_uuid) as actor:

        def decide(now: facts.HostFacts) -> planning.Decision:
            return identity.checked(
                _decision(moves, now, reason), actor.journal.priors, now
            )

        recover.recover(actor)
        for turn in converge.rounds(
            actor, decide, plan.Command.VGPU, partly=True
        ):
            for attempt in turn.attempts:
                if isinstance(attempt, converge.Failure):
                    address = Address.parse(attempt.subject)
                    failed[address] = attempt.why_not
        now = actor.look()
    for address, (_, type_id) in moves.items():
        seen = now.vgpus.get(address)
        if seen is None or seen.current != type_id:
            failed.setdefault(address, f"{address}: it was not set")
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


def _decision(
    moves: Moves, now: facts.HostFacts, reason: str
) -> planning.Decision:
    """What is to be done, VF by VF: one that can't be keeps no other back."""
    changes: list[plan.Change] = []
    refusals: list[finding.Finding] = []
    for address, (prior, type_id) in sorted(moves.items()):
        seen = now.vgpus.get(address)
        if seen is not None and seen.current not in (None, prior, type_id):
            refusals.append(
                refusal.because(
                    codes.OTHER_VGPU_TYPE,
                    str(address),
                    f"somebody else gave it vGPU type {seen.current}",
                    codes.OTHER_VGPU_TYPE.mend,
                )
            )
            continue
        decision = vgpu_changes.decision({address: type_id}, now, reason)
        changes += decision.plan.changes
        refusals += decision.refusals
    return planning.Decision(plan.Plan(tuple(changes)), tuple(refusals))
