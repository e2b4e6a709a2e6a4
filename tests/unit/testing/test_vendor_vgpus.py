# SPDX-License-Identifier: Apache-2.0
"""The vGPUs of a fake host, and its programs, as other projects use them.

What the files answer to each write is in ``tests/behaviour/test_vgpus.py``.
"""

import errno
import os
import pathlib
import subprocess

import fixtures

from nova_vfio_variant.host import vgpu
from nova_vfio_variant.host.act import sysfs_writer
from nova_vfio_variant.host.observe import facts, scanner, snapshot
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.host.vf_provider import nvidia
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import fake_host
from tests import base, sample_hosts

PF = "0000:25:00.0"
DEVICES = "sys/bus/pci/devices"
TYPES = {
    "1145": ("NVIDIA L40S-1B", 1024),
    "1149": ("NVIDIA L40S-3Q", 3072),
    "2164": ("NVIDIA L40S-3B", 3072),
}


class VgpusCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        memory = self.useFixture(fixtures.TempDir(sample_hosts.MEMORY))
        self.host = fake_host.FakeHost(pathlib.Path(memory.path) / "host")
        self.host.add_driver("nvidia", ["10de:*:0302*"])
        self.host.add_driver("vfio-pci", vfio=True)
        self.host.add(PF, "10de:26b9", class_code=0x030200, vfs=3)
        self.host.add_vendor_vgpus(PF, TYPES, 6144)
        self.useFixture(
            fixtures.MonkeyPatch(f"{sysfs_writer.__name__}._SETTLE", 0)
        )
        self.useFixture(fixtures.MonkeyPatch(f"{nvidia.__name__}._PAUSE", 0))

    def run_tool(self, place: str, *words: str) -> tuple[int, str]:
        """Run a program of the host as its users do, without environment."""
        ran = subprocess.run(
            [self.host.root / place, *words],
            check=False,
            capture_output=True,
            text=True,
            env={},
        )
        self.assertEqual("", ran.stderr)
        return ran.returncode, ran.stdout

    def smi(self, *words: str) -> tuple[int, str]:
        """Run ``nvidia-smi``."""
        return self.run_tool("usr/bin/nvidia-smi", *words)

    def sriov_manage(self, *words: str) -> tuple[int, str]:
        """Run ``sriov-manage``."""
        return self.run_tool("usr/lib/nvidia/sriov-manage", *words)

    def vfs(self) -> list[str]:
        """The card's VFs."""
        place = self.host.root / DEVICES / PF
        return sorted(os.readlink(path)[3:] for path in place.glob("virtfn*"))

    def set_type(self, vf: str, kind: str) -> None:
        """Write a type."""
        path = f"{DEVICES}/{vf}/nvidia/current_vgpu_type"
        self.host.write(path, f"{kind}\n".encode())

    def listed(self, vf: str) -> str:
        """What its list says."""
        path = self.host.root / DEVICES / vf / "nvidia/creatable_vgpu_types"
        return path.read_text()


class CardTest(VgpusCase):
    def test_its_vfs_come_by_sriov_manage_alone(self) -> None:
        for count in (b"3", b"1"):
            error = self.assertRaises(
                OSError, self.host.write, f"{DEVICES}/{PF}/sriov_numvfs", count
            )
            self.assertEqual(errno.ENOENT, error.errno)
        nvidia.NvidiaVfProvider().set_numvfs(self.host.writer(), PF, 3)
        for vf in self.vfs():
            self.assertEqual(3, self.listed(vf).count("NVIDIA"))
        scan = scanner.scan(self.host.tree)
        pf = scan.get(pci_address.PciAddress.parse(PF))
        assert pf is not None
        self.assertFalse(pf.has_vgpu_folder)
        seen = scan.get(pci_address.PciAddress.parse(self.vfs()[0]))
        assert seen is not None
        self.assertTrue(seen.has_vgpu_folder)
        self.assertTrue(seen.vfio)
        nvidia.NvidiaVfProvider().set_numvfs(self.host.writer(), PF, 0)
        self.assertEqual([], self.vfs())

    def test_vfs_that_are_there_get_the_folder_too(self) -> None:
        self.host.exchange(PF, "10de:26b9", class_code=0x030200, vfs=2)
        self.assertEqual(1, self.sriov_manage("-e", PF)[0])
        self.host.add_driver("nvidia", makes_vfs=True)
        self.host.write(f"{DEVICES}/{PF}/sriov_numvfs", b"2")
        self.host.add_vendor_vgpus(PF, TYPES, 6144, listing="headerless")
        for vf in self.vfs():
            self.assertTrue(self.listed(vf).startswith("1145 : NVIDIA"))
            self.set_type(vf, "1145")
            self.host.let_go(self.host.hold(vf))

    def test_vfio_pci_takes_none_of_its_vfs(self) -> None:
        self.sriov_manage("-e", PF)
        vf = self.vfs()[0]
        self.host.write(f"{DEVICES}/{vf}/driver_override", b"vfio-pci")
        self.host.write(f"{DEVICES}/{vf}/driver/unbind", vf.encode())
        error = self.assertRaises(
            OSError,
            self.host.write,
            "sys/bus/pci/drivers/vfio-pci/bind",
            vf.encode(),
        )
        self.assertEqual(errno.EINVAL, error.errno)

    def test_refusals_can_be_those_of_the_vendors_own_driver(self) -> None:
        self.host.add_vendor_vgpus(PF, TYPES, 3072, errors="published")
        self.sriov_manage("-e", PF)
        vf, other, _ = self.vfs()
        self.set_type(vf, "2164")
        for kind in ("1145", "1149"):
            error = self.assertRaises(OSError, self.set_type, other, kind)
            self.assertEqual(errno.EIO, error.errno)

    def test_another_object_for_its_directory_is_the_same_host(self) -> None:
        self.sriov_manage("-e", PF)
        vf, other, _ = self.vfs()
        again = fake_host.FakeHost(self.host.root)
        again.write(f"{DEVICES}/{vf}/nvidia/current_vgpu_type", b"1145")
        error = self.assertRaises(OSError, self.set_type, other, "2164")
        self.assertEqual(errno.EINVAL, error.errno)

    def test_a_recording_of_it_reads_the_same_and_comes_to_life(self) -> None:
        self.sriov_manage("-e", PF)
        self.set_type(self.vfs()[0], "2164")
        path = self.host.root.parent / "host.tar.gz"
        snapshot.record(opening.open_tree(str(self.host.root)), path)
        seen = facts.gather(scanner.scan(self.host.tree)).vgpus
        again = fake_host.FakeHost.load(self.host.root.parent / "again", path)
        self.assertEqual(3, len(seen))
        self.assertEqual(seen, facts.gather(scanner.scan(again.tree)).vgpus)
        # What a driver keeps in mind isn't recorded.
        again.add_vendor_vgpus(PF, TYPES, 6144)
        seen = facts.gather(scanner.scan(again.tree)).vgpus
        self.assertEqual({"0"}, {vf.current for vf in seen.values()})

    def test_a_driver_that_is_unloaded_takes_types_along(self) -> None:
        self.sriov_manage("-e", PF)
        self.set_type(self.vfs()[0], "1145")
        self.host.rmmod("nvidia")
        self.assertEqual([], self.vfs())
        self.assertFalse(
            (self.host.root / "sys/bus/pci/drivers/nvidia").exists()
        )
        self.host.modprobe("nvidia")
        self.assertEqual((0, ""), self.sriov_manage("-e", PF))
        self.assertEqual(3, self.listed(self.vfs()[0]).count("NVIDIA"))


