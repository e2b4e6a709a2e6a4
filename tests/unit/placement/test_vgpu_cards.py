# SPDX-License-Identifier: Apache-2.0
"""What a card whose vGPUs are made on demand has in Placement."""

import typing as ty

from nova_vfio_variant.pci import address
from nova_vfio_variant.placement import diff, provider, vgpu_cards
from tests import base

FB, VF = vgpu_cards.FRAMEBUFFER, vgpu_cards.VF
PF = address.PciAddress.parse("0000:41:00.0")
VFS = [address.PciAddress(0, 0x41, 0, number) for number in (4, 5, 6, 7)]
GIB = 1024


def rp(
    *addresses: address.PciAddress, name: str = "card"
) -> provider.Provider:
    units = len(addresses)
    return provider.Provider(
        name, "root", {"A": provider.Inventory(units, units)}, (), addresses
    )


def card(
    made: ty.Mapping[address.PciAddress, int] | None = None,
    others: ty.Mapping[address.PciAddress, int] | None = None,
    **more: ty.Any,
) -> vgpu_cards.OnDemand:
    """Of 16 GiB."""
    return vgpu_cards.OnDemand(
        PF, 16 * GIB, frozenset(VFS), made or {}, others or {}, **more
    )


class VgpuCardsTest(base.TestCase):
    def added(self, of: vgpu_cards.OnDemand) -> provider.Provider:
        (found,) = vgpu_cards.added([rp(*VFS)], [of])
        return found

    def units(self, of: vgpu_cards.OnDemand) -> list[int | float]:
        """What Placement is written: of the framebuffer."""
        record = diff.settled(self.added(of), None).inventories[FB]
        return [record[name] for name in ("min_unit", "step_size", "max_unit")]

    def test_an_empty_card_takes_any_size(self) -> None:
        found = self.added(card())
        self.assertEqual(
            {"A", FB, VF},
            found.inventories.keys(),
        )
        self.assertEqual(
            (16 * GIB, 4),
            tuple(found.inventories[name].total for name in (FB, VF)),
        )
        self.assertEqual([1, 1, 16 * GIB], self.units(card()))
        self.assertEqual({}, found.shares)

    def test_a_card_of_one_size_takes_that_until_it_is_empty(self) -> None:
        made = {VFS[0]: 4 * GIB}
        self.assertEqual(
            [4 * GIB] * 3,
            self.units(card(made, unit=4 * GIB, most=4 * GIB)),
        )
        # What another tool made has a size, too.
        self.assertEqual(
            [4 * GIB] * 3, self.units(card({}, made, unit=4 * GIB))
        )

    def test_an_instance_keeps_several_of_the_size(self) -> None:
        made = dict.fromkeys(VFS[:3], 4 * GIB)
        self.assertEqual(
            [4 * GIB, 4 * GIB, 12 * GIB],
            self.units(card(made, unit=4 * GIB, most=12 * GIB)),
        )

    def test_what_claims_have_is_shared_out_and_not_reserved(self) -> None:
        found = self.added(card({VFS[1]: 8 * GIB}))
        self.assertEqual({VFS[1]: {FB: 8 * GIB, VF: 1}}, found.shares)
        self.assertEqual(
            [0, 0], [found.inventories[name].blocked for name in (FB, VF)]
        )

    def test_what_others_have_is_reserved(self) -> None:
        found = self.added(card({VFS[1]: 8 * GIB}, {VFS[0]: 4 * GIB}))
        self.assertEqual(
            [4 * GIB, 1],
            [found.inventories[name].blocked for name in (FB, VF)],
        )

    def test_no_more_is_reserved_than_is_left(self) -> None:
        # Of another's vGPU of unknown size all of the card counts.
        found = self.added(card({VFS[1]: 8 * GIB}, {VFS[0]: 16 * GIB}))
        self.assertEqual(8 * GIB, found.inventories[FB].blocked)

    def test_a_closed_vf_counts_once_and_one_of_a_claim_not_at_all(
        self,
    ) -> None:
        found = self.added(
            card(
                {VFS[0]: 4 * GIB},
                {VFS[1]: 4 * GIB},
                closed=frozenset({VFS[0], VFS[1], VFS[2]}),
                unknown=frozenset({VFS[2], VFS[3]}),
            )
        )
        self.assertEqual(
            (4, 2, 1),
            (
                found.inventories[VF].total,
                found.inventories[VF].blocked,
                found.inventories[VF].unknown,
            ),
        )

    def test_a_card_in_several_providers_has_none(self) -> None:
        split = [rp(*VFS[:2]), rp(*VFS[2:], name="other")]
        self.assertEqual(tuple(split), vgpu_cards.added(split, [card()]))

    def test_other_cards_are_as_they_were(self) -> None:
        other = rp(address.PciAddress.parse("0000:61:00.4"), name="other")
        self.assertEqual(
            other, vgpu_cards.added([rp(*VFS), other], [card()])[1]
        )
