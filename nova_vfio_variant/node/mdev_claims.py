# SPDX-License-Identifier: Apache-2.0
"""Mediated devices on demand: a claim makes them, and they go with it.

A mediated device that has an instance is that instance's claim on it: its row
is all that is recorded of it, and its parent isn't claimed itself. The rows
are written with the rest of the claim, before the host is touched, and go
after it.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import mdev_classes
from nova_vfio_variant.host.act import recover
from nova_vfio_variant.host.decide import mdev_choice, mdev_obstacles
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.node import (
    claiming,
    mdev_wishes,
    mdevs,
    novas,
    preparation,
)
from nova_vfio_variant.pci import filters, mdev_names
from nova_vfio_variant.pci import request as pci_request
from nova_vfio_variant.tracker import mdevs as tracked
from nova_vfio_variant.tracker import vgpu_reports

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts, vgpu_classes
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.pci import alias

_LOG = logging.getLogger(__name__)

#: How many of each type, by its id.
Asked = ty.Mapping[str, int]
Made = list[tracked.OurMdev]


@dataclasses.dataclass(frozen=True, slots=True)
class ByAlias:
    """Devices of one type that an alias asks for by their class.

    :param parents: names of those that have the class
    :param policy: the alias's NUMA policy
    """

    type_id: str
    count: int
    parents: frozenset[str]
    policy: str


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """How parents are chosen between.

    :param strategy: between those that are near enough
    :param numa_cells: host NUMA nodes of the guest, None if it has no NUMA
        topology
    :param sockets: for each NUMA node of the host its socket
    :param policy: how near they have to be, as Nova's aliases say it
    :param by_alias: of which parents, and how near, where an alias says it
    """

    strategy: mdev_choice.Strategy = mdev_choice.Strategy.COMPACT
    numa_cells: ty.Sequence[int] | None = None
    sockets: ty.Mapping[int, int | None] = dataclasses.field(
        default_factory=dict
    )
    policy: str = "legacy"
    by_alias: ty.Sequence[ByAlias] = ()

    def near(
        self, facts: host_facts.HostFacts, type_id: str
    ) -> tuple[str, ...]:
        """The parents of a type that may have it, near enough to the guest.

        A parent that is no PCI function is on no NUMA node.

        :raises NotEnoughDevices: none is
        """
        cells = self.numa_cells
        offering = facts.mdevs.with_type(type_id)
        policy = self.policy
        for alias in self.by_alias:
            if alias.type_id == type_id:
                policy = alias.policy
                offering = tuple(
                    parent
                    for parent in offering
                    if parent.name in alias.parents
                )
        allowed: set[int | None] = {*(cells or ())}
        if cells is None or policy == "preferred":
            return tuple(parent.name for parent in offering)
        if policy == "legacy":
            allowed.add(None)
        elif policy == "socket":
            place = filters.Place(cells, self.sockets)
            allowed = {*place.same_sockets()}
        found = tuple(
            parent.name
            for parent in offering
            if _numa_node(facts, parent) in allowed
        )
        if not found:
            raise exception.NotEnoughDevices(
                f"no parent of mediated devices of type {type_id} is near"
                f" NUMA nodes {', '.join(map(str, cells))} (policy"
                f" {policy})",
                "ask with --numa-policy preferred, or for another node",
            )
        return found


def _numa_node(facts: host_facts.HostFacts, parent: mdev.Parent) -> int | None:
    function = None
    if parent.address is not None:
        function = facts.scan.get(parent.address)
    return None if function is None else function.numa_node


def by_alias(
    given: facts.CheckInput, request: alias.PciRequest
) -> ByAlias | None:
    """The mediated devices that an alias asks for; None if it asks for none.

    :raises ConfigError: its class is that of several types
    """
    found = mdev_classes.asked_of(given, request.specs)
    if not found:
        return None
    kinds = sorted({*found.values()})
    if len(kinds) > 1:
        raise exception.ConfigError(
            f"alias {request.alias_name!r} asks for mediated devices of"
            f" several types: {', '.join(kinds)} have its class",
            "give each type an mdev_class of its own, or ask for one with"
            " --vgpu-type",
        )
    return ByAlias(
        kinds[0], request.count, frozenset(found), request.numa_policy
    )


def told_apart(
    words: ty.Iterable[str], of_vfs: vgpu_classes.Types, offered: mdev.Mdevs
) -> tuple[list[str], Asked]:
    """Which of some types are to be made of VFs, and which of parents.

    :param words: types by id or name, ``T`` or ``T:2``
    :param of_vfs: the types of each card whose VFs take some
    :returns: the words that no parent offers; and how many of each type of
        mediated devices
    :raises ConfigError: a name that is none of one type alone
    """
    left: list[str] = []
    asked: collections.Counter[str] = collections.Counter()
    names = {kind.name for kinds in of_vfs.values() for kind in kinds}
    for text in words:
        word, count = pci_request.counted(text)
        alike = sorted(
            {
                kind.id
                for parent in offered.parents.values()
                for kind in parent.types
                if word in (kind.id, kind.name)
            }
        )
        type_id = mdev_choice.resolve(offered, word)
        if type_id is None and not alike:
            if offered.parents and not of_vfs:
                against = mdev_obstacles.no_type(
                    [*offered.parents.values()], word, word
                )
                raise exception.ConfigError(against.message, against.hint)
            left.append(text)
            continue
        if type_id is None or (word in names and word != type_id):
            also = " and a type of VFs" if word in names else ""
            raise exception.ConfigError(
                f"{word!r} is the name of mediated devices of type"
                f" {', '.join(alike)}{also}",
                "give the type's id, as 'nova-vfio mdev types' shows it",
            )
        asked[type_id] += count
    return left, asked


class MdevClaims(claiming.Claiming):
    """Makes the mediated devices of claims, and takes them away."""

    @property
    def _prepared(self) -> preparation.Preparation:
        return preparation.Preparation(self._context)

    def chosen(
        self,
        asked: Asked,
        facts: host_facts.HostFacts,
        instance_uuid: str,
        choice: Choice,
    ) -> Made:
        """What is to be made for an instance. Nothing is written.

        Its parents are those that would be tried first: what they really
        take they alone know.

        :raises HostRefused: something speaks against it
        :raises NotEnoughDevices: no parent is near enough
        """
        made: dict[str, tracked.OurMdev] = {}
        theirs = novas.mdevs(self._context)
        for type_id, count in asked.items():
            wish = dataclasses.replace(
                self._wish(facts, type_id, choice), instance_uuid=instance_uuid
            )
            for _ in range(count):
                rows = {**self._store.mdevs.all(), **made}
                uuid = mdev_wishes.first_free(instance_uuid, rows)
                wanted, candidates = mdev_wishes.wanted(
                    dataclasses.replace(wish, uuid=uuid), facts, rows, theirs
                )
                made[wanted.uuid] = mdev_wishes.of_parent(
                    wanted, facts, candidates[0]
                )
        return list(made.values())

    def make(self, instance_uuid: str, choice: Choice | None) -> None:
        """Make an instance's devices that aren't there.

        :param choice: where a parent turns out full; None takes no other one
        :raises HostError: one could not be made
        """
        mine = self._store.mdevs.of(instance_uuid)
        if not mine:
            return
        with self._prepared.acting_on(self._store, mdevs.NOBODY) as actor:
            recover.recover(actor)
            for ours in mine:
                if mdev.now(actor.tree, ours.uuid) == ours.kind:
                    continue
                if ours.goes:
                    continue
                parent, type_id = mdev_names.parse_kind(ours.kind)
                wish = mdev_wishes.Wish(type_id, (parent,))
                if choice is not None:
                    wish = self._wish(actor.look(), type_id, choice)
                wish = dataclasses.replace(
                    wish,
                    uuid=ours.uuid,
                    instance_uuid=instance_uuid,
                    attributes=ours.attributes,
                    standing=parent,
                )
                mdevs.Mdevs(self._context).make(actor, self._store, wish)

    def _wish(
        self, facts: host_facts.HostFacts, type_id: str, choice: Choice
    ) -> mdev_wishes.Wish:
        """A wish for one of a type, of parents that may have it.

        :raises NotEnoughDevices: there are none
        """
        doubtful = vgpu_reports.doubtful(
            self._store.vgpu_reports.all(), facts.scan.get
        )
        near = choice.near(facts, type_id)
        unwell = {
            name: doubtful[address]
            for name in near
            if (address := facts.mdevs.parents[name].address) in doubtful
        }
        quarantined = vgpu_reports.Health.QUARANTINED
        offered = tuple(
            name for name in near if unwell.get(name) is not quarantined
        )
        if not offered:
            raise exception.NotEnoughDevices(
                f"guests failed on each parent of type {type_id}:"
                f" {', '.join(near)}",
                "'nova-vfio vgpu health' says more; 'nova-vfio vgpu clear'"
                " offers one again",
            )
        return mdev_wishes.Wish(
            type_id, offered, strategy=choice.strategy, last=tuple(unwell)
        )

    def unmake(self, instance_uuid: str) -> dict[str, str]:
        """Take an instance's devices away, each with its row.

        :returns: those that can't be, by UUID, and why not, in one sentence
        """
        mine = self._store.mdevs.of(instance_uuid)
        if not mine:
            return {}
        left = {}
        reason = f"instance {instance_uuid} is done with it"
        try:
            with self._prepared.acting_on(self._store, mdevs.NOBODY) as actor:
                recover.recover(actor)
                for ours in mine:
                    if actor.journal.is_unfinished(ours.uuid):
                        why = "what was begun with it has not ended"
                        left[ours.uuid] = f"mdev {ours.uuid}: {why}"
                        continue
                    try:
                        mdevs.Mdevs.take_away(actor, self._store, ours, reason)
                    except exception.HostError as error:
                        left[ours.uuid] = f"mdev {ours.uuid}: {error.message}"
        except exception.HostError as error:
            for ours in self._store.mdevs.of(instance_uuid):
                left.setdefault(ours.uuid, error.message)
        return left
