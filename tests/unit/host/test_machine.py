# SPDX-License-Identifier: Apache-2.0
"""Advice that fits the machine, and isn't followed already."""

import pathlib
import tempfile

from nova_vfio_variant.host.observe import machine
from nova_vfio_variant.host.tree import opening
from tests import base


class EnableIommu(base.TestCase):
    def advice(
        self, arch: str = "", cpuinfo: str = "", cmdline: str = "quiet"
    ) -> str:
        root = pathlib.Path(tempfile.mkdtemp())
        for name, text in (
            ("proc/sys/kernel/arch", arch),
            ("proc/cpuinfo", cpuinfo),
        ):
            if text:
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{text}\n")
        return machine.enable_iommu(opening.open_tree(str(root)), cmdline)

    def test_only_intel_and_what_may_be_intel_gets_intel_s_option(
        self,
    ) -> None:
        option = "intel_iommu=on"
        self.assertIn(option, self.advice())
        self.assertIn(option, self.advice("x86_64"))
        self.assertIn(option, self.advice("x86_64", "vendor: GenuineIntel"))
        for arch, cpuinfo in (
            ("x86_64", "vendor_id : AuthenticAMD"),
            ("aarch64", ""),
            ("", "CPU implementer : 0x41"),
            ("ppc64le", ""),
            ("", "cpu : POWER9, altivec supported"),
            ("s390x", ""),
            ("", "vendor_id : IBM/S390"),
        ):
            said = self.advice(arch, cpuinfo)
            self.assertNotIn(option, said)
            self.assertEqual("AMD" in cpuinfo, "AMD-Vi" in said, said)

    def test_what_is_done_is_not_advised(self) -> None:
        said = self.advice(cmdline="quiet intel_iommu=on")
        self.assertNotIn("intel_iommu", said)

    def test_what_keeps_it_off_is_removed(self) -> None:
        said = self.advice("aarch64", cmdline="quiet iommu=off")
        self.assertIn("remove iommu=off", said)
