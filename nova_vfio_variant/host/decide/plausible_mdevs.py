# SPDX-License-Identifier: Apache-2.0
"""Whether what is to be done to a mediated device makes sense. Pure."""

from __future__ import annotations

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import mdev_obstacles, plan
from nova_vfio_variant.host.observe import facts, function_state
from nova_vfio_variant.pci import mdev_names


def fits_step(step: plan.Step) -> bool:
    """Whether a step's subject and value are of a mediated device.

    :raises ValueError: they aren't
    """
    if step.action is plan.Action.CREATE_MDEV:
        mdev_names.parse_kind(step.value)
    elif step.action is plan.Action.SET_MDEV_ATTRIBUTE:
        mdev_names.parse_attribute(step.value)
    else:
        mdev_names.parse_kind(step.prior)
        if step.value:
            return False
    return mdev_names.is_uuid(step.subject)


def is_of(step: plan.Step, change: plan.Change) -> bool:
    """Whether a step is about the parent and type that its change is about."""
    kind = change.before.mdev or change.after.mdev
    if step.action is plan.Action.CREATE_MDEV:
        return step.value == kind
    if step.action is plan.Action.REMOVE_MDEV:
        return step.prior == kind
    return step.action is plan.Action.SET_MDEV_ATTRIBUTE


def fits_change(change: plan.Change) -> bool:
    """Whether it makes a mediated device, or takes one away, alone.

    :raises TypeError, ValueError: of no parent and type
    """
    before, after = change.before, change.after
    mdev_names.parse_kind(before.mdev or after.mdev)
    kinds = {before.mdev, after.mdev}
    return (
        mdev_names.is_uuid(change.subject)
        and None not in kinds
        and len(kinds) == 2
        and "" in kinds
        and before == function_state.State(mdev=before.mdev)
        and after == function_state.State(mdev=after.mdev)
        and change.pf is None
    )


def against_step(
    step: plan.Step, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a mediated device may not be made, changed or taken away."""
    uuid = step.subject
    if step.action is plan.Action.CREATE_MDEV:
        parent, type_id = mdev_names.parse_kind(step.value)
        return mdev_obstacles.to_create(now, uuid, parent, type_id)
    if step.action is plan.Action.REMOVE_MDEV:
        return mdev_obstacles.to_remove(now, uuid, step.prior)
    return mdev_obstacles.in_use(now, uuid)
