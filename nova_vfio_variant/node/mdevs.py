# SPDX-License-Identifier: Apache-2.0
"""Mediated devices of a node: shown, made and taken away.

The row of a device is written before the host is touched, and goes after it:
whatever dies in between leaves a row that says what is ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import converge, recover
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.decide import (
    mdev_changes,
    mdev_codes,
    mdev_obstacles,
    plan,
    planning,
    refusal,
)
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.node import (
    astray,
    mdev_allocations,
    mdev_keeping,
    mdev_wishes,
    novas,
    preparation,
    vgpu_health,
)
from nova_vfio_variant.node import context as node_context
from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.tracker import lock as state_lock
from nova_vfio_variant.tracker import mdevs as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

_REASON: ty.Final = "it is asked for"
_UNDEFINED: ty.Final = "mdevctl doesn't keep it"
#: A parent that any instance was given whole makes no devices, for whomever.
NOBODY: ty.Final = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A device that is there, or that we made and isn't.

    :param device: as it is seen; None where it isn't there
    :param ours: its row; None for another tool's
    :param holders: who has it open, or may have, each in half a sentence
    """

    uuid: str
    device: mdev.Mdev | None
    ours: tracked.OurMdev | None
    holders: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """``ours``, or ``other`` for another tool's."""
        return "other" if self.ours is None else "ours"


class Mdevs:
    """The mediated devices of a node.

    :param on: the node
    :param observer: is told of what is done as it goes
    """

    def __init__(
        self,
        on: node_context.Context,
        observer: host_observer.Observer | None = None,
    ) -> None:
        self._context = on
        self._prepared = preparation.Preparation(on, observer)

    def all(self) -> tuple[Shown, ...]:
        """What is there, and what of ours isn't, by UUID.

        :raises HostError: the host can't be seen
        :raises StoreError: the store can't be read
        """
        facts = self._context.verdicts.facts
        ours = self._ours()
        return tuple(
            Shown(
                uuid,
                facts.mdevs.devices.get(uuid),
                ours.get(uuid),
                tuple(used.what for used in facts.mdev_uses.get(uuid, ())),
            )
            for uuid in sorted({*facts.mdevs.devices, *ours})
        )

    def plan_create(self, wish: mdev_wishes.Wish) -> planning.Decision:
        """What :meth:`create` would do now. Nothing is written.

        :raises HostRefused: it can't be done
        """
        facts = self._context.verdicts.known
        made, candidates = mdev_wishes.wanted(
            wish, facts, self._ours(), novas.mdevs(self._context)
        )
        decision = mdev_changes.create(
            facts,
            made.uuid,
            mdev_names.kind(candidates[0].name, made.kind),
            made.attributes,
            _REASON,
        )
        mdev_wishes.expect(decision.refusals)
        return decision

    def create(
        self, wish: mdev_wishes.Wish, *, define: bool = False
    ) -> tracked.OurMdev:
        """Make a device; where a parent turns out full, of the next one.

        :param define: have mdevctl make it at boot too, or make none
        :raises HostRefused: something speaks against it, or all are full
        :raises HostError: the host can't be written, or it failed
        :raises LockTimeout: another command writes
        """
        with self._acting() as (actor, store):
            recover.recover(actor)
            if define:
                mdev_keeping.expect(actor.tree)
            made = self.make(actor, store, wish)
            if define:
                try:
                    mdev_keeping.define(actor.tree, made)
                except exception.HostError:
                    self.take_away(actor, store, made, _UNDEFINED)
                    raise
            mdev_allocations.settle(self._context, store, made.instance_uuid)
            return made

    def make(
        self,
        actor: host_actor.Actor,
        store: tracker_store.Store,
        wish: mdev_wishes.Wish,
    ) -> tracked.OurMdev:
        """Make a device; where a parent turns out full, of the next one.

        A row that it had before stays where it can't be made.

        :param actor: who has recovered
        :raises HostRefused: something speaks against it, or all are full
        :raises HostError: it failed
        """
        full: exception.HostError | None = None
        tried: set[str] = set()
        while True:
            facts = actor.look()
            ours = store.mdevs.all()
            wanted, candidates = mdev_wishes.wanted(
                wish, facts, ours, novas.mdevs(self._context)
            )
            left = [
                parent for parent in candidates if parent.name not in tried
            ]
            if not left:
                assert full is not None
                raise full
            tried.add(left[0].name)
            made = mdev_wishes.of_parent(wanted, facts, left[0])
            before = ours.get(made.uuid)
            store.mdevs.put(made)
            try:
                converge.wholly(
                    actor,
                    plan.Command.MDEV,
                    _Making(actor.tree, made, _REASON),
                )
            except exception.HostStepHung:
                # It may come about yet: its row says whose it is.
                raise
            except exception.HostRefused as error:
                # It filled up, or went, since it was looked at. What speaks
                # against any parent does so in the next turn, too.
                _put_back(store, made, before)
                full = error
                continue
            except exception.HostStepFailed as error:
                if mdev.now(actor.tree, made.uuid) != made.kind:
                    _put_back(store, made, before)
                full = _is_full(actor, left[0], wanted.kind, error)
                continue
            _LOG.info("mdev %s: made as %s", made.uuid, made.kind)
            return made

    def plan_delete(self, uuid: str) -> planning.Decision:
        """What :meth:`delete` would do now. Nothing is written.

        :raises HostRefused: it can't be done
        """
        facts = self._context.verdicts.facts
        ours = _ours_or_refuse(
            facts, self._ours(), mdev_wishes.parsed(uuid), None
        )
        decision = mdev_changes.remove(facts, ours.uuid, ours.kind, _REASON)
        mdev_wishes.expect(decision.refusals)
        return mdev_keeping.forgotten(self._context.tree, ours, decision)

    def delete(self, uuid: str, assignment: str | None = None) -> None:
        """Take a device away that we made.

        :param assignment: of the owner whose it is to be still; None for
            whoever has it
        :raises HostRefused: it isn't ours, or is open
        :raises HostError: the host can't be written, or it failed
        :raises LockTimeout: another command writes
        """
        with self._acting() as (actor, store):
            recover.recover(actor)
            ours = _ours_or_refuse(
                actor.look(),
                store.mdevs.all(),
                mdev_wishes.parsed(uuid),
                assignment,
            )
            self.take_away(actor, store, ours, _REASON)
            mdev_allocations.settle(self._context, store, ours.instance_uuid)

    @staticmethod
    def take_away(
        actor: host_actor.Actor,
        store: tracker_store.Store,
        ours: tracked.OurMdev,
        reason: str,
    ) -> None:
        """Take one of ours away, and its row after it.

        Its row says so before, so that who is killed in between leaves
        nothing that is made again.

        :param actor: who has recovered
        :raises HostRefused: it is open, or another one by now
        :raises HostStepFailed: it failed
        """
        goes = dataclasses.replace(ours, assignment="")
        store.mdevs.put(goes)
        try:
            converge.wholly(
                actor,
                plan.Command.MDEV,
                lambda now: mdev_changes.remove(
                    now, ours.uuid, ours.kind, reason
                ),
            )
        except exception.HostStepHung:
            # It goes when whoever has it lets go.
            raise
        except (exception.HostRefused, exception.HostStepFailed):
            store.mdevs.put(ours)
            raise
        mdev_keeping.forget(actor.tree, store, goes)
        _LOG.info("mdev %s: removed", ours.uuid)

    def end(
        self, store: tracker_store.Store, decision: astray.Decision
    ) -> None:
        """Do what was decided about one of ours; the state's lock is held.

        :raises HostRefused: something is in the way by now
        :raises HostError: it failed
        """
        ours = decision.mdev
        assert ours is not None
        if decision.action is not astray.Action.SET:
            vgpu_health.suspect(store, ours)
        with self._prepared.acting_on(store, NOBODY) as actor:
            recover.recover(actor)
            if decision.action is astray.Action.SET:
                making = _Making(actor.tree, ours, decision.why)
                converge.wholly(actor, plan.Command.MDEV, making)
            elif decision.action is astray.Action.FREE:
                self.take_away(actor, store, ours, decision.why)
            else:
                mdev_keeping.forget(actor.tree, store, ours)
        mdev_allocations.settle(self._context, store, ours.instance_uuid)

    def _ours(self) -> dict[str, tracked.OurMdev]:
        if not self._context.has_state:
            return {}
        with self._context.open_store(read_only=True) as store:
            return store.mdevs.all()

    @contextlib.contextmanager
    def _acting(
        self,
    ) -> ty.Iterator[tuple[host_actor.Actor, tracker_store.Store]]:
        with (
            state_lock.state_lock(
                self._context.state, node_context.LOCK_TIMEOUT
            ),
            self._context.open_store(read_only=False) as store,
            self._prepared.acting_on(store, NOBODY) as actor,
        ):
            yield actor, store


