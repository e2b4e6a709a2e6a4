# SPDX-License-Identifier: Apache-2.0
"""What a scan makes of a host that is whole, odd, or falling apart."""

import errno
import os
import pathlib
import tempfile

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import host_scan, scanner
from nova_vfio_variant.host.tree import host_tree, opening, paths
from nova_vfio_variant.pci import address, function
from tests import base

_MODALIAS = "pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00\n"


def _of_class(code: str) -> str:
    """A modalias of a class and subclass."""
    return _MODALIAS.replace("bc02sc00", f"bc{code[:2]}sc{code[2:]}")


def _config(header: int) -> str:
    """A configuration space up to its header's type."""
    return "\1" * 14 + chr(header)


class _FailingTree(host_tree.DirectoryTree):
    """A real directory in which chosen reads fail, as dying devices do."""

    def __init__(self, root: str, fails: dict[str, int]) -> None:
        super().__init__(root)
        self._fails = fails

    def _open_folder(self, path: str) -> host_tree.Folder:
        return _FailingFolder(super()._open_folder(path), path, self._fails)


class _FailingFolder(host_tree.Folder):
    def __init__(
        self, real: host_tree.Folder, path: str, fails: dict[str, int]
    ) -> None:
        self._real = real
        self._path = path
        self._fails = fails

    def _check(self, name: str) -> None:
        number = self._fails.get(f"{self._path}/{name}")
        if number is not None:
            raise OSError(number, os.strerror(number))

    def names(self) -> list[str]:
        self._check("*")
        return self._real.names()

    def read(self, name: str, size: int = host_tree.ATTRIBUTE) -> bytes:
        self._check(name)
        return self._real.read(name, size)

    def link(self, name: str) -> str:
        self._check(name)
        return self._real.link(name)

    def close(self) -> None:
        self._real.close()


class ScanCase(base.TestCase):
    """A host in a directory."""

    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(tempfile.mkdtemp())

    def add(self, name: str, **facts: str | None) -> None:
        """A function; a fact that starts with ``->`` is a link."""
        device = self.root / "sys/devices/pci0000:00" / name
        device.mkdir(parents=True)
        bus = self.root / paths.DEVICES
        bus.mkdir(parents=True, exist_ok=True)
        (bus / name).symlink_to(f"../../../devices/pci0000:00/{name}")
        whole: dict[str, str | None] = {
            "modalias": _MODALIAS,
            "vendor": "0x8086\n",
            "device": "0x10ca\n",
            "class": "0x020000\n",
            "driver_override": "(null)\n",
            "numa_node": "-1\n",
            **facts,
        }
        for fact, text in whole.items():
            if text is None:
                continue
            if text.startswith("->"):
                (device / fact).symlink_to(text[2:])
            elif text == "/":
                (device / fact).mkdir(parents=True)
            else:
                (device / fact).write_text(text)

    def scan(self, **fails: int) -> host_scan.HostScan:
        if not fails:
            return scanner.scan(opening.open_tree(str(self.root)))
        where = "sys/devices/pci0000:00/0000:00:01.0"
        return scanner.scan(
            _FailingTree(
                str(self.root),
                {f"{where}/{fact}": number for fact, number in fails.items()},
            )
        )

    def one(self) -> function.PciFunction:
        (found,) = self.scan().functions
        return found


