# SPDX-License-Identifier: Apache-2.0
"""What the kernel answers to each write, one fact after the other."""

import errno
import uuid

from tests.behaviour.case import BehaviourCase
from tests.behaviour.host import (
    DEVICES,
    DRIVERS,
    EDU,
    EDU_TOO,
    NIC,
    NIC_TOO,
    NVME,
    PF,
    VF,
    VFS,
)

NOWHERE = "0000:99:00.0"
EDU_ID = "1234 11e8"
#: Seconds after which a write that is still not over waits for somebody.
WAITS = 0.5


class OverrideFacts(BehaviourCase):
    def test_an_unset_override_reads_null(self) -> None:
        self.assertEqual("(null)", self.attribute(PF, "driver_override"))

    def test_a_line_feed_clears_it(self) -> None:
        self.set_attribute(EDU, "driver_override", "vfio-pci")
        self.assertEqual("vfio-pci", self.attribute(EDU, "driver_override"))
        self.set_attribute(EDU, "driver_override", "")
        self.assertEqual("(null)", self.attribute(EDU, "driver_override"))

    def test_a_write_of_nothing_keeps_it(self) -> None:
        self.set_attribute(EDU, "driver_override", "vfio-pci")
        self.host.write(f"{DEVICES}/{EDU}/driver_override", b"")
        self.assertEqual("vfio-pci", self.attribute(EDU, "driver_override"))

    def test_5000_characters_are_refused(self) -> None:
        self.refused_attribute(
            errno.EINVAL, EDU, "driver_override", "x" * 5000
        )

    def test_a_driver_that_does_not_exist_is_accepted(self) -> None:
        self.set_attribute(EDU, "driver_override", "nobody")
        self.assertEqual("nobody", self.attribute(EDU, "driver_override"))
        self.probe(EDU)
        self.assertIsNone(self.driver(EDU))

    def test_clearing_it_leaves_a_function_bound(self) -> None:
        self.bind(EDU, "vfio-pci")
        self.set_attribute(EDU, "driver_override", "")
        self.assertEqual("vfio-pci", self.driver(EDU))


class BindFacts(BehaviourCase):
    def test_bind_wants_a_match(self) -> None:
        self.refused_driver(errno.ENODEV, "vfio-pci", "bind", EDU)
        self.refused_driver(errno.ENODEV, "vfio-pci", "bind", NOWHERE)

    def test_bind_wants_a_function_without_a_driver(self) -> None:
        self.refused_driver(errno.EBUSY, "igb", "bind", PF)

    def test_bind_with_an_override_binds(self) -> None:
        self.set_attribute(EDU, "driver_override", "vfio-pci")
        self.write(f"{DRIVERS}/vfio-pci/bind", EDU)
        self.assertEqual("vfio-pci", self.driver(EDU))

    def test_a_probe_that_finds_no_driver_says_nothing(self) -> None:
        self.probe(EDU)
        self.assertIsNone(self.driver(EDU))

    def test_a_probe_of_a_bound_function_says_nothing(self) -> None:
        self.set_attribute(PF, "driver_override", "vfio-pci")
        self.probe(PF)
        self.assertEqual("igb", self.driver(PF))

    def test_a_probe_of_nothing_is_refused(self) -> None:
        self.refused(errno.ENODEV, "sys/bus/pci/drivers_probe", NOWHERE)

    def test_a_driver_that_refuses_is_not_told_by_a_probe(self) -> None:
        # No VFIO driver takes a bridge.
        self.set_attribute("0000:00:11.0", "driver_override", "vfio-pci")
        self.probe("0000:00:11.0")
        self.assertIsNone(self.driver("0000:00:11.0"))

    def test_unbind_wants_the_driver_that_has_it(self) -> None:
        self.refused_driver(errno.ENODEV, "igb", "unbind", EDU)
        self.refused_driver(errno.ENODEV, "igb", "unbind", NIC)
        self.refused_driver(errno.ENODEV, "igb", "unbind", NOWHERE)

    def test_an_unbound_function_has_no_driver_to_write_to(self) -> None:
        self.refused_attribute(errno.ENOENT, EDU, "driver/unbind", EDU)

    def test_unbind_leaves_the_override(self) -> None:
        self.bind(EDU, "vfio-pci")
        self.unbind(EDU)
        self.assertIsNone(self.driver(EDU))
        self.assertEqual("vfio-pci", self.attribute(EDU, "driver_override"))

    def test_a_vfio_driver_shows_a_vfio_dev_folder(self) -> None:
        self.bind(EDU, "vfio-pci")
        [name] = self.host.names(f"{DEVICES}/{EDU}/vfio-dev")
        self.assertRegex(name, r"^vfio\d+$")
        self.unbind(EDU)
        self.assertFalse(self.host.exists(f"{DEVICES}/{EDU}/vfio-dev"))


