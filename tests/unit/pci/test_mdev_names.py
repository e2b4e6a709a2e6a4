# SPDX-License-Identifier: Apache-2.0
"""What mediated devices, their types and their attributes are called."""

from nova_vfio_variant.pci import mdev_names
from tests import base


class NamesTest(base.TestCase):
    def test_a_kind_is_a_parent_and_a_type(self) -> None:
        self.assertEqual(
            ("mtty", "mtty-1"), mdev_names.parse_kind("mtty/mtty-1")
        )
        self.assertEqual(
            ("0000:06:00.0", "nvidia-35"),
            mdev_names.parse_kind("0000:06:00.0/nvidia-35"),
        )
        for wrong in ("mtty", "/x", "x/", "../x", "x/..", "a/b/c", "a/b\n"):
            self.assertRaises(ValueError, mdev_names.parse_kind, wrong)
        self.assertRaises(TypeError, mdev_names.parse_kind, None)

    def test_an_attribute_has_a_name_and_a_value(self) -> None:
        self.assertEqual(
            ("nvidia/vgpu_params", "a=1,b=2"),
            mdev_names.parse_attribute("nvidia/vgpu_params=a=1,b=2"),
        )
        for wrong in ("remove=1", "power/control=on", "a/b/c=1", "a=\x01"):
            self.assertRaises(ValueError, mdev_names.parse_attribute, wrong)
