# SPDX-License-Identifier: Apache-2.0
"""Which VF of a card is given which type, where counts are declared."""

import collections
import dataclasses
import typing as ty

import hypothesis
from hypothesis import strategies

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, vgpu_layout
from tests import base
from tests.unit.host import vgpu_model

vf = vgpu_model.vf
Q12, A12, Q24 = "1148", "1200", "1149"


def l40s(*current: str, **more: ty.Any) -> vgpu_model.Model:
    return vgpu_model.Model(
        49152,
        {Q12: 12288, A12: 12288, Q24: 24576},
        {Q12: 4, A12: 4, Q24: 2},
        list(current),
        **more,
    )


class LayoutTest(base.TestCase):
    def laid(self, *args: ty.Any, **more: ty.Any) -> list[str]:
        found = vgpu_layout.lay(*args, **more)
        assert isinstance(found, dict), found
        self.assertEqual(sorted(found), list(found))
        return list(found.values())

    def refused(self, *args: ty.Any, **more: ty.Any) -> list[str]:
        found = vgpu_layout.lay(*args, **more)
        assert isinstance(found, tuple), found
        for problem in found:
            assert isinstance(problem, finding.Finding)
            self.assertIs(codes.VGPU_COUNTS, problem.code)
            self.assertEqual("0000:41:00.0", problem.subject)
        return [problem.message for problem in found]

    def test_counts_go_onto_vfs_in_order_of_address_the_largest_first(
        self,
    ) -> None:
        card = l40s(*["0"] * 5, heterogeneous=True).card()
        for counts in ({Q12: 2, Q24: 1}, {Q24: 1, Q12: 2}):
            self.assertEqual(
                [Q24, Q12, Q12, "0", "0"], self.laid(counts, card, {})
            )

    def test_what_was_laid_before_stays_where_it_was(self) -> None:
        card = l40s(*["0"] * 4, heterogeneous=True).card()
        self.assertEqual(
            [Q12, "0", Q24, Q12],
            self.laid({Q12: 2, Q24: 1}, card, {vf(2): Q24, vf(3): Q12}),
        )

    def test_what_is_there_already_stays_too(self) -> None:
        card = l40s("0", "0", A12, Q12).card()
        self.assertEqual([Q12, "0", "0", Q12], self.laid({Q12: 2}, card, {}))

    def test_what_was_laid_counts_before_what_somebody_made(self) -> None:
        card = l40s(Q12, "0").card()
        self.assertEqual(["0", Q12], self.laid({Q12: 1}, card, {vf(1): Q12}))

    def test_no_more_stays_than_is_declared(self) -> None:
        card = l40s(Q12, Q12, Q12).card()
        self.assertEqual([Q12, "0", "0"], self.laid({Q12: 1}, card, {}))
        self.assertEqual(["0", "0", "0"], self.laid({}, card, {}))
        self.assertEqual(["0", "0", "0"], self.laid({Q12: 0}, card, {}))

    def test_a_closed_vf_is_given_nothing_and_keeps_what_is_meant(
        self,
    ) -> None:
        card = dataclasses.replace(
            l40s("0", Q12, "0").card(), closed=frozenset({vf(0), vf(1)})
        )
        self.assertEqual(
            ["0", Q12, Q12],
            self.laid({Q12: 2}, card, {vf(0): Q12}),
        )

    def test_more_than_the_vfs_is_refused(self) -> None:
        self.assertEqual(
            ["3 vGPUs are declared, and it has 2 VFs"],
            self.refused({Q12: 3}, l40s("0", "0").card(), {}),
        )
        card = dataclasses.replace(
            l40s("0", "0").card(), closed=frozenset({vf(1)})
        )
        self.assertEqual(
            "2 vGPUs are declared, and it has 2 VFs, 1 of which can be "
            "given none now",
            *self.refused({Q12: 2}, card, {}),
        )

    def test_more_than_the_framebuffer_is_refused(self) -> None:
        card = l40s(*["0"] * 8, heterogeneous=True).card()
        self.assertEqual(
            "3 of NVIDIA T-1148 and 1 of NVIDIA T-1149 need 61440 MiB of "
            "framebuffer, and the card has 49152",
            *self.refused({Q12: 3, Q24: 1}, card, {}),
        )

    def test_more_of_a_type_than_the_card_takes_is_refused(self) -> None:
        model = vgpu_model.Model(98304, {"1": 2048}, {"1": 32}, ["0"] * 48)
        self.assertEqual(
            ["it holds 32 of NVIDIA T-1 at most, and 33 are declared"],
            self.refused({"1": 33}, model.card(), {}),
        )

    def test_several_sizes_want_a_card_that_is_declared_so(self) -> None:
        card = l40s(*["0"] * 4).card()
        counts = {Q12: 1, Q24: 1}
        self.assertIn("not heterogeneous", self.refused(counts, card, {})[0])
        self.laid(counts, card, {}, heterogeneous=True)
        mixed = l40s(*["0"] * 4, heterogeneous=True).card()
        self.laid(counts, mixed, {})
        self.refused(counts, mixed, {}, heterogeneous=False)

    def test_two_types_of_one_size_want_nothing(self) -> None:
        self.laid({Q12: 1, A12: 1}, l40s("0", "0").card(), {})

    def test_what_nobody_tells_is_left_to_the_driver(self) -> None:
        card = l40s(*["0"] * 8).card(told=False)
        self.laid({Q12: 3, Q24: 4}, card, {})

    @hypothesis.given(strategies.data())
    def test_what_is_laid_is_what_is_declared_and_stays_so(
        self, data: strategies.DataObject
    ) -> None:
        model = data.draw(vgpu_model.models())
        card = model.card()
        some = strategies.sampled_from(("0", *model.types))
        counts = data.draw(
            strategies.dictionaries(
                strategies.sampled_from(sorted(model.types)),
                strategies.integers(0, 4),
            )
        )
        before = data.draw(
            strategies.dictionaries(
                strategies.sampled_from(list(card.vfs)), some
            )
        )
        found = vgpu_layout.lay(counts, card, before)
        if isinstance(found, tuple):
            self.assertTrue(found)
            return
        made = collections.Counter(found.values())
        made.pop("0", None)
        self.assertEqual(
            {type_id: n for type_id, n in counts.items() if n}, dict(made)
        )
        # A reboot: no vGPU is there, and what was laid is remembered.
        rebooted = dataclasses.replace(
            model, current=["0"] * len(model.current)
        )
        again = vgpu_layout.lay(counts, rebooted.card(), found)
        self.assertEqual(found, again)

    @hypothesis.given(vgpu_model.models(carved=False))
    def test_what_an_empty_card_of_one_size_takes_is_not_refused(
        self, model: vgpu_model.Model
    ) -> None:
        for type_id in model.types:
            most = model.greedy(type_id)
            laid = vgpu_layout.lay({type_id: most}, model.card(), {})
            self.assertIsInstance(laid, dict)
            more = vgpu_layout.lay({type_id: most + 1}, model.card(), {})
            self.assertIsInstance(more, tuple)
