# SPDX-License-Identifier: Apache-2.0
"""The fake host as other projects use it: made up, loaded, made to fail.

What it answers to each write is in ``tests/behaviour``.
"""

import doctest
import errno
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import time

import fixtures

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.observe import scanner
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.testing.fake_kernel import faults
from tests import base, sample_hosts

HOSTS = pathlib.Path(__file__).parents[3] / "etc/nova-vfio/hosts"
PF = "0000:21:00.0"
VF = "0000:21:10.0"
NUMVFS = f"sys/bus/pci/devices/{PF}/sriov_numvfs"


class FakeHostCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        memory = fixtures.TempDir(sample_hosts.MEMORY)
        self.folder = pathlib.Path(self.useFixture(memory).path)

    def made(self) -> fake_host.FakeHost:
        host = fake_host.FakeHost(self.folder / "host")
        host.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        host.add_driver("igbvf", ["8086:10ca"])
        host.add(PF, "8086:10c9", vfs=7, vf_device="10ca", numa_node=1)
        return host

    def refused(
        self, number: int, host: fake_host.FakeHost, rel: str, data: bytes
    ) -> None:
        error = self.assertRaises(OSError, host.write, rel, data)
        self.assertEqual(
            errno.errorcode[number], errno.errorcode[error.errno or 0]
        )


_PAGE = HOSTS.parents[2] / "doc/source/user/testing.rst"


class DocumentedTest(base.TestCase):
    def test_the_examples_do_what_they_show(self) -> None:
        failed, tried = doctest.testfile(str(_PAGE), module_relative=False)
        self.assertEqual(0, failed)
        self.assertLess(20, tried)

    def test_the_recorded_host_is_prepared_as_the_page_says(self) -> None:
        script = re.search(
            r"\n    (import .*?)\n\n(?=\S)", _PAGE.read_text(), re.DOTALL
        )
        assert script is not None
        text = textwrap.dedent(f"    {script[1]}\n")
        ran = subprocess.run(
            [
                *(sys.executable, "-c"),
                text.replace("{sys.prefix}", str(HOSTS.parents[2])),
            ],
            capture_output=True,
            check=True,
            text=True,
        )
        self.assertIn("| set-numvfs 2 | set-numvfs 0 | planned |", ran.stdout)
        self.assertIn("| set-numvfs 2 | set-numvfs 0 | done  |", ran.stdout)
        self.assertIn("| 0000:41:10.2 | type-VF ", ran.stdout)


