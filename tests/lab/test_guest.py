# SPDX-License-Identifier: Apache-2.0
"""The guest has what its README lists, beyond what behaviour tests use."""

import os

from tests.behaviour.case import BehaviourCase
from tests.behaviour.host import DEVICES, DISPLAY, PF


class GuestTest(BehaviourCase):
    def test_both_igb_stand_on_a_numa_node_of_their_own(self) -> None:
        self.assertEqual("0", self.attribute(PF, "numa_node"))
        self.assertEqual("1", self.attribute("0000:41:00.0", "numa_node"))

    def test_modules_alias_names_the_variant_drivers(self) -> None:
        text = self.host.read(
            f"lib/modules/{os.uname().release}/modules.alias"
        )
        self.assertEqual(
            ["igbvf_vfio_pci", "vfio_pci", "virtio_vfio_pci"],
            sorted(
                line.split()[-1]
                for line in text.splitlines()
                if " vfio_pci:" in line
            ),
        )

    def test_the_display_has_a_connector(self) -> None:
        self.assertEqual("bochs-drm", self.driver(DISPLAY))
        place = f"{DEVICES}/{DISPLAY}/drm"
        [card] = [
            name for name in self.host.names(place) if name.startswith("card")
        ]
        [connector] = [
            name
            for name in self.host.names(f"{place}/{card}")
            if name.startswith(f"{card}-")
        ]
        self.assertEqual(
            "connected", self.host.read(f"{place}/{card}/{connector}/status")
        )

    def test_programs_find_their_standard_streams(self) -> None:
        for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
            self.assertEqual(
                f"/proc/self/fd/{number}", os.readlink(f"/dev/{name}")
            )

    def test_the_other_sample_parent_offers_its_types(self) -> None:
        self.host.modprobe("mdpy")
        self.assertEqual(
            ["mdpy-hd", "mdpy-vga", "mdpy-xga"],
            self.host.names("sys/class/mdev_bus/mdpy/mdev_supported_types"),
        )
