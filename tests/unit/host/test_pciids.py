# SPDX-License-Identifier: Apache-2.0
"""Names come from the host's own pci.ids, and only from there."""

import pathlib
import tempfile

from nova_vfio_variant.host.observe import pciids
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.pci import address, function
from tests import base

_IDS = """\
#
#\tList of PCI ID's
#
10de  NVIDIA Corporation
\t25b6  GA107GL [A2 / A16]
\t\t10de 14a9  A16
# a comment in the middle
\t2684  AD102 [GeForce RTX 4090]
8086  Intel Corporation
\t10c9  82576 Gigabit Network Connection
C 02  Network controller
\t00  Ethernet controller
\t\t01  An interface
C 03  Display controller
\t02  3D controller
"""


class NamesTest(base.TestCase):
    def names(self, where: str = pciids.PATHS[1]) -> pciids.Names:
        root = pathlib.Path(tempfile.mkdtemp())
        (root / where).parent.mkdir(parents=True)
        (root / where).write_text(_IDS)
        return pciids.Names.load(opening.open_tree(str(root)))

    def test_what_the_file_says_is_found_in_either_place(self) -> None:
        for where in pciids.PATHS:
            names = self.names(where)
            self.assertEqual("NVIDIA Corporation", names.vendor("10de"))
            self.assertEqual(
                "GA107GL [A2 / A16]", names.device("10de", "25b6")
            )
            self.assertEqual(
                "AD102 [GeForce RTX 4090]", names.device("10de", "2684")
            )
            self.assertEqual("Ethernet controller", names.class_name(0x020000))
            self.assertEqual("3D controller", names.class_name(0x030200))

    def test_an_unknown_sub_class_has_its_base_class_name(self) -> None:
        self.assertEqual(
            "Network controller", self.names().class_name(0x028000)
        )

    def test_what_the_file_does_not_say_is_none(self) -> None:
        names = self.names()
        self.assertIsNone(names.vendor("1af4"))
        self.assertIsNone(names.device("1af4", "1041"))
        self.assertIsNone(names.device("8086", "25b6"))
        self.assertIsNone(names.device("10de", "14a9"))
        self.assertIsNone(names.class_name(0xFF0000))

    def test_a_host_without_the_file_has_no_names(self) -> None:
        names = pciids.Names.load(opening.open_tree(tempfile.mkdtemp()))
        self.assertIsNone(names.vendor("10de"))
        self.assertIsNone(names.device("10de", "25b6"))
        self.assertIsNone(names.class_name(0x020000))
        self.assertEqual("", names.excerpt([]))

    def test_an_excerpt_holds_what_the_functions_need(self) -> None:
        at = address.PciAddress(0, 0, 1, 0)
        functions = [
            function.PciFunction(at, "10de", "25b6", 0x030200),
            function.PciFunction(at, "8086", "ffff", 0x030000),
            function.PciFunction(at, "1af4", "1041", 0xFF0000),
        ]
        self.assertEqual(
            "10de  NVIDIA Corporation\n"
            "\t25b6  GA107GL [A2 / A16]\n"
            "8086  Intel Corporation\n"
            "C 03  Display controller\n"
            "\t02  3D controller\n",
            self.names().excerpt(functions),
        )