def _put_back(
    store: tracker_store.Store,
    made: tracked.OurMdev,
    before: tracked.OurMdev | None,
) -> None:
    """Have the row of what could not be made as it was before, if it was."""
    if before is None:
        store.mdevs.remove(made.uuid, made.assignment)
    else:
        store.mdevs.put(before)


def _is_full(
    actor: host_actor.Actor,
    parent: mdev.Parent,
    type_id: str,
    error: exception.HostStepFailed,
) -> exception.HostStepFailed:
    """The error, if what it says is that a parent has no room.

    Drivers say so in several ways (ENOSPC, EUSERS, EAGAIN, EINVAL): what the
    parent offers now is asked.

    :raises HostStepFailed: it says something else
    """
    now = actor.look().mdevs.parents.get(parent.name)
    offered = None if now is None else now.type_of(type_id)
    if offered is None or offered.available == 0:
        return error
    raise error


class _Making:
    """Decides what makes a device, until it is there.

    :param reason: why, in one sentence
    """

    def __init__(
        self, tree: host_tree.HostTree, ours: tracked.OurMdev, reason: str
    ) -> None:
        self._tree, self._ours, self._reason = tree, ours, reason

    def __call__(self, now: host_facts.HostFacts) -> planning.Decision:
        """On the host as it is now."""
        ours = self._ours
        if mdev.now(self._tree, ours.uuid) == ours.kind:
            return planning.Decision(planning.NOTHING)
        return mdev_changes.create(
            now, ours.uuid, ours.kind, ours.attributes, self._reason
        )


def _ours_or_refuse(
    facts: host_facts.HostFacts,
    ours: ty.Mapping[str, tracked.OurMdev],
    uuid: str,
    assignment: str | None,
) -> tracked.OurMdev:
    """The row of a device that is ours.

    :raises HostRefused: it isn't
    """
    known = ours.get(uuid)
    if known is None:
        if uuid not in facts.mdevs.devices:
            mdev_wishes.expect((mdev_obstacles.gone(uuid),))
        why = "another tool made it"
    elif not known.goes and assignment not in (None, known.assignment):
        why = "it was made for another assignment by now"
    else:
        return known
    raise refusal.error(
        (
            refusal.because(
                mdev_codes.MDEV_NOT_OURS,
                uuid,
                why,
                mdev_codes.MDEV_NOT_OURS.mend,
            ),
        )
    )
