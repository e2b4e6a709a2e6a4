# SPDX-License-Identifier: Apache-2.0
"""Parents of mediated devices, as resource providers with Nova's names. Pure.

``<root>_pci_0000_84_00_0``, with an inventory of ``VGPU`` or the class that
``mdev_class`` says. Nova's numbers are those of the moment: a parent whose
siblings took what it could have had loses its provider, and gets it again.
Ours stay, and what can't be had now is reserved.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.placement import provider

Limits = ty.Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """What a parent has of the one type that is made of it.

    :param name: of its node device, as libvirt has it
    :param kind: the type
    :param here: devices of the type that are there, whoever made them
    :param available: how many more it says that it takes; None where it
        doesn't say
    :param most: how many it takes while nobody has any, as far as that is
        told; 0 where it doesn't offer the type any more
    :param claimed: how many of those that are there an instance's claim has
    :param is_closed: nobody is given any more of it: it is cordoned
    """

    name: str
    kind: str
    resource_class: str
    here: int
    available: int | None
    most: int = 1
    claimed: int = 0
    is_closed: bool = False


def as_nova(
    offers: ty.Iterable[Offer], limits: Limits, root: str
) -> tuple[provider.Provider, ...]:
    """What Nova 34 publishes (``LibvirtDriver._get_gpu_inventories``).

    :param offers: in the order in which libvirt lists the parents
    :param limits: type -> its ``max_instances``
    """
    offers = tuple(offers)
    made: collections.Counter[str] = collections.Counter()
    for offer in offers:
        made[offer.kind] += offer.here
    found = []
    for offer in offers:
        more = offer.available or 0
        limit = limits.get(offer.kind)
        total = offer.here + more
        if (
            offer.most
            and limit is not None
            and made[offer.kind] + more > limit
        ):
            total = 0
        else:
            made[offer.kind] += more
        if total:
            found.append(_provider(offer, root, total))
    return tuple(found)


def ours(
    offers: ty.Iterable[Offer], limits: Limits, root: str
) -> tuple[provider.Provider, ...]:
    """What we publish where Nova isn't.

    ``max_instances`` caps: the parents that come first have their share, and
    of the others what is above it is reserved. So are devices that no claim
    has: no allocation stands for them, and no claim is given them.
    """
    offers = sorted(offers, key=lambda offer: offer.name)
    left = dict(limits)
    for offer in offers:
        if offer.kind in left:
            left[offer.kind] -= offer.here
    found = []
    for offer in offers:
        more = offer.available or 0
        total = max(offer.here + more, offer.most)
        if offer.kind in limits:
            more = max(min(more, left[offer.kind]), 0)
            left[offer.kind] -= more
            total = min(total, max(limits[offer.kind], offer.here))
        if offer.is_closed:
            more = 0
        closed = total - offer.here - more
        is_known = offer.is_closed or offer.available is not None
        found.append(
            _provider(
                offer,
                root,
                total,
                blocked=offer.here
                - offer.claimed
                + (closed if is_known else 0),
                unknown=0 if is_known else closed,
            )
        )
    return tuple(found)


def _provider(
    offer: Offer, root: str, total: int, **more: int
) -> provider.Provider:
    return provider.Provider(
        f"{root}_{offer.name}",
        root,
        {offer.resource_class: provider.Inventory(total, total, **more)},
        (),
    )
