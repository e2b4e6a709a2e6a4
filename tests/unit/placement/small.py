# SPDX-License-Identifier: Apache-2.0
"""As much of a Placement as reports and claims read and write."""

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import client, provider, undo


class Placement(client.PlacementClient):
    """Providers and allocations as plain values.

    :ivar providers: by UUID
    :ivar parents: UUID -> that of the parent
    :ivar allocated: consumer -> what it has
    :ivar words: custom classes and traits that are known
    :ivar writes: what was written, in words, in order
    """

    def __init__(self) -> None:
        super().__init__(ty.cast("ty.Any", None), "a small Placement")
        self.providers: dict[str, provider.Published] = {}
        self.parents: dict[str, str | None] = {}
        self.allocated: dict[str, client.Allocations] = {}
        self.words: set[str] = set()
        self.writes: list[str] = []
        #: What to raise instead of, or after, the next write.
        self.instead: BaseException | None = None
        self.behind: BaseException | None = None

    def _listed(self, uuid: str) -> provider.Listed:
        one = self.providers[uuid]
        return provider.Listed(
            uuid, one.name, one.generation, self.parents.get(uuid)
        )

    def find(self, name: str) -> provider.Listed | None:
        return next(
            (
                self._listed(one.uuid)
                for one in self.providers.values()
                if one.name == name
            ),
            None,
        )

    def _root(self, uuid: str) -> str:
        above = self.parents.get(uuid)
        return uuid if above is None else self._root(above)

    def tree(
        self, uuid: str, required: str | None = None
    ) -> list[provider.Listed]:
        return [
            self._listed(one.uuid)
            for one in self.providers.values()
            if self._root(one.uuid) == self._root(uuid)
            and (required is None or required in one.traits)
        ]

    def traits(self, uuid: str) -> tuple[int, tuple[str, ...]]:
        one = self.providers[uuid]
        return one.generation, one.traits

    def read(self, listed: provider.Listed) -> provider.Published:
        return self.providers[listed.uuid]

    def usages(self, uuid: str) -> dict[str, int]:
        used: dict[str, int] = {}
        for one in self.allocated.values():
            for name, units in one.resources.get(uuid, {}).items():
                used[name] = used.get(name, 0) + units
        return used

    def create(self, uuid: str, name: str, parent_uuid: str | None) -> int:
        self.writes.append(f"create {name}")
        self.parents[uuid] = parent_uuid
        self._write(provider.Published(uuid, name, 0, {}, ()), 0)
        return 0

    def delete(self, uuid: str) -> None:
        self._raise("instead")
        self.writes.append(f"delete {self.providers.pop(uuid).name}")

    def put_traits(
        self, uuid: str, generation: int, traits: ty.Iterable[str]
    ) -> int:
        one = self.providers[uuid]
        self.writes.append(f"traits {one.name}")
        return self._write(
            dataclasses.replace(one, traits=tuple(traits)), generation
        )

    def put_inventories(
        self, uuid: str, generation: int, inventories: undo.Inventories
    ) -> int:
        one = self.providers[uuid]
        self.writes.append(f"inventories {one.name}")
        return self._write(
            dataclasses.replace(one, inventories=dict(inventories)), generation
        )

    def missing_traits(self, names: ty.Collection[str]) -> list[str]:
        return sorted(set(names) - self.words)

    missing_classes = missing_traits

    def create_trait(self, name: str) -> None:
        self.words.add(name)

    create_class = create_trait

    def delete_trait(self, name: str) -> None:
        self.words.remove(name)

    delete_class = delete_trait

    def allocations(self, consumer: str) -> client.Allocations:
        return self.allocated.get(consumer, client.Allocations({}))

    def put_allocations(
        self, consumer: str, wanted: client.Allocations
    ) -> None:
        self._raise("instead")
        has = self.allocations(consumer).generation
        if wanted.generation != has:
            raise exception.PlacementConflict("the consumer changed")
        self.writes.append(f"allocations {consumer}")
        self.allocated[consumer] = dataclasses.replace(
            wanted, generation=(has or 0) + 1
        )
        if not wanted.resources:
            del self.allocated[consumer]

    def _write(self, one: provider.Published, generation: int) -> int:
        self._raise("instead")
        there = self.providers.get(one.uuid)
        if there is not None:
            if there.generation != generation:
                raise exception.PlacementConflict("the generation moved")
            one = dataclasses.replace(one, generation=generation + 1)
        self.providers[one.uuid] = one
        self._raise("behind")
        return one.generation

    def _raise(self, when: str) -> None:
        error = getattr(self, when)
        setattr(self, when, None)
        if error is not None:
            raise error
