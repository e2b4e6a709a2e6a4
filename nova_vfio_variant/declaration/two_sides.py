# SPDX-License-Identifier: Apache-2.0
"""Who has devices by Placement, against who has them by the store. Pure."""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.declaration import mdev_offers, nova_here
from nova_vfio_variant.placement import tree, vgpu_cards

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What the two sides say of one instance and one provider.

    :param provider: its name
    :param recorded: how many of its devices the instance has in the store
    :param published: how many units of it the instance has in Placement
    :param is_novas: the provider is Nova's
    """

    provider: str
    instance_uuid: str
    recorded: int
    published: int
    is_novas: bool


def differences(given: facts.CheckInput) -> ty.Iterator[Difference]:
    """Where the two sides don't say the same.

    Of providers that have tracked devices, or that we made. Guests of Nova's
    that no claim of ours is in the way of are Nova's own.

    :param given: with what Placement holds; without it, nothing differs
    """
    if given.published is None:
        return
    providers = given.published.providers
    every = _owners(given)
    for name in sorted(every.keys() | given.published.ours):
        rp, owners = providers.get(name), every[name]
        is_novas = rp is not None and nova_here.OWNER_NOVA in rp.traits
        has = {
            consumer: sum(
                units
                for of_class, units in classes.items()
                if of_class not in vgpu_cards.CLASSES
            )
            for consumer, classes in given.published.consumers.get(
                name, {}
            ).items()
        }
        for instance in sorted(owners | has.keys()):
            recorded, published = owners[instance], has.get(instance, 0)
            if recorded != published and (recorded or not is_novas):
                yield Difference(name, instance, recorded, published, is_novas)


def _owners(
    given: facts.CheckInput,
) -> collections.defaultdict[str, collections.Counter[str]]:
    """Provider's name -> how many of its devices each instance has."""
    found: collections.defaultdict[str, collections.Counter[str]] = (
        collections.defaultdict(collections.Counter)
    )
    by_address = {str(device.address): device for device in given.recorded}
    providers, _ = tree.build(given.recorded, given.root, given.layout)
    for provider in providers:
        found[provider.name].update(
            owner
            for at in provider.devices
            if (owner := by_address[at].instance_uuid)
        )
    for made in given.mdevs:
        if made.instance_uuid is None:
            continue
        for name, classes in mdev_offers.amounts(given, (made,)).items():
            found[name][made.instance_uuid] += sum(classes.values())
    return found
