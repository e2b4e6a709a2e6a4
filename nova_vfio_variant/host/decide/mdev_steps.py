# SPDX-License-Identifier: Apache-2.0
"""The writes that make a mediated device, or take it away. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.decide import plan

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import function_state

#: Seconds in which a driver has made one, or taken it away.
_MAKE: ty.Final = 60.0
#: Seconds for an attribute.
_ATTRIBUTE: ty.Final = 30.0


def create(
    uuid: str, kind: str, attributes: ty.Iterable[str], reason: str
) -> tuple[plan.Step, ...]:
    """Make one, and write its attributes, in their order.

    :param kind: ``PARENT/TYPE``
    :param attributes: each ``NAME=VALUE``
    """
    return (
        plan.Step(uuid, plan.Action.CREATE_MDEV, kind, "", reason, _MAKE),
        *(
            plan.Step(
                uuid,
                plan.Action.SET_MDEV_ATTRIBUTE,
                attribute,
                "",
                reason,
                _ATTRIBUTE,
            )
            for attribute in attributes
        ),
    )


def remove(uuid: str, kind: str, reason: str) -> tuple[plan.Step, ...]:
    """Take one away.

    :param kind: ``PARENT/TYPE``
    """
    return (plan.Step(uuid, plan.Action.REMOVE_MDEV, "", kind, reason, _MAKE),)


def steps(
    change: plan.Change,
    now: function_state.State,
    to: function_state.State,
    reason: str,
) -> tuple[plan.Step, ...]:
    """The writes that take a mediated device from one state to another.

    One that is there has all of its attributes, or is taken away.
    """
    if now.mdev == to.mdev:
        return ()
    if not to.mdev:
        return remove(change.subject, now.mdev or "", reason)
    return create(
        change.subject,
        to.mdev,
        (
            step.value
            for step in change.steps
            if step.action is plan.Action.SET_MDEV_ATTRIBUTE
        ),
        reason,
    )
