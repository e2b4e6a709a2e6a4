# SPDX-License-Identifier: Apache-2.0
"""The one loop: decide, do, look again, until there is nothing left to do.

After each round the host is looked at anew: VFs that were made, and drivers
whose modules were loaded, are there then. Nothing is tried twice, so that it
comes to an end.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import lock
from nova_vfio_variant.host.decide import plan, planning, refusal
from nova_vfio_variant.host.observe import facts


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """A change that didn't fail.

    :param change: as it was done; None where nothing was to be done any more
    """

    change: plan.Change | None


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """What isn't done.

    :param subject: the function, or the module
    :param why_not: in one sentence
    """

    subject: str
    why_not: str


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """What was decided on the host as it is now, and what becomes of it.

    :param decision: all of it
    :param ready: the changes that are tried in this round
    :param attempts: does them, one after the other
    """

    decision: planning.Decision
    ready: tuple[plan.Change, ...]
    attempts: ty.Iterator[Attempt | Failure]


def rounds(
    actor: host_actor.Actor,
    decide: host_actor.Decide,
    command: plan.Command,
    *,
    partly: bool = False,
) -> ty.Iterator[Round]:
    """Go on until nothing is ready that wasn't tried.

    The last round has nothing ready.

    :param partly: do what isn't refused, and tell the rest; else all or
        nothing is done
    :raises ConfigError: an entry doesn't fit this host, as it is by now
    :raises HostRefused: something is in the way
    :raises HostStepHung: a write hung, and nothing was done after it
    """
    tried: set[tuple[str, plan.What, str | None]] = set()
    refused: list[finding.Finding] = []
    while True:
        now = actor.look()
        decision = decide(now)
        news: list[finding.Finding] = []
        if partly:
            news = [
                reason for reason in decision.refusals if reason not in refused
            ]
            refused += dict.fromkeys(news)
        else:
            check(decision)
        locked = {
            lock.of_name(str(reason.subject), now.scan) for reason in refused
        }
        ready = tuple(
            change
            for change in decision.plan.ready
            if change.key not in tried
            and locked.isdisjoint(lock.of_change(change, now.scan))
        )
        tried |= {change.key for change in ready}

        def attempts(
            now: facts.HostFacts = now,
            news: ty.Sequence[finding.Finding] = tuple(dict.fromkeys(news)),
            ready: tuple[plan.Change, ...] = ready,
        ) -> ty.Iterator[Attempt | Failure]:
            for reason in news:
                yield Failure(str(reason.subject), refusal.line(reason))
            for change in ready:
                yield _attempt(actor, change, command, now, decide, partly)

        yield Round(decision, ready, attempts())
        if not ready:
            return


def wholly(
    actor: host_actor.Actor, command: plan.Command, decide: host_actor.Decide
) -> None:
    """Do what is decided, all of it.

    :raises HostRefused: something is in the way
    :raises HostStepFailed: a change failed, and was taken back
    """
    for turn in rounds(actor, decide, command):
        for attempt in turn.attempts:
            if isinstance(attempt, Failure):
                raise exception.HostStepFailed(attempt.why_not)


def _attempt(
    actor: host_actor.Actor,
    change: plan.Change,
    command: plan.Command,
    now: facts.HostFacts,
    decide: host_actor.Decide,
    partly: bool,
) -> Attempt | Failure:
    """Do one change, if it is still to be done."""
    try:
        done = actor.do(change, command, now.scan, decide)
    except exception.HostRefused as error:
        if not partly:
            raise
        return Failure(change.subject, str(error))
    except (exception.HostStepFailed, exception.LockTimeout) as error:
        return Failure(change.subject, str(error))
    return Attempt(change if done else None)


def check(decision: planning.Decision) -> None:
    """Raise what speaks against a decision.

    :raises ConfigError: an entry doesn't fit this host
    :raises HostRefused: something is in the way
    """
    if decision.findings:
        raise refusal.misfit(decision.findings)
    if decision.refusals:
        raise refusal.error(decision.refusals)