class MadeUpTest(FakeHostCase):
    def test_pci_pf_stub_leaves_a_pf_its_vfs(self) -> None:
        host = self.made()
        host.add_driver("pci-pf-stub", makes_vfs=True)
        writer = host.writer()
        for name, left in (("pci-pf-stub", 2), ("igb", 0)):
            writer.unbind(PF)
            writer.set_override(PF, name)
            writer.probe(PF)
            writer.set_numvfs(PF, 2)
            writer.unbind(PF)
            self.assertEqual(left, writer.numvfs(PF, left))
            writer.probe(PF)

    def test_vfs_look_as_a_scan_expects_them(self) -> None:
        host = self.made()
        host.write(NUMVFS, b"2\n")
        pf, vf, _ = scanner.scan(host.tree).functions
        self.assertEqual(
            ("PF", "igb", 2), (pf.kind, pf.driver, pf.sriov_numvfs)
        )
        self.assertEqual(
            (VF, "VF", "8086", "10ca", "igbvf", 1),
            (
                str(vf.address),
                vf.kind,
                vf.vendor_id,
                vf.product_id,
                vf.driver,
                vf.numa_node,
            ),
        )
        self.assertNotEqual(pf.iommu_group, vf.iommu_group)

    def test_two_objects_of_a_directory_are_one_host(self) -> None:
        self.made().write(NUMVFS, b"1")
        again = fake_host.FakeHost(self.folder / "host")
        again.write(NUMVFS, b"0")
        self.assertEqual(1, len(scanner.scan(again.tree).functions))
        self.assertEqual(2, len(again.written))

    def test_what_is_no_file_of_the_kernels_is_refused(self) -> None:
        host = self.made()
        place = f"sys/bus/pci/devices/{PF}"
        self.refused(errno.ENOENT, host, "sys/nothing", b"")
        self.refused(errno.ENOENT, host, f"{place}/nothing", b"")
        self.refused(errno.EACCES, host, f"{place}/vendor", b"0x1234")
        self.refused(errno.EACCES, host, "proc/cmdline", b"quiet")
        real = os.path.realpath(host.root / place)
        host.write(os.path.relpath(f"{real}/sriov_numvfs", host.root), b"1")
        error = self.assertRaises(OSError, host.modprobe, "nobody")
        self.assertIn("Module nobody not found", str(error.strerror))

    def test_a_pf_may_stand_behind_a_bridge(self) -> None:
        host = self.made()
        host.add_driver("pcieport", ["*:*:0604*"])
        host.add("0000:40:00.0", "8086:3420", class_code=0x060400)
        host.add("0000:41:00.0", "8086:10c9", behind="0000:40:00.0")
        host.vanish("0000:40:00.0")
        self.assertEqual([PF], host.tree.listdir("sys/bus/pci/devices"))

    def test_its_header_decides_whether_vfio_pci_takes_it(self) -> None:
        host = self.made()
        host.add_driver("vfio-pci", vfio=True)
        kinds = {
            (0x060100, None): True,
            (0x068000, None): True,
            (0x068000, 1): False,
            (0x060400, None): False,
            (0x060700, None): False,
            (0x00FF00, None): True,
        }
        for slot, ((code, header), binds) in enumerate(kinds.items()):
            name = f"0000:50:{slot:02x}.0"
            host.add(
                name,
                "1498:30c8",
                class_code=code,
                header=header,
                driver="vfio-pci",
            )
            driver = "vfio-pci" if binds else ""
            self.assertEqual(driver, host.writer().driver(name))
            seen = scanner.scan(host.tree, [name]).functions[0]
            self.assertEqual(binds, not seen.is_bridge)

    def test_a_driver_can_lack_what_makes_vfs(self) -> None:
        host = self.made()
        host.add_driver("igb", makes_vfs=False)
        self.refused(errno.ENOENT, host, NUMVFS, b"1")
        host.write(NUMVFS, b"0")

    def test_another_card_comes_to_its_address_and_group(self) -> None:
        host = self.made()
        host.add_driver("mpt3sas", ["1000:00e6"])
        before = scanner.scan(host.tree).functions[0]
        host.write(NUMVFS, b"2")
        host.exchange(PF, "1000:00e6", class_code=0x010700)
        [after] = scanner.scan(host.tree).functions
        self.assertEqual(
            ("mpt3sas", before.iommu_group), (after.driver, after.iommu_group)
        )
        self.assertTrue(before.identity.is_another(after.identity))

    def test_a_domain_may_have_32_bits(self) -> None:
        host = self.made()
        host.add("10000:e1:00.0", "144d:a80a", vfs=2, vf_offset=1)
        host.write("sys/bus/pci/devices/10000:e1:00.0/sriov_numvfs", b"0")
        self.assertEqual(
            "10000:e1:00.0", str(scanner.scan(host.tree).functions[-1].address)
        )


class MdevsOfFunctionTest(FakeHostCase):
    """Measured with a module that registers an igb VF as parent."""

    UUID = "a0b1c2d3-0000-4000-8000-00000000abcd"
    IDLE = "a0b1c2d3-0000-4000-8000-00000000abce"

    def parent(self) -> fake_host.FakeHost:
        host = self.made()
        host.add_mdev_parent("igb-mdev", {"igb-1": 1}, 4, function=PF)
        for uuid in (self.UUID, self.IDLE):
            host.write(
                f"sys/bus/pci/devices/{PF}/mdev_supported_types/igb-1/create",
                uuid.encode(),
            )
        return host

    def test_idle_ones_go_with_its_driver_and_types_come_back(self) -> None:
        host = self.parent()
        [seen] = scanner.scan(host.tree).functions
        self.assertEqual(("igb-1",), seen.mdev_types)
        host.writer().unbind(PF)
        self.assertEqual([], host.tree.listdir("sys/bus/mdev/devices"))
        self.assertEqual((), scanner.scan(host.tree).functions[0].mdev_types)
        host.writer().probe(PF)
        [seen] = scanner.scan(host.tree).functions
        self.assertEqual(("igb", ("igb-1",)), (seen.driver, seen.mdev_types))

    def test_an_open_one_lets_the_unbind_wait(self) -> None:
        host = self.parent()
        pid = host.hold(self.UUID)
        child = os.fork()
        if not child:
            try:
                host.writer().unbind(PF)
            finally:
                os._exit(0)
        end = time.monotonic() + 10
        while host.writer().driver(PF) and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual("", host.writer().driver(PF))
        self.assertEqual((0, 0), os.waitpid(child, os.WNOHANG))
        host.let_go(pid)
        os.waitpid(child, 0)
        self.assertEqual([], host.tree.listdir("sys/bus/mdev/devices"))

    def test_a_second_modules_do_not_go_with_the_driver(self) -> None:
        host = self.made()
        host.add_mdev_parent("own", {"own-1": 1}, 4, module="own", function=PF)
        host.writer().unbind(PF)
        [seen] = scanner.scan(host.tree).functions
        self.assertEqual(("own-1",), seen.mdev_types)


