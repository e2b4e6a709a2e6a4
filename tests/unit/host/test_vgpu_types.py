# SPDX-License-Identifier: Apache-2.0
"""Which vGPU type of a card is meant by a word."""

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, vgpu_types
from nova_vfio_variant.host.observe import vendor_vgpu
from tests import base

CARD = "0000:41:00.0"
#: Not in the order of their numbers, as drivers list them.
KNOWN = tuple(
    vendor_vgpu.VgpuType(number, name)
    for number, name in (
        ("1145", "NVIDIA L40S-1B"),
        ("1148", "NVIDIA L40S-12Q"),
        ("1149", "NVIDIA L40S-24Q"),
        ("820", "GRID A100-1-5C"),
        ("821", "GRID A100-1-5CME"),
        ("830", "GRID A100-2-10CNOME"),
        ("831", "NVIDIA RTX Pro 6000 Blackwell DC-2-24QGFX"),
        ("840", "GRID A100-4-20CME"),
        ("841", "GRID A100-4-20CNOME"),
    )
)


class ResolveTest(base.TestCase):
    def resolved(self, word: str) -> vgpu_types.Resolved:
        found = vgpu_types.resolve(word, KNOWN, CARD)
        assert isinstance(found, vgpu_types.Resolved), found
        return found

    def refused(
        self,
        word: str,
        known: tuple[vendor_vgpu.VgpuType, ...] = KNOWN,
    ) -> finding.Finding:
        found = vgpu_types.resolve(word, known, CARD)
        assert isinstance(found, finding.Finding), found
        self.assertEqual(codes.NO_SUCH_VGPU_TYPE, found.code)
        self.assertEqual(CARD, found.subject)
        return found

    def test_a_type_is_named_by_number_or_name_with_or_without_vendor(
        self,
    ) -> None:
        for word in ("1148", "NVIDIA L40S-12Q", "L40S-12Q"):
            found = self.resolved(word)
            self.assertEqual("1148", found.vgpu_type.id, word)
            self.assertIsNone(found.note, word)

    def test_a_suffix_that_is_left_out_is_tried_and_said(self) -> None:
        for word, wanted in (
            ("GRID A100-2-10C", "830"),
            ("A100-2-10C", "830"),
            ("RTX Pro 6000 Blackwell DC-2-24Q", "831"),
        ):
            found = self.resolved(word)
            self.assertEqual(wanted, found.vgpu_type.id)
            self.assertEqual(
                f"there is no vGPU type {word!r}; it is taken as "
                f"{found.vgpu_type.name}",
                found.note,
            )

    def test_a_name_that_is_there_is_never_given_a_suffix(self) -> None:
        found = self.resolved("A100-1-5C")
        self.assertEqual("820", found.vgpu_type.id)
        self.assertIsNone(found.note)

    def test_where_two_suffixes_fit_none_is_guessed(self) -> None:
        found = self.refused("A100-4-20C")
        self.assertEqual(
            "'A100-4-20C' could be any of 2 types: GRID A100-4-20CME (840), "
            "GRID A100-4-20CNOME (841)",
            found.message,
        )

    def test_two_types_of_one_name_are_told_apart_by_number(self) -> None:
        twins = (
            vendor_vgpu.VgpuType("7", "NVIDIA X-1Q"),
            vendor_vgpu.VgpuType("8", "NVIDIA X-1Q"),
        )
        self.assertIn(
            "(7), NVIDIA X-1Q (8)", self.refused("X-1Q", twins).message
        )
        found = vgpu_types.resolve("8", twins, CARD)
        self.assertEqual(vgpu_types.Resolved(twins[1]), found)

    def test_a_suffix_that_was_written_is_never_taken_away(self) -> None:
        found = self.refused("NVIDIA L40S-12QME")
        self.assertIn("NVIDIA L40S-12Q", found.hint or "")

    def test_an_unknown_type_is_told_with_the_nearest_names(self) -> None:
        for word in ("NVIDIA L40S-12X", "l40s-12q", "L40-24Q"):
            self.assertRegex(
                self.refused(word).hint or "", "^did you mean NVIDIA L40S-"
            )

    def test_where_nothing_is_near_a_command_shows_what_there_is(
        self,
    ) -> None:
        found = self.refused("470")
        self.assertEqual(
            "'nova-vfio vgpu types 0000:41:00.0' shows what it has",
            found.hint,
        )

    def test_a_card_of_which_nothing_is_known_says_so(self) -> None:
        found = self.refused("L40S-12Q", ())
        self.assertIn("no vGPU types are known of this card", found.message)

    def test_control_characters_of_a_name_reach_no_hint(self) -> None:
        evil = (vendor_vgpu.VgpuType("1", "NVIDIA L40S-12Q\x1b[2J"),)
        self.assertIn("\\x1b[2J", self.refused("L40S-12Q", evil).hint or "")

    def test_a_word_of_any_length_is_compared_in_no_time(self) -> None:
        found = self.refused("L" * 1_000_000)
        self.assertLess(len(found.message), 2_000)