class ScanTest(ScanCase):
    def test_a_bare_function_has_only_what_it_has(self) -> None:
        self.add("0000:00:01.0")
        self.assertEqual(
            function.PciFunction(
                address.PciAddress(0, 0, 1, 0),
                "8086",
                "10ca",
                0x020000,
                modalias=_MODALIAS.strip(),
                subsystem="1af4:1100",
            ),
            self.one(),
        )
        self.assertEqual((), self.scan().problems)

    def test_every_fact_is_found(self) -> None:
        facts = {
            "driver": "->../../../bus/pci/drivers/mlx5_core",
            "driver_override": "mlx5_core\n",
            "iommu_group": "->../../../kernel/iommu_groups/42",
            "numa_node": "1\n",
            "sriov_totalvfs": "8\n",
            "virtfn0": "->../0000:00:02.0",
            "virtfn1": "->../0000:00:02.1",
            "net": "/",
            "net/eth1": "/",
            "net/eth0": "/",
            "mdev_supported_types": "/",
            "mdev_supported_types/nvidia-63": "/",
        }
        self.add("0000:00:01.0", **facts)
        self.assertEqual(
            function.PciFunction(
                address.PciAddress(0, 0, 1, 0),
                "8086",
                "10ca",
                0x020000,
                driver="mlx5_core",
                driver_override="mlx5_core",
                iommu_group=42,
                numa_node=1,
                sriov_totalvfs=8,
                sriov_numvfs=2,
                netdevs=("eth0", "eth1"),
                mdev_types=("nvidia-63",),
                modalias=_MODALIAS.strip(),
                subsystem="1af4:1100",
            ),
            self.one(),
        )

    def test_a_vf_knows_its_pf(self) -> None:
        self.add("0000:00:01.0", physfn="->../0000:00:00.0")
        self.assertEqual("0000:00:00.0", str(self.one().physfn))
        self.assertEqual("VF", self.one().kind)

    def test_a_vf_that_carries_a_vdpa_device_has_novas_type_for_it(
        self,
    ) -> None:
        for number in range(3):
            self.add(f"0000:00:02.{number}", physfn="->../0000:00:01.0")
        self.add("0000:00:03.0", vdpa0="/")
        devices = self.root / "sys/devices/pci0000:00"
        bus = self.root / paths.VDPA
        bus.mkdir(parents=True)
        (devices / "0000:00:02.1/net-of-a-guest").mkdir()
        (bus / "net-of-a-guest").symlink_to(
            "../../../devices/pci0000:00/0000:00:02.1/net-of-a-guest"
        )
        # What leads to the root, or right below it, is below no function.
        (bus / "odd").symlink_to("/")
        (bus / "odder").symlink_to("/sys")
        # As a recording has it that was made without that bus.
        (devices / "0000:00:02.2/vdpa0").mkdir()
        self.assertEqual(
            ["type-VF", "vdpa", "vdpa", "type-PCI"],
            [found.dev_type for found in self.scan().functions],
        )

    def test_a_vfio_driver_is_known_by_its_folder_or_its_name(self) -> None:
        self.add(
            "0000:00:01.0",
            **{"driver": "->x/mlx5_vfio_pci", "vfio-dev": "/"},
        )
        self.add("0000:00:01.1", driver="->x/vfio-pci")
        self.add("0000:00:01.2", driver="->x/mlx5_vfio_pci")
        self.add("0000:00:01.3", driver="->x/igbvf")
        self.assertEqual(
            ["mlx5_vfio_pci", "vfio-pci", None, None],
            [found.vfio_driver for found in self.scan().functions],
        )

    def test_functions_come_in_order_of_address(self) -> None:
        names = ["10000:00:00.0", "0000:0a:00.0", "0000:00:1f.3"]
        for name in names:
            self.add(name)
        self.assertEqual(
            sorted(found.address for found in self.scan().functions),
            [found.address for found in self.scan().functions],
        )
        self.assertEqual(
            list(reversed(names)),
            [str(found.address) for found in self.scan().functions],
        )

    def test_a_function_is_found_by_its_address(self) -> None:
        self.add("0000:00:01.0")
        seen = self.scan()
        self.assertIs(
            seen.functions[0], seen.get(address.PciAddress(0, 0, 1, 0))
        )
        self.assertIsNone(seen.get(address.PciAddress(0, 0, 2, 0)))

    def test_groups_hold_their_functions(self) -> None:
        group = "->../../../kernel/iommu_groups/"
        self.add("0000:00:01.0", iommu_group=f"{group}10")
        self.add("0000:00:01.1", iommu_group=f"{group}10")
        self.add("0000:00:02.0", iommu_group=f"{group}9")
        self.add("0000:00:03.0")
        groups = self.scan().iommu_groups
        self.assertEqual([9, 10], list(groups))
        self.assertEqual(
            ["0000:00:01.0", "0000:00:01.1"], [str(a) for a in groups[10]]
        )

    def test_what_vanishes_costs_its_fact_alone(self) -> None:
        self.add(
            "0000:00:01.0",
            driver="->x/igb",
            iommu_group="->x/7",
            sriov_totalvfs="7\n",
            virtfn0="->../0000:00:02.0",
            net="/",
        )
        self.add("0000:00:02.0")
        for fact, number in {
            "driver": errno.ENOENT,
            "driver_override": errno.EACCES,
            "numa_node": errno.ENODEV,
            "iommu_group": errno.EACCES,
            "modalias": errno.ENOENT,
        }.items():
            seen = self.scan(**{fact: number})
            self.assertEqual(2, len(seen.functions))
            self.assertEqual(
                [f"0000:00:01.0: {fact}: {os.strerror(number)}"],
                [str(lost) for lost in seen.problems],
            )
            self.assertEqual("10ca", seen.functions[0].product_id)
            self.assertEqual({fact}, seen.functions[0].lost)
            self.assertEqual(frozenset(), seen.functions[1].lost)
            self.assertEqual(frozenset(), seen.unread)
            self.assertEqual(
                [fact] if fact == "iommu_group" else [],
                [fact for _ in seen.hidden],
            )

    def left_out(self, fact: str) -> None:
        """The first of two functions is left out without this fact."""
        self.add("0000:00:02.0")
        seen = self.scan(**{fact: errno.EACCES})
        self.assertEqual(
            ["0000:00:02.0"], [str(f.address) for f in seen.functions]
        )
        self.assertEqual(
            [f"0000:00:01.0: left out: {fact}: Permission denied"],
            [str(lost) for lost in seen.problems],
        )
        self.assertEqual({address.PciAddress(0, 0, 1, 0)}, seen.unread)

    def test_a_vf_whose_pf_can_not_be_read_is_no_whole_function(self) -> None:
        self.add("0000:00:01.0", physfn="->../0000:00:00.0")
        self.left_out("physfn")

    def test_a_pf_whose_vfs_can_not_be_read_is_left_out(self) -> None:
        self.add("0000:00:01.0", sriov_totalvfs="7\n")
        self.left_out("sriov_totalvfs")

    def test_a_number_of_vfs_that_is_none_leaves_a_function_out(self) -> None:
        self.add("0000:00:01.0", sriov_totalvfs="many\n")
        seen = self.scan()
        self.assertEqual((), seen.functions)
        self.assertEqual({address.PciAddress(0, 0, 1, 0)}, seen.unread)

    def test_a_function_without_ids_is_left_out_and_told(self) -> None:
        self.add("0000:00:01.0")
        self.add("0000:00:02.0")
        seen = self.scan(modalias=errno.EIO, vendor=errno.EIO)
        self.assertEqual(
            ["0000:00:02.0"], [str(f.address) for f in seen.functions]
        )
        self.assertEqual(
            [
                "0000:00:01.0: modalias: Input/output error",
                "0000:00:01.0: left out: Input/output error",
            ],
            [str(lost) for lost in seen.problems],
        )
        self.assertEqual({address.PciAddress(0, 0, 1, 0)}, seen.unread)

    def test_a_function_that_vanishes_is_left_out_and_told(self) -> None:
        self.add("0000:00:01.0")
        seen = self.scan(**{"*": errno.ENOENT})
        self.assertEqual((), seen.functions)
        self.assertEqual(
            ["0000:00:01.0: left out: No such file or directory"],
            [str(lost) for lost in seen.problems],
        )

    def test_facts_that_make_no_sense_are_lost(self) -> None:
        self.add("0000:00:01.0", modalias="usb:v1\n", numa_node="\n")
        seen = self.scan()
        self.assertEqual("10ca", seen.functions[0].product_id)
        self.assertIsNone(seen.functions[0].numa_node)
        self.assertEqual(
            ["modalias", "numa_node"],
            [problem.fact for problem in seen.problems],
        )

    def test_a_name_that_is_no_address_is_told(self) -> None:
        self.add("nonsense")
        seen = self.scan()
        self.assertEqual((), seen.functions)
        self.assertIn("nonsense: left out", str(seen.problems[0]))
        self.assertEqual(frozenset(), seen.unread)

    def test_a_kernel_without_modalias_is_read_by_its_files(self) -> None:
        self.add("0000:00:01.0", modalias=None, **{"class": "0x030200\n"})
        self.assertEqual(0x030200, self.one().class_code)
        self.assertIsNone(self.one().modalias)
        self.assertEqual((), self.scan().problems)

    def test_a_host_that_does_not_list_its_functions_is_refused(self) -> None:
        error = self.assertRaises(exception.HostError, self.scan)
        self.assertEqual(
            "the host's PCI functions can't be listed: sys/bus/pci/devices:"
            " No such file or directory",
            error.message,
        )

    def test_a_kernel_without_pci_has_no_functions(self) -> None:
        (self.root / "sys/bus/platform").mkdir(parents=True)
        self.assertEqual((), self.scan().functions)
        (self.root / "sys/bus/pci").mkdir()
        self.assertRaises(exception.HostError, self.scan)

    def test_a_host_with_nothing_else_is_scanned(self) -> None:
        (self.root / paths.DEVICES).mkdir(parents=True)
        seen = self.scan()
        self.assertEqual((), seen.functions)
        self.assertEqual((), seen.problems)
        self.assertIsNone(seen.kernel_release)
        self.assertIsNone(seen.cmdline)
        self.assertEqual((), seen.modules)
        self.assertEqual((), seen.vfio_aliases)

    def test_the_kernel_and_its_modules_are_told(self) -> None:
        self.add("0000:00:01.0")
        proc = self.root / "proc/sys/kernel"
        proc.mkdir(parents=True)
        (proc / "osrelease").write_text("6.12.0-test\n")
        (self.root / "proc/cmdline").write_text("intel_iommu=on quiet\n")
        (self.root / "proc/modules").write_text(
            "vfio_pci 16384 0 - Live 0x0\nigb 1 2 vfio_pci, Live 0x0\n"
        )
        modules = self.root / "lib/modules/6.12.0-test"
        modules.mkdir(parents=True)
        (modules / "modules.alias").write_text(
            "alias pci:v1* igb\nalias vfio_pci:v*d* vfio_pci\n"
        )
        seen = self.scan()
        self.assertEqual("6.12.0-test", seen.kernel_release)
        self.assertEqual("intel_iommu=on quiet", seen.cmdline)
        self.assertEqual(("igb", "vfio_pci"), seen.modules)
        self.assertEqual((("vfio_pci:v*d*", "vfio_pci"),), seen.vfio_aliases)

    def test_what_is_slow_or_can_block_is_not_read(self) -> None:
        self.add(
            "0000:00:01.0",
            sriov_totalvfs="7\n",
            sriov_numvfs="7\n",
            config="x",
            vpd="x",
            uevent="x",
        )
        # Nor for what its class alone tells to be a bridge, or the root.
        for slot, code in ((2, "0604"), (3, "0600")):
            self.add(
                f"0000:00:0{slot}.0", modalias=_of_class(code), config="x"
            )
        seen = self.scan(
            config=errno.EIO,
            vpd=errno.EIO,
            uevent=errno.EIO,
            sriov_numvfs=errno.EIO,
        )
        self.assertEqual((), seen.problems)

    def test_an_old_kernels_modalias_is_read_whatever_its_case(self) -> None:
        self.add(
            "0000:00:01.0",
            modalias="pci:v00008086d0000A282sv00001AF4sd00001100bc01sc06i0a\n",
        )
        self.add("0000:00:02.0", modalias=_MODALIAS.lower())
        sata, nic = self.scan().functions
        self.assertEqual(
            ("8086", "a282", 0x01060A, "1af4:1100"),
            (
                sata.vendor_id,
                sata.product_id,
                sata.class_code,
                sata.subsystem,
            ),
        )
        self.assertEqual("10ca", nic.product_id)
        self.assertEqual((), self.scan().problems)


