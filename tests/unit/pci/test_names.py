# SPDX-License-Identifier: Apache-2.0
"""Names are published as Nova publishes them, and as Placement takes them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant.pci import names
from tests import base


class ResourceClassTest(base.TestCase):
    def test_names_become_those_that_nova_publishes(self) -> None:
        for written, published in (
            ("A16_16A", "CUSTOM_A16_16A"),
            ("CUSTOM_A16_16A", "CUSTOM_A16_16A"),
            ("gpu vf", "CUSTOM_GPU_VF"),
            ("pgpu", "PGPU"),
            ("custom_x", "CUSTOM_X"),
            ("a--b..c", "CUSTOM_A_B_C"),
            ("_x_", "CUSTOM__X_"),
            ("é", "CUSTOM__"),
            ("VGPU", "VGPU"),
        ):
            self.assertEqual(
                published, names.resource_class(written, "10de", "25b6")
            )

    def test_without_a_name_the_ids_make_one(self) -> None:
        for nothing in (None, ""):
            self.assertEqual(
                "CUSTOM_PCI_10DE_25B6",
                names.resource_class(nothing, "10de", "25b6"),
            )

    def test_a_custom_name_is_cleaned_too(self) -> None:
        self.assertEqual(
            "CUSTOM_A_B", names.resource_class("CUSTOM_a-b", "10de", "25b6")
        )
        self.assertEqual(
            "CUSTOM_A__B", names.resource_class("CUSTOM_a__b", "10de", "25b6")
        )

    @given(st.text(min_size=1))
    def test_any_name_becomes_one_of_allowed_characters(
        self, written: str
    ) -> None:
        published = names.resource_class(written, "10de", "25b6")
        self.assertTrue(re.fullmatch("[A-Z0-9_]+", published))
        self.assertEqual(
            published, names.resource_class(published, "10de", "25b6")
        )


class TraitsTest(base.TestCase):
    def test_names_become_those_that_nova_publishes(self) -> None:
        for written, published in (
            ("blue", "CUSTOM_BLUE"),
            ("CUSTOM_RED", "CUSTOM_RED"),
            ("HW_GPU_API_VULKAN", "HW_GPU_API_VULKAN"),
            ("hw_gpu_api_vulkan", "CUSTOM_HW_GPU_API_VULKAN"),
            ("my-awesome-gpu", "CUSTOM_MY_AWESOME_GPU"),
            ("!blue", "CUSTOM__BLUE"),
        ):
            self.assertEqual((published,), names.traits([written]))

    def test_blanks_and_empty_names_are_dropped(self) -> None:
        self.assertEqual(
            ("CUSTOM_BIG", "CUSTOM_BLUE"), names.traits(["blue", " big", ""])
        )

    def test_they_are_sorted_and_each_stands_once(self) -> None:
        self.assertEqual(
            ("CUSTOM_A", "CUSTOM_B"), names.traits(["b", "a", "CUSTOM_A"])
        )

    def test_a_custom_name_is_cleaned_too(self) -> None:
        self.assertEqual(("CUSTOM_A_B",), names.traits(["CUSTOM_a b"]))
