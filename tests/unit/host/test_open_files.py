# SPDX-License-Identifier: Apache-2.0
"""Who has a function open: told by numbers, whatever paths are seen."""

import json
import os
import pathlib
import shutil
import tempfile

import fixtures

from nova_vfio_variant.host.act import privileged
from nova_vfio_variant.host.decide import assignability, refusal
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import facts, scanner, snapshot
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.host.observe.use import Kind, Use, devices, processes
from nova_vfio_variant.host.tree import host_tree, opening
from nova_vfio_variant.pci import address as pci_address
from tests import base, sample_hosts
from tests.sample_hosts import NIC, OTHER, PF

VF = "0000:21:10.0"
UUID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
INSTANCE = "11111111-2222-4333-8444-555555555555"

#: Places below a function where a driver makes device files.
PLACES = (
    "uio/uio0",
    "infiniband_verbs/uverbs0",
    "infiniband_mad/umad0",
    "accel/accel0",
    "sound/card1/pcmC1D0p",
    "ptp/ptp0",
    f"{NIC}:0/{NIC}:0.0/tty/ttyS4",
    "ata1/host0/target0:0:0/0:0:0:0/scsi_generic/sg0",
    "video4linux/video0",
    "mei/mei0",
    "drm/card0",
    "drm/renderD128",
    "nvme/nvme0",
    "dax0.0/dax0.0",
    "usb1/1-1",
    "misc/whatever",
)


class OpenCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = sample_hosts.with_igb(root / "host")

    def put(self, place: str, text: str = "") -> pathlib.Path:
        path = self.host.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def in_use(self) -> dict[str, tuple[Use, ...]]:
        found = facts.gather(scanner.scan(self.host.tree)).in_use
        return {str(address): uses for address, uses in found.items()}

    def uses(self, address: str = NIC) -> tuple[Use, ...]:
        return self.in_use().get(address, ())

    def told(self, address: str = NIC) -> list[str]:
        return [use.what for use in self.uses(address)]

    def on_vfio(self, address: str) -> None:
        place = f"sys/bus/pci/devices/{address}"
        self.host.write(f"{place}/driver_override", b"vfio-pci\n")
        self.host.write(f"{place}/driver/unbind", address.encode())
        self.host.write("sys/bus/pci/drivers_probe", address.encode())