class NewIdFacts(BehaviourCase):
    def setUp(self) -> None:
        super().setUp()
        self.new_id = f"{DRIVERS}/vfio-pci/new_id"
        self.remove_id = f"{DRIVERS}/vfio-pci/remove_id"

    def test_it_binds_what_is_unbound_at_once(self) -> None:
        self.write(self.new_id, EDU_ID)
        self.addCleanup(self.unbind, EDU)
        self.addCleanup(self.unbind, EDU_TOO)
        self.addCleanup(self.write, self.remove_id, EDU_ID)
        self.assertEqual("vfio-pci", self.driver(EDU))
        self.assertEqual("vfio-pci", self.driver(EDU_TOO))
        self.refused(errno.EEXIST, self.new_id, EDU_ID)

    def test_garbage_is_refused(self) -> None:
        self.refused(errno.EINVAL, self.new_id, "what?")
        self.refused(errno.EINVAL, self.new_id, "8086")

    def test_removing_it_unbinds_nothing(self) -> None:
        self.refused(errno.ENODEV, self.remove_id, EDU_ID)
        self.write(self.new_id, EDU_ID)
        self.addCleanup(self.unbind, EDU)
        self.addCleanup(self.unbind, EDU_TOO)
        self.write(self.remove_id, EDU_ID)
        self.assertEqual("vfio-pci", self.driver(EDU))


class NumvfsFacts(BehaviourCase):
    def test_counts_that_make_no_sense_are_refused(self) -> None:
        self.refused_attribute(errno.ERANGE, PF, "sriov_numvfs", "8")
        self.refused_attribute(errno.EINVAL, PF, "sriov_numvfs", "-1")
        self.refused_attribute(errno.EINVAL, PF, "sriov_numvfs", "two")
        self.refused_attribute(errno.EINVAL, PF, "sriov_numvfs", "")
        self.assertEqual("0", self.attribute(PF, "sriov_numvfs"))

    def test_some_vfs_do_not_become_others(self) -> None:
        self.set_attribute(PF, "sriov_numvfs", "2")
        self.refused_attribute(errno.EBUSY, PF, "sriov_numvfs", "3")
        self.set_attribute(PF, "sriov_numvfs", "2")
        self.set_attribute(PF, "sriov_numvfs", "0x2")
        self.assertEqual(list(VFS[:2]), self.vfs(PF))

    def test_vfs_come_and_go(self) -> None:
        self.set_attribute(PF, "sriov_numvfs", "7")
        vfs = self.vfs(PF)
        self.assertEqual(7, len(vfs))
        self.assertEqual(VFS, tuple(vfs[:5]))
        for vf in vfs:
            self.assertEqual([vf], self.group(vf))
            self.assertEqual(PF, self.host.link(f"{DEVICES}/{vf}/physfn"))
        self.eventually(lambda: {self.driver(vf) for vf in vfs} == {"igbvf"})
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.assertEqual([], self.vfs(PF))
        self.assertFalse(self.is_there(VF))

    def test_without_autoprobe_vfs_have_no_driver(self) -> None:
        self.set_attribute(PF, "sriov_drivers_autoprobe", "0")
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.assertIsNone(self.driver(VF))
        self.probe(VF)
        self.assertIsNone(self.driver(VF))
        self.bind(VF, "vfio-pci")

    def test_without_autoprobe_an_override_of_the_hosts_driver_binds(
        self,
    ) -> None:
        self.set_attribute(PF, "sriov_drivers_autoprobe", "0")
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.bind(VF, "igbvf")

    def test_one_nvme_controller_gives_120_vfs(self) -> None:
        self.set_attribute(NVME, "sriov_drivers_autoprobe", "0")
        self.set_attribute(NVME, "sriov_numvfs", "120")
        vfs = self.vfs(NVME)
        self.assertEqual(120, len(set(vfs)))
        self.assertEqual([vfs[-1]], self.group(vfs[-1]))
        self.refused_attribute(errno.EBUSY, NVME, "sriov_numvfs", "119")

    def test_a_pf_on_vfio_pci_makes_none_unless_it_is_told_to(self) -> None:
        self.bind(PF, "vfio-pci")
        self.refused_attribute(errno.ENOENT, PF, "sriov_numvfs", "1")
        self.write("sys/module/vfio_pci/parameters/enable_sriov", "1")
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.assertEqual([VF], self.vfs(PF))

    def test_a_pf_without_driver_makes_none(self) -> None:
        self.unbind(PF)
        self.refused_attribute(errno.ENOENT, PF, "sriov_numvfs", "1")
        self.set_attribute(PF, "sriov_numvfs", "0")

    def test_vfs_go_with_the_driver_of_their_pf(self) -> None:
        self.set_attribute(PF, "sriov_numvfs", "2")
        self.unbind(PF)
        self.assertEqual("0", self.attribute(PF, "sriov_numvfs"))
        self.assertEqual([], self.vfs(PF))
        self.assertFalse(self.is_there(VF))


