# SPDX-License-Identifier: Apache-2.0
"""What a report does to each provider, and in which order.

Pure: what was seen, what is desired and what we remember in, decisions out.
The order offers nothing twice and nothing that isn't described yet: first
what goes, then what shrinks, then the rest.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.placement import diff, memory, provider


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """The published tree, as far as one list shows it.

    :param root: None where there is no such provider
    :param children: providers directly below it, by name
    :param strays: providers of ours that stand elsewhere, by name: below the
        root of an earlier name, and that root if we made it
    """

    root: provider.Listed | None
    children: ty.Mapping[str, provider.Listed]
    strays: ty.Mapping[str, provider.Listed]


@dataclasses.dataclass(frozen=True, slots=True)
class ProviderUpdate:
    """One provider that isn't as it should be.

    :param desired: None for one that shall go
    :param published: None for one that isn't there
    :param settled: what its inventories become
    :param changes: the same, field by field; none where only our memory of
        it is out of date
    """

    desired: provider.Provider | None
    published: provider.Published | None
    settled: diff.Settled
    changes: tuple[diff.Difference, ...]

    @property
    def name(self) -> str:
        """The provider's name."""
        one = self.desired or self.published
        assert one is not None
        return one.name

    @property
    def goes(self) -> bool:
        """Whether nothing of it is left, desired or in use."""
        return self.desired is None and not self.settled.inventories

    @property
    def traits(self) -> tuple[str, ...]:
        """The traits that it shall have."""
        return diff.traits(self.desired, self.published)

    @property
    def done(self) -> bool:
        """Whether it then is what is desired.

        What is kept for its users is not yet, and is read again.
        """
        return self.desired is not None and not self.settled.kept


def of(
    desired: provider.Provider | None, published: provider.Published | None
) -> ProviderUpdate:
    """What becomes of a provider; of one of the two at least.

    :param published: with its usages where something of it may shrink
    """
    one = desired or published
    assert one is not None
    return ProviderUpdate(
        desired,
        published,
        diff.settled(desired, published),
        diff.difference(
            {one.name: published} if published else {},
            [desired] if desired else [],
        ),
    )


def may_shrink(
    desired: provider.Provider | None, published: provider.Published
) -> bool:
    """Whether its usages have to be known."""
    wanted = desired.inventories if desired else {}
    return any(
        name not in wanted or record["total"] > wanted[name].total
        for name, record in published.inventories.items()
    )


def in_order(found: ty.Iterable[ProviderUpdate]) -> list[ProviderUpdate]:
    """In the order of writing."""
    return sorted(found, key=_rank)


def _rank(one: ProviderUpdate) -> tuple[int, str]:
    """What goes, what shrinks, what changes otherwise, what is new.

    Of what goes a root, which has no inventory, goes last.
    """
    if one.desired is None:
        has_any = one.published and one.published.inventories
        return 0 if has_any else 1, one.name
    if one.published is None:
        return 4, one.name
    shrinks = any(
        record["total"]
        > one.settled.inventories.get(name, {"total": 0})["total"]
        for name, record in one.published.inventories.items()
    )
    return 2 if shrinks else 3, one.name


def words(found: ty.Iterable[ProviderUpdate]) -> tuple[set[str], set[str]]:
    """The resource classes and traits that Placement has to know."""
    differing = [one for one in found if one.changes]
    return (
        {name for one in differing for name in one.settled.inventories},
        {
            name
            for one in differing
            if one.desired
            for name in one.desired.traits
        },
    )


def is_ours(seen: Seen, name: str, known: memory.ProviderMemory) -> bool:
    """Whether the child with this name is the one that we made."""
    remembered = known.get(name)
    return (
        remembered is not None and remembered.uuid == seen.children[name].uuid
    )


def superfluous(
    seen: Seen, desired: ty.Collection[str], known: memory.ProviderMemory
) -> set[str]:
    """Names of providers of ours below the root that nobody desires."""
    return {
        name
        for name in seen.children
        if name not in desired and is_ours(seen, name, known)
    }


def forgotten(
    seen: Seen,
    root_name: str,
    desired: ty.Iterable[str],
    known: memory.ProviderMemory,
) -> set[str]:
    """What we remember, and is neither there nor desired.

    A crash came between removing and forgetting it.
    """
    return set(known.names()) - {root_name, *seen.children, *desired}
