# SPDX-License-Identifier: Apache-2.0
"""How many vGPUs of each type a card can be given now, and why none."""

import dataclasses

import hypothesis

from nova_vfio_variant.host.decide import vgpu_capacity
from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card
from tests import base
from tests.unit.host import vgpu_model

Why = vgpu_capacity.Why
Q12, A12, Q24 = "1148", "1200", "1149"


def l40s(*current: str, heterogeneous: bool = False) -> vgpu_model.Model:
    return vgpu_model.Model(
        49152,
        {Q12: 12288, A12: 12288, Q24: 24576},
        {Q12: 4, A12: 4, Q24: 2},
        list(current),
        heterogeneous,
    )


class CapacityTest(base.TestCase):
    def found(
        self, card: vgpu_card.Card, type_id: str
    ) -> vgpu_capacity.Capacity:
        return vgpu_capacity.of_type(card, type_id)

    def none(self, card: vgpu_card.Card, type_id: str) -> Why | None:
        found = self.found(card, type_id)
        self.assertEqual((0, 0), (found.now, found.at_most))
        return found.why

    def test_sixteen_free_vfs_are_not_sixteen_vgpus(self) -> None:
        card = l40s(*["0"] * 16).card()
        self.assertEqual(
            [(Q12, 4, 4), (Q24, 2, 2), (A12, 4, 4)],
            [
                (found.vgpu_type.id, found.now, found.at_most)
                for found in vgpu_capacity.of_card(card)
            ],
        )

    def test_what_exists_is_counted_and_its_framebuffer_gone(self) -> None:
        card = l40s(Q12, A12, *["0"] * 6).card()
        found = self.found(card, Q12)
        self.assertEqual((1, 2, None), (found.existing, found.now, found.why))

    def test_fewer_free_vfs_than_framebuffer_are_the_limit(self) -> None:
        self.assertEqual(1, self.found(l40s(Q12, "0").card(), Q12).now)

    def test_no_more_of_a_type_than_its_vendor_tells(self) -> None:
        model = vgpu_model.Model(98304, {"1": 2048}, {"1": 32}, ["0"] * 48)
        self.assertEqual(32, self.found(model.card(), "1").now)

    def test_where_nobody_tells_sizes_one_is_sure_and_the_most_is_told(
        self,
    ) -> None:
        found = self.found(l40s(*["0"] * 16).card(told=False), Q12)
        self.assertEqual((1, 16), (found.now, found.at_most))
        self.assertIsNone(found.vgpu_type.framebuffer_mib)

    def test_a_card_of_several_sizes_promises_one(self) -> None:
        card = l40s(Q24, *["0"] * 4, heterogeneous=True).card()
        found = self.found(card, Q12)
        self.assertEqual((1, 2), (found.now, found.at_most))

    def test_a_type_of_another_size_vanished_for_its_size(self) -> None:
        self.assertIs(
            Why.ANOTHER_SIZE, self.none(l40s(Q12, "0", "0").card(), Q24)
        )

    def test_a_full_card_says_so(self) -> None:
        for model in (
            l40s(Q24, Q24, "0"),
            l40s(Q24, Q12, "0", heterogeneous=True),
        ):
            self.assertIs(Why.FULL, self.none(model.card(), Q24))

    def test_without_a_free_vf_none_is_made(self) -> None:
        self.assertIs(Why.NO_FREE_VF, self.none(l40s(Q12, Q12).card(), Q12))
        closed = dataclasses.replace(
            l40s("0").card(), closed=frozenset({vgpu_model.vf(0)})
        )
        self.assertIs(Why.NO_FREE_VF, self.none(closed, Q12))

    def test_a_card_without_vfs_says_so(self) -> None:
        self.assertIs(Why.NO_VFS, self.none(l40s().card(), Q12))

    def test_an_empty_card_that_offers_nothing_wants_a_gpu_instance(
        self,
    ) -> None:
        card = dataclasses.replace(
            l40s("0").card(),
            vfs={vgpu_model.vf(0): vendor_vgpu.VendorVgpu("0", ())},
        )
        self.assertIs(Why.NO_GPU_INSTANCE, self.none(card, Q12))

    def test_lists_that_nobody_can_read_give_no_reason(self) -> None:
        for seen in (
            vendor_vgpu.VendorVgpu("0", None),
            vendor_vgpu.VendorVgpu("0", (), (1, "what")),
        ):
            card = dataclasses.replace(
                l40s("0").card(), vfs={vgpu_model.vf(0): seen}
            )
            self.assertIs(Why.NOT_TOLD, self.none(card, Q12))

    def test_a_vf_whose_type_cant_be_read_is_not_free(self) -> None:
        card = dataclasses.replace(
            l40s("0").card(),
            vfs={vgpu_model.vf(0): vendor_vgpu.VendorVgpu(None, ())},
        )
        self.assertIs(Why.NO_FREE_VF, self.none(card, Q12))

    def test_a_type_that_nobody_names_still_exists(self) -> None:
        card = dataclasses.replace(
            l40s("0").card(),
            vfs={vgpu_model.vf(0): vendor_vgpu.VendorVgpu("77", ())},
        )
        found = self.found(card, "77")
        self.assertEqual((1, ""), (found.existing, found.vgpu_type.name))

    def test_a_name_is_only_guessed_from(self) -> None:
        for name, wanted in (
            ("NVIDIA L40S-12Q", 12288),
            ("GRID A100-1-5CME", 5120),
            ("NVIDIA RTX Pro 6000 Blackwell DC-2-24QGFX", 24576),
            ("NVIDIA A16-0Q", None),
            ("NVIDIA L40S", None),
            ("NVIDIA L40S-99999Q", None),
        ):
            self.assertEqual(wanted, vgpu_capacity.guessed_mib(name), name)
        card = l40s(*["0"] * 16).card(told=False)
        self.assertIsNone(vgpu_capacity.framebuffer_left(card))

    def test_sums_promise_no_more_than_there_are_places_for(self) -> None:
        # 24 GiB, of which two of 1 GiB left over are each in the way of one
        # of 8 GiB.
        model = vgpu_model.Model(
            24576,
            {"1": 1024, "8": 8192},
            {"1": 24, "8": 12},
            ["0"] * 12,
            heterogeneous=True,
            placed={},
        )
        for number in range(9):
            self.assertTrue(model.make(number, "1"))
        for number in range(1, 8):
            model.free(number)
        found = self.found(model.card(), "8")
        self.assertEqual((1, 2), (found.now, found.at_most))
        self.assertEqual(1, model.greedy("8"))

    def test_others_of_a_size_count_where_the_most_of_a_type_is_told(
        self,
    ) -> None:
        model = vgpu_model.Model(
            24576, {"1": 1024, "2": 1024}, {"1": 24, "2": 3}, ["0"] * 8
        )
        model.make(0, "1")
        model.make(1, "1")
        found = self.found(model.card(), "2")
        self.assertEqual((1, 3), (found.now, found.at_most))
        self.assertEqual(1, model.greedy("2"))

    def test_what_a_vf_lists_goes_before_what_is_told(self) -> None:
        card = l40s("0").card()
        told = dataclasses.replace(card.told, framebuffer_mib=1024)
        found = self.found(dataclasses.replace(card, told=told), Q12)
        self.assertEqual((1, 1, None), (found.now, found.at_most, found.why))

    @hypothesis.given(vgpu_model.models(placed=True))
    def test_no_more_is_promised_than_a_carve_achieves(
        self, model: vgpu_model.Model
    ) -> None:
        for told in (True, False):
            for found in vgpu_capacity.of_card(model.card(told=told)):
                achieved = model.greedy(found.vgpu_type.id)
                self.assertLessEqual(found.now, achieved)
                self.assertLessEqual(achieved, found.at_most)
                self.assertEqual(achieved == 0, found.why is not None)

    @hypothesis.given(vgpu_model.models())
    def test_where_all_is_told_a_card_of_one_size_is_counted_exactly(
        self, model: vgpu_model.Model
    ) -> None:
        model = dataclasses.replace(
            model, heterogeneous=False, current=["0"] * len(model.current)
        )
        for found in vgpu_capacity.of_card(model.card()):
            self.assertEqual(model.greedy(found.vgpu_type.id), found.now)
