# SPDX-License-Identifier: Apache-2.0
"""A recorded host with vGPUs reads as the live one."""

from tests.functional import claimed_vgpus
from tests.functional.claimed_vgpus import OTHER_PF, PF, VFS


class RecordedTest(claimed_vgpus.OnDemand):
    cards = (PF, OTHER_PF)

    def test_what_each_function_is_and_could_be_is_recorded(self) -> None:
        self.fake.writer().set_vgpu_type(VFS[0], "558")
        words = ("host", "list", "--long")
        live = self.json(*words)
        self.assertEqual({"vendor"}, {row["vgpu_mode"] for row in live})
        self.ok("host", "snapshot", "host.tar.gz")
        self.options[1] = "--host-root=host.tar.gz"
        self.assertEqual(live, self.json(*words))
        types = self.json("vgpu", "types")
        self.assertEqual(
            {PF: 1, OTHER_PF: 0},
            {
                row["card"]: row["existing"]
                for row in types
                if row["id"] == 558
            },
        )
