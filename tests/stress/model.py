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


def _provider(root: str, address: str) -> str:
    """The provider of a VF: its card stands at the same bus."""
    return f"{root}_{address.rpartition(':')[0].upper()}:00.0"


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
    claims = json.loads(listed)
    pairs = [
        (claim["instance_uuid"], address)
        for claim in claims
        for address in claim["addresses"]
    ]
    return [
        *(
            f"{claim['instance_uuid']}: its claim is {claim['status']}"
            for claim in claims
            if claim["status"] not in {"allocated", "prepared"}
        ),
        *unlike(pairs, instances),
        *differing(pairs, _rows(placement, _ALLOCATIONS), "compute-1"),
        *overused(_rows(placement, _USED)),
    ]


def unlike(
    pairs: ty.Sequence[tuple[str, str]], instances: ty.Iterable[Instance]
) -> list[str]:
    """Where the store isn't what instances were told.

    :param pairs: instance and device, as the store has them
    """
    has: dict[str, list[str]] = collections.defaultdict(list)
    owners: dict[str, list[str]] = collections.defaultdict(list)
    for uuid, name in pairs:
        has[uuid].append(name)
        owners[name].append(uuid)
    found = [
        f"{name} has two owners: {', '.join(uuids)}"
        for name, uuids in owners.items()
        if len(uuids) > 1
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


def differing(
    pairs: ty.Iterable[tuple[str, str]],
    allocations: ty.Iterable[tuple[str, str, int]],
    root: str,
) -> list[str]:
    """Where the store and Placement don't agree.

    :param pairs: instance and VF, as the store has them
    :param allocations: instance, provider and units, as Placement has them
    """
    stored: Amounts = collections.Counter(
        (uuid, _provider(root, address)) for uuid, address in pairs
    )
    published: Amounts = collections.Counter()
    for uuid, provider, used in allocations:
        published[uuid, provider] += used
    return [
        f"{uuid} has {stored[uuid, provider]} of {provider} in the store,"
        f" {published[uuid, provider]} in Placement"
        for uuid, provider in stored.keys() | published.keys()
        if stored[uuid, provider] != published[uuid, provider]
    ]


def overused(used: ty.Iterable[tuple[str, int, int]]) -> list[str]:
    """Of what more is used than there is.

    :param used: provider, total and units in use
    """
    return [
        f"{provider}: {units} used of {total}"
        for provider, total, units in used
        if units > total
    ]


def learn(listed: str, instances: ty.Iterable[Instance]) -> None:
    """Take over what became of those that nobody knew of."""
    has: dict[str, list[str]] = collections.defaultdict(list)
    for claim in json.loads(listed):
        has[claim["instance_uuid"]] += claim["addresses"]
    for instance in instances:
        devices = tuple(sorted(has[instance.uuid]))
        instance.known = Known.HAS if devices else Known.HAS_NOT
        instance.addresses = devices
