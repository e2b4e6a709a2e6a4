# SPDX-License-Identifier: Apache-2.0
"""What we remember of the providers that we made.

The store keeps it. A provider that isn't remembered is not ours; one whose
generation is remembered needs no reading until its generation moves.
"""

from __future__ import annotations

import hashlib
import json
import typing as ty

from nova_vfio_variant.placement import provider
from nova_vfio_variant.tracker import share


class Remembered(ty.Protocol):
    """One provider of ours."""

    @property
    def uuid(self) -> str:
        """The UUID that we gave it, remembered before it was made."""

    @property
    def generation(self) -> int | None:
        """When its fingerprint was true; None if it may be half made."""

    @property
    def fingerprint(self) -> str | None:
        """What it then satisfied (:func:`fingerprint`); a root's layout."""


class ProviderMemory(ty.Protocol):
    """Providers of ours by name, each call durable when it returns."""

    def get(self, name: str) -> Remembered | None:
        """The provider with this name, or None."""

    def put(
        self,
        name: str,
        uuid: str,
        generation: int | None,
        fingerprint: str | None,
    ) -> None:
        """Remember a provider, in place of what was known of it."""

    def forget(self, name: str) -> None:
        """Forget a provider, if it is remembered."""

    def names(self) -> ty.Iterable[str]:
        """The names of all that are remembered."""

    def shares(self, name: str) -> share.Shares:
        """What of a provider's inventories we reserved, by class."""

    def put_shares(self, name: str, shares: share.Shares) -> None:
        """Remember that, in place of what was known; forgotten with it."""


def ours(
    known: ProviderMemory, published: provider.Published
) -> dict[str, int]:
    """How much of what a provider has reserved is ours, by class.

    :param published: as it was read
    """
    return {
        name: units
        for name, part in known.shares(published.name).items()
        if (
            units := part.now(
                published.generation,
                int(published.inventories.get(name, {}).get("reserved", 0)),
            )
        )
    }


def fingerprint(desired: provider.Provider) -> str:
    """A digest of all that Placement is told of a provider."""
    said = json.dumps(
        [
            desired.name,
            desired.parent,
            desired.traits,
            [
                (name, *_said(inventory))
                for name, inventory in sorted(desired.inventories.items())
            ],
        ]
    )
    return hashlib.sha256(said.encode()).hexdigest()


def _said(inventory: provider.Inventory) -> tuple[int, ...]:
    """As short as it was before anything could be blocked."""
    usual: tuple[int, ...] = (
        inventory.total,
        inventory.max_unit,
        inventory.reserved,
    )
    if inventory.unit:
        usual = (*usual, inventory.blocked, inventory.unknown, inventory.unit)
    elif inventory.blocked or inventory.unknown:
        usual = (*usual, inventory.blocked, inventory.unknown)
    return usual
