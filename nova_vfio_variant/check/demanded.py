# SPDX-License-Identifier: Apache-2.0
"""Lines for cards whose vGPU types claims set, on a host that Nova has not."""

from __future__ import annotations

import collections
import dataclasses
import json
import typing as ty

from nova_vfio_variant.declaration import (
    nova_here,
    on_demand,
    vgpu_classes,
)
from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card, vgpu_mode
from nova_vfio_variant.placement import vgpu_cards
from nova_vfio_variant.tracker import vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.check import beside
    from nova_vfio_variant.declaration import verdicts
    from nova_vfio_variant.pci import address as pci_address


@dataclasses.dataclass(frozen=True, slots=True)
class Card:
    """A card that is divided on demand.

    :param types: that it is known to have; at least one
    :param ids: vendor and product of its VFs
    :param is_counted: Placement is told of its framebuffer
    """

    types: tuple[vendor_vgpu.VgpuType, ...]
    ids: frozenset[tuple[str, str]]
    is_counted: bool

    @property
    def classes(self) -> dict[str, vendor_vgpu.VgpuType]:
        """The types that an alias can ask for, by their classes."""
        found = collections.defaultdict(list)
        for known in self.types:
            if known.name:
                found[vgpu_classes.of_name(known.name)].append(known)
        return {
            name: alike[0] for name, alike in found.items() if len(alike) == 1
        }


class Cards:
    """The cards of a host that are divided on demand.

    They have a VF that a claim can give a type, or gave one, and nothing of
    them is declared.

    :param host: with nothing declared of it
    :param written: what the files say that were read
    """

    def __init__(
        self, host: verdicts.Verdicts, written: beside.Written
    ) -> None:
        self._cards: dict[pci_address.PciAddress, Card] = {}
        given = written.given
        if (
            given is None
            or not nova_here.is_absent(given)
            or not given.verdicts
        ):
            return
        made = given.vgpus or ()
        leaving = {
            vgpu.address for vgpu in made if vgpu.origin is vgpus.Origin.CLAIM
        }
        types = vgpu_classes.types(host.facts, given.vgpu_types)
        modes = vgpu_mode.of_cards(host.facts.scan)
        for card, vfs in vgpu_card.cards(host.facts).items():
            if (
                types[card]
                and any(vf in leaving or vfs[vf].types for vf in vfs)
                and not on_demand.is_declared(vfs, given.verdicts, made)
            ):
                self._cards[card] = Card(
                    types[card],
                    frozenset(
                        (vf.vendor_id, vf.product_id)
                        for vf in host.facts.scan.functions
                        if vf.address in vfs
                    ),
                    modes.get(card) is not vgpu_mode.Mode.MIG
                    and all(known.framebuffer_mib for known in types[card]),
                )

    def get(self, address: pci_address.PciAddress) -> Card | None:
        """What is known of such a card; None of any other."""
        return self._cards.get(address)

    def lines(
        self, cards: ty.Iterable[pci_address.PciAddress]
    ) -> ty.Iterator[str]:
        """How to ask for each type that cards have.

        All that a flavor asks for in a numbered group comes from one card. Of
        what isn't numbered the framebuffer may be one's and the VF another's.
        """
        asked: dict[tuple[str, str, str], set[int | None]] = (
            collections.defaultdict(set)
        )
        for card in map(self._cards.__getitem__, cards):
            for name, known in card.classes.items():
                size = known.framebuffer_mib if card.is_counted else None
                for ids in card.ids:
                    asked[name, *ids].add(size)
        for (name, vendor_id, product_id), sizes in sorted(asked.items()):
            alias = {
                "name": name.removeprefix("CUSTOM_"),
                "vendor_id": vendor_id,
                "product_id": product_id,
                "device_type": "type-VF",
                "resource_class": name,
            }
            yield (
                f"\nalias = {{ {json.dumps(alias)[1:-1]} }}\n"
                "# nova-vfio claim create --instance UUID --alias"
                f" {alias['name']}:1\n"
            )
            for size in sorted(filter(None, sizes)):
                yield (
                    "# openstack flavor set FLAVOR --property"
                    f" resources1:{vgpu_cards.FRAMEBUFFER}={size} --property"
                    f" resources1:{vgpu_cards.VF}=1\n"
                )
            if None in sizes:
                yield (
                    "# (no flavor: Placement has no framebuffer of a card in MIG"
                    " mode, or before\n# 'nova-vfio device sync' was told that"
                    " of all its types)\n"
                )
