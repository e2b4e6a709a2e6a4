# SPDX-License-Identifier: Apache-2.0
"""What libvirt calls the parents of mediated devices."""

from nova_vfio_variant.declaration import nova_mdevs
from nova_vfio_variant.host.observe.mdev import Parent
from nova_vfio_variant.pci.address import PciAddress
from tests import base

CARD = PciAddress.parse("0000:06:00.0")
WIDE = PciAddress.parse("10000:e1:00.0")


class LibvirtNameTest(base.TestCase):
    def test_each_kind_of_parent_has_its_name(self) -> None:
        for name, path, address, wanted in (
            ("0000:06:00.0", "sys/devices/pci/card", CARD, "pci_0000_06_00_0"),
            ("10000:e1:00.0", "sys/devices/vmd", WIDE, "pci_10000_e1_00_0"),
            ("mtty", "sys/devices/virtual/mtty/mtty", None, "mtty_mtty"),
            ("matrix", "sys/devices/vfio_ap/matrix", None, "ap_matrix"),
            ("0.0.0023", "sys/devices/css0/0.0.0023", None, "css_0_0_0023"),
            ("child0", "sys/devices/pci/card/child0", CARD, None),
        ):
            self.assertEqual(
                wanted, nova_mdevs.libvirt_name(Parent(name, path, address))
            )
