# SPDX-License-Identifier: Apache-2.0
"""The changes that make a mediated device, or take one away. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.decide import (
    mdev_codes,
    mdev_obstacles,
    mdev_steps,
    plan,
    planning,
    refusal,
)
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import mdev_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts

_NONE: ty.Final = function_state.State(mdev="")


def create(
    facts: host_facts.HostFacts,
    uuid: str,
    kind: str,
    attributes: ty.Sequence[str],
    reason: str,
) -> planning.Decision:
    """Make a device; nothing to do where it is there as it is wanted.

    :param uuid: as the kernel shows it
    :param kind: ``PARENT/TYPE``
    :param attributes: each ``NAME=VALUE``, in the order in which they are
        written
    :param reason: why, in one sentence
    """
    parent, type_id = mdev_names.parse_kind(kind)
    for attribute in attributes:
        try:
            mdev_names.parse_attribute(attribute)
        except ValueError as error:
            return planning.Decision(
                planning.NOTHING,
                (
                    refusal.because(
                        mdev_codes.MDEV_ATTRIBUTE,
                        uuid,
                        str(error),
                        mdev_codes.MDEV_ATTRIBUTE.mend,
                    ),
                ),
            )
    against = mdev_obstacles.to_create(facts, uuid, parent, type_id)
    if against:
        return planning.Decision(planning.NOTHING, against)
    return planning.Decision(
        plan.Plan(
            (
                plan.Change(
                    uuid,
                    plan.What.MDEV,
                    _NONE,
                    function_state.State(mdev=kind),
                    mdev_steps.create(uuid, kind, attributes, reason),
                ),
            )
        )
    )


def remove(
    facts: host_facts.HostFacts, uuid: str, kind: str, reason: str
) -> planning.Decision:
    """Take a device away; nothing to do where it is gone.

    :param kind: what it is known as: ``PARENT/TYPE``
    :param reason: why, in one sentence
    """
    if uuid not in facts.mdevs.devices:
        return planning.Decision(planning.NOTHING)
    against = mdev_obstacles.to_remove(facts, uuid, kind)
    if against:
        return planning.Decision(planning.NOTHING, against)
    return planning.Decision(
        plan.Plan(
            (
                plan.Change(
                    uuid,
                    plan.What.MDEV,
                    function_state.State(mdev=kind),
                    _NONE,
                    mdev_steps.remove(uuid, kind, reason),
                ),
            )
        )
    )
