# SPDX-License-Identifier: Apache-2.0
"""Mediated devices of a node, as other tools define them."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.declaration import nova_mdevs
from nova_vfio_variant.guest import libvirt, mdev_definition
from nova_vfio_variant.host.decide import (
    mdev_changes,
    mdev_obstacles,
    refusal,
)
from nova_vfio_variant.node import mdev_wishes, novas
from nova_vfio_variant.pci import mdev_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import mdevs as tracked

#: What each tool takes.
TOOLS: ty.Final[dict[str, ty.Callable[[mdev_definition.Definition], str]]] = {
    "libvirt": lambda of: libvirt.to_text(mdev_definition.node_device(of)),
    "mdevctl": mdev_definition.mdevctl,
}


class Definitions:
    """Says what a device is, or would be.

    :param on: the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def known(self, uuid: str) -> mdev_definition.Definition:
        """A device that is there, or that we made and is missing.

        Attributes are told of ours alone: no driver shows all that it was
        told.

        :raises HostRefused: there is none, or nobody offers its type now
        """
        uuid = mdev_wishes.parsed(uuid)
        there = self._context.verdicts.facts.mdevs.devices.get(uuid)
        ours = self._ours().get(uuid)
        if ours is not None:
            parent, type_id = mdev_names.parse_kind(ours.kind)
        elif there is not None and there.type_id is not None:
            parent, type_id = there.parent, there.type_id
        else:
            raise refusal.error((mdev_obstacles.gone(uuid),))
        attributes = () if ours is None else ours.attributes
        return self._definition(uuid, parent, type_id, attributes)

    def planned(self, wish: mdev_wishes.Wish) -> mdev_definition.Definition:
        """A device that another tool is to make, of a parent that has room.

        :raises HostRefused: it can't be made
        """
        facts = self._context.verdicts.facts
        made, candidates = mdev_wishes.wanted(
            wish, facts, self._ours(), novas.mdevs(self._context)
        )
        parent = candidates[0].name
        decision = mdev_changes.create(
            facts,
            made.uuid,
            mdev_names.kind(parent, made.kind),
            made.attributes,
            "",
        )
        mdev_wishes.expect(decision.refusals)
        return self._definition(made.uuid, parent, made.kind, made.attributes)

    def _definition(
        self, uuid: str, name: str, type_id: str, attributes: tuple[str, ...]
    ) -> mdev_definition.Definition:
        facts = self._context.verdicts.facts
        parent = facts.mdevs.parents.get(name)
        if parent is None:
            raise refusal.error((mdev_obstacles.no_parent(facts, uuid, name),))
        return mdev_definition.Definition(
            uuid,
            name,
            nova_mdevs.libvirt_name(parent),
            type_id,
            tuple(map(mdev_names.parse_attribute, attributes)),
        )

    def _ours(self) -> dict[str, tracked.OurMdev]:
        if not self._context.has_state:
            return {}
        with self._context.open_store(read_only=True) as store:
            return store.mdevs.all()
