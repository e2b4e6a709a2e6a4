# SPDX-License-Identifier: Apache-2.0
"""Make Placement equal to what is desired.

Observe, decide, act: :mod:`~nova_vfio_variant.placement.observe` lists and
reads, :mod:`~nova_vfio_variant.placement.diff` decides, and what follows
from it is written here, in an order that offers nothing twice and nothing
that isn't described yet: first what goes, then what shrinks, then the rest;
of each provider the traits before the inventories.
"""

from __future__ import annotations

import dataclasses
import logging
import typing as ty
import uuid

from nova_vfio_variant import exception, finding
from nova_vfio_variant.placement import (
    diff,
    memory,
    observe,
    provider,
    tree,
    undo,
)
from nova_vfio_variant.tracker import share

if ty.TYPE_CHECKING:
    import tenacity

    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.placement import client as placement_client

_LOG = logging.getLogger(__name__)

#: How often a piece of work is begun when generations move under it.
ATTEMPTS = 5
#: Seconds between two attempts, at most.
_PAUSE = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a report did, or would do.

    :param changes: field by field, in order of providers
    :param warnings: what stays above what is desired, and why
    :param finished: instances whose claims a crash had left half way
    :param findings: what is wrong with the devices that are published
    :param withheld: the devices that are published and not offered
    """

    changes: tuple[diff.Change, ...]
    warnings: tuple[str, ...]
    finished: tuple[str, ...] = ()
    findings: tuple[finding.Finding, ...] = ()
    withheld: tuple[pci_address.PciAddress, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a report is about.

    :param root_name: name of the root provider
    :param desired: all providers below it
    :param layout: how they were made; remembered with the root
    :param embedded: the Placement is ours alone: all in it is adopted
    :param has_claims: the store has claims
    :param only: names of the providers to look at, None for all; with it
        nothing is removed
    :param whole: nothing is missing from ``desired``; without, a report of
        all is refused
    """

    root_name: str
    desired: ty.Sequence[provider.Provider]
    layout: tree.Layout = "nova"
    embedded: bool = False
    has_claims: bool = False
    only: ty.Collection[str] | None = None
    whole: bool = True


def additions(
    desired: ty.Iterable[provider.Provider],
) -> tuple[diff.Change, ...]:
    """What a report changes where there is no Placement yet."""
    return diff.difference({}, desired)


def _tell_retry(state: tenacity.RetryCallState) -> None:
    why = state.outcome.exception() if state.outcome is not None else None
    _LOG.info("attempt %d: %s; trying again", state.attempt_number, why)


def retrying() -> tenacity.Retrying:
    """Calls a function again while generations move, and nothing else."""
    import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(exception.PlacementConflict),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random(0, _PAUSE),
        before_sleep=_tell_retry,
        reraise=True,
    )


def compare(
    client: placement_client.PlacementClient,
    ask: ReportRequest,
    known: memory.ProviderMemory,
) -> Result:
    """What differs, whoever owns it. Writes nothing, refuses nothing.

    :raises PlacementError: see :class:`PlacementClient`
    """

    def once() -> Result:
        seen = observe.look(client, ask.root_name, known)
        names = {one.name for one in ask.desired}
        superfluous = observe.managed(client, seen, names, known)
        return _result(
            observe.steps(client, seen, ask.desired, superfluous, known)
        )

    return retrying()(once)


def report(
    client: placement_client.PlacementClient,
    ask: ReportRequest,
    known: memory.ProviderMemory,
    *,
    dry_run: bool = False,
) -> Result:
    """Make Placement equal to what is asked.

    When nothing changed it is two requests, however many providers:
    openstacksdk asks for Placement's versions, and one lists the tree. A
    provider whose generation moved costs two more. The caller holds the lock
    of the state path.

    When a generation moves under a write, all is read again and begun again,
    :data:`ATTEMPTS` times in all. After any other failure what was written
    is put back.

    :param dry_run: write nothing
    :raises InventoryRefused: the root or a provider isn't ours, or the
        layout changed while there are claims
    :raises PlacementConflict: generations moved again and again
    :raises PlacementError: see :class:`PlacementClient`
    """
    return _Report(client, ask, known).run(dry_run)