class OpenFacts(BehaviourCase):
    """While a process has a VF open."""

    def setUp(self) -> None:
        super().setUp()
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.eventually(lambda: self.driver(VF) == "igbvf")
        self.bind(VF, "vfio-pci")
        self.pid = self.host.hold(VF)

    def test_its_process_is_seen(self) -> None:
        group = self.host.link(f"{DEVICES}/{VF}/iommu_group")
        held = {
            self.host.link(f"proc/{self.pid}/fd/{name}")
            for name in self.host.names(f"proc/{self.pid}/fd")
        }
        self.assertIn(group, held)
        self.assertIn("anon_inode:[vfio-device]", held)

    def test_its_unbind_waits_and_cannot_be_killed(self) -> None:
        writing = self.start(lambda: self.unbind(VF))
        self.eventually(lambda: self.driver(VF) is None)
        self.assertFalse(writing.ended(WAITS))
        writing.kill()
        self.assertFalse(writing.ended(WAITS))
        # It can be read all the while.
        self.assertEqual("0x8086", self.attribute(VF, "vendor"))
        self.assertEqual("vfio-pci", self.attribute(VF, "driver_override"))
        self.host.let_go(self.pid)
        writing.reap()
        self.eventually(
            lambda: not self.host.exists(f"{DEVICES}/{VF}/vfio-dev")
        )
        self.assertIsNone(self.driver(VF))
        self.assertEqual("vfio-pci", self.attribute(VF, "driver_override"))

        def is_bound() -> bool:
            # A probe does nothing until the last of the unbind is done.
            self.probe(VF)
            return self.driver(VF) == "vfio-pci"

        self.eventually(is_bound)

    def test_a_probe_while_its_unbind_waits_does_and_says_nothing(
        self,
    ) -> None:
        writing = self.start(lambda: self.unbind(VF))
        self.eventually(lambda: self.driver(VF) is None)
        # The kernel's own idea of its driver goes last.
        probing = self.start(lambda: self.probe(VF))
        self.assertEqual(0, probing.result(self.host.patience))
        self.set_attribute(VF, "driver_override", "igbvf")
        self.assertFalse(writing.ended(0))
        self.host.let_go(self.pid)
        self.assertEqual(0, writing.result(self.host.patience))
        self.assertIsNone(self.driver(VF))
        self.probe(VF)
        self.assertEqual("igbvf", self.driver(VF))

    def test_removing_its_vfs_waits_and_so_does_who_reads_the_count(
        self,
    ) -> None:
        writing = self.start(
            lambda: self.set_attribute(PF, "sriov_numvfs", "0")
        )
        self.eventually(lambda: self.vfs(PF) == [])
        self.assertFalse(writing.ended(WAITS))
        writing.kill()
        self.assertFalse(writing.ended(WAITS))
        reading = self.start(lambda: self.attribute(PF, "sriov_numvfs"))
        self.assertFalse(reading.ended(WAITS))
        self.assertEqual(self.host.waits, reading.state)
        self.assertEqual("7", self.attribute(PF, "sriov_totalvfs"))
        self.assertEqual("0x10c9", self.attribute(PF, "device"))
        self.host.let_go(self.pid)
        self.assertEqual(0, reading.result(self.host.patience))
        writing.reap()
        self.eventually(lambda: not self.is_there(VF))
        self.assertEqual("0", self.attribute(PF, "sriov_numvfs"))

    def test_its_group_is_not_opened_twice(self) -> None:
        self.not_held(errno.EBUSY, VF)


