# SPDX-License-Identifier: Apache-2.0
"""When a report is refused, decided on what was seen.

Each function does nothing, or raises InventoryRefused. Nothing was written
then.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import diff, memory, provider, updates


def incomplete(whole: bool) -> None:
    """Where all is published anew, nothing may be missing.

    :param whole: nothing is
    :raises InventoryRefused: something is
    """
    if not whole:
        raise exception.InventoryRefused(
            "the root provider or [vfio] provider_layout changed, and not"
            " all devices can be published as they are",
            "'inventory report' says what is wrong",
        )


def root_of_another(
    name: str,
    root: provider.Listed | None,
    ours: memory.Remembered | None,
    where: str,
) -> None:
    """Nothing is written below a root of somebody else.

    :param root: with this name, None if there is none
    :param ours: what we remember by this name
    :param where: how to call the Placement
    :raises InventoryRefused: we didn't make it
    """
    if root is not None and (ours is None or ours.uuid != root.uuid):
        raise exception.InventoryRefused(
            f"provider {name} in {where} was not made by "
            "us, so nothing is published below it",
            "if it is Nova's, Nova publishes the devices itself, and "
            "'inventory diff' compares; else choose another "
            "[vfio] provider_root",
        )


def owned_root(name: str, traits: ty.Iterable[str]) -> None:
    """A root that has an owner isn't ours.

    :raises InventoryRefused: it has one
    """
    _owned(
        name, traits, "'inventory diff' shows how what stands below it differs"
    )


def owned(found: ty.Iterable[updates.ProviderUpdate]) -> None:
    """A provider of ours that got an owner since is not ours any more.

    :raises InventoryRefused: there is one
    """
    for one in found:
        if one.published is not None:
            _owned(
                one.name,
                one.published.traits,
                "if nobody else publishes it, take the trait away",
            )


def _owned(name: str, traits: ty.Iterable[str], hint: str) -> None:
    owners = [one for one in traits if one.startswith(diff.OWNER)]
    if owners:
        raise exception.InventoryRefused(
            f"provider {name} has an owner, {', '.join(owners)}, and is "
            "left alone",
            hint,
        )


def children_of_another(
    wanted: ty.Iterable[str],
    seen: updates.Seen,
    known: memory.ProviderMemory,
    where: str,
) -> None:
    """Nothing is written to a provider that somebody else made.

    :param wanted: names
    :raises InventoryRefused: one is there that we didn't make
    """
    foreign = [
        name
        for name in wanted
        if name in seen.children and not updates.is_ours(seen, name, known)
    ]
    if foreign:
        raise exception.InventoryRefused(
            f"provider {', '.join(foreign)} in {where} was "
            "not made by us, and is left alone"
        )


def another_layout(layout: str, in_use: bool) -> None:
    """Claims stand on the providers of the layout they were made in.

    :param layout: the new one
    :param in_use: there are claims, or something of the old one is in use
    :raises InventoryRefused: it is so
    """
    if in_use:
        raise exception.InventoryRefused(
            "[vfio] provider_layout can't be changed to "
            f"{layout} while there are claims",
            "set it back, or delete the claims first",
        )


def another_root(
    root_name: str, strays: ty.Iterable[str], in_use: bool
) -> None:
    """Claims stand on the providers that they were made on.

    :param root_name: the new one's
    :param strays: names of providers of ours below another one
    :param in_use: there are claims, or something of those is in use
    :raises InventoryRefused: it is so
    """
    if in_use:
        raise exception.InventoryRefused(
            f"providers of ours stand below another root than "
            f"{root_name}, and there are claims:"
            f" {', '.join(sorted(strays))}",
            "set [DEFAULT] host or [vfio] provider_root back, or delete "
            "the claims first",
        )
