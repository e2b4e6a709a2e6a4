# SPDX-License-Identifier: Apache-2.0
"""The types of mediated devices that a node offers, as commands show them."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.decide import mdev_obstacles
from nova_vfio_variant.node import novas

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import mdev
    from nova_vfio_variant.node import context as node_context


@dataclasses.dataclass(frozen=True, slots=True)
class Offered:
    """A type of one parent.

    :param existing: how many of it the parent has, whoever made them
    :param why: why we make no other one now, in one sentence; None where
        nothing is known to speak against it
    """

    parent: mdev.Parent
    mdev_type: mdev.MdevType
    existing: int
    why: str | None = None

    @property
    def available(self) -> int | None:
        """How many more can be made now; None where the kernel doesn't say.

        All types of a parent share what it has, so that these don't add up.
        """
        return self.mdev_type.available if self.why is None else 0


def offered(on: node_context.Context) -> tuple[Offered, ...]:
    """What each parent of a node offers, by parent and type.

    :raises HostError: the host can't be seen
    """
    facts = on.verdicts.known
    theirs = novas.mdevs(on)
    found = []
    for parent in facts.mdevs.parents.values():
        of_all = theirs.against(parent)
        unwell = parent.address and facts.records.unwell.get(parent.address)
        if of_all is None and unwell:
            of_all = f"no guest gets it: {unwell}"
        there = facts.mdevs.of_parent(parent.name)
        for mdev_type in parent.types:
            against = mdev_obstacles.to_create(
                facts, parent.name, parent.name, mdev_type.id
            )
            found.append(
                Offered(
                    parent,
                    mdev_type,
                    sum(each.type_id == mdev_type.id for each in there),
                    of_all or (against[0].message if against else None),
                )
            )
    return tuple(found)