class DeviceFilesTest(OpenCase):
    def test_each_device_file_below_a_function_counts(self) -> None:
        for number, place in enumerate(PLACES):
            self.host.add_device_file(NIC, place, f"240:{number}")
            self.assertEqual({}, self.in_use(), place)
            path = f"/dev/some/{place.rpartition('/')[2]}"
            pid = self.host.open_file(path)
            self.assertEqual(
                {NIC: [f"{path} is open in process {pid} (holder)"]},
                {
                    at: [use.what for use in u]
                    for at, u in self.in_use().items()
                },
                place,
            )
            self.host.let_go(pid)

    def test_what_stands_behind_another_function_is_that_ones(self) -> None:
        self.host.add("0000:40:00.0", "8086:1901", class_code=0x060400)
        self.host.add("0000:41:00.0", "8086:100e", behind="0000:40:00.0")
        self.host.add_device_file("0000:41:00.0", "uio/uio0", "240:0")
        self.host.open_file("/dev/uio0")
        self.assertEqual(["0000:41:00.0"], list(self.in_use()))

    def test_without_sys_dev_the_devices_are_walked_through(self) -> None:
        self.host.add_device_file(NIC, "uio/uio0", "240:0")
        self.host.add_device_file(OTHER, "uio/uio1", "240:1")
        (self.host.root / "sys/dev").rename(self.host.root / "sys/gone")
        self.host.open_file("/dev/uio1")
        self.assertEqual([OTHER], list(self.in_use()))

    def test_a_file_of_a_driver_that_tells_sysfs_nothing(self) -> None:
        self.host.add_driver("nvidia", ["10de:2235"])
        self.host.add("0000:50:00.0", "10de:2235", class_code=0x030200)
        self.host.add("0000:51:00.0", "10de:2235", driver="vfio-pci")
        for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
            pid = self.host.open_file(f"/dev/{name}")
            self.assertEqual(["0000:50:00.0"], list(self.in_use()))
            self.host.let_go(pid)

    def test_kfd_is_that_of_all_functions_on_amdgpu(self) -> None:
        self.host.add_driver("amdgpu", ["1002:740c"])
        self.host.add("0000:50:00.0", "1002:740c", class_code=0x038000)
        place = self.put("sys/devices/virtual/kfd/kfd/dev", "236:0\n").parent
        (self.host.root / "sys/dev/char").mkdir(parents=True)
        (self.host.root / "sys/dev/char/236:0").symlink_to(
            os.path.relpath(place, self.host.root / "sys/dev/char")
        )
        self.host.open_file("/dev/kfd")
        self.assertEqual(["0000:50:00.0"], list(self.in_use()))

    def test_the_head_of_a_multipath_disk(self) -> None:
        head = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
        self.put(f"{head}/dev", "259:0\n")
        self.put(
            f"sys/devices/{self.place(NIC)}/nvme/nvme0/nvme0c0n1/hidden", "1"
        )
        for name, at in (
            ("nvme0n1", head),
            (
                "nvme0c0n1",
                f"sys/devices/{self.place(NIC)}/nvme/nvme0/nvme0c0n1",
            ),
        ):
            (self.host.root / "sys/class/block" / name).symlink_to(
                f"../../../{at}"
            )
        for name in ("nvme0n1", "ng0n1"):
            self.put(f"{head.rpartition('/')[0]}/{name}/dev", "259:0\n")
            pid = self.host.open_file(f"/dev/{name}")
            self.assertEqual([NIC], list(self.in_use()))
            self.host.let_go(pid)

    def place(self, address: str) -> str:
        home = os.path.realpath(
            self.host.root / "sys/bus/pci/devices" / address
        )
        return home.partition("/sys/devices/")[2]

    def test_other_files_are_nobodys(self) -> None:
        self.host.add_device_file(NIC, "uio/uio0", "240:0")
        for path in ("/dev/null", "/dev/pts/0", "/srv/uio0", "socket:[7]"):
            self.host.open_file(path)
        self.assertEqual({}, self.in_use())

    def test_functions_own_files_in_sysfs_and_procfs(self) -> None:
        home = f"/devices/pci0000:31/{NIC}"
        for path in (
            f"/sys{home}/resource0",
            f"/sys{home}/resource4_wc",
            f"/sys{home}/config",
            f"/sys{home}/rom",
            f"/srv/chroot/sys{home}/resource2",
            f"/sys{home}/config (deleted)",
            "/proc/bus/pci/31/01.0",
            "/proc/bus/pci/0000:31/01.0",
        ):
            pid = self.host.open_file(path)
            path = path.removesuffix(" (deleted)")
            self.assertEqual(
                {NIC: [f"{path} is open in process {pid} (holder)"]},
                {
                    at: [use.what for use in u]
                    for at, u in self.in_use().items()
                },
            )
            self.host.let_go(pid)
        for path in (f"/sys{home}/vendor", "/root/config", "/rom"):
            self.host.open_file(path)
        self.assertEqual({}, self.in_use())

    def test_what_has_no_driver_may_be_open_all_the_same(self) -> None:
        self.host.write(
            f"sys/bus/pci/devices/{NIC}/driver/unbind", NIC.encode()
        )
        self.host.open_file(f"/sys/devices/pci0000:31/{NIC}/resource0")
        self.assertEqual([Kind.OPEN], [use.kind for use in self.uses()])


