# SPDX-License-Identifier: Apache-2.0
"""What libvirt calls the parents of mediated devices."""

from nova_vfio_variant import exception
from nova_vfio_variant.guest import mdev_definition
from nova_vfio_variant.guest.mdev_definition import Parent
from tests import base


class ParentNameTest(base.TestCase):
    def test_each_kind_of_parent_has_a_name(self) -> None:
        for name, path, is_function, wanted in (
            ("0000:06:00.0", "sys/devices/pci/card", True, "pci_0000_06_00_0"),
            ("10000:e1:00.0", "sys/devices/vmd", True, "pci_10000_e1_00_0"),
            ("mtty", "sys/devices/virtual/mtty/mtty", False, "mtty_mtty"),
            ("matrix", "sys/devices/vfio_ap/matrix", False, "ap_matrix"),
            ("0.0.0023", "sys/devices/css0/0.0.0023", False, "css_0_0_0023"),
        ):
            self.assertEqual(
                wanted,
                mdev_definition.parent_name(Parent(name, path, is_function)),
            )

    def test_a_parent_that_libvirt_does_not_see_is_said(self) -> None:
        below = Parent("child0", "sys/devices/pci/card/child0", False)
        error = self.assertRaises(
            exception.ClaimError, mdev_definition.parent_name, below
        )
        self.assertIn("no name for parent child0", str(error))
