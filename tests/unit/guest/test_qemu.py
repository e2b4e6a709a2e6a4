# SPDX-License-Identifier: Apache-2.0
"""What devices become in QEMU's arguments."""

from nova_vfio_variant import exception
from nova_vfio_variant.guest import devices, qemu
from tests import base
from tests.unit.guest import passed

_NONE = devices.Console.NONE


def plug(
    *given: devices.Passed, iommufd: bool = False
) -> tuple[qemu.Plugged, ...]:
    """Devices, without a console."""
    return qemu.plugged([(device, _NONE) for device in given], iommufd=iommufd)


class PluggedTest(base.TestCase):
    def test_a_function_sits_behind_a_root_port_of_its_own(self) -> None:
        device = passed.function("0000:25:00.4")
        self.assertEqual(
            (
                qemu.Plugged(
                    device,
                    "port-0000-25-00-4",
                    (
                        "-device",
                        (
                            "pcie-root-port,id=port-0000-25-00-4,bus=pcie.0,"
                            "chassis=16,slot=16"
                        ),
                        "-device",
                        (
                            "vfio-pci,host=0000:25:00.4,"
                            "id=hostdev-0000-25-00-4,bus=port-0000-25-00-4"
                        ),
                    ),
                ),
            ),
            plug(device),
        )

    def test_ports_are_numbered_in_the_order_given(self) -> None:
        found = plug(
            passed.function("0000:25:00.5"),
            passed.mediated("vfio-ap"),
            passed.function("0000:25:00.4"),
        )
        self.assertEqual(
            [
                (
                    "pcie-root-port,id=port-0000-25-00-5,bus=pcie.0,"
                    "chassis=16,slot=16"
                ),
                (
                    "pcie-root-port,id=port-0000-25-00-4,bus=pcie.0,"
                    "chassis=17,slot=17"
                ),
            ],
            [plugged.arguments[1] for plugged in found if plugged.port],
        )

    def test_a_vmd_function_is_named_by_its_folder(self) -> None:
        [plugged] = plug(passed.function("10000:01:00.0"))
        self.assertIn(
            "sysfsdev=/sys/bus/pci/devices/10000:01:00.0,",
            plugged.arguments[-1],
        )

    def test_what_is_no_pci_device_to_the_guest_has_no_port(self) -> None:
        for model in ("vfio-ccw", "vfio-ap"):
            [plugged] = plug(passed.mediated(model))
            self.assertIsNone(plugged.port)
            self.assertEqual(
                (
                    "-device",
                    (
                        f"{model},sysfsdev=/sys/bus/mdev/devices/{passed.MDEV},"
                        f"id=hostdev-{passed.MDEV}"
                    ),
                ),
                plugged.arguments,
            )

    def test_iommufd_is_said_of_each_device(self) -> None:
        found = plug(
            passed.function("0000:25:00.4"), passed.mediated(), iommufd=True
        )
        for plugged in found:
            self.assertTrue(
                plugged.arguments[-1].endswith(",iommufd=iommufd0")
            )
        self.assertEqual(["-object", "iommufd,id=iommufd0"], qemu.backend())

    def test_more_than_a_machine_has_room_for_are_refused(self) -> None:
        functions = [
            passed.function(f"0000:25:{slot:02x}.0") for slot in range(31)
        ]
        self.assertEqual(30, len(plug(*functions[:30])))
        refused = self.assertRaises(exception.ClaimError, plug, *functions)
        self.assertIn("31 devices", str(refused))

    def test_a_comma_of_a_value_does_not_end_it(self) -> None:
        self.assertEqual("/a,,b", qemu.value("/a,b"))
