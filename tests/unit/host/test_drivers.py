# SPDX-License-Identifier: Apache-2.0
"""The driver that fits best is the one that libvirt would choose."""

from nova_vfio_variant.host.observe import drivers
from tests import base
from tests.unit.host import make

_FUNCTION = "pci:v000015B3d0000101Esv000015B3sd00000051bc02sc00i00"
_ANY = ("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
_MLX5 = ("vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*", "mlx5_vfio_pci")


class BestVariantTest(base.TestCase):
    def test_the_fewest_wildcards_win_in_any_order(self) -> None:
        closer = ("vfio_pci:v000015B3d0000101Esv000015B3sd*bc*sc*i*", "x")
        for aliases in ([_ANY, _MLX5, closer], [closer, _MLX5, _ANY]):
            self.assertEqual("x", drivers.best_variant(_FUNCTION, aliases))

    def test_of_equals_the_first_wins(self) -> None:
        other = (_MLX5[0], "other_vfio_pci")
        self.assertEqual(
            "other_vfio_pci", drivers.best_variant(_FUNCTION, [other, _MLX5])
        )

    def test_another_functions_driver_is_not_chosen(self) -> None:
        other = ("vfio_pci:v000010DEd00002342sv*sd*bc*sc*i*", "nvgrace")
        self.assertEqual(
            "vfio_pci", drivers.best_variant(_FUNCTION, [other, _ANY])
        )
        self.assertIsNone(drivers.best_variant(_FUNCTION, [other]))

    def test_only_pci_functions_have_one(self) -> None:
        everything = [("vfio_pci:*", "vfio_pci")]
        self.assertIsNone(drivers.best_variant("usb:v1", everything))
        self.assertIsNone(drivers.best_variant("", everything))

    def test_dash_and_underscore_are_one(self) -> None:
        self.assertTrue(drivers.same_name("vfio-pci", "vfio_pci"))
        self.assertFalse(drivers.same_name("vfio-pci", "vfio"))


class ForFunctionsTest(base.TestCase):
    def test_what_is_made_for_the_hosts_functions(self) -> None:
        scan = make.scan(
            files={
                f"lib/modules/{make.RELEASE}/modules.alias": (
                    "# Aliases extracted from modules themselves.\n"
                    "alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb\n"
                    "alias pci:v000015B3d00001017sv*sd*bc*sc*i* mlx5_core\n"
                    "alias pci:v*d*sv*sd*bc01sc08i02* nvme-x\n"
                    "alias usb:v8086p0001d* usb-x\n"
                    "alias net-pf-4 ipx\n"
                    "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5-v\n"
                )
            }
        )
        always = {"pci_pf_stub", "pci_stub", "uio_pci_generic", "vfio_pci"}
        for vendors, more in (
            ((), set()),
            (("8086",), {"igb"}),
            (("8086", "15b3"), {"igb", "mlx5_core"}),
        ):
            self.assertEqual(
                always | {"nvme_x", "mlx5_v"} | more,
                drivers.for_functions(scan.tree, make.RELEASE, vendors),
            )
        self.assertEqual(always, drivers.for_functions(scan.tree, None, ()))
