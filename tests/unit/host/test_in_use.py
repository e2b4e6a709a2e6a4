# SPDX-License-Identifier: Apache-2.0
"""What counts as a use of a function by the host."""

import ctypes
import shutil
import socket
import subprocess
import sys

import fixtures

from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import facts, scanner, use
from nova_vfio_variant.host.observe.use import network
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.pci import address as pci_address
from tests import base
from tests.unit.host.plan_case import NIC, PlanCase


class UseCase(PlanCase):
    """Knows what speaks against taking the e1000."""

    def uses(self) -> list[str]:
        found = self.decision(
            '{"address": "0000:31:*.0", "driver": "vfio-pci"}'
        )
        return [refusal.message for refusal in found.refusals]

    def interface(self, flags: str = "0x1002") -> str:
        place = f"sys/bus/pci/devices/{NIC}/net/eth7"
        self.put(f"{place}/flags", flags)
        return place

    def disk(self, name: str = "sda") -> None:
        place = f"sys/devices/pci0000:30/{NIC}/block/{name}"
        self.put(f"{place}/dev", "8:0\n")
        (self.host.root / "sys/class/block" / name).symlink_to(
            f"../../devices/pci0000:30/{NIC}/block/{name}"
        )


class InUseTest(UseCase):
    """Each kind of use of a function by the host."""

    def test_an_idle_interface_is_no_use(self) -> None:
        self.interface()
        self.assertEqual([], self.uses())

    def test_an_interface_that_is_up(self) -> None:
        self.interface("0x1003")
        self.assertEqual(["eth7 is up"], self.uses())

    def test_an_interface_with_routes_or_addresses(self) -> None:
        self.interface()
        header = "Iface\tDestination\tGateway\tFlags\tR\tU\tM\tMask\n"
        self.put(
            "proc/net/route",
            header + "eth7\t00000000\t0102\t0003\t0\t0\t0\t00000000\n",
        )
        self.assertEqual(["eth7 has the default route"], self.uses())
        self.put(
            "proc/net/route",
            header + "eth7\t0002000A\t0000\t0001\t0\t0\t0\t00FFFFFF\n",
        )
        self.assertEqual(["eth7 has an address"], self.uses())
        self.put("proc/net/route", header)
        self.put("proc/net/if_inet6", f"{'20010db8':<032} 02 40 00 80 eth7\n")
        self.assertEqual(["eth7 has an address"], self.uses())
        self.put("proc/net/if_inet6")
        self.put("proc/net/ipv6_route", self.route6("20010db8"))
        self.assertEqual(["eth7 has an address"], self.uses())
        self.put("proc/net/ipv6_route", self.route6("0"))
        self.assertEqual(["eth7 has the default route"], self.uses())

    def route6(self, to: str) -> str:
        nowhere = "0" * 32
        length = "40" if to.strip("0") else "00"
        return (
            f"{to:<032} {length} {nowhere} 00 {nowhere} "
            "00000100 00000001 00000000 00000001     eth7\n"
        )

    def test_what_comes_by_itself_with_an_interface_is_no_address(
        self,
    ) -> None:
        self.interface("0x1003")
        header = "Iface\tDestination\tGateway\tFlags\tR\tU\tM\tMask\n"
        self.put(
            "proc/net/route",
            header
            + "eth7\t0000FEA9\t0000\t0001\t0\t0\t0\t0000FFFF\n"
            + "eth7\tFEA9FEA9\t0000\t0005\t0\t0\t0\tFFFFFFFF\n"
            + "eth7\t000000E0\t0000\t0001\t0\t0\t0\t000000F0\n",
        )
        self.put("proc/net/if_inet6", f"{'fe80':<032} 02 40 20 80 eth7\n")
        self.put(
            "proc/net/ipv6_route",
            "".join(map(self.route6, ("fe80", "febf", "ff", "ff02"))),
        )
        self.assertEqual(["eth7 is up"], self.uses())
        known = facts.gather(scanner.scan(self.host.tree)).in_use
        found = known[pci_address.PciAddress.parse(NIC)]
        self.assertEqual([use.Kind.LINK], [usage.kind for usage in found])

    def test_an_interface_below_a_virtio_device(self) -> None:
        home = f"sys/devices/pci0000:31/{NIC}/virtio4"
        (self.host.root / home / "net").mkdir(parents=True)
        driver = self.host.root / f"sys/bus/pci/devices/{NIC}/driver"
        driver.unlink()
        driver.symlink_to("../../../bus/pci/drivers/virtio-pci")
        self.assertEqual(
            ["its interface is in a network namespace"], self.uses()
        )
        self.put(f"{home}/net/eth4/flags", "0x1003")
        folder = self.host.root / "sys/class/net"
        folder.mkdir(parents=True)
        (folder / "eth4").symlink_to(
            f"../../devices/pci0000:31/{NIC}/virtio4/net/eth4"
        )
        self.assertEqual(["eth4 is up"], self.uses())

    def test_an_interface_in_a_bond_and_one_below_a_vlan(self) -> None:
        place = self.interface()
        self.put(f"{place}/upper_eth7.5")
        self.assertEqual(["eth7 carries eth7.5"], self.uses())
        (self.host.root / place / "master").symlink_to("../../../bond0")
        self.assertEqual(["eth7 belongs to bond0"], self.uses())

    def test_an_interface_that_a_container_has(self) -> None:
        (self.host.root / f"sys/bus/pci/devices/{NIC}/net").mkdir()
        self.assertEqual(
            ["its interface is in a network namespace"], self.uses()
        )

    def test_an_interface_whose_state_cannot_be_read(self) -> None:
        place = self.interface()
        (self.host.root / place / "flags").unlink()
        self.assertEqual(["the state of eth7 can't be read"], self.uses())

    def test_an_idle_disk_is_no_use(self) -> None:
        self.disk()
        self.assertEqual([], self.uses())

    def test_a_mounted_disk(self) -> None:
        self.disk()
        self.put("proc/1/mountinfo", "1 0 8:0 / /srv rw - ext4 /dev/sda rw\n")
        self.assertEqual(["sda is mounted on /srv"], self.uses())
        # btrfs has a number of its own, but names a source.
        self.put(
            "proc/1/mountinfo", "1 0 0:40 / /srv rw - btrfs /dev/sda rw\n"
        )
        self.assertEqual(["sda is mounted on /srv"], self.uses())

    def test_a_disk_in_a_btrfs_of_several(self) -> None:
        self.disk()
        self.put("sys/fs/btrfs/0-1/devices/sda")
        self.assertEqual(
            ["sda belongs to a btrfs that is mounted"], self.uses()
        )

    def test_a_disk_that_serves_as_swap(self) -> None:
        self.disk()
        self.put("proc/swaps", "Filename Type\n/dev/sda partition 1 0 -2\n")
        self.assertEqual(["sda serves as swap"], self.uses())

    def test_a_disk_that_lvm_or_raid_holds(self) -> None:
        self.disk()
        self.put(f"sys/devices/pci0000:30/{NIC}/block/sda/holders/dm-0")
        self.put("sys/class/block/dm-0/dm/name", "vg-root\n")
        self.assertEqual(["sda is held by dm-0 (vg-root)"], self.uses())

    def test_a_disk_behind_a_loop_device_or_compressed_memory(self) -> None:
        self.disk()
        for name, file in (
            ("loop3", "loop/backing_file"),
            ("zram0", "backing_dev"),
        ):
            path = f"sys/class/block/{name}/{file}"
            for text, count in (
                ("/dev/sda\n", 1),
                ("/srv/chroot/dev/sda (deleted)\n", 1),
                ("/srv/image\n", 0),
                ("none\n", 0),
                ("/dev/sdb\n", 0),
            ):
                self.put("sys/class/block/sdb/dev", "8:16\n")
                self.put(path, text)
                self.assertEqual(
                    [f"sda is held by {name}"] * count, self.uses(), text
                )
            shutil.rmtree(self.host.root / "sys/class/block" / name)

    def test_a_disk_that_a_scsi_target_exports(self) -> None:
        self.disk()
        core = "sys/kernel/config/target/core"
        self.put(f"{core}/iblock_0/hba_info", "HBA Index: 1")
        self.put(f"{core}/iblock_0/volume/udev_path", "/dev/disk/by-id/x\n")
        by_id = self.host.root / "dev/disk/by-id"
        by_id.mkdir(parents=True)
        self.put("dev/sda")
        (by_id / "x").symlink_to("../../sda")
        self.assertEqual(
            ["sda is held by a SCSI target (volume)"], self.uses()
        )
        (by_id / "x").unlink()
        [found] = self.uses()
        self.assertEqual(
            "what else holds sda can't be read: /dev/disk/by-id/x, which "
            "a SCSI target (volume) has, leads nowhere",
            found,
        )

    def test_a_scsi_target_whose_path_nobody_told(self) -> None:
        self.disk()
        core = "sys/kernel/config/target/core"
        self.put("sys/class/block/sda/dev", "8:0\n")
        for plugin, info, said in (
            (
                "iblock_0",
                (
                    "iBlock device: sda  readonly: 0\n"
                    "        Major: 8 Minor: 0  CLAIMED: IBLOCK\n"
                ),
                ["sda is held by a SCSI target (volume)"],
            ),
            (
                "iblock_0",
                "iBlock device: sdb\n        Major: 8 Minor: 16\n",
                [],
            ),
            (
                "fileio_0",
                "TCM FILEIO ID: 0        File: /dev/sda  Size: 10\n",
                ["sda is held by a SCSI target (volume)"],
            ),
            ("rd_mcp_0", "TCM RamDisk ID: 0  RamDisk Makeup\n", []),
            (
                "pscsi_0",
                "SCSI Device Bus Location: Channel ID: 0\n",
                [
                    (
                        "what else holds sda can't be read: a SCSI target"
                        " (volume) doesn't say what it has"
                    )
                ],
            ),
        ):
            self.put(f"{core}/{plugin}/volume/udev_path", "\n")
            self.put(f"{core}/{plugin}/volume/info", info)
            self.assertEqual(said, self.uses(), info)
            shutil.rmtree(self.host.root / core / plugin)

    def test_a_controller_that_an_nvme_target_passes_through(self) -> None:
        self.disk()
        place = "sys/kernel/config/nvmet/subsystems/nqn.x/passthru"
        self.put(f"{place}/device_path", "/dev/nvme0\n")
        self.put(f"{place}/enable", "0\n")
        self.assertEqual([], self.uses())
        self.put(f"{place}/enable", "1\n")
        [found] = self.uses()
        self.assertIn("/dev/nvme0, which an NVMe target (nqn.x) has", found)

    def test_a_disk_that_an_nvme_target_exports(self) -> None:
        self.disk()
        place = "sys/kernel/config/nvmet/subsystems/nqn.x/namespaces/1"
        self.put(f"{place}/device_path", "/dev/sda\n")
        self.put(f"{place}/enable", "0\n")
        self.assertEqual([], self.uses())
        self.put(f"{place}/enable", "1\n")
        self.assertEqual(
            ["sda is held by an NVMe target (nqn.x)"], self.uses()
        )

    def test_targets_that_do_not_show(self) -> None:
        self.disk()
        for module, what in (("nvmet", "NVMe"), ("target_core_mod", "SCSI")):
            self.put(f"sys/module/{module}/initstate", "live\n")
            [found] = self.uses()
            self.assertIn(f"can't be read: {what} targets: /sys/k", found)
            shutil.rmtree(self.host.root / f"sys/module/{module}")

    def test_a_disk_that_zfs_may_have(self) -> None:
        self.disk()
        self.put("proc/spl/kstat/zfs/arcstats", "1 2\n")
        self.assertEqual([], self.uses())
        self.put("proc/spl/kstat/zfs/tank/state", "ONLINE\n")
        self.assertEqual(
            ["whether sda belongs to a ZFS pool (tank) can't be read"],
            self.uses(),
        )
        self.put("run/udev/data/b8:0", "S:disk/by-id/x\nE:ID_FS_TYPE=xfs\n")
        self.assertEqual([], self.uses())
        self.put("run/udev/data/b8:0", "I:1\nE:ID_FS_TYPE=zfs_member\n")
        self.assertEqual(
            ["sda belongs to ZFS, which has pools imported: tank"],
            self.uses(),
        )

    def test_a_disk_with_the_journal_or_log_of_another_ones(self) -> None:
        self.disk()
        self.put("proc/fs/jbd2/sdb1-8/info")
        self.assertEqual([], self.uses())
        self.put("proc/fs/jbd2/sda/info")
        self.assertEqual(
            ["sda is held by the journal of a file system"], self.uses()
        )
        shutil.rmtree(self.host.root / "proc/fs")
        for option in ("logdev", "rtdev"):
            self.put(
                "proc/1/mountinfo",
                "1 0 8:16 / /srv rw - xfs /dev/sdb rw,attr2,"
                f"{option}=/dev/sda,noquota\n",
            )
            self.assertEqual(["sda is mounted on /srv"], self.uses())

    def test_a_disk_in_a_bcachefs_of_several(self) -> None:
        self.disk()
        self.put(
            "proc/1/mountinfo",
            "1 0 0:40 / /srv rw - bcachefs /dev/sdb:/dev/sda rw\n",
        )
        self.assertEqual(["sda is mounted on /srv"], self.uses())

    def test_a_disk_that_is_mounted_where_no_process_sees_it(self) -> None:
        self.disk()
        for kind in ("ext4", "xfs", "f2fs"):
            self.put(f"sys/fs/{kind}/sda/state", "")
            self.assertEqual(["sda is mounted somewhere"], self.uses())
            shutil.rmtree(self.host.root / f"sys/fs/{kind}")

    def test_a_disk_when_mounts_cannot_be_read(self) -> None:
        self.disk()
        (self.host.root / "proc/1/mountinfo").unlink()
        self.assertEqual(["whether sda is mounted can't be read"], self.uses())

    def test_a_disk_of_a_multipath_subsystem(self) -> None:
        self.multipath()
        self.subsystem({"nvme0": "0000:99:00.0", "nvme1": NIC})
        self.assertEqual([], self.uses())
        self.put("proc/swaps", "Filename Type\n/dev/nvme0n1 partition 1 0\n")
        self.assertEqual(["nvme0n1 serves as swap"], self.uses())

    def test_a_subsystem_whose_controllers_are_not_recorded(self) -> None:
        self.multipath()
        self.assertEqual([], self.uses())
        self.put("proc/swaps", "Filename Type\n/dev/nvme0n1 partition 1 0\n")
        self.assertEqual(["nvme0n1 serves as swap"], self.uses())

    def test_a_subsystem_that_lists_no_controller(self) -> None:
        self.multipath("nvme1c1n1")
        self.subsystem({})
        place = "/sys/class/nvme-subsystem/nvme-subsys0"
        why = f"whose disk nvme0n1 is can't be read: {place}"
        self.assertEqual({f"{why} lists no controller"}, set(self.uses()))

    def multipath(self, path: str = "nvme0c1n1") -> None:
        """A head that anybody can open, and a hidden path to it."""
        for name, place, files in (
            (
                "nvme0n1",
                "virtual/nvme-subsystem/nvme-subsys0",
                {"hidden": "0\n", "dev": "259:0\n"},
            ),
            (path, f"pci0000:30/{NIC}/nvme/nvme1", {"hidden": "1\n"}),
        ):
            for file, text in files.items():
                self.put(f"sys/devices/{place}/{name}/{file}", text)
            (self.host.root / "sys/class/block" / name).symlink_to(
                f"../../devices/{place}/{name}"
            )

    def subsystem(self, controllers: dict[str, str]) -> None:
        """A subsystem with controllers, and the function of each."""
        place = "devices/virtual/nvme-subsystem/nvme-subsys0"
        classes = self.host.root / "sys/class/nvme-subsystem"
        classes.mkdir(parents=True)
        (classes / "nvme-subsys0").symlink_to(f"../../{place}")
        for name, function in controllers.items():
            (self.host.root / "sys" / place / name).symlink_to(
                f"../../../pci0000:30/{function}/nvme/{name}"
            )

    def test_a_screen(self) -> None:
        place = f"sys/bus/pci/devices/{NIC}"
        self.put(f"{place}/drm/card0/card0-VGA-1/status", "disconnected\n")
        self.assertEqual([], self.uses())
        self.put(f"{place}/drm/card0/card0-VGA-1/status", "connected\n")
        self.assertEqual(["connector card0-VGA-1 is connected"], self.uses())

    def test_the_card_that_the_firmware_booted_with(self) -> None:
        self.put(f"sys/bus/pci/devices/{NIC}/boot_vga", "1\n")
        self.assertEqual(
            ["the firmware booted with it (boot_vga)"], self.uses()
        )

    def test_the_console_on_a_frame_buffer(self) -> None:
        self.put(f"sys/bus/pci/devices/{NIC}/graphics/fb0/dev")
        self.put("sys/class/vtconsole/vtcon1/name", "(M) frame buffer device")
        self.put("sys/class/vtconsole/vtcon1/bind", "0\n")
        self.assertEqual([], self.uses())
        self.put("sys/class/vtconsole/vtcon1/bind", "1\n")
        self.assertEqual(["the console is drawn on fb0"], self.uses())

    def test_a_disk_that_a_container_mounts(self) -> None:
        self.disk()
        self.put("proc/77/mountinfo", "1 0 8:0 / /data rw - ext4 sda rw\n")
        self.assertEqual(
            ["sda is mounted on /data for process 77"], self.uses()
        )
        # Each mount namespace is looked at once.
        for pid in (1, 77):
            (self.host.root / f"proc/{pid}/ns").mkdir()
            (self.host.root / f"proc/{pid}/ns/mnt").symlink_to("mnt:[4026]")
        self.assertEqual([], self.uses())

    def test_every_mount_counts_where_namespaces_are_shown(self) -> None:
        self.disk()
        for pid, namespace in ((1, 4026), (77, 4027), (78, 4028), (79, 4027)):
            self.put(f"proc/{pid}/mountinfo")
            place = self.host.root / f"proc/{pid}/ns"
            place.mkdir()
            (place / "mnt").symlink_to(f"mnt:[{namespace}]")
        self.assertEqual([], self.uses())
        lines = [
            f"{number} 0 8:{number} / /at{number} rw - ext4 /dev/x rw\n"
            for number in range(16, 20)
        ]
        mine = "9 0 8:0 / /srv rw shared:1 - ext4 /dev/sda rw\n"
        for pid, told in (
            (1, ""),
            (77, " for process 77"),
            (78, " for process 78"),
        ):
            for at in range(len(lines) + 1):
                text = "".join([*lines[:at], mine, *lines[at:]])
                self.put(f"proc/{pid}/mountinfo", text)
                self.assertEqual(
                    [f"sda is mounted on /srv{told}"], self.uses()
                )
            self.put(f"proc/{pid}/mountinfo", "".join(lines))
            self.assertEqual([], self.uses())

    def test_a_process_that_nobody_waited_for_mounts_nothing(self) -> None:
        self.disk()
        self.put("proc/77/comm", "defunct\n")
        self.assertEqual([], self.uses())

    def test_a_device_is_open_though_its_node_was_removed(self) -> None:
        (self.host.root / f"sys/bus/pci/devices/{NIC}/drm").mkdir()
        self.put(f"sys/bus/pci/devices/{NIC}/drm/renderD128")
        self.put("proc/7/comm", "Xorg\n")
        (self.host.root / "proc/7/fd").mkdir()
        (self.host.root / "proc/7/fd/3").symlink_to(
            "/dev/dri/renderD128 (deleted)"
        )
        self.assertEqual(
            ["/dev/dri/renderD128 is open in process 7 (Xorg)"], self.uses()
        )

    def test_a_guest_may_have_a_vdpa_device_open(self) -> None:
        place = f"sys/bus/pci/devices/{NIC}/vdpa0"
        (self.host.root / place / "vhost-vdpa-3").mkdir(parents=True)
        self.put("proc/7/comm", "qemu\n")
        (self.host.root / "proc/7/fd").mkdir()
        (self.host.root / "proc/7/fd/3").symlink_to("/dev/vhost-vdpa-3")
        self.assertEqual(
            ["/dev/vhost-vdpa-3 is open in process 7 (qemu)"], self.uses()
        )

    def test_a_function_is_shown_with_what_is_in_the_way(self) -> None:
        self.interface("0x1003")
        known = facts.gather(scanner.scan(self.host.tree))
        function = known.scan.get(pci_address.PciAddress.parse(NIC))
        assert function is not None
        self.assertEqual(
            [
                host_codes.GROUP_COMPANIONS,
                host_codes.NETWORK_IN_USE,
                host_codes.NOT_BOUND,
            ],
            [
                obstacle.code
                for obstacle in assignability.verdict(
                    function, known
                ).obstacles
            ],
        )