class NumbersTest(OpenCase):
    """As on a live host, where links of /proc lead to what is open."""

    def setUp(self) -> None:
        super().setUp()
        self.host.add_device_file(NIC, "uio/uio0", "240:0")
        self.numbers = {"3": "c 240:0"}
        self.asked: list[str] = []

        def device(_folder: object, name: str) -> str:
            self.asked.append(name)
            return self.numbers.get(name, "")

        self.useFixture(
            fixtures.MonkeyPatch(
                f"{host_tree.__name__}._OpenDirectory.device", device
            )
        )

    def test_the_number_counts_not_the_name(self) -> None:
        for path in ("/dev/anything", "/srv/chroot/x", "/x (deleted)"):
            pid = self.host.open_file(path)
            self.assertEqual([Kind.OPEN], [use.kind for use in self.uses()])
            self.host.let_go(pid)
        self.numbers = {"3": "b 240:0"}
        self.host.open_file("/dev/uio0")
        self.assertEqual({}, self.in_use())

    def test_a_number_that_sysfs_has_not(self) -> None:
        self.host.add_driver("nvidia", ["10de:2235"])
        self.host.add("0000:50:00.0", "10de:2235", class_code=0x030200)
        self.put(
            "proc/devices",
            "Character devices:\n195 nvidia-frontend\n136 pts\n\n"
            "Block devices:\n240 nvidia\n",
        )
        self.host.open_file("/srv/some-name")
        for number, count in (("c 195:0", 1), ("c 136:3", 0), ("c 240:9", 0)):
            self.numbers = {"3": number}
            self.assertEqual(count, len(self.uses("0000:50:00.0")), number)

    def test_files_that_another_machine_has_are_not_asked_for(self) -> None:
        pid = self.host.open_file("/var/lib/nova/disk")
        self.put(
            f"proc/{pid}/mountinfo",
            "1 0 0:40 / /var/lib/nova rw - nfs4 there:/nova rw\n",
        )
        self.assertEqual({}, self.in_use())
        self.assertEqual([], self.asked)
        self.put(
            f"proc/{pid}/mountinfo",
            "1 0 0:40 / /var/lib/nova rw - ext4 /dev/vda1 rw\n",
        )
        self.assertEqual([NIC], list(self.in_use()))

    def test_numbers_that_cannot_be_looked_up_are_not_known(self) -> None:
        self.host.open_file("/dev/uio0")
        char = self.host.root / "sys/dev/char"
        char.rename(char.with_name("kept"))
        char.touch()
        self.assertEqual({Kind.UNKNOWN}, {use.kind for use in self.uses()})
        self.assertIn("/fd: Not a directory", self.told()[0])


class LiveTest(base.TestCase):
    """The kernel that runs this."""

    def test_a_device_file_by_any_name(self) -> None:
        here = opening.open_tree("/")
        with (
            open("/dev/urandom", "rb") as device,
            tempfile.TemporaryFile() as file,
            here.folder(f"proc/{os.getpid()}/fd") as folder,
        ):
            number = folder.device(str(device.fileno()))
            self.assertEqual("c 1:9", number)
            self.assertEqual("", folder.device(str(file.fileno())))
            name = os.open("/dev/urandom", os.O_PATH)
            self.assertEqual("", folder.device(str(name)))
            os.close(name)
        assert number is not None
        self.assertEqual(
            ("virtual/mem/urandom",), devices.Devices(here).of_number(number)
        )

    def test_a_link_of_another_file_system_says_nothing(self) -> None:
        place = self.useFixture(fixtures.TempDir()).path
        os.symlink("/dev/urandom", f"{place}/3")
        with opening.open_tree(place).folder("") as folder:
            self.assertIsNone(folder.device("3"))


