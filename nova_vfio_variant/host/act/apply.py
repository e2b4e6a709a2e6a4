# SPDX-License-Identifier: Apache-2.0
"""Making a host what is declared, in as many rounds as it takes.

After each round the host is looked at again: VFs that were made, and drivers
whose modules were loaded, are there then.
"""

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import undoing
from nova_vfio_variant.host.decide import apply as host_apply
from nova_vfio_variant.host.decide import (
    host_spec,
    identity,
    plan,
    planning,
    refusal,
)
from nova_vfio_variant.host.observe import records
from nova_vfio_variant.pci import address as pci_address

#: Modules and VFs, then drivers; what isn't done then never will be.
_ROUNDS = 4


@dataclasses.dataclass(slots=True)
class Outcome:
    """What came of it.

    :param done: the changes that were done
    :param failed: why others weren't, each in one sentence
    """

    done: list[plan.Change] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)


def apply(
    actor: host_actor.Actor,
    specs: ty.Sequence[host_spec.HostSpec],
    only: ty.Collection[pci_address.PciAddress] = (),
    outcome: Outcome | None = None,
    quarantined: records.Quarantines = records.NOTHING.quarantined,
) -> Outcome:
    """Make the host what the entries say.

    Recover first (:mod:`~nova_vfio_variant.host.act.recover`). A change that
    fails is taken back and told; the others are done all the same.

    :param only: the functions to touch; all if empty
    :param outcome: to which what comes of it is added as it comes, so that it
        is known also where an error ends it
    :param quarantined: functions that nobody touches; what fails on the way
        is told as it comes
    :raises ConfigError: an entry doesn't fit this host, as it is by now
    :raises HostRefused: something is in the way, by now
    :raises HostStepHung: a write hung, and nothing was done after it
    :raises JournalError: the journal can't be written
    """
    outcome = outcome or Outcome()
    rounds(
        actor,
        lambda now: identity.checked(
            host_apply.decision(
                specs, now.knowing(quarantined=quarantined), only
            ),
            actor.journal.priors,
            now,
        ),
        plan.Command.APPLY,
        outcome,
    )
    return outcome


def rounds(
    actor: host_actor.Actor,
    wanted: host_actor.Decide,
    command: plan.Command,
    outcome: Outcome,
) -> None:
    """Decide, do, look again, until there is nothing left to do.

    :raises VfioVariantError: as :func:`apply`
    """
    tried: set[tuple[str, plan.What]] = set()
    #: What is to be done, or was tried in vain.
    undone: set[tuple[str, plan.What]] = set()
    vain: set[str] = set()
    companions: dict[str, tuple[str, ...]] = {}
    try:
        for _ in range(_ROUNDS):
            now = actor.look()
            decision = wanted(now)
            check(decision)
            companions |= {
                name: others
                for name, others in decision.companions.items()
                if others
            }
            undone |= {
                (one.subject, one.what) for one in decision.plan.changes
            }
            ready = [
                change
                for change in decision.plan.ready
                if (change.subject, change.what) not in tried
            ]
            if not ready:
                break
            for change in ready:
                tried.add((change.subject, change.what))
                try:
                    done = actor.do(change, command, now.scan, wanted)
                except (
                    exception.HostStepFailed,
                    exception.LockTimeout,
                ) as error:
                    outcome.failed.append(str(error))
                    undoing.put_back(actor, outcome.failed)
                    vain.add(change.subject)
                else:
                    outcome.done += (change,) if done else ()
                    undone.discard((change.subject, change.what))
            _give_back(actor, outcome, companions, vain)
        else:
            decision = wanted(actor.look())
    except (exception.ConfigError, exception.HostRefused):
        # Nothing is done after it.
        vain |= {subject for subject, _ in undone}
        _give_back(actor, outcome, companions, vain)
        raise
    if not outcome.failed:
        outcome.failed += (
            f"{change.subject}: it is not what it was made"
            for change in decision.plan.changes
        )


def _give_back(
    actor: host_actor.Actor,
    outcome: Outcome,
    companions: ty.Mapping[str, ty.Collection[str]],
    vain: ty.Collection[str],
) -> None:
    """Take back companions that were unbound for functions that failed.

    :param companions: of each function
    :param vain: the functions that failed
    """
    needed = {
        one
        for name, others in companions.items()
        if name not in vain
        for one in others
    }
    idle = {
        change.subject
        for change in outcome.done
        if change.subject not in needed
        and any(change.subject in companions.get(name, ()) for name in vain)
    }
    if not idle:
        return
    undoing.take_back(actor, idle, outcome.failed)
    outcome.done = [one for one in outcome.done if one.subject not in idle]


def check(decision: planning.Decision) -> None:
    """Raise what speaks against a decision.

    :raises ConfigError: an entry doesn't fit this host
    :raises HostRefused: something is in the way
    """
    if decision.findings:
        raise exception.ConfigError(
            "host_spec doesn't fit this host", findings=decision.findings
        )
    if decision.refusals:
        raise refusal.error(decision.refusals)
