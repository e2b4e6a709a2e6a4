# SPDX-License-Identifier: Apache-2.0
"""Vendors' folders in the shapes in which other projects recorded them.

Made anew: the text is as their drivers print it, the hosts are made up.
"""

import os
import pathlib
import stat

import fixtures

from nova_vfio_variant.host.observe import facts, scanner, vendor_vgpu
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import fake_host
from tests import base

HEADER = "ID    : vGPU Name\n"
#: harvester/pcidevices, gpuhelper's testdata: not in order of the ids.
L40S = (
    f"{HEADER}1145  : NVIDIA L40S-1B\n1156  : NVIDIA L40S-48Q\n"
    "1159  : NVIDIA L40S-3A\n2164  : NVIDIA L40S-3B\n"
)
#: The README of KubeVirt's GPU plug-in: no header, one blank.
H200X = "1428 : NVIDIA H200X-141C\n1414 : NVIDIA H200X-1-18C\n"


class ListingTest(base.TestCase):
    def read(self, text: str) -> tuple[tuple[str, str], ...]:
        """Ids and names of a list that makes sense."""
        types, garbled = vendor_vgpu.parse_listing(text)
        self.assertIsNone(garbled)
        return tuple((offered.id, offered.name) for offered in types)

    def test_a_header_and_rows(self) -> None:
        self.assertEqual(
            (
                ("1145", "NVIDIA L40S-1B"),
                ("1156", "NVIDIA L40S-48Q"),
                ("1159", "NVIDIA L40S-3A"),
                ("2164", "NVIDIA L40S-3B"),
            ),
            self.read(L40S),
        )

    def test_rows_without_a_header(self) -> None:
        self.assertEqual(
            (("1428", "NVIDIA H200X-141C"), ("1414", "NVIDIA H200X-1-18C")),
            self.read(H200X),
        )
        # The posted driver, once a sibling has a type.
        self.assertEqual(
            (("1150", "NVIDIA L40S-4Q"),),
            self.read("1150  : NVIDIA L40S-4Q\n"),
        )

    def test_a_header_alone_and_nothing_at_all(self) -> None:
        for text in (HEADER, HEADER.strip(), "", "\n"):
            self.assertEqual((), self.read(text))

    def test_a_name_may_have_colons_and_any_length(self) -> None:
        name = "NVIDIA RTX PRO 6000 Blackwell DC-1-24Q : ME " + "x" * 200
        self.assertEqual(
            (("7", name), ("4294967295", "y")),
            self.read(f"007 :{name}\r\n4294967295:y"),
        )

    def test_the_first_line_that_makes_no_sense_is_told(self) -> None:
        """And what makes sense is read all the same."""
        for bad in (
            "NVIDIA L40S-1B : 1145",
            "1145",
            "1145 :",
            "-1 : NVIDIA",
            "0x479 : NVIDIA",
            "\u0661 : NVIDIA",
            "0     : None",
            "99999999999 : NVIDIA",
            "\0\0",
        ):
            types, garbled = vendor_vgpu.parse_listing(
                f"{HEADER}{bad}\n2164  : NVIDIA L40S-3B\n?\n"
            )
            self.assertEqual((2, bad), garbled)
            self.assertEqual(["2164"], [offered.id for offered in types])

    def test_a_line_ends_where_the_kernel_ends_it(self) -> None:
        name = "NVIDIA\x0bL40S\x1c1\u20282"
        types, garbled = vendor_vgpu.parse_listing(f"5 : {name}\n6 : {name}\n")
        self.assertIsNone(garbled)
        self.assertEqual([name] * 2, [offered.name for offered in types])

    def test_an_id_that_is_listed_twice_counts_once(self) -> None:
        self.assertEqual((("5", "a"),), self.read("5 : a\n05 : b\n"))


