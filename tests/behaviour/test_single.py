# SPDX-License-Identifier: Apache-2.0
"""Single functions are bound and given back by hand."""

from tests.behaviour.case import on_the_fake_alone
from tests.behaviour.host import (
    EDU,
    EDU_TOO,
    NIC,
    NIC_TOO,
    PF,
    ROOT_PORT,
    VF,
    VIRTIO,
)
from tests.behaviour.preparing_case import FOUR, PreparingCase


class BindTest(PreparingCase):
    def test_a_vf_is_bound_and_given_back(self) -> None:
        self.apply(FOUR)
        self.done("device", "bind", VF, "--driver", "vfio-pci")
        self.assertEqual("vfio-pci", self.driver(VF))
        self.assertEqual(
            (0, "[]\n", ""),
            self.run_command(
                "device", "bind", VF, "--driver", "vfio-pci", "-f", "json"
            ),
        )
        self.done("device", "unbind", VF)
        self.assertNotEqual("vfio-pci", self.driver(VF))
        self.restore()
        self.assert_as_before()

    def test_what_is_made_for_it_comes_first(self) -> None:
        self.done("device", "bind", VIRTIO)
        self.assertEqual("virtio_vfio_pci", self.driver(VIRTIO))
        self.done("device", "unbind", VIRTIO)
        self.assert_as_before()

    def test_a_companion_loses_its_driver_only_where_it_is_named(self) -> None:
        bind = ("device", "bind", NIC, "--driver", "vfio-pci")
        ran = self.run_command(*bind)
        self.assertEqual(2, ran.status)
        self.assert_as_before()
        self.done(*bind, "--companion", NIC_TOO)
        self.assertIsNone(self.driver(NIC_TOO))
        self.done("device", "unbind", NIC)
        self.done("device", "unbind", NIC_TOO)
        self.assert_as_before()

    def test_one_that_is_open_stays_where_it_is(self) -> None:
        self.apply(FOUR)
        self.done("device", "bind", VF, "--driver", "vfio-pci")
        pid = self.host.hold(VF)
        for words in (
            ("device", "unbind", VF),
            ("device", "bind", VF, "--driver", "host"),
        ):
            ran = self.run_command(*words)
            self.assertEqual(2, ran.status)
            self.assertIn(f"is open in process {pid} (", ran.err)
        self.assertEqual("vfio-pci", self.driver(VF))
        self.host.let_go(pid)
        self.restore()
        self.assert_as_before()

    @on_the_fake_alone
    def test_a_dry_run_writes_nothing(self) -> None:
        ran = self.run_command(
            "device", "bind", EDU, "--driver=vfio-pci", "--dry-run", "-fjson"
        )
        self.assertEqual(1, ran.status)
        self.assertEqual({"planned"}, {row["state"] for row in ran.rows})
        self.assert_as_before()

    @on_the_fake_alone
    def test_a_pf_is_bound_only_if_that_is_allowed(self) -> None:
        bind = ("device", "bind", PF, "--driver", "vfio-pci")
        ran = self.run_command(*bind)
        self.assertEqual(2, ran.status)
        self.assertIn(f"error: {PF}: it is a PF", ran.err)
        self.done(*bind, "--allow-pf")
        self.done("device", "unbind", PF)
        self.assert_as_before()

    @on_the_fake_alone
    def test_what_is_no_driver_is_told(self) -> None:
        for word in ("a b", "nonsense"):
            ran = self.run_command("device", "bind", EDU_TOO, "--driver", word)
            self.assertEqual(2, ran.status)
            self.assertIn(word, ran.err)
        self.assert_as_before()

    @on_the_fake_alone
    def test_what_was_never_touched_stays_as_it_is(self) -> None:
        self.assertEqual(
            "[]\n", self.done("device", "unbind", EDU, "-fjson").out
        )
        self.assert_as_before()


class ResetTest(PreparingCase):
    def test_a_vf_is_reset_and_stays_what_it_is(self) -> None:
        self.apply(FOUR)
        self.done("device", "bind", VF, "--driver", "vfio-pci")
        (row,) = self.done("device", "reset", VF, "-f", "json").rows
        self.assertEqual(
            (VF, "reset flr", "done"),
            (row["subject"], row["action"], row["state"]),
        )
        self.assertEqual("vfio-pci", self.driver(VF))
        self.restore()
        self.assert_as_before()

    def test_one_that_is_open_is_not_reset(self) -> None:
        self.apply(FOUR)
        self.done("device", "bind", VF, "--driver", "vfio-pci")
        pid = self.host.hold(VF)
        ran = self.run_command("device", "reset", VF)
        self.assertEqual(2, ran.status)
        self.assertIn(f"is open in process {pid} (", ran.err)
        self.host.let_go(pid)
        self.restore()
        self.assert_as_before()

    def test_a_pf_with_vfs_and_a_bridge_are_not_reset(self) -> None:
        self.apply(FOUR)
        for address, why in (
            (PF, "it has 4 VFs, which a reset takes"),
            (ROOT_PORT, "bridge"),
        ):
            ran = self.run_command("device", "reset", address)
            self.assertEqual(2, ran.status)
            self.assertIn(why, ran.err)
        self.restore()
        self.assert_as_before()

    @on_the_fake_alone
    def test_a_dry_run_of_it_writes_nothing(self) -> None:
        self.apply(FOUR)
        ran = self.run_command("device", "reset", VF, "--dry-run", "-fjson")
        self.assertEqual(1, ran.status)
        (row,) = ran.rows
        self.assertEqual("planned", row["state"])
        self.assertEqual("none: what it held is gone", row["undo"])
        self.restore()
        self.assert_as_before()
