# SPDX-License-Identifier: Apache-2.0
"""Bringing what is ours on a host back to what it should be.

What is wrong is decided by :mod:`~nova_vfio_variant.node.astray`, and done
here, one thing after the other, in an order that lets a crash between any two
steps be the next run's ordinary case: our record of a vGPU goes last.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.decide import (
    host_spec,
    judgement,
    plan,
    planning,
    refusal,
)
from nova_vfio_variant.host.observe import domains, running, scanner
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.node import (
    adopting,
    astray,
    astray_adopted,
    astray_allocations,
    astray_claims,
    astray_mdevs,
    both_sides,
    ending_vgpus,
    finishing,
    giving_back,
    liveness,
    mdevs,
    missing_vgpus,
    novas,
    pausing,
    placement_side,
    preparation,
    records,
    syncing,
    vgpu_catalogue,
    vgpu_claims,
    vgpu_declared,
)
from nova_vfio_variant.tracker import vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)


class State(enum.StrEnum):
    """What became of a decision."""

    PLANNED = "planned"
    DONE = "done"
    LEFT = "left"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """A decision, and what became of it.

    :param why: the decision's reason, or why nothing came of it
    """

    decision: astray.Decision
    state: State
    why: str


#: All that is looked for, in the order in which it is done: what is freed may
#: be what something else needs.
LOOKED_FOR: ty.Final[
    tuple[ty.Callable[[astray.Facts], ty.Iterator[astray.Decision]], ...]
] = (
    astray.unsettled,
    astray.stopped,
    astray_claims.unfinished,
    astray_claims.of_gone,
    astray_adopted.of_gone,
    astray.on_demand,
    astray_mdevs.on_demand,
    astray.declared,
    astray.lost,
    astray_mdevs.lost,
    astray_claims.not_there,
    astray_claims.unclaimed,
    astray_claims.in_two,
    astray_claims.to_scrub,
    astray_allocations.without_the_other,
)


def decide(facts: astray.Facts) -> tuple[astray.Decision, ...]:
    """All that is wrong."""
    return tuple(_each(facts))


def _each(facts: astray.Facts) -> ty.Iterator[astray.Decision]:
    """The same, each looked for when it is asked for."""
    return (decision for look in LOOKED_FOR for decision in look(facts))


class Reconciling:
    """Looks for what is wrong on a node, and puts it right.

    :param on: the node
    :param observer: is told of each step as it is done
    """

    def __init__(
        self,
        on: node_context.Context,
        observer: host_observer.Observer | None = None,
    ) -> None:
        self._context = on
        self._prepared = preparation.Preparation(on, observer)
        self._mdevs = mdevs.Mdevs(on, observer)

    def plan(
        self, listed: ty.Collection[str] | None = None
    ) -> tuple[Outcome, ...]:
        """What :meth:`run` would do now. Nothing is written.

        :param listed: the instances that live; None if nobody says
        :raises HostError: the host can't be seen
        :raises StoreError: the store can't be read
        """
        return tuple(
            Outcome(
                decision,
                State.LEFT
                if decision.action is astray.Action.LEAVE
                else State.PLANNED,
                decision.why,
            )
            for decision in self._now(listed)
        )

    def run(
        self, listed: ty.Collection[str] | None = None
    ) -> tuple[Outcome, ...]:
        """Do it. What fails is told, and the rest is done all the same.

        :param listed: the instances that live; None if nobody says
        :raises HostError: the host can't be seen
        :raises LockTimeout: another command writes
        :raises StoreError: the store can't be read or written
        """
        syncing.upgrade(self._context)
        found = self._now(listed)
        ended = self._recovered(found)
        if ended:
            found = tuple(
                decision
                for decision in self._now(listed)
                if decision.action is not astray.Action.RECOVER
            )
        is_set = astray.Action.SET
        of_claims = []
        for decision in found:
            if decision.action is not is_set:
                ended.append(self._attempted(decision, listed))
            elif (decision.vgpu or decision.mdev) is not None:
                of_claims.append(decision)
        ended += self._set_again(found)
        # A card's mode, which may be declared, is set by now.
        ended += (self._attempted(decision, listed) for decision in of_claims)
        return tuple(ended)

    def _now(
        self, listed: ty.Collection[str] | None
    ) -> tuple[astray.Decision, ...]:
        with self._context.open_store(read_only=True) as store:
            facts = self._facts(store, listed)
            facts = dataclasses.replace(facts, declared=self._declared(store))
            return decide(facts)

    def _recovered(self, found: ty.Iterable[astray.Decision]) -> list[Outcome]:
        """Bring to an end what a crash left in the middle.

        Before all else: what is astray then is decided on what it left.
        """
        unsettled = [
            decision
            for decision in found
            if decision.action is astray.Action.RECOVER
        ]
        if not unsettled:
            return []
        result = self._prepared.recover()
        left = {
            judged.change.subject: judged.reason
            for judged in result.recovered
            if judged.verdict is judgement.Verdict.LEAVE
        }
        failed = [*result.failed]
        if result.ended_by is not None:
            failed.append(result.ended_by.message)
        return [
            Outcome(decision, State.FAILED, "; ".join(failed))
            if failed
            else Outcome(decision, State.LEFT, left[decision.subject])
            if decision.subject in left
            else Outcome(decision, State.DONE, decision.why)
            for decision in unsettled
        ]

    def _facts(
        self,
        store: tracker_store.Store,
        listed: ty.Collection[str] | None,
    ) -> astray.Facts:
        """All but what is declared, on the host as it is now."""
        tree = self._context.tree
        scan = scanner.scan(tree)
        return astray.Facts(
            store.vgpus.all(),
            dataclasses.replace(
                host_facts.gather(scan),
                records=vgpu_declared.known(
                    records.read(
                        store, store.devices(), scan, self._context.state
                    ),
                    store,
                    scan,
                    vgpu_catalogue.remembered(store, scan),
                ),
            ),
            liveness.Liveness.of(tree, listed).ask,
            dt.datetime.now(dt.UTC),
            running.seconds(tree),
            mdevs=tuple(store.mdevs.all().values()),
            half_made=records.half_made(scan, self._context.state),
            novas=novas.mdevs(self._context),
            nova_gives=novas.has_guests(self._context),
            claims=tuple(store.claim_records.all().values()),
            guests=tuple(domains.every(tree)),
            allocated=adopting.whether_allocated(self._context, store),
            sides=both_sides.compared(self._context, store),
            stopped=pausing.left_stopped(store, tree),
        )

    def _declared(self, store: tracker_store.Store) -> planning.Decision:
        """What sets again what is declared and gone."""
        try:
            specs = self._specs
            if not specs and not any(
                vgpu.origin is vgpus.Origin.DECLARED
                for vgpu in store.vgpus.all()
            ):
                return planning.Decision(planning.NOTHING)
            return self._prepared.plan_by(
                lambda now: missing_vgpus.decision(specs, now)
            )
        except exception.ConfigError as error:
            return planning.Decision(planning.NOTHING, findings=error.findings)

    @functools.cached_property
    def _specs(self) -> tuple[host_spec.HostSpec, ...]:
        return missing_vgpus.of_vgpus(self._prepared.specs)

    def _set_again(
        self, found: ty.Iterable[astray.Decision]
    ) -> ty.Iterator[Outcome]:
        """Set what is declared and gone."""
        missing = [
            decision
            for decision in found
            if decision.action is astray.Action.SET
            and (decision.vgpu or decision.mdev) is None
        ]
        if not missing:
            return
        specs = self._specs
        told = _Told()
        result = preparation.Preparation(self._context, told).apply_by(
            lambda now: missing_vgpus.alone(missing_vgpus.decision(specs, now))
        )
        whys = [*result.failed, *map(refusal.line, result.refusals)]
        if result.ended_by is not None:
            whys.append(result.ended_by.message)
        for decision in missing:
            if decision.subject in told.done:
                yield Outcome(decision, State.DONE, decision.why)
            elif whys:
                yield Outcome(decision, State.FAILED, "; ".join(whys))
            else:
                yield Outcome(
                    decision,
                    State.LEFT,
                    "it is not as it was when this was decided",
                )

    def _attempted(
        self,
        decision: astray.Decision,
        listed: ty.Collection[str] | None,
    ) -> Outcome:
        """Do what was decided, if it is to be done still."""
        if decision.action is astray.Action.LEAVE:
            return Outcome(decision, State.LEFT, decision.why)
        try:
            why = self._ended(decision, listed)
        except (
            exception.HostRefused,
            exception.ClaimError,
        ) as error:
            return Outcome(decision, State.LEFT, error.message)
        except exception.VfioVariantError as error:
            return Outcome(decision, State.FAILED, error.message)
        except BrokenPipeError:
            raise  # Nobody is there any more to be told.
        except OSError as error:
            return Outcome(decision, State.FAILED, str(error))
        if why is not None:
            return Outcome(decision, State.LEFT, why)
        _LOG.info("%s: %s: %s", decision.subject, decision.what, decision.why)
        return Outcome(decision, State.DONE, decision.why)

    def _ended(
        self,
        decision: astray.Decision,
        listed: ty.Collection[str] | None,
    ) -> str | None:
        """Set a vGPU again, or take it away with what its instance had.

        :returns: why it is left; None if it is done
        """
        vgpu = decision.vgpu
        with syncing.locked(self._context) as store:
            if vgpu is not None and all(
                known.address != vgpu.address for known in store.vgpus.all()
            ):
                return None  # It went with another one of its instance's.
            mdev = decision.mdev
            if mdev is not None and mdev.uuid not in store.mdevs.all():
                return None  # It went with its instance's claim.
            facts = self._facts(store, listed)
            if all(decision.key != again.key for again in _each(facts)):
                return "it is not as it was when this was decided"
            if mdev is not None:
                self._mdevs.end(store, decision)
            elif vgpu is None:
                _end_claim(self._context, store, decision)
            elif decision.action is astray.Action.SET:
                vgpu_claims.make_again(self._context, store, vgpu)
            else:
                ending_vgpus.end(
                    self._context, self._prepared, store, vgpu, decision.why
                )
        return None


class _Told(host_observer.Observer):
    """Remembers which changes are done."""

    def __init__(self) -> None:
        self.done: set[str] = set()

    def changed(self, change: plan.Change) -> None:
        """One is."""
        self.done.add(change.subject)


def _end_claim(
    context: node_context.Context,
    store: tracker_store.Store,
    decision: astray.Decision,
) -> None:
    """Finish a claim, give back what it has, or tell Placement of it."""
    if decision.what in astray_allocations.SETTLED:
        both_sides.settle(context, store, decision)
        return
    if decision.action is not astray.Action.FINISH:
        giving_back.give_back(context, store, decision.subject)
        return
    published = placement_side.PlacementSide(context).publication(store)
    finishing.allocate(context, store, published, decision.subject)