class CurrentTest(base.TestCase):
    def test_a_number_is_one_of_ascii_digits(self) -> None:
        for text, wanted in (
            ("0\n", "0"),
            ("1145\n", "1145"),
            ("0007", "7"),
            ("", None),
            (None, None),
            ("\u0661", None),
            ("-1", None),
            ("0x1", None),
            ("NVIDIA L40S-1B", None),
            ("9" * 11, None),
        ):
            self.assertEqual(wanted, vendor_vgpu.parse_current(text))


class FolderTest(base.TestCase):
    """Whole folders, in a domain that isn't the first."""

    PF = "0001:c8:00.0"
    VF = "0001:c8:00.4"

    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = fake_host.FakeHost(folder / "host")
        self.host.add_driver("nvidia", ["10de:*:0302*"], makes_vfs=True)
        self.host.add(
            self.PF,
            "10de:2bb5",
            class_code=0x030200,
            vfs=4,
            vf_offset=4,
            vf_stride=1,
        )
        self.host.write(f"sys/bus/pci/devices/{self.PF}/sriov_numvfs", b"4\n")

    def put(self, **texts: str | None) -> vendor_vgpu.VendorVgpu | None:
        """Give the first VF these files; None is one that can't be read.

        :returns: what is read of it, where our scan sees the folder
        """
        place = self.host.root / f"sys/bus/pci/devices/{self.VF}/nvidia"
        place.mkdir()
        for name, text in texts.items():
            if text is None:
                # To open a socket fails with ENXIO, as the driver's read does.
                os.mknod(place / name, stat.S_IFSOCK | 0o644)
            else:
                (place / name).write_text(text)
        tree = opening.open_tree(str(self.host.root))
        scan = scanner.scan(tree)
        self.assertEqual((), scan.problems)
        vgpus = facts.gather(scan).vgpus
        return vgpus.get(pci_address.PciAddress.parse(self.VF))

    def test_an_untyped_vf_and_what_it_could_be(self) -> None:
        seen = self.put(
            creatable_vgpu_types=L40S,
            current_vgpu_type="0\n",
            gpu_instance_id=None,
            placement_id=None,
            vgpu_params="\n",
            warm_update="0\n",
        )
        assert seen is not None
        self.assertEqual("0", seen.current)
        self.assertEqual(("1145", "1156", "1159", "2164"), seen.creatable)
        self.assertFalse(seen.is_full)

    def test_a_mig_backed_vgpu(self) -> None:
        """As bigstack-oss/cubecos #312 shows one."""
        seen = self.put(
            creatable_vgpu_types=HEADER,
            current_vgpu_type="1414\n",
            gpu_instance_id="3\n",
            placement_id="0\n",
            vgpu_params="\n",
            warm_update="0\n",
        )
        self.assertEqual(vendor_vgpu.VendorVgpu("1414", ()), seen)

    def test_a_vf_of_a_full_card_says_so_and_one_with_a_type_does_not(
        self,
    ) -> None:
        for text in ("", HEADER):
            for current, full in (("0", True), ("1145", False)):
                types, garbled = vendor_vgpu.parse_listing(text)
                seen = vendor_vgpu.VendorVgpu(current, types, garbled)
                self.assertEqual(full, seen.is_full)

    def test_a_list_that_can_not_be_read_is_no_full_card(self) -> None:
        seen = self.put(creatable_vgpu_types=None, current_vgpu_type="0\n")
        self.assertEqual(vendor_vgpu.VendorVgpu("0", None), seen)
        assert seen is not None
        self.assertFalse(seen.is_full)

    def test_a_type_that_can_not_be_read_is_not_none(self) -> None:
        seen = self.put(creatable_vgpu_types=H200X, current_vgpu_type=None)
        assert seen is not None
        self.assertIsNone(seen.current)
        self.assertEqual(("1428", "1414"), seen.creatable)

    def test_an_empty_folder(self) -> None:
        self.assertEqual(vendor_vgpu.VendorVgpu(None, None), self.put())
