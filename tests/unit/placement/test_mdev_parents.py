# SPDX-License-Identifier: Apache-2.0
"""Inventories of parents of mediated devices, Nova's and ours."""

import typing as ty

from nova_vfio_variant.placement import mdev_parents
from tests import base

A, B = "pci_0000_84_00_0", "pci_0000_85_00_0"


def offer(
    name: str,
    here: int,
    available: int | None,
    most: int = 1,
    others: int = 0,
) -> mdev_parents.Offer:
    """What a parent has, all of it claimed but what is others'."""
    return mdev_parents.Offer(
        name, "nvidia-35", "VGPU", here, available, most, here - others
    )


class ParentsTest(base.TestCase):
    def told(
        self,
        way: ty.Callable[..., ty.Any],
        *offers: mdev_parents.Offer,
        limit: int | None = None,
    ) -> dict[str, tuple[int, int, int]]:
        """Total, blocked and unknown by the name of a node device."""
        limits = {} if limit is None else {"nvidia-35": limit}
        found = {}
        for made in way(offers, limits, "n1"):
            [(kind, units)] = made.inventories.items()
            self.assertEqual(("VGPU", "n1"), (kind, made.parent))
            self.assertEqual(units.total, units.max_unit)
            found[made.name.removeprefix("n1_")] = (
                units.total,
                units.blocked,
                units.unknown,
            )
        return found

    def ours(self, *offers: mdev_parents.Offer, **more: ty.Any) -> ty.Any:
        return self.told(mdev_parents.ours, *offers, **more)

    def novas(self, *offers: mdev_parents.Offer, **more: ty.Any) -> ty.Any:
        return self.told(mdev_parents.as_nova, *offers, **more)

    def test_what_is_there_and_what_can_be_made_is_the_total(self) -> None:
        for way in (self.ours, self.novas):
            self.assertEqual({A: (4, 0, 0)}, way(offer(A, 1, 3)))

    def test_what_no_claim_has_is_reserved(self) -> None:
        self.assertEqual({A: (4, 2, 0)}, self.ours(offer(A, 3, 1, others=2)))
        self.assertEqual({A: (4, 0, 0)}, self.novas(offer(A, 3, 1, others=2)))
        self.assertEqual({A: (4, 1, 1)}, self.ours(offer(A, 3, None, 4, 1)))

    def test_nova_drops_what_its_siblings_filled_and_ours_stays(self) -> None:
        full = offer(A, 1, 0), offer(B, 0, 0)
        self.assertEqual({A: (1, 0, 0)}, self.novas(*full))
        self.assertEqual({A: (1, 0, 0), B: (1, 1, 0)}, self.ours(*full))

    def test_a_total_is_the_same_while_a_card_fills(self) -> None:
        # Devices of another type took what is missing.
        for here, available in ((0, 8), (3, 5), (3, 1), (1, 0)):
            self.assertEqual(
                {A: (8, 8 - here - available, 0)},
                self.ours(offer(A, here, available, 8)),
            )

    def test_nova_drops_a_card_that_is_above_the_limit_and_we_cap(
        self,
    ) -> None:
        cards = offer(A, 0, 16), offer(B, 0, 16)
        self.assertEqual({A: (16, 0, 0)}, self.novas(*cards, limit=20))
        self.assertEqual(
            {A: (16, 0, 0), B: (16, 12, 0)}, self.ours(*cards, limit=20)
        )
        self.assertEqual({}, self.novas(*cards, limit=4))
        self.assertEqual(
            {A: (4, 0, 0), B: (4, 4, 0)}, self.ours(*cards, limit=4)
        )

    def test_nova_drops_no_card_that_offers_the_type_no_more(self) -> None:
        gone = offer(A, 2, 0, 0)
        for way in (self.ours, self.novas):
            self.assertEqual({A: (2, 0, 0)}, way(gone, limit=1))

    def test_devices_above_the_limit_keep_their_units(self) -> None:
        self.assertEqual({A: (6, 0, 0)}, self.ours(offer(A, 6, 10), limit=4))

    def test_of_what_is_not_told_nothing_is_given_back(self) -> None:
        self.assertEqual({A: (4, 0, 3)}, self.ours(offer(A, 1, None, 4)))
