# SPDX-License-Identifier: Apache-2.0
"""What a process, or the network, has of a function keeps it where it is."""

import uuid

from nova_vfio_variant.host.observe import facts, scanner
from nova_vfio_variant.host.observe.use import Kind, Use
from nova_vfio_variant.pci import address as pci_address
from tests.behaviour.host import DEVICES, EDU, NIC, NVME
from tests.behaviour.preparing_case import EDUS, PAIR, PreparingCase


class InUseCase(PreparingCase):
    def uses(self, address: str) -> list[Use]:
        """What a function is used for, and may be used for, by anybody.

        Processes that nobody may look into are left out.
        """
        found = facts.gather(scanner.scan(self.host.tree)).in_use
        return [
            use
            for use in found.get(pci_address.PciAddress.parse(address), ())
            if use.kind is not Kind.UNKNOWN
        ]


class OpenTest(InUseCase):
    def test_by_its_own_files_in_sysfs(self) -> None:
        for name in ("config", "resource0"):
            pid = self.host.open(f"{DEVICES}/{NIC}/{name}")
            said = self.refusal(PAIR)
            self.assertIn(f"/{NIC}/{name} is open in process {pid} (", said)
            self.assertEqual("e1000", self.driver(NIC))
            self.host.let_go(pid)
        self.assertEqual([], self.uses(NIC))

    def test_without_any_driver(self) -> None:
        pid = self.host.open(f"{DEVICES}/{EDU}/resource0")
        self.assertIn(f"is open in process {pid} (", self.refusal(*EDUS))
        self.host.let_go(pid)
        self.apply(*EDUS)
        self.restore()
        self.assert_as_before()

    def test_by_a_device_file_of_any_name(self) -> None:
        self.assertEqual([], self.uses(NVME))
        number = self.host.read(f"{DEVICES}/{NVME}/nvme/nvme0/dev")
        pid = self.host.open_device(number, "nvme0")
        [use] = self.uses(NVME)
        assert use.holder is not None
        self.assertEqual((Kind.OPEN, pid), (use.kind, use.holder.pid))
        self.host.let_go(pid)

    def test_by_its_group_it_may_be_any_member(self) -> None:
        self.apply(*EDUS)
        pid = self.host.hold(EDU)
        [use] = self.uses(EDU)
        assert use.holder is not None
        self.assertEqual((Kind.OPEN, pid), (use.kind, use.holder.pid))
        self.host.let_go(pid)
        self.restore()


class NetworkTest(InUseCase):
    def setUp(self) -> None:
        super().setUp()
        [self.name] = self.host.names(f"{DEVICES}/{NIC}/net")

    def test_an_interface_that_is_up_with_a_link_local_address_only(
        self,
    ) -> None:
        self.host.set_up(self.name, "169.254.7.9")
        self.assertEqual(
            [Use(Kind.LINK, f"{self.name} is up")], self.uses(NIC)
        )

    def test_an_interface_with_another_address(self) -> None:
        self.host.set_up(self.name, "192.0.2.9")
        self.assertEqual(
            [
                Use(Kind.LINK, f"{self.name} is up"),
                Use(Kind.NETWORK, f"{self.name} has an address"),
            ],
            self.uses(NIC),
        )
        self.declare(PAIR)
        ran = self.run_command("host", "plan")
        self.assertEqual(2, ran.status)
        self.assertIn(f"{self.name} has an address", ran.err)


class MdevTest(InUseCase):
    def test_an_mdev_of_a_device_that_is_no_function(self) -> None:
        self.host.modprobe("mtty")
        name = str(uuid.uuid4())
        types = "sys/class/mdev_bus/mtty/mdev_supported_types"
        self.write(f"{types}/mtty-1/create", name)
        pid = self.host.hold(name)
        found = facts.gather(scanner.scan(self.host.tree)).in_use
        self.assertEqual(
            [],
            [
                use
                for uses in found.values()
                for use in uses
                if use.holder is not None and use.holder.pid == pid
            ],
        )
        self.host.let_go(pid)