class LoadedTest(FakeHostCase):
    def test_a_recording_scans_as_the_host_did(self) -> None:
        for name in ("two-node-igb-nvme", "variant-drivers"):
            path = HOSTS / f"{name}.tar.gz"
            host = fake_host.FakeHost.load(self.folder / name, path)
            recorded = scanner.scan(opening.open_tree(str(path)))
            seen = scanner.scan(host.tree)
            self.assertEqual(recorded.functions, seen.functions, name)
            self.assertEqual(recorded.vfio_aliases, seen.vfio_aliases)

    def test_a_recording_comes_to_life(self) -> None:
        host = fake_host.FakeHost.load(
            self.folder / "host", HOSTS / "variant-drivers.tar.gz"
        )
        self.assertEqual("igbvf_vfio_pci", host.writer().driver(VF))
        pid = host.hold(VF)
        self.assertRaises(OSError, host.hold, VF)
        host.let_go(pid)
        host.write(NUMVFS, b"0")
        host.write(NUMVFS, b"7")
        self.assertEqual(7, host.writer().numvfs(PF, 7))

    def test_commands_prepare_it_and_take_it_back(self) -> None:
        host = fake_host.FakeHost.load(
            self.folder / "host", HOSTS / "two-node-igb-nvme.tar.gz"
        )
        before = host.picture()
        conf = self.folder / "nova.conf"
        conf.write_text(
            "[vfio]\n"
            'host_spec = {"vendor_id": "8086", "product_id": "10ca",'
            ' "driver": "vfio-pci"}\n'
        )
        words = [
            f"--config-file={conf}",
            f"--host-root={host.root}",
            f"--state-path={self.folder}/state",
            "-q",
            "host",
        ]
        with (
            host.plugged_in(),
            fixtures.MonkeyPatch("sys.stdout", io.StringIO()),
        ):
            # An interface of a VF is up there.
            status = main.main([*words, "apply"])
            self.assertEqual(0, status)
            after = scanner.scan(host.tree)
            self.assertEqual(
                {"vfio-pci"},
                {f.driver for f in after.functions if f.product_id == "10ca"},
            )
            self.assertEqual(0, main.main([*words, "restore"]))
        self.assertEqual(before, host.picture())


class FaultTest(FakeHostCase):
    def test_the_nth_write_fails(self) -> None:
        host = self.made()
        host.write(NUMVFS, b"0")
        host.fault(2, errno=errno.EIO)
        host.write(NUMVFS, b"1")
        self.refused(errno.EIO, host, NUMVFS, b"0")
        host.write(NUMVFS, b"0")
        host.fault(1, errno=errno.EIO)
        host.heal()
        host.write(NUMVFS, b"1")

    def test_the_nth_write_hangs_for_a_time(self) -> None:
        host = self.made()
        host.fault(1, hang=0.3)
        begun = time.monotonic()
        host.write(NUMVFS, b"1")
        self.assertLess(0.29, time.monotonic() - begun)

    def test_a_function_vanishes_before_the_nth_write(self) -> None:
        host = self.made()
        host.fault(1, vanish=PF)
        self.refused(errno.ENOENT, host, NUMVFS, b"1")
        self.assertEqual((), scanner.scan(host.tree).functions)

    def test_the_process_crashes(self) -> None:
        host = self.made()
        host.fault(1, crash="raise")
        self.assertRaises(faults.Crashed, host.write, NUMVFS, b"1")
        self.assertEqual(0, host.writer().numvfs(PF, 0))
        host.fault(1, crash="writer", after=True)
        pid = os.fork()
        if not pid:
            try:
                host.write(NUMVFS, b"2")
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(signal.SIGKILL, os.WTERMSIG(status))
        self.assertEqual(2, host.writer().numvfs(PF, 2))

    def test_a_process_that_was_killed_is_dead_for_its_parent_too(
        self,
    ) -> None:
        host = self.made()
        host.fault(1, crash="both")
        parent = os.fork()
        if not parent:
            child = os.fork()
            if not child:
                host.write(NUMVFS, b"2")
                os._exit(0)
            os.waitpid(child, 0)
            os._exit(0)
        _, status = os.waitpid(parent, 0)
        self.assertEqual(signal.SIGKILL, os.WTERMSIG(status))

    def test_a_driver_that_refuses_says_nothing(self) -> None:
        host = self.made()
        host.break_driver("igbvf")
        host.write(NUMVFS, b"1")
        self.assertEqual("", host.writer().driver(VF))
        host.break_driver("igbvf", broken=False)
        host.writer().probe(VF)
        self.assertEqual("igbvf", host.writer().driver(VF))