class _Report:
    """One report, through all its attempts."""

    def __init__(
        self,
        client: placement_client.PlacementClient,
        ask: ReportRequest,
        known: memory.ProviderMemory,
    ) -> None:
        self._client = client
        self._ask = ask
        self._known = known
        self._writer = undo.Writer(client, known)
        self._written: list[observe.Step] = []

    def run(self, dry_run: bool) -> Result:
        try:
            return retrying()(self._attempt, dry_run)
        except exception.PlacementError as error:
            message = error.message
            if isinstance(error, exception.PlacementConflict):
                message = (
                    f"others changed the same providers {ATTEMPTS} times "
                    f"while we wrote: {message}"
                )
            left = self._writer.back()
            if left:
                message += (
                    f"; what was written to {', '.join(left)} could not be "
                    "put back"
                )
            raise type(error)(message, error.hint) from error

    def _attempt(self, dry_run: bool) -> Result:
        """Look, refuse, decide and write, from a fresh list of the tree."""
        ask = self._ask
        seen = observe.look(self._client, ask.root_name, self._known)
        self._refuse_root(seen)
        ours = self._known.get(ask.root_name)
        other_layout = ours is not None and ours.fingerprint not in {
            None,
            ask.layout,
        }
        only = None if other_layout or seen.strays else ask.only
        if only is None and not ask.whole:
            raise exception.InventoryRefused(
                "the root provider or [vfio] provider_layout changed, and not"
                " all devices can be published as they are",
                "'inventory report' says what is wrong",
            )
        wanted = [
            one for one in ask.desired if only is None or one.name in only
        ]
        self._refuse_children(seen, wanted)
        superfluous = self._superfluous(seen) if only is None else set()
        if other_layout:
            self._refuse_layout(seen, superfluous)
        if seen.strays:
            self._refuse_moving(seen)
        steps = observe.steps(
            self._client, seen, wanted, superfluous, self._known
        )
        _refuse_owned(steps)
        if dry_run:
            return _result(steps)
        self._act(seen, steps)
        if only is None:
            self._forget(seen)
        same = [one for one in steps if not one.changes]
        return _result([*self._written, *same])

    def _superfluous(self, seen: observe.Seen) -> set[str]:
        """Names of providers of ours that nobody desires any more."""
        names = {one.name for one in self._ask.desired}
        if self._ask.embedded:
            return observe.managed(self._client, seen, names, self._known)
        return {
            name
            for name in seen.children
            if name not in names and observe.is_ours(seen, name, self._known)
        }

    def _refuse_root(self, seen: observe.Seen) -> None:
        """Nothing is written below a root of somebody else."""
        root, name = seen.root, self._ask.root_name
        if root is None:
            return
        ours = self._known.get(name)
        mine = ours is not None and ours.uuid == root.uuid
        if not mine and not self._ask.embedded:
            raise exception.InventoryRefused(
                f"provider {name} in {self._client.where} was not made by "
                "us, so nothing is published below it",
                "if it is Nova's, Nova publishes the devices itself, and "
                "'inventory diff' compares; else choose another "
                "[vfio] provider_root",
            )
        if ours is None or not mine or ours.generation != root.generation:
            _, traits = self._client.traits(root.uuid)
            _refuse_owner(
                name,
                traits,
                "'inventory diff' shows how what stands below it differs",
            )

    def _refuse_children(
        self, seen: observe.Seen, wanted: ty.Iterable[provider.Provider]
    ) -> None:
        """Nothing is written to a provider that somebody else made."""
        foreign = [
            one.name
            for one in wanted
            if one.name in seen.children
            and not observe.is_ours(seen, one.name, self._known)
        ]
        if foreign and not self._ask.embedded:
            raise exception.InventoryRefused(
                f"provider {', '.join(foreign)} in {self._client.where} was "
                "not made by us, and is left alone"
            )

    def _refuse_layout(
        self, seen: observe.Seen, superfluous: ty.Iterable[str]
    ) -> None:
        """Claims stand on the providers of the layout they were made in."""
        if self._ask.has_claims or any(
            amount
            for name in superfluous
            for amount in self._client.usages(
                seen.children[name].uuid
            ).values()
        ):
            raise exception.InventoryRefused(
                "[vfio] provider_layout can't be changed to "
                f"{self._ask.layout} while there are claims",
                "set it back, or delete the claims first",
            )

    def _refuse_moving(self, seen: observe.Seen) -> None:
        """Claims stand on the providers that they were made on."""
        if self._ask.has_claims or any(
            amount
            for one in seen.strays.values()
            for amount in self._client.usages(one.uuid).values()
        ):
            raise exception.InventoryRefused(
                f"providers of ours stand below another root than "
                f"{self._ask.root_name}, and there are claims:"
                f" {', '.join(sorted(seen.strays))}",
                "set [DEFAULT] host or [vfio] provider_root back, or delete "
                "the claims first",
            )

    def _act(self, seen: observe.Seen, steps: list[observe.Step]) -> None:
        """Write what differs, and remember what was read."""
        ask = self._ask
        differing = [one for one in steps if one.changes]
        if differing:
            self._writer.words(
                {
                    name
                    for one in differing
                    for name in one.settled.inventories
                },
                {
                    name
                    for one in differing
                    if one.desired
                    for name in one.desired.traits
                },
            )
        ours = self._known.get(ask.root_name)
        if seen.root is None:
            root_uuid = ours.uuid if ours else str(uuid.uuid4())
            generation = self._writer.create(root_uuid, ask.root_name, None)
        else:
            root_uuid, generation = seen.root.uuid, seen.root.generation
        for one in sorted(steps, key=_rank):
            stray = seen.strays.get(one.name)
            self._write(one, stray.parent_uuid if stray else root_uuid)
            if one.changes:
                self._written.append(one)
        now = (root_uuid, generation, ask.layout)
        ours = self._known.get(ask.root_name)
        if ours is None or now != (
            ours.uuid,
            ours.generation,
            ours.fingerprint,
        ):
            self._known.put(ask.root_name, *now)

    def _write(self, step: observe.Step, root_uuid: str | None) -> None:
        """Make one provider what it shall be."""
        published, desired = step.published, step.desired
        if published is None:
            assert desired is not None
            ours = self._known.get(desired.name)
            made = ours.uuid if ours else str(uuid.uuid4())
            published = provider.Published(
                made,
                desired.name,
                self._writer.create(made, desired.name, root_uuid),
                {},
                (),
            )
        elif not step.settled.inventories and desired is None:
            self._writer.delete(published, root_uuid)
            return
        generation = published.generation
        traits = diff.traits(desired, published)
        if set(traits) != set(published.traits):
            generation = self._writer.traits(
                published, root_uuid, generation, traits
            )
        if step.settled.inventories != published.inventories:
            generation = self._writer.inventories(
                published, root_uuid, generation, step.settled
            )
        else:
            self._known.put_shares(
                published.name,
                share.of(step.settled.ours),
            )
        # What is kept for its users is not yet what is desired: read again.
        done = desired is not None and not step.settled.kept
        self._known.put(
            published.name,
            published.uuid,
            generation,
            memory.fingerprint(desired) if desired and done else None,
        )

    def _forget(self, seen: observe.Seen) -> None:
        """Forget what is neither there nor desired: a crash came between."""
        stay = {
            self._ask.root_name,
            *seen.children,
            *(one.name for one in self._ask.desired),
        }
        for name in set(self._known.names()) - stay:
            self._known.forget(name)


