# SPDX-License-Identifier: Apache-2.0
"""Making a host what is declared."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import converge, undoing
from nova_vfio_variant.host.decide import apply as host_apply
from nova_vfio_variant.host.decide import (
    host_spec,
    identity,
    plan,
    planning,
    vgpu_changes,
)
from nova_vfio_variant.host.observe import facts, records, vendor_vgpu
from nova_vfio_variant.pci import address as pci_address


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """What came of it.

    :param done: the changes that were done, and not taken back
    :param failed: why others weren't, each in one sentence
    """

    done: tuple[plan.Change, ...]
    failed: tuple[str, ...]


def apply(
    actor: host_actor.Actor,
    specs: ty.Sequence[host_spec.HostSpec],
    only: ty.Collection[pci_address.PciAddress] = (),
    quarantined: records.Quarantines = records.NOTHING.quarantined,
) -> Applied:
    """Make the host what the entries say.

    Recover first (:mod:`~nova_vfio_variant.host.act.recover`). A change that
    fails is taken back and told; the others are done all the same.

    :param only: the functions to touch; all if empty
    :param quarantined: functions that nobody touches; what fails on the way
        is told as it comes
    :raises ConfigError: an entry doesn't fit this host, as it is by now
    :raises HostRefused: something is in the way, by now
    :raises HostStepHung: a write hung, and nothing was done after it
    :raises JournalError: the journal can't be written
    """

    def decide(now: facts.HostFacts) -> planning.Decision:
        return identity.checked(
            host_apply.decision(
                specs, now.knowing(quarantined=quarantined), only
            ),
            actor.journal.priors,
            now,
        )

    return by(actor, decide)


def by(
    actor: host_actor.Actor,
    decide: host_actor.Decide,
    command: plan.Command = plan.Command.APPLY,
) -> Applied:
    """Make the host what somebody decides; as :func:`apply`."""
    return _Applying(actor, command).by(decide)


class _Applying:
    """Keeps account of what was done for what, and in vain."""

    def __init__(self, actor: host_actor.Actor, command: plan.Command) -> None:
        self._actor = actor
        self._command = command
        self._done: list[plan.Change] = []
        self._failed: list[str] = []
        #: What is to be done, or was tried in vain.
        self._undone: set[tuple[str, plan.What, str | None]] = set()
        self._vain: set[str] = set()
        self._said: set[str] = set()
        #: The vGPU types that were taken away, to make room.
        self._freed: dict[str, str] = {}
        self._companions: dict[str, tuple[str, ...]] = {}

    def by(self, decide: host_actor.Decide) -> Applied:
        """Do what is decided, and take back what was done in vain."""
        decision = planning.Decision(plan.Plan())
        try:
            for turn in converge.rounds(self._actor, decide, self._command):
                decision = turn.decision
                self._note(decision)
                for change, attempt in zip(
                    turn.ready, turn.attempts, strict=True
                ):
                    self._take(change, attempt)
                if turn.ready:
                    self._give_back()
        except (exception.ConfigError, exception.HostRefused):
            self._retype()
            # Nothing is done after it.
            self._vain |= {subject for subject, _, _ in self._undone}
            self._give_back()
            raise
        self._retype()
        if not self._failed:
            for change in decision.plan.changes:
                self._fail(f"{change.subject}: it is not what it was made")
        return Applied(tuple(self._done), tuple(self._failed))

    def _note(self, decision: planning.Decision) -> None:
        """Remember what is to be done, and what is unbound for what."""
        self._actor.declare(decision.vgpus)
        for said in decision.notes:
            if said not in self._said:
                self._said.add(said)
                self._actor.observer.note(f"note: {said}")
        self._companions |= {
            name: others
            for name, others in decision.companions.items()
            if others
        }
        self._undone |= {change.key for change in decision.plan.changes}

    def _take(
        self,
        change: plan.Change,
        attempt: converge.Attempt | converge.Failure,
    ) -> None:
        """Remember what became of a change."""
        if isinstance(attempt, converge.Failure):
            self._fail(attempt.why_not)
            failed, _ = undoing.put_back(self._actor, tell=True)
            self._failed += failed
            self._vain.add(change.subject)
            return
        if attempt.change is not None:
            self._done.append(attempt.change)
            self._note_type(attempt.change)
        self._undone.discard(change.key)

    def _note_type(self, change: plan.Change) -> None:
        """Remember which type a VF lost, until it has its new one."""
        if change.what is not plan.What.VGPU or not change.before.vgpu_type:
            return
        if change.after.vgpu_type == vendor_vgpu.NONE:
            self._freed[change.subject] = change.before.vgpu_type
        else:
            self._freed.pop(change.subject, None)

    def _retype(self) -> None:
        """Give VFs the types again that were taken away in vain."""
        types = {
            pci_address.PciAddress.parse(subject): self._freed[subject]
            for subject, what, type_id in self._undone
            if what is plan.What.VGPU
            and type_id != vendor_vgpu.NONE
            and subject in self._freed
        }
        if not types:
            return

        def decide(now: facts.HostFacts) -> planning.Decision:
            return vgpu_changes.decision(
                types, now, "it can't have the type that is declared"
            )

        for turn in converge.rounds(
            self._actor, decide, self._command, partly=True
        ):
            for attempt in turn.attempts:
                if isinstance(attempt, converge.Failure):
                    self._fail(attempt.why_not)

    def _fail(self, why: str) -> None:
        self._failed.append(why)
        self._actor.observer.failed(why)

    def _give_back(self) -> None:
        """Take back companions that were unbound for what failed."""
        needed = {
            companion
            for name, others in self._companions.items()
            if name not in self._vain
            for companion in others
        }
        idle = {
            change.subject
            for change in self._done
            if change.subject not in needed
            and any(
                change.subject in self._companions.get(name, ())
                for name in self._vain
            )
        }
        if idle:
            self._failed += undoing.take_back(self._actor, idle)
            self._done = [
                change for change in self._done if change.subject not in idle
            ]
