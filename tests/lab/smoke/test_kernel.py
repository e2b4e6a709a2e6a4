# SPDX-License-Identifier: Apache-2.0
"""The guest's kernel and devices are what the tests take them for."""

import errno
import os
import pathlib

from tests import base
from tests.lab import guest

IGB_VF = ("0x8086", "0x10ca")
VIRTIO_NET = ("0x1af4", "0x1041")
EDU = ("0x1234", "0x11e8")
E1000 = ("0x8086", "0x100e")


class KernelTestCase(base.TestCase):
    """Each test leaves the functions as it found them."""

    def vfs(self, pf: pathlib.Path, count: int) -> list[pathlib.Path]:
        """Gives a PF its VFs until the end of the test."""
        guest.write(pf / "sriov_numvfs", str(count))
        self.addCleanup(guest.write, pf / "sriov_numvfs", "0")
        return [(pf / f"virtfn{n}").resolve() for n in range(count)]

    def bind(self, function: pathlib.Path, driver: str) -> None:
        """Names the driver in the override and probes; undone at the end."""
        prior = guest.driver(function)
        guest.bind(function, driver)
        self.addCleanup(guest.bind, function, prior)

    def assert_refused(
        self, number: int, path: pathlib.Path, text: str
    ) -> None:
        error = self.assertRaises(OSError, guest.write, path, text)
        self.assertEqual(
            errno.errorcode[number], errno.errorcode[error.errno or 0]
        )


class SriovTest(KernelTestCase):
    def test_both_igb_stand_on_a_numa_node_of_their_own(self) -> None:
        nodes = [guest.read(pf / "numa_node") for pf in guest.bound("igb")]
        self.assertEqual(["0", "1"], nodes)

    def test_the_kernel_refuses_counts_that_a_plain_file_accepts(self) -> None:
        pf = guest.bound("igb")[0]
        self.vfs(pf, 2)
        count = pf / "sriov_numvfs"
        self.assert_refused(errno.ERANGE, count, "8")
        self.assert_refused(errno.EBUSY, count, "3")
        self.assert_refused(errno.EINVAL, count, "-1")
        self.assertEqual("2", guest.read(count))

    def test_each_igb_vf_has_a_group_of_its_own(self) -> None:
        vfs = self.vfs(guest.bound("igb")[0], 7)
        self.assertEqual({IGB_VF}, {guest.identity(vf) for vf in vfs})
        self.assertEqual([1] * 7, [len(guest.group(vf)) for vf in vfs])

    def test_one_nvme_controller_gives_120_vfs(self) -> None:
        pf = guest.bound("nvme")[0]
        guest.write(pf / "sriov_drivers_autoprobe", "0")
        self.addCleanup(guest.write, pf / "sriov_drivers_autoprobe", "1")
        self.assertEqual(120, len(self.vfs(pf, 120)))


class VariantDriverTest(KernelTestCase):
    def test_modules_alias_names_a_driver_for_the_igb_vf(self) -> None:
        release = os.uname().release
        text = guest.read(
            pathlib.Path(f"/lib/modules/{release}/modules.alias")
        )
        vfio = [line for line in text.splitlines() if " vfio_pci:" in line]
        self.assertEqual(
            ["igbvf_vfio_pci", "vfio_pci", "virtio_vfio_pci"],
            sorted(line.split()[-1] for line in vfio),
        )

    def test_a_vf_binds_to_its_variant_driver(self) -> None:
        guest.call("modprobe", "igbvf_vfio_pci")
        vf = self.vfs(guest.bound("igb")[0], 1)[0]
        self.assertEqual("igbvf", guest.driver(vf))
        self.bind(vf, "igbvf_vfio_pci")
        self.assertEqual("igbvf_vfio_pci", guest.driver(vf))
        self.assertEqual(1, len(list(vf.glob("vfio-dev/vfio*"))))

    def test_a_modern_virtio_net_binds_to_virtio_vfio_pci(self) -> None:
        guest.call("modprobe", "virtio_vfio_pci")
        [function] = guest.functions(VIRTIO_NET)
        self.assertEqual("virtio-pci", guest.driver(function))
        self.bind(function, "virtio_vfio_pci")
        self.assertEqual("virtio_vfio_pci", guest.driver(function))
        self.assertEqual(1, len(list(function.glob("vfio-dev/vfio*"))))


class GroupTest(KernelTestCase):
    def test_the_edu_functions_share_a_group_without_a_bridge(self) -> None:
        functions = guest.functions(EDU)
        self.assertEqual(2, len(functions))
        self.assertEqual(functions, guest.group(functions[0]))

    def test_the_e1000_share_a_group_with_their_bridge(self) -> None:
        functions = guest.functions(E1000)
        members = guest.group(functions[0])
        self.assertEqual(2, len(functions))
        self.assertEqual({functions[0].parent, *functions}, set(members))


class MdevTest(KernelTestCase):
    def test_the_sample_parents_offer_their_types(self) -> None:
        guest.call("modprobe", "-a", "mtty", "mdpy")
        types = pathlib.Path("/sys/class/mdev_bus").glob(
            "*/mdev_supported_types/*"
        )
        self.assertEqual(
            ["mdpy-hd", "mdpy-vga", "mdpy-xga", "mtty-1", "mtty-2"],
            sorted(path.name for path in types),
        )


class DisplayTest(KernelTestCase):
    def test_the_display_has_a_connector(self) -> None:
        [function] = guest.functions(("0x1234", "0x1111"))
        self.assertEqual("bochs-drm", guest.driver(function))
        connectors = list(function.glob("drm/card*/card*-*/status"))
        self.assertEqual(["connected"], [guest.read(c) for c in connectors])