class UnknownTest(UseCase):
    """What is there and can't be read counts as in use.

    A folder in place of a file, and a file in place of a folder, can be read
    by nobody, root included.
    """

    def unknown(self, *places: str) -> None:
        """Each alone makes a use that isn't known."""
        self.assertEqual([], self.uses())
        for place in places:
            path = self.host.root / place
            kept = path.with_name("kept")
            if path.exists():
                path.rename(kept)
            else:
                path.parent.mkdir(exist_ok=True)
            if kept.is_dir():
                path.touch()
            else:
                path.mkdir()
            found = self.decision(
                '{"address": "0000:31:*.0", "driver": "vfio-pci"}'
            ).refusals
            self.assertEqual(
                {host_codes.NOT_KNOWN},
                {finding.code for finding in found},
                place,
            )
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
            if kept.exists():
                kept.rename(path)
        self.assertEqual([], self.uses())

    def test_files_about_the_network(self) -> None:
        self.interface()
        self.unknown(
            "proc/net/route",
            "proc/net/if_inet6",
            "proc/net/ipv6_route",
            f"sys/bus/pci/devices/{NIC}/net/eth7/flags",
        )

    def test_files_about_the_network_that_make_no_sense(self) -> None:
        place = self.interface("up")
        self.assertEqual(["the state of eth7 can't be read"], self.uses())
        self.put(f"{place}/flags", "0x1002")
        for name, text in (
            ("route", "Iface\tDestination\nshort\n"),
            ("route", "Iface\tDestination\neth7 0 0 junk 0 0 0 0\n"),
            ("if_inet6", "eth7\n"),
        ):
            self.put(f"proc/net/{name}", text)
            [found] = self.uses()
            self.assertEqual(
                "whether eth7 has an address can't be read: "
                f"/proc/net/{name} makes no sense",
                found,
            )
            self.put(f"proc/net/{name}")

    def test_files_about_disks(self) -> None:
        self.disk()
        here = f"sys/devices/pci0000:30/{NIC}/block/sda"
        (self.host.root / here / "holders").mkdir()
        (self.host.root / "sys/fs/btrfs/0-1/devices").mkdir(parents=True)
        self.unknown(
            "proc/swaps",
            "proc/1/mountinfo",
            f"{here}/holders",
            f"{here}/dev",
            "sys/fs/btrfs",
            "sys/fs/btrfs/0-1/devices",
            "sys/class/block",
        )

    def test_files_about_the_screen(self) -> None:
        place = f"sys/bus/pci/devices/{NIC}"
        (self.host.root / place / "drm/card0").mkdir(parents=True)
        (self.host.root / place / "graphics").mkdir()
        self.unknown(
            f"{place}/boot_vga",
            f"{place}/drm/card0",
            f"{place}/graphics",
        )

    def test_processes_of_others_that_are_hidden(self) -> None:
        self.disk()
        (self.host.root / "proc/1").rename(self.host.root / "proc/4711")
        self.assertEqual(
            {
                "whether sda is mounted can't be read",
                "/proc/1: not shown, which may have it open",
            },
            set(self.uses()),
        )

    def test_a_host_without_any_process(self) -> None:
        shutil.rmtree(self.host.root / "proc/1")
        self.assertEqual(
            {"/proc/1: not shown, which may have it open"}, set(self.uses())
        )


