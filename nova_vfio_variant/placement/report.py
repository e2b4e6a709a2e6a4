# SPDX-License-Identifier: Apache-2.0
"""Make Placement equal to what is desired.

Observe, decide, act: :mod:`~nova_vfio_variant.placement.observe` lists and
reads, :mod:`~nova_vfio_variant.placement.refusal` and
:mod:`~nova_vfio_variant.placement.updates` decide, and what follows from it is
written here, of each provider the traits before the inventories.
"""

from __future__ import annotations

import dataclasses
import typing as ty
import uuid

from nova_vfio_variant import exception, finding
from nova_vfio_variant.placement import (
    diff,
    memory,
    observe,
    provider,
    refusal,
    retry,
    tree,
    undo,
    updates,
)
from nova_vfio_variant.tracker import share

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.placement import client as placement_client


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a report did, or would do.

    :param changes: field by field, in order of providers
    :param warnings: what stays above what is desired, and why
    :param finished: instances whose claims a crash had left half way
    :param findings: what is wrong with the devices that are published
    :param withheld: the devices that are published and not offered
    :param unpublished: why nothing is; None where it is
    """

    changes: tuple[diff.Difference, ...]
    warnings: tuple[str, ...]
    finished: tuple[str, ...] = ()
    findings: tuple[finding.Finding, ...] = ()
    withheld: tuple[pci_address.PciAddress, ...] = ()
    unpublished: str | None = None


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
) -> tuple[diff.Difference, ...]:
    """What a report changes where there is no Placement yet."""
    return diff.difference({}, desired)


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
        names = {rp.name for rp in ask.desired}
        superfluous = observe.managed(client, seen, names, known)
        return result(
            observe.differing(client, seen, ask.desired, superfluous, known)
        )

    return retry.retrying()(once)


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


def given_up(
    error: exception.PlacementError, left: ty.Sequence[str]
) -> exception.PlacementError:
    """The same error, as the end of all attempts.

    :param left: names of providers that couldn't be put back
    """
    message = error.message
    if isinstance(error, exception.PlacementConflict):
        message = (
            f"others changed the same providers {retry.ATTEMPTS} times "
            f"while we wrote: {message}"
        )
    if left:
        message += (
            f"; what was written to {', '.join(left)} could not be put back"
        )
    return type(error)(message, error.hint)


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
        self._written: list[updates.ProviderUpdate] = []

    def run(self, dry_run: bool) -> Result:
        try:
            return retry.retrying()(self._attempt, dry_run)
        except exception.PlacementError as error:
            raise given_up(error, self._writer.back()) from error

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
        if only is None:
            refusal.incomplete(ask.whole)
        wanted = [
            one for one in ask.desired if only is None or one.name in only
        ]
        if not ask.embedded:
            refusal.children_of_another(
                [one.name for one in wanted],
                seen,
                self._known,
                self._client.where,
            )
        going = self._going(seen) if only is None else set()
        if other_layout:
            refusal.another_layout(
                ask.layout, self._in_use(seen.children[name] for name in going)
            )
        if seen.strays:
            refusal.another_root(
                ask.root_name, seen.strays, self._in_use(seen.strays.values())
            )
        found = observe.differing(
            self._client, seen, wanted, going, self._known
        )
        refusal.owned(found)
        if dry_run:
            return result(found)
        self._act(seen, found)
        if only is None:
            for name in updates.forgotten(
                seen,
                ask.root_name,
                (one.name for one in ask.desired),
                self._known,
            ):
                self._known.forget(name)
        same = [one for one in found if not one.changes]
        return result([*self._written, *same])

    def _going(self, seen: updates.Seen) -> set[str]:
        """Names of providers below the root that nobody desires any more."""
        names = {one.name for one in self._ask.desired}
        if self._ask.embedded:
            return observe.managed(self._client, seen, names, self._known)
        return updates.superfluous(seen, names, self._known)

    def _refuse_root(self, seen: updates.Seen) -> None:
        """Nothing is written below a root of somebody else."""
        root, name = seen.root, self._ask.root_name
        ours = self._known.get(name)
        if not self._ask.embedded:
            refusal.root_of_another(name, root, ours, self._client.where)
        if root is None:
            return
        read = ours is not None and (ours.uuid, ours.generation) == (
            root.uuid,
            root.generation,
        )
        if not read:
            _, traits = self._client.traits(root.uuid)
            refusal.owned_root(name, traits)

    def _in_use(self, listed: ty.Iterable[provider.Listed]) -> bool:
        """Whether there are claims, or somebody has something of these."""
        return self._ask.has_claims or any(
            any(self._client.usages(one.uuid).values()) for one in listed
        )

    def _act(
        self, seen: updates.Seen, found: list[updates.ProviderUpdate]
    ) -> None:
        """Write what differs, and remember what was read."""
        ask = self._ask
        if any(one.changes for one in found):
            self._writer.words(*updates.words(found))
        ours = self._known.get(ask.root_name)
        if seen.root is None:
            root_uuid = ours.uuid if ours else str(uuid.uuid4())
            generation = self._writer.create(root_uuid, ask.root_name, None)
        else:
            root_uuid, generation = seen.root.uuid, seen.root.generation
        for one in updates.in_order(found):
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

    def _write(
        self, update: updates.ProviderUpdate, root_uuid: str | None
    ) -> None:
        """Make one provider what it shall be."""
        published, desired = update.published, update.desired
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
        elif update.goes:
            self._writer.delete(published, root_uuid)
            return
        generation = published.generation
        if set(update.traits) != set(published.traits):
            generation = self._writer.traits(
                published, root_uuid, generation, update.traits
            )
        if update.settled.inventories != published.inventories:
            generation = self._writer.inventories(
                published, root_uuid, generation, update.settled
            )
        else:
            self._known.put_shares(
                published.name,
                share.of(update.settled.ours),
            )
        self._known.put(
            published.name,
            published.uuid,
            generation,
            memory.fingerprint(desired) if desired and update.done else None,
        )


def result(found: ty.Iterable[updates.ProviderUpdate]) -> Result:
    """What these updates do, in order of providers."""
    inorder = sorted(found, key=lambda one: one.name)
    return Result(
        tuple(change for update in inorder for change in update.changes),
        tuple(
            dict.fromkeys(
                kept for update in inorder for kept in update.settled.kept
            )
        ),
    )
