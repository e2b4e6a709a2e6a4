# SPDX-License-Identifier: Apache-2.0
"""After a crash: what becomes of each change that was begun and not ended. Pure.

What can be finished safely is finished; what can't be is undone; what is
neither safe is left as it is and reported.
"""

from __future__ import annotations

import dataclasses
import enum

from nova_vfio_variant import finding
from nova_vfio_variant.host import vf_provider
from nova_vfio_variant.host.decide import (
    identity,
    mdev_obstacles,
    plan,
    planning,
    refusal,
)
from nova_vfio_variant.host.observe import (
    facts,
    function_state,
    vendor_vgpu,
)
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function


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


def gone(change: plan.Change) -> Judgement:
    """Nothing is left to do about a change of what is no longer there."""
    return Judgement(
        change,
        Verdict.UNDO,
        "the function is gone, and all that was done to it",
        gone=True,
    )


def judge(
    unfinished: plan.Unfinished,
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
    if change.what is plan.What.MDEV and state is not None:
        return _mdev(unfinished, now, state, back)
    if change.what is plan.What.RESET and state is not None:
        return _reset(unfinished, now, known)
    return _function(unfinished, now, state, forward, back, known)


def _function(
    unfinished: plan.Unfinished,
    now: facts.HostFacts,
    state: function_state.State | None,
    forward: tuple[plan.Step, ...],
    back: tuple[plan.Step, ...],
    known: function.Identity | None,
) -> Judgement:
    """A change of a function: its driver, its VFs, its vGPU type or mode."""
    change = unfinished.change
    if state is None:
        for reason in refusal.unreadable(now, change.subject):
            return Judgement(change, Verdict.LEAVE, reason.message)
        return gone(change)
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


def _mdev(
    unfinished: plan.Unfinished,
    now: facts.HostFacts,
    state: function_state.State,
    back: tuple[plan.Step, ...],
) -> Judgement:
    """One that was being made and isn't whole goes; one that was to go goes.

    Whether an attribute had been written nobody can read of it.
    """
    change = unfinished.change
    if state.mdev == change.after.mdev and not change.after.mdev:
        return Judgement(change, Verdict.FINISH, "it is gone")
    if state.mdev == change.before.mdev and not change.before.mdev:
        return Judgement(change, Verdict.UNDO, "it is not there")
    if state.mdev not in (change.before.mdev, change.after.mdev):
        return Judgement(
            change,
            Verdict.UNDO,
            f"another is there by now: {state.mdev or 'none'}",
        )
    made = {step.action for step in unfinished.done}
    tried = unfinished.begun is not None or unfinished.hung
    if change.after.mdev and plan.Action.CREATE_MDEV not in made and not tried:
        return Judgement(
            change, Verdict.UNDO, "what has its UUID is somebody else's"
        )
    if change.after.mdev and set(change.steps) <= set(unfinished.done):
        return Judgement(change, Verdict.FINISH, "it was made as a whole")
    against = mdev_obstacles.in_use(now, change.subject)
    if against:
        return Judgement(change, Verdict.LEAVE, against[0].message)
    if change.after.mdev:
        return Judgement(
            change, Verdict.UNDO, "it was not made as a whole", back
        )
    return Judgement(
        change, Verdict.FINISH, "nothing is in the way", change.steps
    )


def _reset(
    unfinished: plan.Unfinished,
    now: facts.HostFacts,
    known: function.Identity | None,
) -> Judgement:
    """It is done or it isn't, and leaves nothing to take back."""
    change = unfinished.change
    for reason in identity.another(change.subject, known, now):
        return Judgement(change, Verdict.LEAVE, reason.message)
    if set(change.steps) <= set(unfinished.done):
        return Judgement(change, Verdict.FINISH, "it was reset")
    return Judgement(
        change, Verdict.UNDO, "it may have been reset or not; reset it again"
    )


def _foreign(
    change: plan.Change,
    now: facts.HostFacts,
    state: function_state.State,
    known: function.Identity | None,
) -> str | None:
    """Why what stands there is none of ours; None if it is."""
    for reason in identity.another(change.subject, known, now):
        return reason.message
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
    if change.what is plan.What.VGPU and state.vgpu_type == vendor_vgpu.NONE:
        # A way from one type to another comes by none.
        state = dataclasses.replace(state, vgpu_type=ours.vgpu_type)
    return state.is_strange(ours, theirs, passes)


def _shown(change: plan.Change, state: function_state.State) -> str:
    if change.what is plan.What.VFS:
        return f"it has {state.numvfs} VFs, and {state.shown}"
    return state.shown


def _probes_left(
    unfinished: plan.Unfinished,
) -> tuple[plan.Step, ...]:
    """The probes at the end of a change of VFs that aren't known done."""
    return tuple(
        step
        for step in unfinished.change.steps
        if step.action is plan.Action.PROBE
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
            reason.message
            for reason in refusal.unreadable(now, change.subject)
        )
    found: list[finding.Finding] = []
    for step in steps:
        if step.action is plan.Action.UNBIND:
            found += refusal.to_unbind(now, subject)
            if change.what is plan.What.VFS:
                # Its VFs go, or come again, in any case.
                found += planning.vfs_in_use(now, subject)
            else:
                found += planning.loses_vfs(now, subject, subject.sriov_numvfs)
        elif (
            step.action is plan.Action.PROBE and step.subject == change.subject
        ):
            # What follows is done by the driver that it then has.
            subject = dataclasses.replace(
                subject, driver=step.value or subject.driver
            )
        elif step.action is plan.Action.SET_VGPU_TYPE:
            # Whose it is was looked at before it was begun; nobody is given
            # a function that isn't settled.
            found += refusal.to_divide(now.knowing(owners={}), subject)
        elif step.action is plan.Action.SET_HETEROGENEOUS:
            found += (reason for _, reason in refusal.to_mix(now, subject))
        elif step.action is plan.Action.SET_NUMVFS:
            found += planning.vfs_refusals(now, subject, int(step.value))
            break
    return tuple(problem.message for problem in found)
