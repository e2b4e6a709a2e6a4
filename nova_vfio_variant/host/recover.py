# SPDX-License-Identifier: Apache-2.0
"""After a crash: what becomes of each change that was begun and not ended.

What can be finished safely is finished; what can't be is undone; what is
neither safe is left as it is and reported. A second recovery finds nothing
more to do.
"""

import contextlib
import dataclasses
import enum
import functools
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host import (
    act,
    decide,
    facts,
    function,
    function_state,
    helper,
    identity,
    plan,
    refusal,
    restore,
    vf_provider,
)
from nova_vfio_variant.host import journal as host_journal
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.pci import address as pci_address


class Verdict(enum.StrEnum):
    """What becomes of a change that wasn't ended."""

    FINISH = "finish"
    UNDO = "undo"
    LEAVE = "leave"


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on one change, with its reason.

    :param change: it
    :param verdict: what is done about it
    :param reason: why, in one sentence
    :param steps: what is still to be done for that
    :param gone: the function isn't there any more, and nothing of its state
    """

    change: plan.Change
    verdict: Verdict
    reason: str
    steps: tuple[plan.Step, ...] = ()
    gone: bool = False


def judge(
    unfinished: host_journal.Unfinished,
    now: facts.HostFacts,
    state: function_state.State | None,
    forward: tuple[plan.Step, ...],
    back: tuple[plan.Step, ...],
    known: function.Identity | None = None,
) -> Judgement:
    """Decide on one change. Pure.

    :param unfinished: as the journal has it
    :param now: the host
    :param state: of the change's function; None if it isn't there
    :param forward: the steps that would finish it
    :param back: the steps that would undo it
    :param known: which function the change is of; None where nobody says
    """
    change = unfinished.change
    if change.what is plan.What.MODULE:
        return _module(change, now)
    if state is None:
        for one in refusal.unreadable(now, change.subject):
            return Judgement(change, Verdict.LEAVE, one.message)
        return Judgement(
            change,
            Verdict.UNDO,
            "the function is gone, and all that was done to it",
            gone=True,
        )
    foreign = _foreign(change, now, state, known)
    if foreign is not None:
        return Judgement(change, Verdict.LEAVE, foreign)
    forward += _probes_left(unfinished)
    if not forward:
        return Judgement(
            change, Verdict.FINISH, "all of it took effect before the end"
        )
    against = _against(change, now, forward)
    if unfinished.trouble is not None and not unfinished.hung:
        against = (*against, f"it failed: {unfinished.trouble}")
    if not against:
        return Judgement(
            change, Verdict.FINISH, "nothing is in the way", forward
        )
    if not back:
        return Judgement(
            change, Verdict.UNDO, f"nothing of it is there, and {against[0]}"
        )
    against_undo = _against(change, now, back)
    if not against_undo:
        return Judgement(change, Verdict.UNDO, against[0], back)
    return Judgement(change, Verdict.LEAVE, against_undo[0])


def _module(change: plan.Change, now: facts.HostFacts) -> Judgement:
    if now.driver_named(change.subject) is not None:
        return Judgement(change, Verdict.FINISH, "the module is loaded")
    return Judgement(change, Verdict.UNDO, "the module is not loaded")


def _foreign(
    change: plan.Change,
    now: facts.HostFacts,
    state: function_state.State,
    known: function.Identity | None,
) -> str | None:
    """Why what stands there is none of ours; None if it is."""
    for one in identity.another(change.subject, known, now):
        return one.message
    if not _is_strange(change, state):
        return None
    return f"somebody else changed it meanwhile: {_shown(change, state)}"


def _is_strange(change: plan.Change, state: function_state.State) -> bool:
    """Whether what stands there is nothing that the change could leave."""
    ours, theirs = change.before, change.after
    passes: tuple[str, ...] = ()
    if change.what is plan.What.VFS:
        if state.numvfs not in (ours.numvfs, 0, theirs.numvfs):
            return True
        if change.provider is None:
            return False
        way = vf_provider.named(change.provider)
        if not way.disturbs_pf:
            return False
        passes = way.passes
    return state.is_strange(ours, theirs, passes)


def _shown(change: plan.Change, state: function_state.State) -> str:
    if change.what is plan.What.VFS:
        return f"it has {state.numvfs} VFs, and {state.shown}"
    return state.shown


def _probes_left(
    unfinished: host_journal.Unfinished,
) -> tuple[plan.Step, ...]:
    """The probes at the end of a change of VFs that aren't known done."""
    return tuple(
        step
        for step in unfinished.change.steps
        if step.action == "probe"
        and step.subject != unfinished.change.subject
        and step not in unfinished.done
    )


