# SPDX-License-Identifier: Apache-2.0
"""After a crash: bring to an end each change that was begun and not ended.

A second recovery finds nothing more to do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import undoing, ways
from nova_vfio_variant.host.decide import (
    identity,
    judgement,
    plan,
    plausible,
)
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.host.tree import host_tree

_LOG = logging.getLogger(__name__)


def recover(
    actor: host_actor.Actor,
) -> tuple[judgement.Judgement, ...]:
    """Bring every change that wasn't ended to an end, where that is safe.

    :returns: what became of each, which VFs that came back can't be made
        what they were, and what is gone of what was touched; each is told to
        the observer as it comes
    :raises HostStepHung: a write hung, or hangs so that the host can't be
        looked at
    :raises JournalError: the journal can't be written
    """
    found = []
    for judged in _judgements(actor):
        _LOG.info(
            "recovery: %s %s: %s",
            judged.verdict,
            judged.change.subject,
            judged.reason,
        )
        actor.observer.recovered(judged)
        found.append(judged)
    return tuple(found)


def _judgements(
    actor: host_actor.Actor,
) -> ty.Iterator[judgement.Judgement]:
    yield from _unreadable(actor)
    gone = set()
    for number in sorted(actor.journal.unfinished):
        unfinished = actor.journal.unfinished[number]
        now = actor.look()
        try:
            with actor.locked(unfinished.change, now.scan) as keep:
                judged = _settle(actor, unfinished, keep)
        except exception.LockTimeout as error:
            # A write of its hangs, and who was to tell that was killed.
            actor.isolate(unfinished.change, error.message)
            judged = judgement.Judgement(
                unfinished.change, judgement.Verdict.LEAVE, error.message
            )
        if judged.gone:
            gone.add(judged.change.subject)
        yield judged
    # What fails is told with what is left by it.
    _, left = undoing.put_back(actor, tell=False)
    for owed in left:
        yield judgement.Judgement(
            owed.change, judgement.Verdict.LEAVE, owed.why_not
        )
    for name, prior in undoing.settle(actor).items():
        if name not in gone:
            yield judgement.gone(
                plan.Change(
                    name,
                    plan.What.DRIVER,
                    prior.state,
                    prior.state,
                    (),
                    prior.pf,
                )
            )


def _unreadable(
    actor: host_actor.Actor,
) -> ty.Iterator[judgement.Judgement]:
    """Leave what makes its readers wait, and with it all the rest.

    A helper that hangs may have the lock of a device, for which whoever reads
    its ``driver_override`` waited too (driver_override_show in
    drivers/pci/pci-sysfs.c) before ``struct device`` had an override of its
    own: Linux 6.12.95 has. Who waits so can't be interrupted.

    :returns: what is left
    :raises HostStepHung: the host can't be looked at
    """
    left = []
    for number in sorted(actor.journal.unfinished):
        change = actor.journal.unfinished[number].change
        try:
            # What else goes wrong is seen by who looks at the whole host.
            with contextlib.suppress(OSError, exception.HostStepFailed):
                process.run(
                    functools.partial(_read, actor.tree, change.functions),
                    host_actor.LOCK_TIMEOUT,
                )
        except process.Hung:
            why = (
                f"{change.subject} can't be read: a write to it, or to a VF "
                "of its, hangs in the kernel"
            )
            actor.isolate(change, why)
            left.append(why)
            yield judgement.Judgement(change, judgement.Verdict.LEAVE, why)
    if left:
        raise exception.HostStepHung(
            "; ".join(left),
            host_actor.WHEN_HUNG,
        )


def _read(tree: host_tree.HostTree, names: ty.Iterable[str]) -> str:
    """Read all of some functions that a scan reads of them."""
    return str([function_state.state_now(tree, name) for name in names])


def _settle(
    actor: host_actor.Actor,
    unfinished: plan.Unfinished,
    keep: tuple[int, ...],
) -> judgement.Judgement:
    """Judge one change and do what was judged."""
    number, change = unfinished.number, unfinished.change
    # Looked at with the lock held: a helper that was left may have ended.
    now = actor.look()
    prior = unfinished.prior or actor.journal.priors.get(change.subject)
    known = change.identity or (prior.identity if prior else None)
    state = None
    forward: tuple[plan.Step, ...] = ()
    back: tuple[plan.Step, ...] = ()
    if change.what is not plan.What.MODULE:
        if not (
            change.functions and identity.another(change.subject, known, now)
        ):
            for reason in plausible.of_change(change, now):
                return judgement.Judgement(
                    change, judgement.Verdict.LEAVE, reason.message
                )
        state = ways.state_of(actor.tree, change)
        if state is not None:
            forward = ways.forward(actor.tree, change, state)
            back = ways.back(actor.tree, change, state)
    judged = judgement.judge(unfinished, now, state, forward, back, known)
    if judged.verdict is judgement.Verdict.LEAVE:
        return judged
    try:
        actor.steps(number, change, judged.steps, keep, now.scan)
    except exception.HostStepFailed as error:
        if judged.verdict is judgement.Verdict.UNDO:
            return dataclasses.replace(
                judged, verdict=judgement.Verdict.LEAVE, reason=error.message
            )
        # What failed going forward is tried backward, once.
        return _settle(actor, unfinished, keep)
    if judged.gone:
        outcome = plan.Outcome.GONE
    elif judged.verdict is judgement.Verdict.FINISH:
        outcome = plan.Outcome.DONE
    else:
        outcome = plan.Outcome.UNDONE
    # In this order: of a change that has ended nobody would think again.
    actor.isolate(change, None)
    actor.journal.end(number, outcome, judged.reason)
    return judged