class GroupTest(OpenCase):
    """Two e1000 share a group."""

    def setUp(self) -> None:
        super().setUp()
        self.on_vfio(NIC)
        self.on_vfio(OTHER)

    def test_the_groups_file_alone_says_it_of_each_member(self) -> None:
        self.host.hold(NIC)
        for address in (NIC, OTHER):
            [use] = self.uses(address)
            self.assertEqual((Kind.OPEN, True), (use.kind, use.shared))

    def test_a_kernel_that_tells_the_device_says_whose_it_is(self) -> None:
        pid = self.host.hold(NIC)
        self.put(
            f"proc/{pid}/fdinfo/5",
            f"pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:31/{NIC}\n",
        )
        shared = {
            at: [use.shared for use in u] for at, u in self.in_use().items()
        }
        self.assertEqual({NIC: [False], OTHER: [True]}, shared)

    def test_a_device_given_to_a_process_without_its_group(self) -> None:
        pid = self.host.hold(NIC)
        (self.host.root / f"proc/{pid}/fd/4").unlink()
        self.assertEqual({NIC, OTHER}, set(self.in_use()))
        self.put(
            f"proc/{pid}/fdinfo/5",
            f"vfio-device-syspath: /sys/devices/pci0000:31/{NIC}\n",
        )
        self.assertEqual([NIC], list(self.in_use()))

    def test_a_group_of_one_is_not_shared(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        self.on_vfio(VF)
        self.host.hold(VF)
        self.assertEqual([False], [use.shared for use in self.uses(VF)])

    def test_a_file_of_the_device_says_whose_it_is(self) -> None:
        self.host.add_device_file(NIC, "vfio-dev/vfio7", "511:7")
        self.host.open_file("/dev/vfio/devices/vfio7")
        self.assertEqual([NIC], list(self.in_use()))
        self.assertEqual([False], [use.shared for use in self.uses()])


class InstanceTest(OpenCase):
    def instance(self, *words: str, state: str = "") -> str | None:
        pid = self.host.open_file(
            f"/sys/devices/pci0000:31/{NIC}/config", "qemu-system-x86", words
        )
        if state:
            text = state.replace("PID", str(pid))
            self.put("run/libvirt/qemu/instance-0001.xml", text)
        [use] = self.uses()
        assert use.holder is not None
        self.host.let_go(pid)
        return use.holder.instance_uuid

    def test_qemus_command_line_has_it(self) -> None:
        for option in ("-uuid", "--uuid"):
            self.assertEqual(
                INSTANCE, self.instance("qemu", option, INSTANCE, "-smp", "2")
            )
        for words in (("qemu",), ("qemu", "-uuid"), ("qemu", "-uuid", "x")):
            self.assertIsNone(self.instance(*words))

    def test_libvirts_state_has_it(self) -> None:
        state = (
            "<!--\nWARNING\n-->\n"
            "<domstatus state='running' reason='booted' pid='PID'>\n"
            "  <domain type='kvm' id='1'>\n    <name>instance-0001</name>\n"
            f"    <uuid>{INSTANCE.upper()}</uuid>\n  </domain>\n</domstatus>"
        )
        self.assertEqual(INSTANCE, self.instance("qemu", state=state))
        other = state.replace("PID", "4711")
        self.assertIsNone(self.instance("qemu", state=other))
        self.assertIsNone(self.instance("qemu", state="<domstatus pid='PID'"))


class PrivilegedTest(OpenCase):
    """What the daemon sees comes through it whole."""

    def test_holders_and_places(self) -> None:
        self.host.add_device_file(NIC, "uio/uio0", "240:0")
        self.host.open_file("/dev/uio0", "qemu", ("qemu", "-uuid", INSTANCE))
        seen = processes.look(self.host.tree)
        self.assertEqual(INSTANCE, seen.holders[0].instance_uuid)
        self.useFixture(
            fixtures.MonkeyPatch(f"{processes.__name__}.look", lambda _: seen)
        )
        answer = json.loads(
            json.dumps(privileged.look_into_processes.args[0]())
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{privileged.__name__}._ask", lambda _entry: answer
            )
        )
        self.assertEqual(seen, privileged.PrivilegedExecutor().open_files())


