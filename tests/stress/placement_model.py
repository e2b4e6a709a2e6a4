# SPDX-License-Identifier: Apache-2.0
"""What Placement does with our requests, as plain values.

It stands where keystoneauth's adapter does, so that all of our own client is
run. What it answers is compared with the real one by the same runs.
"""

import collections
import json
import re
import typing as ty
import uuid

import requests

_CONFLICT: ty.Final = "placement.concurrent_update"
_IN_USE: ty.Final = "placement.resource_provider.inuse"
_INVENTORY_IN_USE: ty.Final = "placement.inventory.inuse"
_PROVIDER: ty.Final = re.compile(r"/resource_providers/([^/]+)(?:/(\w+))?")
_NAME: ty.Final = re.compile(r"/(traits|resource_classes|allocations)/(.+)")

Json = dict[str, ty.Any]


class _Refused(Exception):
    def __init__(
        self, status: int, code: str = "placement.undefined_code"
    ) -> None:
        super().__init__(status, code)
        self.status, self.code = status, code


class Provider:
    """One resource provider."""

    def __init__(self, name: str, parent: str | None) -> None:
        self.name, self.parent = name, parent
        self.generation = 0
        self.inventories: dict[str, Json] = {}
        self.traits: list[str] = []

    def offers(self, resource_class: str) -> float:
        """How many units may be in use."""
        found = self.inventories.get(resource_class)
        if found is None:
            return -1
        free = found["total"] - found.get("reserved", 0)
        return float(free * found.get("allocation_ratio", 1.0))