class IdentityTest(ScanCase):
    """What tells one card from another at its address."""

    def test_the_subsystem_is_known_without_modalias_too(self) -> None:
        self.add(
            "0000:00:01.0",
            modalias=None,
            subsystem_vendor="0x15b3\n",
            subsystem_device="0x0051\n",
        )
        self.assertEqual("15b3:0051", self.one().subsystem)

    def test_a_kernel_that_does_not_tell_the_subsystem_lost_nothing(
        self,
    ) -> None:
        self.add("0000:00:01.0", modalias=None)
        self.assertIsNone(self.one().subsystem)
        self.assertEqual(frozenset(), self.one().lost)

    def test_a_subsystem_that_can_not_be_read_is_lost(self) -> None:
        self.add(
            "0000:00:01.0",
            modalias=None,
            subsystem_vendor="0x15b3\n",
            subsystem_device="what\n",
        )
        self.assertIsNone(self.one().subsystem)
        self.assertEqual({"subsystem_device"}, self.one().lost)

    def test_the_serial_number_is_the_kernels(self) -> None:
        self.add("0000:00:01.0", serial_number="00-11-22-33-44-55-66-77\n")
        self.assertEqual("00-11-22-33-44-55-66-77", self.one().serial_number)
        [lost] = self.scan(serial_number=errno.EIO).functions
        self.assertIsNone(lost.serial_number)
        self.assertEqual({"serial_number"}, lost.lost)

    def test_a_vf_is_numbered_by_its_routing_id(self) -> None:
        self.add(
            "0000:00:00.0",
            sriov_totalvfs="7\n",
            sriov_offset="128\n",
            sriov_stride="2\n",
        )
        for name in ("0000:00:10.0", "0000:00:10.2", "0000:00:11.4"):
            self.add(name, physfn="->../0000:00:00.0")
        self.assertEqual(
            [None, 0, 1, 6], [seen.vf_index for seen in self.scan().functions]
        )
        # Also where it is the only one that is looked at.
        host = opening.open_tree(str(self.root))
        [vf] = scanner.scan(host, ["0000:00:10.2"]).functions
        self.assertEqual(1, vf.vf_index)

    def test_or_by_its_pfs_links(self) -> None:
        for offset in (None, "0\n", "many\n"):
            with self.subTest(offset):
                self.root = pathlib.Path(tempfile.mkdtemp())
                self.add(
                    "0000:00:00.0",
                    sriov_totalvfs="7\n",
                    sriov_offset=offset,
                    sriov_stride="0\n",
                    virtfn0="->../0000:00:10.0",
                    virtfn5="->../0000:00:13.1",
                )
                self.add("0000:00:10.0", physfn="->../0000:00:00.0")
                self.add("0000:00:13.1", physfn="->../0000:00:00.0")
                self.add("0000:00:14.0", physfn="->../0000:00:00.0")
                self.assertEqual(
                    [None, 0, 5, None],
                    [seen.vf_index for seen in self.scan().functions],
                )