class ChildrenTest(OpenCase):
    """Mediated and vDPA devices."""

    def setUp(self) -> None:
        super().setUp()
        self.host.add_mdev_parent("thing", {"thing-1": 1}, 4, function=NIC)

    def create(self, uuid: str = UUID) -> None:
        self.host.write(
            f"sys/class/mdev_bus/{NIC}/mdev_supported_types/thing-1/create",
            uuid.encode(),
        )

    def test_an_idle_mdev_goes_with_the_driver(self) -> None:
        self.assertEqual({}, self.in_use())
        self.create()
        [use] = self.uses()
        self.assertEqual((Kind.MDEV, None), (use.kind, use.holder))
        self.assertEqual(
            f"mediated device {UUID} stands below it, and is removed without "
            "a word when the driver lets go",
            use.what,
        )
        self.assertEqual([NIC], list(self.in_use()))

    def test_an_open_mdev_has_a_holder(self) -> None:
        self.create()
        self.create(UUID.replace("a", "f"))
        pid = self.host.hold(UUID)
        idle, opened = sorted(
            self.uses(), key=lambda use: use.holder is not None
        )
        self.assertIsNone(idle.holder)
        assert opened.holder is not None
        self.assertEqual((Kind.MDEV, pid), (opened.kind, opened.holder.pid))
        self.assertIn(f"mediated device {UUID}: /dev/vfio/", opened.what)

    def test_an_mdev_that_is_opened_by_its_own_file(self) -> None:
        self.create()
        self.host.add_device_file(NIC, f"{UUID}/vfio-dev/vfio9", "511:9")
        pid = self.host.open_file("/dev/vfio/devices/vfio9")
        [use] = self.uses()
        assert use.holder is not None
        self.assertEqual((Kind.MDEV, pid), (use.kind, use.holder.pid))

    def test_an_mdev_that_is_being_removed_while_it_is_open(self) -> None:
        self.create()
        self.host.hold(UUID)
        (self.host.root / f"sys/bus/mdev/devices/{UUID}").unlink()
        self.assertEqual([Kind.MDEV], [use.kind for use in self.uses()])

    def test_it_is_refused_and_its_holder_is_told(self) -> None:
        self.create()
        pid = self.host.hold(UUID)
        seen = scanner.scan(self.host.tree)
        known = facts.gather(seen)
        function = seen.get(pci_address.PciAddress.parse(NIC))
        assert function is not None
        [found] = refusal.to_touch(known, function)
        self.assertEqual(host_codes.MDEV_BELOW, found.code)
        self.assertIn(UUID, found.message)
        opened = processes.look(self.host.tree)
        self.assertEqual(
            [pid],
            [holder.pid for holder in opened.of(self.host.tree, function)],
        )

    def test_vdpa_devices_idle_and_open(self) -> None:
        home = os.path.realpath(
            self.host.root / f"sys/bus/pci/devices/{OTHER}"
        )
        bus = self.host.root / "sys/bus/vdpa/devices"
        bus.mkdir(parents=True)
        self.host.add_device_file(OTHER, "vdpa0/vhost-vdpa-0", "512:0")
        (bus / "vdpa0").symlink_to(os.path.relpath(f"{home}/vdpa0", bus))
        [use] = self.uses(OTHER)
        self.assertEqual((Kind.VDPA, None), (use.kind, use.holder))
        self.assertIn("vDPA device vdpa0 stands below it", use.what)
        self.host.open_file("/dev/vhost-vdpa-0", "qemu")
        [use] = self.uses(OTHER)
        self.assertEqual(Kind.VDPA, use.kind)
        self.assertIsNotNone(use.holder)

    def test_what_cannot_be_listed_is_not_known(self) -> None:
        bus = self.host.root / "sys/bus/mdev/devices"
        bus.rmdir()
        bus.touch()
        self.assertEqual(
            "what stands below it can't be read: "
            "/sys/bus/mdev/devices: Not a directory",
            "; ".join(self.told()),
        )


class UnseenTest(OpenCase):
    """What a root can never show is no use, and is told."""

    def test_a_recording(self) -> None:
        for address in (NIC, OTHER):
            self.on_vfio(address)
        self.host.hold(NIC)
        path = str(self.host.root.with_name("recorded.tar.gz"))
        snapshot.record(self.host.tree, path)
        found = facts.gather(scanner.scan(opening.open_tree(path)))
        self.assertEqual({}, found.in_use)
        self.assertEqual(
            (uses.PROCESSES, uses.MOUNTS, uses.SWAP, uses.ADDRESSES),
            found.unseen,
        )

    def test_a_host_with_processes_shows_all(self) -> None:
        self.assertEqual((), facts.gather(scanner.scan(self.host.tree)).unseen)

    def test_a_folder_without_any_process(self) -> None:
        shutil.rmtree(self.host.root / "proc/1")
        (self.host.root / "sys/class/block").rmdir()
        self.host.add("0000:60:00.0", "8086:0953", class_code=0x010802)
        (self.host.root / "sys/bus/pci/drivers/nvme").mkdir()
        self.host.add_driver("nvme", ["8086:0953"])
        seen = scanner.scan(self.host.tree)
        found = facts.gather(seen)
        self.assertEqual({}, found.in_use)
        self.assertEqual(
            {
                uses.PROCESSES,
                uses.DISKS,
                uses.MOUNTS,
                uses.SWAP,
                uses.ADDRESSES,
            },
            set(found.unseen),
        )
        # Reading goes on, and nothing is taken from its driver.
        function = seen.get(pci_address.PciAddress.parse(NIC))
        assert function is not None
        self.assertEqual(
            [host_codes.NOT_KNOWN],
            [obstacle.code for obstacle in refusal.to_touch(found, function)],
        )
        self.assertNotIn(
            host_codes.NOT_KNOWN,
            [
                obstacle.code
                for obstacle in assignability.verdict(
                    function, found
                ).obstacles
            ],
        )

    def test_processes_that_are_hidden_are_not_known(self) -> None:
        (self.host.root / "proc/1").rename(self.host.root / "proc/4711")
        found = facts.gather(scanner.scan(self.host.tree))
        self.assertEqual((), found.unseen)
        self.assertEqual({Kind.UNKNOWN}, {use.kind for use in self.uses()})
