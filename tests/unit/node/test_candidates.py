# SPDX-License-Identifier: Apache-2.0
"""How much Placement is asked at once."""

import dataclasses

from nova_vfio_variant.node import candidates
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.placement import provider
from tests import base
from tests.unit.tracker import samples


class AskedTest(base.TestCase):
    def asked(self, providers: int, devices: int) -> int:
        """How many groups of so many devices."""
        places = [pci_address.PciAddress(0, n, 0, 0) for n in range(providers)]
        given = [
            dataclasses.replace(samples.pci("0000:00:00.0"), address=at)
            for at in places
        ]
        groups = [provider.Group("CUSTOM_NIC")] * devices
        owners = {at: f"n1_{at}" for at in places}
        return len(candidates._asked(groups, given, owners))

    def test_a_group_for_each_device(self) -> None:
        self.assertEqual(4, self.asked(2, 4))
        self.assertEqual(3, self.asked(8, 3))

    def test_what_placement_would_multiply_stays_small(self) -> None:
        for providers in range(2, 100):
            groups = self.asked(providers, 8)
            self.assertLessEqual(providers**groups, 1000)
            self.assertGreaterEqual(groups, 1)
        self.assertEqual(25, self.asked(1, 64))