class AskedTest(base.TestCase):
    """What no file tells, and the kernel that we run on is asked for."""

    def test_addresses_of_interfaces(self) -> None:
        names = [name for _, name in socket.if_nameindex()]
        with fixtures.MonkeyPatch(
            f"{network.__name__}._asked", lambda: {"eth7"}
        ):
            there = network.Routing.of(opening.open_tree("/"))
            self.assertIn("eth7", there.addressed)
            elsewhere = network.Routing.of(opening.open_tree("/proc"))
            self.assertNotIn("eth7", elsewhere.addressed)
        self.assertLessEqual(network._asked(), set(names))

    def test_to_ask_takes_no_sockets_of_a_network(self) -> None:
        # As where systemd's RestrictAddressFamilies= leaves AF_UNIX alone.
        told = network._asked()
        for family in ("AF_INET", "AF_INET6", "AF_NETLINK"):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f"{network.__name__}.socket.{family}", 255
                )
            )
        self.assertEqual(told, network._asked())

    def test_a_link_local_address_is_none(self) -> None:
        def answer(_asking: object, _request: int, wanted: bytes) -> bytes:
            _, place = network._IFCONF.unpack(wanted)
            data = b"".join(
                (name + b"\0\0\2\0\0" + address).ljust(
                    network._IFREQ.size, b"\0"
                )
                for name, address in (
                    (b"eth1".ljust(15, b"\0"), b"\xa9\xfe\1\2"),
                    (b"eth2".ljust(15, b"\0"), b"\xc0\0\2\1"),
                    (b"eth3:7".ljust(15, b"\0"), b"\xa9\xff\1\2"),
                )
            )
            ctypes.memmove(place, data, len(data))
            return network._IFCONF.pack(len(data), place)

        with fixtures.MonkeyPatch(f"{network.__name__}.fcntl.ioctl", answer):
            self.assertEqual({"eth2", "eth3"}, network._asked())

    def test_an_interface_may_have_any_bytes_for_a_name(self) -> None:
        def answer(_asking: object, _request: int, wanted: bytes) -> bytes:
            _, place = network._IFCONF.unpack(wanted)
            one = network._IFREQ.pack(b"et\xe9:1")
            ctypes.memmove(place, one, len(one))
            return network._IFCONF.pack(len(one), place)

        with fixtures.MonkeyPatch(f"{network.__name__}.fcntl.ioctl", answer):
            self.assertEqual({"et\udce9"}, network._asked())

    def test_an_interface_that_is_down_and_has_an_address(self) -> None:
        """In a network namespace of its own, where there may be one."""
        script = (
            "ip address add 192.0.2.9/24 dev lo label lo:9\n"
            f"{sys.executable} -c '"
            "from nova_vfio_variant.host.observe.use import network\n"
            "print(*network._asked())'"
        )
        ran = subprocess.run(
            ["unshare", "--net", "--map-root-user", "sh", "-ec", script],
            check=False,
            capture_output=True,
            text=True,
        )
        if ran.returncode:
            self.skipTest(ran.stderr)
        self.assertEqual("lo\n", ran.stdout)