def _against(
    change: plan.Change,
    now: facts.HostFacts,
    steps: tuple[plan.Step, ...],
) -> tuple[str, ...]:
    """What speaks against some steps, each in one sentence."""
    subject = now.scan.get(pci_address.PciAddress.parse(change.subject))
    if subject is None:
        return tuple(
            one.message for one in refusal.unreadable(now, change.subject)
        )
    found: list[finding.Finding] = []
    for step in steps:
        if step.action == "unbind":
            found += refusal.to_touch(now, subject)
            if change.what is plan.What.VFS:
                # Its VFs go, or come again, in any case.
                found += decide.vfs_in_use(now, subject)
            else:
                found += decide.loses_vfs(now, subject, subject.sriov_numvfs)
        elif step.action == "probe" and step.subject == change.subject:
            # What follows is done by the driver that it then has.
            subject = dataclasses.replace(
                subject, driver=step.value or subject.driver
            )
        elif step.action == "set-numvfs":
            found += decide.vfs_refusals(now, subject, int(step.value))
            break
    return tuple(one.message for one in found)


def recover(
    actor: act.Actor,
    done: list[Judgement] | None = None,
) -> list[Judgement]:
    """Bring every change that wasn't ended to an end, where that is safe.

    :param done: to which what is returned is added as it comes, so that it is
        known also where an error ends it
    :returns: what became of each, which VFs that came back can't be made
        what they were, and what is gone of what was touched
    :raises HostStepHung: a write hung, or hangs so that the host can't be
        looked at
    :raises JournalError: the journal can't be written
    """
    done = [] if done is None else done
    _expect_readable(actor, done)
    for number in sorted(actor.journal.unfinished):
        unfinished = actor.journal.unfinished[number]
        now = actor.look()
        try:
            with actor.locked(unfinished.change, now.scan) as keep:
                done.append(_settle(actor, unfinished, keep))
        except exception.LockTimeout as error:
            # A write of its hangs, and who was to tell that was killed.
            actor.isolate(unfinished.change, error.message)
            done.append(
                Judgement(unfinished.change, Verdict.LEAVE, error.message)
            )
    done += (
        Judgement(change, Verdict.LEAVE, why)
        for change, why in restore.put_back(actor, [])
    )
    told = {one.change.subject for one in done if one.gone}
    done += (
        Judgement(
            plan.Change(
                name, plan.What.DRIVER, prior.state, prior.state, (), prior.pf
            ),
            Verdict.UNDO,
            "the function is gone, and all that was done to it",
            gone=True,
        )
        for name, prior in restore.settle(actor).items()
        if name not in told
    )
    return done


def _expect_readable(actor: act.Actor, done: list[Judgement]) -> None:
    """Leave what makes its readers wait, and with it all the rest.

    A helper that hangs may have the lock of a device, for which whoever reads
    its ``driver_override`` waited too (driver_override_show in
    drivers/pci/pci-sysfs.c) before ``struct device`` had an override of its
    own: Linux 6.12.95 has. Who waits so can't be interrupted.

    :param done: what is left is added
    :raises HostStepHung: the host can't be looked at
    """
    left = []
    for number in sorted(actor.journal.unfinished):
        change = actor.journal.unfinished[number].change
        try:
            # What else goes wrong is seen by who looks at the whole host.
            with contextlib.suppress(OSError, exception.HostStepFailed):
                helper.run(
                    functools.partial(_read, actor.tree, change.functions),
                    act.LOCK_TIMEOUT,
                )
        except helper.Hung:
            why = (
                f"{change.subject} can't be read: a write to it, or to a VF "
                "of its, hangs in the kernel"
            )
            actor.isolate(change, why)
            done.append(Judgement(change, Verdict.LEAVE, why))
            left.append(why)
    if left:
        raise exception.HostStepHung(
            "; ".join(left),
            "it goes on when whoever has the device open lets go; then run "
            "nova-vfio host recover",
        )


def _read(tree: host_tree.HostTree, names: ty.Iterable[str]) -> str:
    """Read all of some functions that a scan reads of them."""
    return str([function_state.state_now(tree, name) for name in names])


def _settle(
    actor: act.Actor,
    unfinished: host_journal.Unfinished,
    keep: tuple[int, ...],
) -> Judgement:
    """Judge one change and do what was judged."""
    number, change = unfinished.number, unfinished.change
    # Looked at with the lock held: a helper that was left may have ended.
    now = actor.look()
    state = None
    forward: tuple[plan.Step, ...] = ()
    back: tuple[plan.Step, ...] = ()
    if change.what is not plan.What.MODULE:
        state = function_state.state_now(actor.tree, change.subject)
        if state is not None:
            forward = actor.forward(change, state)
            back = actor.back(change, state)
    prior = unfinished.prior or actor.journal.priors.get(change.subject)
    known = change.identity or (prior.identity if prior else None)
    judged = judge(unfinished, now, state, forward, back, known)
    if judged.verdict is Verdict.LEAVE:
        return judged
    try:
        actor.steps(number, change, judged.steps, keep, now.scan)
    except exception.HostStepFailed as error:
        if judged.verdict is Verdict.UNDO:
            return dataclasses.replace(
                judged, verdict=Verdict.LEAVE, reason=error.message
            )
        # What failed going forward is tried backward, once.
        return _settle(actor, unfinished, keep)
    if judged.gone:
        outcome = "gone"
    elif judged.verdict is Verdict.FINISH:
        outcome = "done"
    else:
        outcome = "undone"
    # In this order: of a change that has ended nobody would think again.
    actor.well_again(change)
    actor.journal.end(number, outcome, judged.reason)
    return judged