class SmiTest(VgpusCase):
    def setUp(self) -> None:
        super().setUp()
        self.sriov_manage("-e", PF)

    def test_it_tells_and_sets_the_mode_of_a_card(self) -> None:
        for given in (PF, "00000000:25:00.0"):
            self.assertEqual(
                (0, ""), self.smi("vgpu", "-shm", "1", "-i", given)
            )
            status, said = self.smi("-q", "-i", given)
            self.assertEqual(0, status)
            self.assertRegex(said, r"vGPU Heterogeneous Mode +: Enabled\n")
            self.assertEqual(
                (0, ""), self.smi("vgpu", "-shm", "0", "-i", given)
            )
            _, said = self.smi("-q", "-i", given)
            self.assertRegex(said, r"vGPU Heterogeneous Mode +: Disabled\n")

    def test_its_exit_status_says_why_it_did_not(self) -> None:
        unknown = "0000:99:00.0"
        self.assertEqual(6, self.smi("-q", "-i", unknown)[0])
        self.assertEqual(6, self.smi("vgpu", "-shm", "1", "-i", unknown)[0])
        self.assertEqual(2, self.smi("--help")[0])
        self.set_type(self.vfs()[0], "1145")
        self.assertEqual(
            (19, "In use by another client\n"),
            self.smi("vgpu", "-shm", "1", "-i", PF),
        )

    def test_our_framework_understands_it(self) -> None:
        framework = vgpu.named("vendor_vfio")
        framework.set_heterogeneous(self.host.writer(), PF, True)
        self.assertEqual("1", framework.heterogeneous(self.host.tree, PF))
        vf, other, last = self.vfs()
        self.set_type(vf, "1145")
        self.set_type(other, "2164")
        self.assertIn("1145", self.listed(last))
        error = self.assertRaises(
            OSError,
            framework.set_heterogeneous,
            self.host.writer(),
            PF,
            False,
        )
        self.assertIn("In use by another client", str(error))

    def test_vfs_that_are_made_anew_begin_with_one_size(self) -> None:
        self.smi("vgpu", "-shm", "1", "-i", PF)
        self.sriov_manage("-e", PF)
        self.assertIn("Enabled", self.smi("-q", "-i", PF)[1])
        self.sriov_manage("-d", PF)
        self.assertIn("Disabled", self.smi("-q", "-i", PF)[1])
        self.smi("vgpu", "-shm", "1", "-i", PF)
        self.sriov_manage("-e", "ALL")
        self.assertIn("Disabled", self.smi("-q", "-i", PF)[1])


class SriovManageTest(VgpusCase):
    def test_a_client_of_nvml_is_in_its_way(self) -> None:
        pid = self.host.open_file("/dev/nvidia0", "nv-hostengine")
        status, said = self.sriov_manage("-e", PF)
        self.assertEqual(1, status)
        self.assertIn("Cannot obtain unbindLock", said)
        self.assertEqual([], self.vfs())
        self.host.let_go(pid)
        self.assertEqual((0, ""), self.sriov_manage("-e", PF))
        self.assertEqual(3, len(self.vfs()))

    def test_what_it_does_not_know_is_refused(self) -> None:
        self.assertEqual(1, self.sriov_manage("-e")[0])
        self.assertEqual(1, self.sriov_manage("-x", PF)[0])
        self.assertEqual(1, self.sriov_manage("-e", "0000:99:00.0")[0])
