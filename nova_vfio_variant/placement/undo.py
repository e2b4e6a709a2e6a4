# SPDX-License-Identifier: Apache-2.0
"""Writing to Placement so that it can be taken back.

A report is many requests, and any of them may fail. What was written until
then is put back as it was, for half a tree is what nobody asked for: not a
promise, for Placement may be gone altogether, but then it is said which
providers are left half done.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import diff, memory, provider
from nova_vfio_variant.tracker import share

if ty.TYPE_CHECKING:
    from nova_vfio_variant.placement import client as placement_client

#: With these Placement says that it did nothing.
_NOT_DONE = (
    exception.PlacementConflict,
    exception.PlacementRefused,
    exception.PlacementDenied,
)
Inventories = ty.Mapping[str, ty.Mapping[str, int | float]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Before:
    """How a provider was before we wrote to it first."""

    name: str
    parent_uuid: str | None
    published: provider.Published | None
    remembered: memory.Remembered | None


class Writer:
    """Writes to Placement and to the memory, and knows how it was before.

    :param client: writes
    :param known: where our providers are remembered
    """

    def __init__(
        self,
        client: placement_client.PlacementClient,
        known: memory.ProviderMemory,
    ) -> None:
        self._client = client
        self._known = known
        self._before: dict[str, _Before] = {}
        self._writes: collections.Counter[str] = collections.Counter()
        self._words: list[tuple[ty.Callable[[str], None], str]] = []

    def words(
        self, classes: ty.Collection[str], traits: ty.Collection[str]
    ) -> None:
        """Make the custom classes and traits that Placement lacks.

        :raises PlacementRefused: it lacks a standard one
        """
        for missing, create, delete, of in (
            (
                self._client.missing_classes(classes),
                self._client.create_class,
                self._client.delete_class,
                "resource class",
            ),
            (
                self._client.missing_traits(traits),
                self._client.create_trait,
                self._client.delete_trait,
                "trait",
            ),
        ):
            for name in missing:
                if not name.startswith("CUSTOM_"):
                    raise exception.PlacementRefused(
                        f"{self._client.where} doesn't know the {of} {name}",
                        "it is older than that name",
                    )
                self._words.append((delete, name))
                create(name)

    def create(
        self,
        uuid: str,
        name: str,
        parent_uuid: str | None,
    ) -> int:
        """Make a provider, remembered before it is made."""
        self._note(uuid, name, parent_uuid, None)
        self._known.put(name, uuid, None, None)
        with self._counted(uuid):
            return self._client.create(uuid, name, parent_uuid)

    def traits(
        self,
        published: provider.Published,
        parent_uuid: str | None,
        generation: int,
        traits: ty.Iterable[str],
    ) -> int:
        """Replace a provider's traits."""
        self._note(published.uuid, published.name, parent_uuid, published)
        with self._counted(published.uuid):
            return self._client.put_traits(published.uuid, generation, traits)

    def inventories(
        self,
        published: provider.Published,
        parent_uuid: str | None,
        generation: int,
        settled: diff.Settled,
    ) -> int:
        """Replace a provider's inventories."""
        self._note(published.uuid, published.name, parent_uuid, published)
        with self._counted(published.uuid):
            return self._put(
                dataclasses.replace(published, generation=generation),
                settled.inventories,
                settled.ours,
            )

    def _put(
        self,
        published: provider.Published,
        inventories: Inventories,
        ours: ty.Mapping[str, int],
    ) -> int:
        """Write inventories, and how much of what is reserved is ours.

        What is begun is remembered before and what is done after it, so that
        whoever comes after a crash in between can tell by what he reads.

        :param published: as it is
        :param ours: units of ours of what is reserved then, by class
        """
        name = published.name
        was = share.of(published.ours)
        self._known.put_shares(name, begun(published, inventories, ours))
        try:
            generation = self._client.put_inventories(
                published.uuid, published.generation, inventories
            )
        except _NOT_DONE:
            self._known.put_shares(name, was)
            raise
        self._known.put_shares(name, share.of(ours))
        return generation

    def delete(
        self, published: provider.Published, parent_uuid: str | None
    ) -> None:
        """Remove a provider, forgotten after it is gone."""
        self._note(published.uuid, published.name, parent_uuid, published)
        with self._counted(published.uuid):
            self._client.delete(published.uuid)
        self._known.forget(published.name)

    def back(self) -> list[str]:
        """Put all back; return the names of those that couldn't be."""
        left: list[str] = []
        for uuid, before in reversed(self._before.items()):
            try:
                if not self._restore(uuid, before):
                    left.append(before.name)
            except exception.PlacementUnreachable:
                # Each further one would wait for the same deadline.
                names = [was.name for was in self._before.values()]
                return names[: names.index(before.name) + 1] + left
            except exception.PlacementError:
                left.append(before.name)
        for delete, name in reversed(self._words):
            # One that somebody uses by now is theirs too.
            with contextlib.suppress(exception.PlacementError):
                delete(name)
        return left

    def _restore(self, uuid: str, before: _Before) -> bool:
        """Put one provider back, unless somebody else has changed it."""
        now = next(
            (
                listed
                for listed in self._client.tree(uuid)
                if listed.uuid == uuid
            ),
            None,
        )
        was = before.published
        if was is None:
            if now is not None:
                self._client.delete(uuid)
        else:
            if now is None:
                generation = self._client.create(
                    uuid, before.name, before.parent_uuid
                )
                now = provider.Listed(
                    uuid, before.name, generation, before.parent_uuid
                )
            elif is_anothers(was, now, self._writes[uuid]):
                return False
            is_now = self._client.read(now)
            if is_now.traits != was.traits:
                generation = self._client.put_traits(
                    uuid, is_now.generation, was.traits
                )
                is_now = dataclasses.replace(is_now, generation=generation)
            if is_now.inventories != was.inventories:
                self._put(
                    dataclasses.replace(
                        is_now, ours=memory.ours(self._known, is_now)
                    ),
                    was.inventories,
                    was.ours,
                )
        if before.remembered is None:
            self._known.forget(before.name)
        else:
            self._known.put(
                before.name,
                before.remembered.uuid,
                before.remembered.generation,
                before.remembered.fingerprint,
            )
            self._known.put_shares(
                before.name, {} if was is None else share.of(was.ours)
            )
        return True

    def _note(
        self,
        uuid: str,
        name: str,
        parent_uuid: str | None,
        published: provider.Published | None,
    ) -> None:
        if uuid not in self._before:
            self._before[uuid] = _Before(
                name, parent_uuid, published, self._known.get(name)
            )

    @contextlib.contextmanager
    def _counted(self, uuid: str) -> ty.Iterator[None]:
        """Count a write, unless Placement's answer says it wasn't done."""
        self._writes[uuid] += 1
        try:
            yield
        except _NOT_DONE:
            self._writes[uuid] -= 1
            raise


def begun(
    published: provider.Published,
    inventories: Inventories,
    ours: ty.Mapping[str, int],
) -> share.Shares:
    """Our shares while inventories are written, and nobody knows how it ends.

    :param published: as it is
    :param inventories: as they shall be
    :param ours: units of ours of what is reserved then, by class
    """
    was = share.of(published.ours)
    return was | {
        one: dataclasses.replace(
            was.get(one, share.Share(0)),
            write=share.Write(
                ours.get(one, 0),
                published.generation,
                _reserved(published.inventories, one),
                _reserved(inventories, one),
            ),
        )
        for one in {*was, *ours}
        if published.ours.get(one, 0) != ours.get(one, 0)
    }


def is_anothers(
    was: provider.Published, now: provider.Listed, writes: int
) -> bool:
    """Whether somebody else wrote to a provider beside us.

    :param was: as it was before our first write
    :param writes: how often we wrote to it since, at most
    """
    return now.generation > was.generation + writes


def _reserved(inventories: Inventories, resource_class: str) -> int:
    return int(inventories.get(resource_class, {}).get("reserved", 0))