def _refuse_owned(steps: ty.Iterable[observe.Step]) -> None:
    """A provider of ours that got an owner since is not ours any more."""
    for one in steps:
        if one.published is not None:
            _refuse_owner(
                one.name,
                one.published.traits,
                "if nobody else publishes it, take the trait away",
            )


def _refuse_owner(name: str, traits: ty.Iterable[str], hint: str) -> None:
    owners = [one for one in traits if one.startswith(diff.OWNER)]
    if owners:
        raise exception.InventoryRefused(
            f"provider {name} has an owner, {', '.join(owners)}, and is "
            "left alone",
            hint,
        )


def _rank(step: observe.Step) -> tuple[int, str]:
    """What goes, what shrinks, what changes otherwise, what is new.

    Of what goes a root, which has no inventory, goes last.
    """
    if step.desired is None:
        has_any = step.published and step.published.inventories
        return 0 if has_any else 1, step.name
    if step.published is None:
        return 4, step.name
    shrinks = any(
        record["total"]
        > step.settled.inventories.get(name, {"total": 0})["total"]
        for name, record in step.published.inventories.items()
    )
    return 2 if shrinks else 3, step.name


def _result(steps: ty.Iterable[observe.Step]) -> Result:
    inorder = sorted(steps, key=lambda one: one.name)
    return Result(
        tuple(change for one in inorder for change in one.changes),
        tuple(
            dict.fromkeys(kept for one in inorder for kept in one.settled.kept)
        ),
    )
