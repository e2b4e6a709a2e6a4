# SPDX-License-Identifier: Apache-2.0
"""Real hosts, recorded and live, are read whole and recorded again."""

import collections
import dataclasses
import pathlib
import tarfile
import tempfile

from nova_vfio_variant.host.observe import (
    drivers,
    host_scan,
    scanner,
    snapshot,
)
from nova_vfio_variant.host.tree import host_tree, opening, recorded
from nova_vfio_variant.pci import address
from tests import base

HOSTS = pathlib.Path(__file__).parents[2] / "etc/nova-vfio/hosts"
IGB = HOSTS / "two-node-igb-nvme.tar.gz"
NVME = HOSTS / "four-nvme-480-vfs.tar.gz"


def scanned(path: pathlib.Path) -> host_scan.HostScan:
    return scanner.scan(opening.open_tree(str(path)))


class TwoNodeHostTest(base.TestCase):
    """46 functions: igb and NVMe PFs with VFs, on two NUMA nodes."""

    def setUp(self) -> None:
        super().setUp()
        self.host = scanned(IGB)

    def of(self, text: str) -> object:
        return self.host.get(address.PciAddress.parse(text))

    def test_every_function_is_seen_and_nothing_is_lost(self) -> None:
        self.assertEqual(
            {"PF": 4, "VF": 25, "PCI": 17},
            collections.Counter(str(f.kind) for f in self.host.functions),
        )
        self.assertEqual((), self.host.problems)
        self.assertEqual("6.12.95+deb12-amd64", self.host.kernel_release)
        self.assertIn("intel_iommu=on", self.host.cmdline or "")
        self.assertIn("virtio_vfio_pci", self.host.modules)

    def test_each_pf_has_the_vfs_that_name_it(self) -> None:
        vfs = collections.Counter(f.physfn for f in self.host.functions)
        pfs = [f for f in self.host.functions if f.kind == "PF"]
        self.assertEqual(
            [vfs[pf.address] for pf in pfs], [pf.sriov_numvfs for pf in pfs]
        )
        self.assertEqual([7, 7, 7, 4], [pf.sriov_totalvfs for pf in pfs])

    def test_vfio_drivers_are_told_from_host_drivers(self) -> None:
        self.assertEqual(
            {"vfio-pci": 8, "virtio_vfio_pci": 1},
            collections.Counter(
                f.vfio_driver for f in self.host.functions if f.vfio_driver
            ),
        )
        self.assertEqual(
            {"igb": 3, "igbvf": 14, "nvme": 1, "pcieport": 5, "virtio-pci": 2},
            collections.Counter(
                f.driver
                for f in self.host.functions
                if f.driver and not f.vfio
            ),
        )

    def test_two_functions_share_a_group(self) -> None:
        self.assertEqual(
            ["0000:00:10.0", "0000:00:10.1"],
            [str(place) for place in self.host.iommu_groups[6]],
        )

    def test_numa_nodes_are_those_of_the_cards(self) -> None:
        self.assertEqual(
            {None: 11, 0: 18, 1: 17},
            collections.Counter(f.numa_node for f in self.host.functions),
        )

    def test_the_variant_driver_is_found_for_its_function(self) -> None:
        best = {
            str(f.address): drivers.best_variant(
                f.modalias or "", self.host.vfio_aliases
            )
            for f in self.host.functions
        }
        self.assertEqual("virtio_vfio_pci", best.pop("0000:43:00.0"))
        self.assertEqual({"vfio_pci"}, set(best.values()))


class LargeHostTest(base.TestCase):
    """499 functions, 480 of them VFs."""

    def test_every_vf_is_seen_and_nothing_is_lost(self) -> None:
        host = scanned(NVME)
        self.assertEqual(499, len(host.functions))
        self.assertEqual((), host.problems)
        self.assertEqual(
            {None: 360, "vfio-pci": 120},
            collections.Counter(
                f.driver for f in host.functions if f.kind == "VF"
            ),
        )
        self.assertEqual(
            [120] * 4,
            [f.sriov_numvfs for f in host.functions if f.kind == "PF"],
        )


class ReplayTest(base.TestCase):
    """What is recorded, unpacked or recorded again scans the same."""

    def recorded(self, host: host_tree.HostTree) -> pathlib.Path:
        out = pathlib.Path(tempfile.mkdtemp()) / "host.tar.gz"
        snapshot.record(host, out)
        return out

    def test_a_recording_of_a_recording_scans_the_same(self) -> None:
        for path in (IGB, NVME):
            again = self.recorded(opening.open_tree(str(path)))
            first, second = scanned(path), scanned(again)
            # It was recorded when all of the command line was.
            self.assertEqual("intel_iommu=on iommu=pt", second.cmdline)
            self.assertEqual(
                dataclasses.replace(first, cmdline=second.cmdline), second
            )
            self.assertEqual(first.vfio_aliases, second.vfio_aliases)
            self.assertEqual(first.iommu_groups, second.iommu_groups)

    def test_a_recording_scans_the_same_when_unpacked(self) -> None:
        folder = pathlib.Path(tempfile.mkdtemp())
        recorded.unpack(IGB, folder)
        self.assertEqual(scanned(IGB), scanned(folder))
        self.assertEqual(
            self.recorded(opening.open_tree(str(IGB))).read_bytes(),
            self.recorded(opening.open_tree(str(folder))).read_bytes(),
        )

    def test_no_address_of_a_network_card_is_recorded(self) -> None:
        out = self.recorded(opening.open_tree(str(IGB)))
        with tarfile.open(out) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                text = file.read() if file else b""
                self.assertNotRegex(
                    text.decode(), r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b"
                )

    def test_the_live_host_scans_the_same_from_its_recording(self) -> None:
        live = opening.open_tree()
        replayed = scanned(self.recorded(live))
        seen = scanner.scan(live)
        self.assertEqual(
            [
                # Nor is what names one card among all.
                dataclasses.replace(function, serial_number=None)
                for function in seen.functions
            ],
            list(replayed.functions),
        )
        self.assertEqual(seen.kernel_release, replayed.kernel_release)
        self.assertEqual(seen.modules, replayed.modules)
        self.assertEqual(seen.vfio_aliases, replayed.vfio_aliases)
