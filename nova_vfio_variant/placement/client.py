# SPDX-License-Identifier: Apache-2.0
"""What we ask of Placement, one method for each kind of request.

How a request is sent is in :mod:`~nova_vfio_variant.placement.rest`.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import failure, provider, rest

#: A name has up to 255 characters, and a URL that servers take up to 8,190.
_NAMES_A_REQUEST = 25
_INSTANCE = "INSTANCE"

_AMOUNTS = {str: int}
_GENERATION = {"resource_provider_generation": int}
_INVENTORIES = _GENERATION | {"inventories": {str: {str: (int, float)}}}
_TRAITS = {"traits": [str]}
_CLASSES = {"resource_classes": [{"name": str}]}
_ALLOCATIONS = {"allocations": {str: {"resources": _AMOUNTS}}}
#: What is said of a consumer that has something.
_CONSUMER = {
    "consumer_generation": (int, None),
    "project_id": str,
    "user_id": str,
    "consumer_type": str,
}
_CANDIDATES = {
    "allocation_requests": [{"allocations": {str: {"resources": _AMOUNTS}}}],
    "provider_summaries": {
        str: {"resources": {str: {"capacity": int, "used": int}}}
    },
}
_VERSIONS = {"versions": [{"max_version": str}]}
_PROVIDERS = {
    "resource_providers": [
        {
            "uuid": str,
            "name": str,
            "generation": int,
            "parent_provider_uuid": (str, None),
        }
    ]
}


@dataclasses.dataclass(frozen=True, slots=True)
class Allocations:
    """What a consumer has, and how it may be changed.

    :param resources: provider's UUID -> resource class -> amount
    :param generation: None for a consumer that Placement doesn't know
    :param project_id: None for a consumer that Placement doesn't know
    :param user_id: None for a consumer that Placement doesn't know
    :param consumer_type: as Placement has it
    """

    resources: ty.Mapping[str, ty.Mapping[str, int]]
    generation: int | None = None
    project_id: str | None = None
    user_id: str | None = None
    consumer_type: str = _INSTANCE


class PlacementClient(rest.Rest):
    """A Placement service, reached through keystoneauth.

    Each method may raise:

    * PlacementUnreachable: it is down, slow, or answered 5xx or nonsense;
    * PlacementDenied: it or Keystone answered 401 or 403;
    * PlacementConflict: a generation moved (409 with
      ``placement.concurrent_update``): read again and try again;
    * PlacementRefused: any other answer, which no retry can change.

    :param cloud: whose Placement
    :param where: how to call it in a message
    """

    # Longer than 250 lines: each method is one kind of request, and here one
    # sees all there are.

    def find(self, name: str) -> provider.Listed | None:
        """The provider with this name, wherever it stands."""
        return next(iter(self._list({"name": name})), None)

    def tree(
        self, uuid: str, required: str | None = None
    ) -> list[provider.Listed]:
        """All providers of the tree that this one belongs to.

        :param required: only those that have this trait
        """
        query = {"in_tree": uuid}
        if required is not None:
            query["required"] = required
        return self._list(query)

    def inventories(self, uuid: str) -> tuple[int, dict[str, rest.Json]]:
        """A provider's generation and inventories."""
        found = self._json(
            "GET", f"/resource_providers/{uuid}/inventories", _INVENTORIES
        )
        return found["resource_provider_generation"], found["inventories"]

    def traits(self, uuid: str) -> tuple[int, tuple[str, ...]]:
        """A provider's generation and traits, sorted."""
        found = self._json(
            "GET", f"/resource_providers/{uuid}/traits", _TRAITS | _GENERATION
        )
        return (
            found["resource_provider_generation"],
            tuple(sorted(found["traits"])),
        )

    def usages(self, uuid: str) -> dict[str, int]:
        """How much of each of a provider's resource classes is in use."""
        found = self._json(
            "GET", f"/resource_providers/{uuid}/usages", {"usages": _AMOUNTS}
        )
        return dict(found["usages"])

    def consumers(self, uuid: str) -> dict[str, dict[str, int]]:
        """Who uses a provider: consumer -> resource class -> amount."""
        found = self._json(
            "GET", f"/resource_providers/{uuid}/allocations", _ALLOCATIONS
        )
        return {
            consumer: allocation["resources"]
            for consumer, allocation in found["allocations"].items()
        }

    def read(self, listed: provider.Listed) -> provider.Published:
        """A provider's inventories and traits, in two requests.

        :raises PlacementConflict: it changed between the two
        """
        generation, inventories = self.inventories(listed.uuid)
        again, traits = self.traits(listed.uuid)
        if generation != again:
            raise exception.PlacementConflict(
                f"provider {listed.name} changed while it was read"
            )
        return provider.Published(
            listed.uuid, listed.name, generation, inventories, traits
        )

    def create(self, uuid: str, name: str, parent_uuid: str | None) -> int:
        """Make a provider that has nothing; return its generation."""
        body: rest.Json = {"uuid": uuid, "name": name}
        if parent_uuid is not None:
            body["parent_provider_uuid"] = parent_uuid
        made = self._json(
            "POST", "/resource_providers", {"generation": int}, body
        )
        return int(made["generation"])

    def delete(self, uuid: str) -> None:
        """Remove a provider with its inventories and traits."""
        self._do("DELETE", f"/resource_providers/{uuid}")

    def put_inventories(
        self,
        uuid: str,
        generation: int,
        inventories: ty.Mapping[str, ty.Mapping[str, int | float]],
    ) -> int:
        """Replace all inventories; return the new generation."""
        done = self._json(
            "PUT",
            f"/resource_providers/{uuid}/inventories",
            _GENERATION,
            {
                "resource_provider_generation": generation,
                "inventories": {k: dict(v) for k, v in inventories.items()},
            },
        )
        return int(done["resource_provider_generation"])

    def put_traits(
        self, uuid: str, generation: int, traits: ty.Iterable[str]
    ) -> int:
        """Replace all traits; return the new generation."""
        done = self._json(
            "PUT",
            f"/resource_providers/{uuid}/traits",
            _GENERATION,
            {
                "resource_provider_generation": generation,
                "traits": sorted(traits),
            },
        )
        return int(done["resource_provider_generation"])

    def missing_traits(self, names: ty.Collection[str]) -> list[str]:
        """Those of these traits that Placement doesn't know, sorted."""
        known: set[str] = set()
        asked = sorted(names)
        for start in range(0, len(asked), _NAMES_A_REQUEST):
            some = ",".join(asked[start : start + _NAMES_A_REQUEST])
            found = self._json(
                "GET", "/traits", _TRAITS, query={"name": f"in:{some}"}
            )
            known.update(found["traits"])
        return sorted(set(asked) - known)

    def missing_classes(self, names: ty.Collection[str]) -> list[str]:
        """Those of these resource classes that Placement doesn't know."""
        if not names:
            return []
        found = self._json("GET", "/resource_classes", _CLASSES)
        known = {record["name"] for record in found["resource_classes"]}
        return sorted(set(names) - known)

    def create_trait(self, name: str) -> None:
        """Make a custom trait, if it isn't there."""
        self._do("PUT", f"/traits/{name}")

    def create_class(self, name: str) -> None:
        """Make a custom resource class, if it isn't there."""
        self._do("PUT", f"/resource_classes/{name}")

    def delete_trait(self, name: str) -> None:
        """Remove a custom trait that no provider has."""
        self._do("DELETE", f"/traits/{name}")

    def delete_class(self, name: str) -> None:
        """Remove a custom resource class that no provider has."""
        self._do("DELETE", f"/resource_classes/{name}")

    def allocations(self, consumer: str) -> Allocations:
        """What a consumer has; nothing for one that is unknown."""
        path = f"/allocations/{consumer}"
        found = self._json("GET", path, _ALLOCATIONS)
        if not found["allocations"]:
            return Allocations({})
        self._look("GET", path, found, _CONSUMER)
        return Allocations(
            {
                uuid: dict(allocation["resources"])
                for uuid, allocation in found["allocations"].items()
            },
            found["consumer_generation"],
            found["project_id"],
            found["user_id"],
            # What was made before there were types has one that can be read
            # but not written.
            _INSTANCE
            if found["consumer_type"] == "unknown"
            else found["consumer_type"],
        )

    def put_allocations(self, consumer: str, wanted: Allocations) -> None:
        """Replace all that a consumer has; nothing at all removes it.

        :param wanted: with the generation that was read
        """
        self._do(
            "PUT",
            f"/allocations/{consumer}",
            {
                "allocations": {
                    uuid: {"resources": dict(resources)}
                    for uuid, resources in wanted.resources.items()
                },
                "consumer_generation": wanted.generation,
                "project_id": wanted.project_id or self.project_id,
                "user_id": wanted.user_id or self.user_id,
                "consumer_type": wanted.consumer_type,
            },
        )

    def room(
        self, root_uuid: str, groups: ty.Iterable[provider.Group]
    ) -> dict[str, dict[str, int]]:
        """What the providers of a tree have free, if it takes these groups.

        :returns: provider's UUID -> resource class -> units; empty if not
        """
        # One candidate tells it all, and there may be very many.
        query = {"group_policy": "none", "limit": "1"}
        for number, group in enumerate(groups, 1):
            query[f"resources{number}"] = ",".join(
                f"{name}:{units}" for name, units in group.takes.items()
            )
            query[f"in_tree{number}"] = root_uuid
            if group.traits:
                query[f"required{number}"] = ",".join(group.traits)
        found = self._json(
            "GET", "/allocation_candidates", _CANDIDATES, query=query
        )
        return {
            uuid: {
                name: max(units["capacity"] - units["used"], 0)
                for name, units in summary["resources"].items()
            }
            for uuid, summary in found["provider_summaries"].items()
        }

    def max_microversion(self) -> str:
        """The newest microversion that Placement speaks, ``1.39``."""
        versions = self._json("GET", "/", _VERSIONS)["versions"]
        if not versions:
            raise failure.no_answer(f"{self.where} to GET /", "no version")
        return str(versions[0]["max_version"])

    def _list(self, query: dict[str, str]) -> list[provider.Listed]:
        found = self._json(
            "GET", "/resource_providers", _PROVIDERS, query=query
        )
        return [
            provider.Listed(
                record["uuid"],
                record["name"],
                record["generation"],
                record["parent_provider_uuid"],
            )
            for record in found["resource_providers"]
        ]