class GroupFacts(BehaviourCase):
    """Two e1000 in one group with their bridge, which has no driver."""

    def test_a_function_binds_and_its_group_is_not_viable(self) -> None:
        self.bind(NIC, "vfio-pci")
        self.assertEqual("e1000", self.driver(NIC_TOO))
        self.not_held(errno.EPERM, NIC)

    def test_a_companion_need_not_be_on_vfio(self) -> None:
        self.bind(NIC, "vfio-pci")
        self.unbind(NIC_TOO)
        self.host.let_go(self.host.hold(NIC))

    def test_two_functions_on_vfio_are_viable(self) -> None:
        self.bind(EDU, "vfio-pci")
        self.host.let_go(self.host.hold(EDU))
        self.bind(EDU_TOO, "vfio-pci")
        self.host.let_go(self.host.hold(EDU))

    def test_a_group_without_a_vfio_driver_cannot_be_opened(self) -> None:
        self.not_held(errno.ENOENT, NIC)

    def test_no_driver_of_the_host_binds_into_an_open_group(self) -> None:
        self.bind(NIC, "vfio-pci")
        self.unbind(NIC_TOO)
        pid = self.host.hold(NIC)
        self.refused(errno.EINVAL, "sys/bus/pci/drivers_probe", NIC_TOO)
        self.refused_driver(errno.EBUSY, "e1000", "bind", NIC_TOO)
        self.not_held(errno.EBUSY, NIC)
        self.bind(NIC_TOO, "vfio-pci")
        self.host.let_go(pid)
        self.unbind(NIC_TOO)
        self.set_attribute(NIC_TOO, "driver_override", "")
        self.probe(NIC_TOO)
        self.assertEqual("e1000", self.driver(NIC_TOO))


