# SPDX-License-Identifier: Apache-2.0
"""Mediated devices of ours that are not as they should be. Pure.

A device that nobody's instance has was asked for by hand: it is made again
after a reboot, and goes when somebody deletes it.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.decide import mdev_obstacles
from nova_vfio_variant.node import astray, liveness
from nova_vfio_variant.pci import mdev_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.tracker import mdevs

Action = astray.Action
What = astray.What


def on_demand(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """What was made for an instance that lives no more, or was to go."""
    for ours in facts.mdevs:
        if ours.goes:
            action, why = _whether_free(ours, facts, "it was to be removed")
            yield astray.Decision(
                ours.uuid, What.ORPHAN_MDEV, why, action, mdev=ours
            )
            continue
        if ours.instance_uuid is None:
            continue
        answer = facts.ask(ours.instance_uuid)
        if answer.state is liveness.State.YES:
            continue
        if not answer.is_gone and not _is_there(ours, facts):
            continue  # It is made again.
        whose = f"instance {ours.instance_uuid} is gone"
        action, why = _whether_free(ours, facts, whose)
        reason = astray.why_left(ours, answer, facts)
        if reason is not None:
            action, why = Action.LEAVE, reason
        yield astray.Decision(
            ours.uuid, What.ORPHAN_MDEV, why, action, mdev=ours
        )


def lost(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """What isn't there any more, as after a reboot."""
    for ours in facts.mdevs:
        if ours.goes or _is_there(ours, facts):
            continue
        whose = "it was asked for"
        if ours.instance_uuid is not None:
            if facts.ask(ours.instance_uuid).is_gone:
                continue
            whose = f"instance {ours.instance_uuid} has it"
        action, why = Action.SET, f"{whose}, and it is not there"
        there = facts.host.mdevs.devices.get(ours.uuid)
        against = mdev_obstacles.to_create(
            facts.host, ours.uuid, *mdev_names.parse_kind(ours.kind)
        )
        if facts.host.mdevs.unread is not None:
            action, why = Action.LEAVE, facts.host.mdevs.unread
        elif _is_on_another(ours, facts):
            action, why = Action.LEAVE, "another card is in its parent's place"
        elif there is not None:
            action = Action.LEAVE
            why = f"another tool made one with its UUID below {there.parent}"
        elif against:
            action, why = Action.LEAVE, against[0].message
        elif (novas := _of_nova(ours, facts)) is not None:
            action, why = Action.LEAVE, novas
        yield astray.Decision(
            ours.uuid, What.LOST_MDEV, why, action, mdev=ours
        )


def _of_nova(ours: mdevs.OurMdev, facts: astray.Facts) -> str | None:
    """Why none is made of a parent that is Nova's; None if it isn't."""
    parent = mdev_names.parse_kind(ours.kind)[0]
    return facts.novas.against(facts.host.mdevs.parents[parent])


def _is_on_another(ours: mdevs.OurMdev, facts: astray.Facts) -> bool:
    """Whether what has its parent's address by now is another function."""
    parent = facts.host.mdevs.parents.get(mdev_names.parse_kind(ours.kind)[0])
    if ours.identity is None or parent is None or parent.address is None:
        return False
    return not ours.identity.may_be(facts.host.scan.get(parent.address))


def _is_there(ours: mdevs.OurMdev, facts: astray.Facts) -> bool:
    """Whether it is there as we made it."""
    there = facts.host.mdevs.devices.get(ours.uuid)
    return (
        there is not None
        and not _is_on_another(ours, facts)
        and mdev_names.kind(there.parent, there.type_id or "") == ours.kind
    )


def _whether_free(
    ours: mdevs.OurMdev, facts: astray.Facts, whose: str
) -> tuple[Action, str]:
    """Whether nobody uses what still is as we made it.

    :param whose: why nobody needs it, as half a sentence
    """
    if facts.host.mdevs.unread is not None:
        return Action.LEAVE, facts.host.mdevs.unread
    if not _is_there(ours, facts):
        return Action.FORGET, f"{whose}, and so is the device"
    against = mdev_obstacles.to_remove(facts.host, ours.uuid, ours.kind)
    if against:
        return Action.LEAVE, against[0].message
    return Action.FREE, whose