class BridgeTest(ScanCase):
    """Only what forwards PCI is a bridge."""

    def test_the_class_tells(self) -> None:
        kinds = {
            "0600": (False, True),
            "0601": (False, False),
            "0602": (False, False),
            "0604": (True, False),
            "0605": (False, False),
            "0607": (True, False),
            "0609": (True, False),
            "0680": (False, False),
            "0204": (False, False),
            "0880": (False, False),
        }
        for slot, code in enumerate(kinds, start=1):
            self.add(f"0000:00:{slot:02x}.0", modalias=_of_class(code))
        self.assertEqual(
            list(kinds.values()),
            [
                (seen.is_bridge, seen.is_host_bridge)
                for seen in self.scan().functions
            ],
        )
        self.assertEqual((), self.scan().problems)

    def test_the_header_tells_where_the_class_leaves_it_open(self) -> None:
        headers = {0x00: False, 0x80: False, 1: True, 0x81: True, 2: True}
        for slot, header in enumerate(headers, start=1):
            self.add(f"0000:00:0{slot}.0", modalias=_of_class("0680"))
            place = self.root / f"sys/devices/pci0000:00/0000:00:0{slot}.0"
            (place / "config").write_bytes(
                _config(header).encode("latin-1") + b"more" * 1000
            )
        found = self.scan()
        self.assertEqual(
            [header & 0x7F for header in headers],
            [seen.header_type for seen in found.functions],
        )
        self.assertEqual(
            list(headers.values()),
            [seen.is_bridge for seen in found.functions],
        )

    def test_a_header_that_can_not_be_read_is_lost(self) -> None:
        self.add("0000:00:01.0", modalias=_of_class("0601"), config=_config(0))
        self.assertEqual(0, self.one().header_type)
        [seen] = self.scan(config=errno.EACCES).functions
        self.assertEqual(frozenset({"config"}), seen.lost)
        self.assertIsNone(seen.header_type)
        config = self.root / "sys/devices/pci0000:00/0000:00:01.0/config"
        # Too short, and a device that doesn't answer.
        for raw in (b"", b"\1" * 14, b"\xff" * 64):
            config.write_bytes(raw)
            self.assertEqual(frozenset({"config"}), self.one().lost)
