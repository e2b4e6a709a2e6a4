# SPDX-License-Identifier: Apache-2.0
"""A guest's machine becomes QEMU's arguments."""

import dataclasses
import itertools

from nova_vfio_variant import exception
from nova_vfio_variant.guest import machine
from tests import base
from tests.unit.guest import passed
from tests.unit.guest.passed import FULL, MAC, SMALL


def pairs(of: machine.Machine) -> list[tuple[str, str]]:
    """Each argument with the one after it."""
    return list(itertools.pairwise(of.arguments()))


def ids(of: machine.Machine) -> list[str]:
    """The devices, each by its driver's word, in their order."""
    return [
        words.partition(",")[0]
        for option, words in pairs(of)
        if option == "-device"
    ]


class MachineTest(base.TestCase):
    def test_the_least_has_a_serial_line_and_a_way_to_be_told(self) -> None:
        self.assertEqual(
            [
                *("-nodefaults", "-no-user-config", "-no-reboot"),
                *("-display", "none", "-uuid", passed.MDEV),
                *("-M", "q35,accel=kvm", "-cpu", "host"),
                *("-smp", "2", "-m", "2048M"),
                *("-chardev", "stdio,id=serial,signal=off"),
                *("-serial", "chardev:serial"),
                "-chardev",
                "socket,id=qmp,path=/run/g/qmp,server=on,wait=off",
                *("-mon", "chardev=qmp,mode=control"),
            ],
            SMALL.arguments(),
        )

    def test_an_emulation_has_all_that_it_can(self) -> None:
        slow = dataclasses.replace(SMALL, accelerator=machine.Accelerator.TCG)
        self.assertIn(("-M", "q35,accel=tcg"), pairs(slow))
        self.assertIn(("-cpu", "max"), pairs(slow))

    def test_each_device_sits_behind_a_root_port(self) -> None:
        wanted = (
            *("virtio-blk-pci", "vhost-user-fs-pci", "virtio-net-pci"),
            *("vhost-vsock-pci", "vfio-pci", "vfio-pci"),
        )
        self.assertEqual(
            [word for device in wanted for word in ("pcie-root-port", device)],
            ids(FULL),
        )

    def test_no_device_moves_where_another_is_left_out(self) -> None:
        fewer = dataclasses.replace(FULL, disk=None, cid=None)
        kept = {
            words for _, words in pairs(fewer) if "pcie-root-port" in words
        }
        all_of = {
            words for _, words in pairs(FULL) if "pcie-root-port" in words
        }
        self.assertEqual(4, len(kept))
        self.assertLess(kept, all_of)

    def test_a_kernel_is_booted_with_its_line_as_it_is(self) -> None:
        self.assertIn(("-kernel", "/boot/vmlinuz"), pairs(FULL))
        self.assertIn(("-initrd", "/boot/initrd"), pairs(FULL))
        self.assertIn(("-append", "console=ttyS0, quiet"), pairs(FULL))

    def test_a_disks_format_is_said_and_its_path_is_one_value(self) -> None:
        self.assertIn(
            (
                "-blockdev",
                (
                    "driver=raw,node-name=disk,file.driver=file,"
                    "file.filename=/var/a,,b.img"
                ),
            ),
            pairs(FULL),
        )

    def test_a_shared_root_sees_the_guests_memory(self) -> None:
        self.assertIn(
            (
                "-object",
                "memory-backend-memfd,id=memory,size=2048M,share=on",
            ),
            pairs(FULL),
        )
        self.assertIn(
            ("-M", "q35,accel=kvm,memory-backend=memory"), pairs(FULL)
        )
        self.assertNotIn("memory-backend", " ".join(SMALL.arguments()))

    def test_a_network_is_a_tap_or_qemus_own(self) -> None:
        self.assertIn(
            (
                "-netdev",
                "tap,id=net,ifname=tap0,script=no,downscript=no",
            ),
            pairs(FULL),
        )
        own = dataclasses.replace(FULL, net=machine.UserNet(MAC))
        self.assertIn(("-netdev", "user,id=net"), pairs(own))

    def test_iommufd_is_there_once_and_only_for_devices(self) -> None:
        self.assertEqual(1, FULL.arguments().count("iommufd,id=iommufd0"))
        without = dataclasses.replace(FULL, passed=())
        self.assertNotIn("iommufd", " ".join(without.arguments()))

    def test_the_machines_own_devices_take_room_too(self) -> None:
        functions = tuple(
            passed.function(f"0000:25:{slot:02x}.0") for slot in range(27)
        )
        dataclasses.replace(FULL, passed=functions[:26]).arguments()
        full = dataclasses.replace(FULL, passed=functions)
        refused = self.assertRaises(exception.ClaimError, full.arguments)
        self.assertIn("31 devices", str(refused))


class LockedMemoryTest(base.TestCase):
    def test_it_is_the_guests_and_a_gibibyte_however_many_devices(
        self,
    ) -> None:
        for devices in (FULL.passed[:1], FULL.passed):
            some = dataclasses.replace(FULL, passed=devices)
            self.assertEqual(2048 + 1024, some.locked_mib)

    def test_a_guest_without_devices_locks_nothing(self) -> None:
        self.assertEqual(0, SMALL.locked_mib)