class MdevFacts(BehaviourCase):
    """mtty: 24 ports, one for an mdev of type 1 and two for one of type 2."""

    def setUp(self) -> None:
        super().setUp()
        self.host.modprobe("mtty")
        self.types = "sys/class/mdev_bus/mtty/mdev_supported_types"
        self.mdevs = "sys/bus/mdev/devices"

    def create(self, kind: int = 1, name: str | None = None) -> str:
        name = name or str(uuid.uuid4())
        self.write(f"{self.types}/mtty-{kind}/create", name)
        return name

    def available(self) -> list[str]:
        return [
            self.host.read(f"{self.types}/mtty-{kind}/available_instances")
            for kind in (1, 2)
        ]

    def test_an_mdev_is_born_with_driver_and_group(self) -> None:
        place = f"{self.mdevs}/{self.create()}"
        self.assertEqual("mtty", self.host.link(f"{place}/driver"))
        self.assertEqual("mtty-1", self.host.link(f"{place}/mdev_type"))
        self.assertIsNotNone(self.host.link(f"{place}/iommu_group"))
        self.assertTrue(self.host.exists(f"{place}/vfio-dev"))

    def test_names_that_are_no_uuid_are_refused(self) -> None:
        create = f"{self.types}/mtty-1/create"
        name = str(uuid.uuid4())
        for bad in ("what?", f"{{{name}}}", name[:-1], ""):
            self.refused(errno.EINVAL, create, bad)

    def test_upper_case_is_lowered_and_no_line_end_is_needed(self) -> None:
        name = "A0B1C2D3-0000-4000-8000-00000000ABCD"
        self.host.write(f"{self.types}/mtty-1/create", name.encode())
        self.assertTrue(self.host.exists(f"{self.mdevs}/{name.lower()}"))

    def test_a_name_is_taken_for_all_types(self) -> None:
        name = self.create(1)
        for kind in (1, 2):
            create = f"{self.types}/mtty-{kind}/create"
            self.refused(errno.EEXIST, create, name)

    def test_types_share_what_the_parent_has(self) -> None:
        self.assertEqual(["24", "12"], self.available())
        for _ in range(12):
            self.create(2)
        self.assertEqual(["0", "0"], self.available())
        for kind in (1, 2):
            create = f"{self.types}/mtty-{kind}/create"
            self.refused(errno.ENOSPC, create, str(uuid.uuid4()))

    def test_eleven_with_two_ports_leave_two_ports(self) -> None:
        for _ in range(11):
            self.create(2)
        self.assertEqual(["2", "1"], self.available())
        for left in ("1", "0"):
            self.create(1)
            self.assertEqual([left, "0"], self.available())

    def test_what_the_core_counts_it_refuses_in_its_own_way(self) -> None:
        # mdpy has no count of its own, and lets there be four.
        self.host.modprobe("mdpy")
        types = "sys/class/mdev_bus/mdpy/mdev_supported_types"
        for kind, left in (("vga", 3), ("xga", 2), ("hd", 1), ("vga", 0)):
            name = str(uuid.uuid4())
            self.write(f"{types}/mdpy-{kind}/create", name)
            for other in ("vga", "xga", "hd"):
                self.assertEqual(
                    str(left),
                    self.host.read(
                        f"{types}/mdpy-{other}/available_instances"
                    ),
                )
        create = f"{types}/mdpy-hd/create"
        self.refused(errno.EUSERS, create, str(uuid.uuid4()))
        self.refused(errno.EEXIST, create, name)

    def test_remove_wants_a_number_and_ignores_0(self) -> None:
        place = f"{self.mdevs}/{self.create()}"
        self.refused(errno.EINVAL, f"{place}/remove", "what?")
        self.write(f"{place}/remove", "0")
        self.assertTrue(self.host.exists(place))
        self.write(f"{place}/remove", "1")
        self.assertFalse(self.host.exists(place))
        self.assertEqual(["24", "12"], self.available())

    def test_remove_waits_while_it_is_open_and_its_files_are_gone(
        self,
    ) -> None:
        name = self.create()
        pid = self.host.hold(name)
        place = f"{self.mdevs}/{name}"
        writing = self.start(lambda: self.write(f"{place}/remove", "1"))
        self.eventually(lambda: not self.host.exists(place))
        self.assertFalse(writing.ended(WAITS))
        self.host.let_go(pid)
        self.assertEqual(0, writing.result(self.host.patience))
        self.assertEqual(["24", "12"], self.available())

    def test_mdevs_go_with_their_parents_module(self) -> None:
        name = self.create()
        self.host.rmmod("mtty")
        self.assertFalse(self.host.exists(f"{self.mdevs}/{name}"))
        self.assertFalse(self.host.exists("sys/class/mdev_bus/mtty"))


class RemovalFacts(BehaviourCase):
    def test_what_is_removed_is_found_again_by_a_rescan(self) -> None:
        self.set_attribute(NIC, "driver_override", "nobody")
        self.set_attribute(NIC, "remove", "1")
        self.assertFalse(self.is_there(NIC))
        self.assertNotIn(NIC, self.group(NIC_TOO))
        self.refused(errno.ENODEV, "sys/bus/pci/drivers_probe", NIC)
        self.write("sys/bus/pci/rescan", "1")
        self.eventually(lambda: self.driver(NIC) == "e1000")
        self.assertEqual("(null)", self.attribute(NIC, "driver_override"))
        self.assertIn(NIC, self.group(NIC_TOO))

    def test_a_pf_that_is_removed_takes_its_vfs_along(self) -> None:
        self.set_attribute(PF, "sriov_numvfs", "2")
        self.set_attribute(PF, "remove", "1")
        self.assertFalse(self.is_there(PF))
        self.assertFalse(self.is_there(VF))
        self.write("sys/bus/pci/rescan", "1")
        self.eventually(lambda: self.driver(PF) == "igb")
        self.assertEqual("0", self.attribute(PF, "sriov_numvfs"))

    def test_removing_an_open_function_waits(self) -> None:
        self.bind(EDU, "vfio-pci")
        pid = self.host.hold(EDU)
        writing = self.start(lambda: self.set_attribute(EDU, "remove", "1"))
        self.eventually(lambda: self.driver(EDU) is None)
        self.assertFalse(writing.ended(WAITS))
        self.host.let_go(pid)
        self.assertEqual(0, writing.result(self.host.patience))
        self.assertFalse(self.is_there(EDU))
