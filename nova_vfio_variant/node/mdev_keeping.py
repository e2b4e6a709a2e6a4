# SPDX-License-Identifier: Apache-2.0
"""Mediated devices of ours that mdevctl makes again at boot."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.guest import mdev_definition
from nova_vfio_variant.host.act import mdevctl
from nova_vfio_variant.pci import mdev_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import planning
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.tracker import mdevs as tracked
    from nova_vfio_variant.tracker import store as tracker_store


def expect(tree: host_tree.HostTree) -> None:
    """Raise why mdevctl keeps nothing on this host.

    :raises HostError: it isn't there, or nobody starts it at boot
    """
    against = mdevctl.why_not(tree)
    if against is not None:
        why, mend = against
        raise exception.HostError(
            f"mdevctl makes nothing at boot: {why}", mend
        )


def defined(decision: planning.Decision) -> planning.Decision:
    """With a note that what is made is defined too."""
    return dataclasses.replace(
        decision,
        notes=(
            *decision.notes,
            *(
                f"mdevctl defines {change.subject} then, to make it at boot"
                for change in decision.plan.changes
            ),
        ),
    )


def forgotten(
    tree: host_tree.HostTree,
    ours: tracked.OurMdev,
    decision: planning.Decision,
) -> planning.Decision:
    """With a note if mdevctl's definition goes too."""
    if not _is_kept(tree, ours):
        return decision
    note = f"mdevctl's definition of {ours.uuid} goes too"
    return dataclasses.replace(decision, notes=(*decision.notes, note))


def define(tree: host_tree.HostTree, ours: tracked.OurMdev) -> None:
    """Have mdevctl make a device again at boot; nothing to do where it does.

    :raises HostError: it doesn't
    """
    if not _is_kept(tree, ours):
        mdevctl.define(tree, ours.uuid, _parent(ours), _text(ours))


def forget(
    tree: host_tree.HostTree,
    store: tracker_store.Store,
    ours: tracked.OurMdev,
) -> None:
    """Take the row of a device away that is gone, and mdevctl's definition.

    A definition that says something else is another's, and stays. The row
    goes last: whoever is killed in between leaves one that says what is ours.

    :raises HostError: mdevctl can't be told
    """
    if _is_kept(tree, ours):
        mdevctl.undefine(tree, ours.uuid, _parent(ours))
    store.mdevs.remove(ours.uuid, ours.assignment)


def _is_kept(tree: host_tree.HostTree, ours: tracked.OurMdev) -> bool:
    return mdevctl.says(tree, ours.uuid, _parent(ours), _text(ours))


def _parent(ours: tracked.OurMdev) -> str:
    return mdev_names.parse_kind(ours.kind)[0]


def _text(ours: tracked.OurMdev) -> str:
    parent, type_id = mdev_names.parse_kind(ours.kind)
    return mdev_definition.mdevctl(
        mdev_definition.Definition(
            ours.uuid,
            parent,
            None,
            type_id,
            tuple(map(mdev_names.parse_attribute, ours.attributes)),
        )
    )