class Model:
    """A Placement. It is the cloud, too, and its session, that clients ask."""

    timeout = None

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        #: Consumer -> provider -> resource class -> units.
        self.consumers: dict[str, dict[str, dict[str, int]]] = {}
        self._generations: dict[str, int] = {}
        self._words: dict[str, set[str]] = collections.defaultdict(set)
        self.requests = 0

    @property
    def session(self) -> "Model":
        """Who asks."""
        return self

    @property
    def placement(self) -> "Model":
        """Who is asked."""
        return self

    @staticmethod
    def get_project_id() -> None:
        """Nobody's."""

    get_user_id = get_project_id

    def request(
        self,
        path: str,
        method: str,
        json: Json | None,
        params: dict[str, str] | None,
        **_more: object,
    ) -> requests.Response:
        """Answer."""
        self.requests += 1
        try:
            body = self._answered(method, path, json or {}, params or {})
            status = 204 if body is None else 200
        except _Refused as refused:
            status = refused.status
            error = {"status": status, "code": refused.code, "detail": path}
            body = {"errors": [error]}
        return _response(status, body)

    def allocations(self) -> list[tuple[str, str, int]]:
        """Consumer, name of a provider, units: as its database has them."""
        return [
            (consumer, self.providers[at].name, units)
            for consumer, has in self.consumers.items()
            for at, resources in has.items()
            for units in resources.values()
        ]

    def used(self) -> list[tuple[str, int, int]]:
        """Name, total and units in use, of each inventory."""
        return [
            (one.name, found["total"], self._used(at, name))
            for at, one in self.providers.items()
            for name, found in one.inventories.items()
        ]

    def left(self) -> list[tuple[str, int]]:
        """Name and what may still be had, of each inventory."""
        return [
            (one.name, int(one.offers(name)) - self._used(at, name))
            for at, one in self.providers.items()
            for name in one.inventories
        ]

    def _answered(
        self, method: str, path: str, body: Json, query: dict[str, str]
    ) -> Json | None:
        if path == "/":
            return {"versions": [{"max_version": "1.39"}]}
        if path == "/resource_providers":
            if method == "POST":
                return self._made(body)
            return {"resource_providers": self._listed(query)}
        if found := _PROVIDER.fullmatch(path):
            return self._of_provider(method, found[1], found[2], body)
        if path == "/resource_classes":
            names = sorted(self._words["resource_classes"])
            return {"resource_classes": [{"name": name} for name in names]}
        if path == "/traits":
            asked = query["name"].removeprefix("in:").split(",")
            # Those that aren't ours to make are all there.
            known = self._words["traits"]
            return {
                "traits": [
                    name
                    for name in asked
                    if name in known or not name.startswith("CUSTOM_")
                ]
            }
        found = _NAME.fullmatch(path)
        assert found is not None, path
        kind, name = found.groups()
        if kind == "allocations":
            return self._of_consumer(method, name, body)
        if method == "PUT":
            self._words[kind].add(name)
        else:
            self._words[kind].discard(name)
        return None

    def _made(self, body: Json) -> Json:
        if any(one.name == body["name"] for one in self.providers.values()):
            raise _Refused(409, "placement.duplicate_name")
        self.providers[body["uuid"]] = Provider(
            body["name"], body.get("parent_provider_uuid")
        )
        return {"generation": 0}

    def _listed(self, query: dict[str, str]) -> list[Json]:
        wanted = query.get("in_tree")
        if wanted is not None:
            wanted = self._root(wanted)
        return [
            {
                "uuid": at,
                "name": one.name,
                "generation": one.generation,
                "parent_provider_uuid": one.parent,
            }
            for at, one in self.providers.items()
            if query.get("name", one.name) == one.name
            and ("in_tree" not in query or self._root(at) == wanted)
            and ("required" not in query or query["required"] in one.traits)
        ]

    def _root(self, at: str) -> str | None:
        one = self.providers.get(at)
        if one is None:
            return None
        return at if one.parent is None else self._root(one.parent)

    def _of_provider(
        self, method: str, at: str, part: str | None, body: Json
    ) -> Json | None:
        one = self.providers.get(at)
        if one is None:
            raise _Refused(404)
        generation = {"resource_provider_generation": one.generation}
        if part is None:
            assert method == "DELETE"
            if any(at in has for has in self.consumers.values()):
                raise _Refused(409, _IN_USE)
            if any(other.parent == at for other in self.providers.values()):
                raise _Refused(
                    409, "placement.resource_provider.cannot_delete_parent"
                )
            del self.providers[at]
            return None
        if part == "usages":
            return {
                "usages": {
                    name: self._used(at, name) for name in one.inventories
                }
            }
        if part == "allocations":
            return {
                "allocations": {
                    consumer: {"resources": has[at]}
                    for consumer, has in self.consumers.items()
                    if at in has
                }
            } | generation
        if method == "PUT":
            generation = self._put(at, part, body)
        return {part: getattr(one, part)} | generation

    def _put(self, at: str, part: str, body: Json) -> Json:
        one = self.providers[at]
        if body["resource_provider_generation"] != one.generation:
            raise _Refused(409, _CONFLICT)
        if part == "inventories":
            gone = one.inventories.keys() - body["inventories"].keys()
            if any(self._used(at, name) for name in gone):
                raise _Refused(409, _INVENTORY_IN_USE)
        setattr(one, part, body[part])
        one.generation += 1
        return {"resource_provider_generation": one.generation}

    def _of_consumer(
        self, method: str, consumer: str, body: Json
    ) -> Json | None:
        has = self.consumers.get(consumer, {})
        if method == "GET":
            found: Json = {
                "allocations": {
                    at: {"resources": dict(resources)}
                    for at, resources in has.items()
                }
            }
            if has:
                found |= {
                    "consumer_generation": self._generations[consumer],
                    "project_id": "nova-vfio",
                    "user_id": "nova-vfio",
                    "consumer_type": "INSTANCE",
                }
            return found
        if body["consumer_generation"] != self._generations.get(consumer):
            raise _Refused(409, _CONFLICT)
        wanted = {
            at: dict(some["resources"])
            for at, some in body["allocations"].items()
        }
        for at, resources in wanted.items():
            one = self.providers.get(at)
            if one is None:
                raise _Refused(400)
            for name, units in resources.items():
                mine = has.get(at, {}).get(name, 0)
                if self._used(at, name) - mine + units > one.offers(name):
                    raise _Refused(409)
        for at in {*has, *wanted}:
            self.providers[at].generation += 1
        self.consumers.pop(consumer, None)
        generation = self._generations.pop(consumer, None)
        if wanted:
            self.consumers[consumer] = wanted
            self._generations[consumer] = (
                0 if generation is None else generation
            ) + 1
        return None

    def _used(self, at: str, resource_class: str) -> int:
        return sum(
            has.get(at, {}).get(resource_class, 0)
            for has in self.consumers.values()
        )


def _response(status: int, body: Json | None) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer.headers["Content-Type"] = "application/json"
    answer.headers["x-openstack-request-id"] = f"req-{uuid.uuid4()}"
    answer._content = b"" if body is None else json.dumps(body).encode()
    return answer
