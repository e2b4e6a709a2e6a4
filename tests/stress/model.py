# SPDX-License-Identifier: Apache-2.0
"""What may stand in the store and in Placement after some commands."""

import collections
import contextlib
import dataclasses
import enum
import json
import pathlib
import sqlite3
import typing as ty

#: How many devices an instance has from each provider.
Amounts = collections.Counter[tuple[str, str]]

_ALLOCATIONS: ty.Final = """
SELECT allocations.consumer_id, resource_providers.name, allocations.used
FROM allocations JOIN resource_providers
ON resource_providers.id = allocations.resource_provider_id
"""
_USED: ty.Final = """
SELECT resource_providers.name, inventories.total, SUM(allocations.used)
FROM inventories JOIN resource_providers
ON resource_providers.id = inventories.resource_provider_id
JOIN allocations ON
allocations.resource_provider_id = inventories.resource_provider_id
GROUP BY resource_providers.name, inventories.total
"""


class Known(enum.Enum):
    """What its last command said of an instance's claim."""

    HAS = "it has it"
    HAS_NOT = "it has nothing"
    UNKNOWN = "the command was killed, or failed"


@dataclasses.dataclass
class Instance:
    """An instance, and what it was told.

    :param alias: with what it asks for devices
    :param addresses: that it was given
    """

    uuid: str
    alias: str
    known: Known = Known.HAS_NOT
    addresses: tuple[str, ...] = ()


def _provider(address: str) -> str:
    """The provider of a VF: its card stands at the same bus."""
    return f"compute-1_{address.rpartition(':')[0].upper()}:00.0"


def _rows(path: pathlib.Path, query: str) -> list[tuple[ty.Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as opened:
        return opened.execute(query).fetchall()


def wrong(
    listed: str, placement: pathlib.Path, instances: ty.Iterable[Instance]
) -> list[str]:
    """What is wrong once all have ended and somebody has reported.

    :param listed: what ``claim list -f json`` printed
    :param placement: the database of the embedded Placement
    :param instances: all that ever asked
    """
    has: dict[str, list[str]] = collections.defaultdict(list)
    owners: dict[str, list[str]] = collections.defaultdict(list)
    stored: Amounts = collections.Counter()
    found = []
    for claim in json.loads(listed):
        uuid = claim["instance_uuid"]
        if claim["status"] != "allocated":
            found.append(f"{uuid}: its claim is {claim['status']}")
        for address in claim["addresses"]:
            has[uuid].append(address)
            owners[address].append(uuid)
            stored[uuid, _provider(address)] += 1
    found += [
        f"{address} has two owners: {', '.join(uuids)}"
        for address, uuids in owners.items()
        if len(uuids) > 1
    ]
    published: Amounts = collections.Counter()
    for uuid, provider, used in _rows(placement, _ALLOCATIONS):
        published[uuid, provider] += used
    found += [
        f"{uuid} has {stored[uuid, provider]} of {provider} in the store,"
        f" {published[uuid, provider]} in Placement"
        for uuid, provider in stored.keys() | published.keys()
        if stored[uuid, provider] != published[uuid, provider]
    ]
    found += [
        f"{provider}: {used} used of {total}"
        for provider, total, used in _rows(placement, _USED)
        if used > total
    ]
    for instance in instances:
        devices = tuple(sorted(has[instance.uuid]))
        if instance.known is Known.HAS and devices != instance.addresses:
            found.append(
                f"{instance.uuid} was told that it has {instance.addresses},"
                f" and has {devices}"
            )
        if instance.known is Known.HAS_NOT and devices:
            found.append(f"{instance.uuid} gave back all, and has {devices}")
    return found


def learn(listed: str, instances: ty.Iterable[Instance]) -> None:
    """Take over what became of those that nobody knew of."""
    has: dict[str, list[str]] = collections.defaultdict(list)
    for claim in json.loads(listed):
        has[claim["instance_uuid"]] += claim["addresses"]
    for instance in instances:
        devices = tuple(sorted(has[instance.uuid]))
        instance.known = Known.HAS if devices else Known.HAS_NOT
        instance.addresses = devices
