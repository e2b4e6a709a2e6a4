# SPDX-License-Identifier: Apache-2.0
"""What the privileged process does about vGPUs, whatever it is told of them."""

import pathlib

import fixtures

from nova_vfio_variant.host.observe import facts
from nova_vfio_variant.host.observe.use import device_files
from nova_vfio_variant.testing import fake_host
from tests import sample_hosts
from tests.functional import privileged_case
from tests.unit.host import vgpu_case

PF, VFS = vgpu_case.PF, vgpu_case.VFS
VF = VFS[0]
NIC = sample_hosts.NIC
TYPE, MODE = "set-vgpu-type", "set-heterogeneous"
OURS = {"provider": "vendor_vfio"}


class VgpuStepTest(privileged_case.StepCase):
    def made(self, root: pathlib.Path) -> fake_host.FakeHost:
        """One with a card, and a NIC that is none."""
        host = vgpu_case.build(root)
        host.add_driver("e1000", ["8086:100e"])
        host.add(NIC, "8086:100e")
        return host

    def done(self, subject: str, action: str, value: str) -> str:
        """What it says with the locks and a right framework."""
        with privileged_case.BY.hold(["host", *self.locked(subject)], 0):
            return self.do(subject, action, value=value, **OURS)

    def test_types_and_modes_are_set_and_read_back(self) -> None:
        self.assertEqual("ok 0 1", self.done(PF, MODE, "1"))
        self.assertEqual("ok 0 471", self.done(VF, TYPE, "471"))
        self.assertEqual("ok 0 0", self.done(VF, TYPE, "0"))
        self.assertEqual("ok 0 0", self.done(PF, MODE, "0"))

    def test_nothing_is_set_without_its_lock(self) -> None:
        with privileged_case.BY.hold(["host", *self.locked(NIC)], 0):
            for subject, action in ((VF, TYPE), (PF, MODE)):
                self.assertIn(
                    "isn't held", self.do(subject, action, value="1", **OURS)
                )

    def test_what_is_no_type_and_no_mode_is_not_begun(self) -> None:
        for text in ("", "-1", "0471", "none", "471\n", "1" * 11, "../x"):
            self.refused("nothing that can be", (VF, TYPE, text), **OURS)
        for text in ("", "2", "yes", "1\n"):
            self.refused("nothing that can be", (PF, MODE, text), **OURS)
        for step in ((VF, TYPE, "471"), (PF, MODE, "1")):
            self.refused("nothing that can be", step, provider="../x")

    def test_what_is_not_of_the_framework_is_refused(self) -> None:
        for step in ((VF, TYPE, "471"), (PF, MODE, "1")):
            self.refused("made by vendor_vfio, and not", step, provider="x")
        self.refused(
            "made by nobody",
            (PF, TYPE, "471"),
            (NIC, TYPE, "471"),
            (NIC, MODE, "1"),
            (VF, MODE, "1"),
            **OURS,
        )

    def test_an_open_vf_keeps_its_type(self) -> None:
        self.host.writer().set_vgpu_type(VF, "471")
        pid = self.host.hold(VF)
        self.refused(f"process {pid} (", (VF, TYPE, "0"), **OURS)
        self.host.let_go(pid)
        self.assertEqual("ok 0 0", self.done(VF, TYPE, "0"))

    def test_nothing_is_freed_where_processes_can_not_be_seen(self) -> None:
        self.host.writer().set_vgpu_type(VF, "471")
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{facts.__name__}.processes.look",
                lambda tree: device_files.OpenFiles(unseen=True),
            )
        )
        self.refused("not shown", (VF, TYPE, "0"), **OURS)

    def test_a_card_with_a_type_keeps_its_mode(self) -> None:
        self.host.writer().set_vgpu_type(VFS[2], "471")
        self.refused(f"its VF {VFS[2]} has", (PF, MODE, "1"), **OURS)

    def test_nothing_with_a_vendors_folder_leaves_its_driver(self) -> None:
        self.host.writer().set_vgpu_type(VF, "471")
        self.refused("it has vGPU type 471", (VF, "unbind", ""))
        self.refused("has a vendor's vGPU folder", (VFS[1], "unbind", ""))

    def test_vfs_with_a_type_do_not_go(self) -> None:
        self.host.writer().set_vgpu_type(VFS[1], "471")
        self.refused(
            "it has vGPU type 471", (PF, "set-numvfs", "0"), provider="nvidia"
        )
