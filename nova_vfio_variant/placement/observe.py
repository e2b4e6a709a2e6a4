# SPDX-License-Identifier: Apache-2.0
"""What Placement has, read as sparingly as can be.

One request lists a tree with all its generations. Only a provider whose
generation moved, or which shall become another one, is read: two requests,
and a third for its usage where something would shrink.
"""

from __future__ import annotations

import dataclasses
import typing as ty

import os_traits

from nova_vfio_variant.placement import memory, provider, updates

if ty.TYPE_CHECKING:
    from nova_vfio_variant.placement import client as placement_client


def look(
    client: placement_client.PlacementClient,
    root_name: str,
    known: memory.ProviderMemory,
) -> updates.Seen:
    """The tree: one request for a root of ours, else two.

    Each provider that we remember and don't find there costs one more.
    """
    ours = known.get(root_name)
    lines = client.tree(ours.uuid) if ours is not None else []
    root = next(
        (listed for listed in lines if ours and listed.uuid == ours.uuid), None
    )
    if root is None:
        root = client.find(root_name)
        lines = [] if root is None else client.tree(root.uuid)
    children = {
        listed.name: listed
        for listed in lines
        if root is not None and listed.parent_uuid == root.uuid
    }
    return updates.Seen(
        root, children, _strays(client, {root_name, *children}, known)
    )


def _strays(
    client: placement_client.PlacementClient,
    here: ty.Collection[str],
    known: memory.ProviderMemory,
) -> dict[str, provider.Listed]:
    """Providers of ours that are not here."""
    found: dict[str, provider.Listed] = {}
    seen: set[str] = set()
    elsewhere = {
        name: remembered.uuid
        for name in known.names()
        if name not in here and (remembered := known.get(name)) is not None
    }
    for uuid in elsewhere.values():
        if uuid in seen:
            continue
        lines = client.tree(uuid)
        seen.update(listed.uuid for listed in lines)
        ours = [
            listed
            for listed in lines
            if elsewhere.get(listed.name) == listed.uuid
        ]
        # Below a root of ours there may be others' providers by now.
        found |= {
            listed.name: listed
            for listed in ours
            if listed.parent_uuid is not None or len(ours) == len(lines)
        }
    return found


def managed(
    client: placement_client.PlacementClient,
    seen: updates.Seen,
    desired: ty.Collection[str],
    known: memory.ProviderMemory,
) -> set[str]:
    """Names of providers of PCI devices that nobody desires any more.

    Those that we remember, and those that have the trait by which Nova too
    knows them.
    """
    extra = set(seen.children) - set(desired)
    ours = updates.superfluous(seen, desired, known)
    if seen.root is None or ours == extra:
        return ours
    marked = client.tree(seen.root.uuid, os_traits.COMPUTE_MANAGED_PCI_DEVICE)
    return ours | (extra & {listed.name for listed in marked})


def differing(
    client: placement_client.PlacementClient,
    seen: updates.Seen,
    desired: ty.Sequence[provider.Provider],
    superfluous: ty.Iterable[str],
    known: memory.ProviderMemory,
) -> list[updates.ProviderUpdate]:
    """All providers that differ, or that had to be read to know.

    :param superfluous: names of providers below the root that shall go; those
        that stand elsewhere shall go, too
    """
    found = []
    for rp in desired:
        listed = seen.children.get(rp.name)
        if listed is None:
            found.append(updates.of(rp, None))
        elif not _as_remembered(rp, listed, known):
            found.append(updates.of(rp, _read(client, listed, rp, known)))
    going = [seen.children[name] for name in sorted(superfluous)]
    going += seen.strays.values()
    found.extend(
        updates.of(None, _read(client, rp, None, known)) for rp in going
    )
    return found


def _as_remembered(
    desired: provider.Provider,
    listed: provider.Listed,
    known: memory.ProviderMemory,
) -> bool:
    remembered = known.get(desired.name)
    return (
        remembered is not None
        and remembered.uuid == listed.uuid
        and remembered.generation == listed.generation
        and remembered.fingerprint == memory.fingerprint(desired)
        and all(
            share.write is None
            for share in known.shares(desired.name).values()
        )
    )


def _read(
    client: placement_client.PlacementClient,
    listed: provider.Listed,
    desired: provider.Provider | None,
    known: memory.ProviderMemory,
) -> provider.Published:
    """A provider, with its usages if anything of it would shrink."""
    published = client.read(listed)
    published = dataclasses.replace(
        published, ours=memory.ours(known, published)
    )
    if updates.may_shrink(desired, published):
        published = dataclasses.replace(
            published, usages=client.usages(listed.uuid)
        )
    return published
