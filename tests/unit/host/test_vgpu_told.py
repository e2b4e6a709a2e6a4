# SPDX-License-Identifier: Apache-2.0
"""What nvidia-smi tells of types, and how a card is divided."""

import pathlib

import fixtures

from nova_vfio_variant.host.observe import vgpu_mode
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.host.vgpu import nvidia_smi
from tests import base

CARD = "0000:41:00.0"


def listed(number: int, size: str, most: str, profile: str = "N/A") -> str:
    """One type in the form that driver 580 prints (``vgpu -s -v``)."""
    return f"""    vGPU Type ID                          : {number:#x}
        Name                              : NVIDIA Some DC-4Q
        GPU Instance Profile ID           : {profile}
        Max Instances                     : {most}
        Max Instances Per VM              : 99
        Max Instances Per GI              : N/A
        FB Memory                         : {size}
"""


class ToldTest(base.TestCase):
    def test_sizes_numbers_and_the_framebuffer_are_read(self) -> None:
        told = nvidia_smi.told(
            "GPU 00000000:41:00.0\n"
            + listed(0x5EE, "2048 MiB", "32")
            + listed(0x5F1, "4096 MiB", "24")
            + listed(0x604, "49152 MiB", "2")
        )
        self.assertEqual(98304, told.framebuffer_mib)
        self.assertEqual(
            {"1518": 2048, "1521": 4096, "1540": 49152}, told.sizes
        )
        self.assertEqual(
            {"1518": 32, "1521": 24, "1540": 2}, told.max_instances
        )
        self.assertEqual(
            dict.fromkeys(("1518", "1521", "1540"), "NVIDIA Some DC-4Q"),
            told.names,
        )

    def test_types_of_gpu_instances_say_nothing_of_the_whole(self) -> None:
        told = nvidia_smi.told(
            listed(1, "2048 MiB", "8") + listed(2, "2048 MiB", "48", "19")
        )
        self.assertEqual(16384, told.framebuffer_mib)
        self.assertEqual({"1": 8, "2": 48}, told.max_instances)

    def test_what_makes_no_sense_is_not_told(self) -> None:
        for text in (
            "",
            "No devices were found\n",
            "FB Memory : 12 MiB\nMax Instances : 3\n",
            listed(1, "N/A", "N/A"),
            listed(1, "-1 MiB", "1e9"),
            listed(1, "9" * 40 + " MiB", "9" * 40),
        ):
            told = nvidia_smi.told(text)
            self.assertIsNone(told.framebuffer_mib, text)
            self.assertEqual({}, dict(told.sizes), text)
            self.assertEqual({}, dict(told.max_instances), text)


class InstancesTest(base.TestCase):
    def test_gpu_instances_are_seen_by_the_cards_own_files(self) -> None:
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        proc = root / "proc/driver/nvidia"
        (proc / "gpus" / CARD).mkdir(parents=True)
        tree = opening.open_tree(str(root))
        information = proc / "gpus" / CARD / "information"
        for text, wanted in (
            (None, ()),
            ("Model: \t\t NVIDIA\n", ()),
            ("Device Minor: \t x\n", ()),
            ("Model: \t NVIDIA\nDevice Minor: \t 1\n", ("gi1", "gi2")),
            ("Device Minor: \t 0\n", ()),
        ):
            if text is not None:
                information.write_text(text)
            for name in ("gi2", "gi1", "config", "gix"):
                (proc / "capabilities/gpu1/mig" / name).mkdir(
                    parents=True, exist_ok=True
                )
            self.assertEqual(
                wanted, vgpu_mode.gpu_instances(tree, CARD), str(text)
            )
