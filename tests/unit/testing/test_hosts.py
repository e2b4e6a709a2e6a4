# SPDX-License-Identifier: Apache-2.0
"""Made-up hosts look like scanned ones."""

from nova_vfio_variant.pci import function
from nova_vfio_variant.testing import hosts
from tests import base


class MakeFunctionsTest(base.TestCase):
    def test_every_pf_is_followed_by_its_vfs(self) -> None:
        made = hosts.make_functions(2, 3)
        self.assertEqual(
            [
                ("0000:00:00.0", "PF"),
                ("0000:00:00.1", "VF"),
                ("0000:00:00.2", "VF"),
                ("0000:00:00.3", "VF"),
                ("0000:01:00.0", "PF"),
                ("0000:01:00.1", "VF"),
                ("0000:01:00.2", "VF"),
                ("0000:01:00.3", "VF"),
            ],
            [(str(seen.address), str(seen.kind)) for seen in made],
        )
        self.assertEqual(made[4].address, made[5].physfn)
        self.assertEqual([0, 0, 0, 0, 1, 1, 1, 1], [f.numa_node for f in made])

    def test_no_address_and_no_group_is_given_twice(self) -> None:
        made = hosts.make_functions(260, 63, numa_nodes=0)
        self.assertEqual(260 * 64, len({seen.address for seen in made}))
        self.assertEqual(260 * 64, len({seen.iommu_group for seen in made}))
        self.assertEqual({None}, {seen.numa_node for seen in made})
        self.assertEqual(
            sorted(made, key=lambda seen: seen.address), list(made)
        )

    def test_a_full_domain_is_followed_by_the_next(self) -> None:
        made = hosts.make_functions(129, 256, domain=0xFFFF)
        self.assertEqual("10000:01:00.0", str(made[-1].address))
        self.assertEqual("10000:00:00.0", str(made[-1].physfn))

    def test_a_pf_without_vfs_is_a_plain_function(self) -> None:
        (made,) = hosts.make_functions(1, 0)
        self.assertEqual(function.Kind.PCI, made.kind)

    def test_a_vf_on_a_host_driver_has_no_vfio_driver(self) -> None:
        host_driver = hosts.make_functions(1, 1, vf_driver="igbvf")[1]
        variant = hosts.make_functions(1, 1, vf_driver="mlx5_vfio_pci")[1]
        self.assertIsNone(host_driver.vfio_driver)
        self.assertEqual("mlx5_vfio_pci", variant.vfio_driver)
