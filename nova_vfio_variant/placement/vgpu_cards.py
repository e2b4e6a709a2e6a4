# SPDX-License-Identifier: Apache-2.0
"""Cards whose vGPUs are made on demand, as inventories of their provider.

A unit for each VF can't say that a card of 16 GiB has room for one large vGPU
or for four small ones. So its framebuffer is an inventory, too, of which each
vGPU takes its size.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.placement import provider

FRAMEBUFFER: ty.Final = "CUSTOM_VGPU_FB_MIB"
VF: ty.Final = "CUSTOM_VGPU_VF"
CLASSES: ty.Final = frozenset({FRAMEBUFFER, VF})

Address = pci_address.PciAddress


@dataclasses.dataclass(frozen=True, slots=True)
class OnDemand:
    """A card whose VFs are given types on demand.

    :param address: of its PF
    :param framebuffer_mib: all that there is for vGPUs
    :param vfs: those that take vGPUs
    :param made: the size in MiB of each vGPU that a claim has
    :param others: the size in MiB of each vGPU that no claim has; as much as
        there is for one whose size nobody knows
    :param closed: VFs that are given to nobody whatever type is asked for
    :param unknown: VFs of which nobody can say that
    :param unit: the one size that the card takes now; 0 where it takes any
    :param most: the most MiB that one instance has
    """

    address: Address
    framebuffer_mib: int
    vfs: frozenset[Address]
    made: ty.Mapping[Address, int]
    others: ty.Mapping[Address, int]
    closed: frozenset[Address] = frozenset()
    unknown: frozenset[Address] = frozenset()
    unit: int = 0
    most: int = 0


def added(
    providers: ty.Iterable[provider.Provider],
    cards: ty.Iterable[OnDemand],
) -> tuple[provider.Provider, ...]:
    """The same providers, with the inventories of their cards.

    A card whose VFs stand in several providers gets none: what it has would
    be there more than once.
    """
    of_vfs = {vf: card for card in cards for vf in card.vfs}
    first: dict[Address, str] = {}
    split = set()
    for rp in providers:
        for at in rp.addresses:
            if at in of_vfs:
                card = of_vfs[at].address
                if first.setdefault(card, rp.name) != rp.name:
                    split.add(card)
    found = []
    for rp in providers:
        mine = {
            of_vfs[at].address: of_vfs[at]
            for at in rp.addresses
            if at in of_vfs
        }
        for card_of in mine.values():
            if card_of.address not in split:
                rp = _added(rp, card_of)
        found.append(rp)
    return tuple(found)


def _added(rp: provider.Provider, card: OnDemand) -> provider.Provider:
    vfs = card.vfs & set(rp.addresses)
    used = sum(card.made.values())
    free = vfs - set(card.made)
    closed = free & {*card.others, *card.closed}
    return dataclasses.replace(
        rp,
        inventories={
            **rp.inventories,
            FRAMEBUFFER: provider.Inventory(
                card.framebuffer_mib,
                max(card.unit, card.most)
                if card.unit
                else card.framebuffer_mib,
                blocked=min(
                    sum(card.others.values()),
                    max(card.framebuffer_mib - used, 0),
                ),
                unit=card.unit or 1,
            ),
            VF: provider.Inventory(
                len(vfs),
                len(vfs),
                blocked=len(closed),
                unknown=len((free - closed) & card.unknown),
            ),
        },
        shares={
            at: {FRAMEBUFFER: size, VF: 1}
            for at, size in card.made.items()
            if at in vfs
        },
    )
