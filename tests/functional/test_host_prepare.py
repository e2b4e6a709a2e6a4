# SPDX-License-Identifier: Apache-2.0
"""``host plan``, ``apply``, ``restore`` and ``recover``, as a user calls them."""

import errno
import io
import json
import os
import pathlib
import time
import typing as ty

import fixtures

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import journal
from nova_vfio_variant.host.act import lock as host_lock
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.decide import judgement, plan
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.node import context
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import placement
from nova_vfio_variant.tracker import lock, store
from tests import base, sample_hosts

UUID = "11111111-2222-4333-8444-555555555555"
PF = "0000:21:00.0"
VF = "0000:21:10.0"
NIC = "0000:31:01.0"
FOUR = '{"address": "0000:21:00.0", "num_vfs": 4}'
VARIANT = '{"vendor_id": "8086", "product_id": "10ca", "driver": "variant"}'
PAIR = (
    '{"address": "0000:31:01.0", "driver": "vfio-pci",'
    ' "companions": ["0000:31:02.0"]}'
)

NIC_ENTRIES = """
device_spec = { "address": "0000:31:01.0" }
alias = { "name": "nic", "vendor_id": "8086", "product_id": "100e", "device_type": "type-PCI" }
"""
VF_ENTRIES = """
device_spec = { "product_id": "10ca" }
alias = { "name": "vf", "vendor_id": "8086", "product_id": "10ca", "device_type": "type-VF" }
"""


class Ran(ty.NamedTuple):
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, ty.Any]]:
        """Its JSON."""
        return ty.cast("list[dict[str, ty.Any]]", json.loads(self.out))


class HostCommands(base.TestCase):
    """One host that answers as a kernel does."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = sample_hosts.with_igb(self.folder / "host")
        self.state = self.folder / "state"
        plugged = self.host.plugged_in()
        plugged.__enter__()
        self.addCleanup(plugged.__exit__, None, None, None)

    def declare(self, *entries: str) -> None:
        """Write nova.conf."""
        lines = [f"host_spec = {entry}\n" for entry in entries]
        (self.folder / "nova.conf").write_text("[vfio]\n" + "".join(lines))

    def run_command(self, *words: str) -> Ran:
        """Run it in this process, with its own standard streams."""
        out, err = io.StringIO(), io.StringIO()
        with (
            fixtures.MonkeyPatch("sys.stdout", out),
            fixtures.MonkeyPatch("sys.stderr", err),
        ):
            status = main.main(
                [
                    "--config-file",
                    f"{self.folder}/nova.conf",
                    "--host-root",
                    str(self.host.root),
                    "--state-path",
                    str(self.state),
                    *words,
                ]
            )
        return Ran(status, out.getvalue(), err.getvalue())

    def test_plan_shows_every_step_and_writes_nothing(self) -> None:
        self.declare(FOUR, VARIANT)
        before = self.host.picture()
        ran = self.run_command("host", "plan", "-f", "json")
        self.assertEqual((1, ""), (ran.status, ran.err))
        self.assertEqual(
            {
                "step": 2,
                "subject": PF,
                "action": "set-autoprobe 0",
                "undo": "set-autoprobe 1",
                "state": "planned",
            },
            ran.rows[1],
        )
        self.assertEqual(list(range(1, 13)), [row["step"] for row in ran.rows])
        self.assertEqual("expected", ran.rows[-1]["state"])
        self.assertEqual(before, self.host.picture())
        self.assertFalse(self.state.exists())

    def test_what_is_in_the_way_of_one_function(self) -> None:
        self.declare()
        on = context.Context(
            [f"{self.folder}/nova.conf"],
            None,
            str(self.host.root),
            str(self.state),
        )
        found = on.verdicts.at(pci_address.PciAddress.parse(NIC))
        self.assertEqual(
            [host_codes.GROUP_COMPANIONS],
            [obstacle.code for obstacle in found.blocking],
        )
        self.assertFalse(self.state.exists())

    def test_a_dry_run_is_the_plan(self) -> None:
        self.declare(FOUR, VARIANT)
        planned = self.run_command("host", "plan", "-f", "json")
        dry = self.run_command("host", "apply", "--dry-run", "-f", "json")
        self.assertEqual(planned, dry)
        self.assertFalse(self.state.exists())

    def test_apply_then_nothing_to_do_then_restore(self) -> None:
        self.declare(FOUR, VARIANT, PAIR)
        before = self.host.picture()
        ran = self.run_command("host", "apply", "-f", "json")
        self.assertEqual(0, ran.status, ran.err)
        self.assertEqual({"done"}, {row["state"] for row in ran.rows})
        self.assertIn(f"{PF} set-numvfs 4: up to 38 seconds\n", ran.err)
        self.assertEqual(
            (0, "[]\n", ""), self.run_command("host", "plan", "-f", "json")
        )
        self.assertEqual(
            (0, "[]\n", ""), self.run_command("host", "apply", "-f", "json")
        )
        self.assertEqual(
            1, self.run_command("host", "restore", "--dry-run").status
        )
        ran = self.run_command("host", "restore", "-f", "json")
        self.assertEqual(0, ran.status, ran.err)
        self.assertEqual(before, self.host.picture())
        self.assertEqual(
            0, self.run_command("host", "restore", "--dry-run").status
        )

    def test_one_function_alone(self) -> None:
        self.declare(FOUR, PAIR)
        ran = self.run_command("host", "apply", "--only", PF, "-f", "json")
        self.assertEqual((0, 1), (ran.status, len(ran.rows)))
        ran = self.run_command("host", "restore", NIC, "-f", "json")
        self.assertEqual((0, []), (ran.status, ran.rows))
        ran = self.run_command("host", "restore", PF, "-f", "json")
        self.assertEqual((0, 1), (ran.status, len(ran.rows)))

    def test_one_function_that_is_not_there(self) -> None:
        self.declare(FOUR)
        for words in (("plan", "--only"), ("apply", "--only"), ("restore",)):
            ran = self.run_command("host", *words, "0000:99:00.0", "-q")
            self.assertEqual(2, ran.status)
            self.assertIn("0000:99:00.0: this host has no such", ran.err)
        ran = self.run_command("host", "restore", "--dry-run", "0000:99:00.0")
        self.assertEqual(2, ran.status)

    def test_vfs_are_restored_with_the_pf_that_takes_them_along(self) -> None:
        self.declare(FOUR)
        self.run_command("host", "apply")
        ran = self.run_command("host", "restore", PF, VF, "-f", "json")
        self.assertEqual((0, 1), (ran.status, len(ran.rows)), ran.err)

    def test_refusals_are_all_told_and_nothing_is_done(self) -> None:
        self.declare(
            FOUR.replace("4", "9"), PAIR.partition(', "comp')[0] + "}"
        )
        before = self.host.picture()
        for words in (("plan",), ("apply",), ("apply", "--dry-run")):
            ran = self.run_command("host", *words, "-q")
            self.assertEqual(2, ran.status)
            self.assertIn(f"error: {PF}: 9 VFs are asked for", ran.err)
            self.assertIn("hint: ask for 7 or fewer", ran.err)
            self.assertIn("[VFIO517]", ran.err)
        self.assertEqual(before, self.host.picture())

    def test_what_is_wrong_with_the_text_is_shown_in_the_file(self) -> None:
        self.declare(FOUR.replace("num_vfs", "num_vf"))
        for words in ("plan", "apply"):
            ran = self.run_command("host", words)
            self.assertEqual((2, ""), (ran.status, ran.out))
            self.assertIn("nova.conf:2:", ran.err)
            self.assertIn("Did you mean 'num_vfs'?", ran.err)
        self.assertFalse(self.state.exists())

    def test_claimed_and_quarantined_functions_are_refused(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        self.declare(VARIANT)
        with store.Store.open(self.state) as opened:
            opened.quarantine(
                pci_address.PciAddress.parse(VF),
                "it hung",
                function_state.boot_id(self.host.tree),
            )
        for words in ("plan", "apply", "recover", "apply"):
            ran = self.run_command("host", words)
            self.assertEqual(0 if words == "recover" else 2, ran.status)
            if words != "recover":
                self.assertIn("it is quarantined: it hung [VFIO527]", ran.err)

    def reboot(self) -> None:
        """The VFs are gone, and all overrides."""
        self.host.writer().set_numvfs(PF, 0)
        path = self.host.root / function_state.BOOT_ID
        path.write_text("aaaaaaaa-0000-4000-8000-000000000002\n")

    def test_another_device_at_the_address_is_never_written_to(self) -> None:
        self.declare(PAIR)
        self.assertEqual(0, self.run_command("host", "apply").status)
        place = self.host.root / "sys/bus/pci/devices" / NIC
        (place / "vendor").write_text("0x1000\n")
        text = (place / "modalias").read_text()
        (place / "modalias").write_text(text.replace("8086", "1000", 1))
        self.host.writer().unbind(NIC)
        before, written = self.host.picture(), self.host.written
        for words in (
            ("plan",),
            ("apply", "--dry-run"),
            ("apply",),
            ("restore", "--dry-run"),
            ("restore",),
            ("restore", NIC),
        ):
            ran = self.run_command("host", *words)
            self.assertEqual(2, ran.status, str(words))
            self.assertIn(f"error: {NIC}: the journal is about 8086", ran.err)
            self.assertIn("[VFIO560]", ran.err)
        self.assertEqual(0, self.run_command("host", "recover").status)
        self.assertEqual(before, self.host.picture())
        self.assertEqual(written, self.host.written)

    def test_what_vanished_is_told_once(self) -> None:
        self.declare(PAIR)
        self.assertEqual(0, self.run_command("host", "apply").status)
        self.host.vanish(NIC)
        ran = self.run_command("host", "restore")
        self.assertEqual(0, ran.status, ran.err)
        self.assertIn(f"recovered: {NIC}: undo: the function is gone", ran.err)
        self.assertNotIn("gone", self.run_command("host", "restore").err)
        self.assertEqual(2, self.run_command("host", "restore", NIC).status)

    def test_a_quarantine_ends_with_the_boot(self) -> None:
        self.declare(FOUR, VARIANT)
        with store.Store.open(self.state) as opened:
            opened.quarantine(
                pci_address.PciAddress.parse(VF),
                "it hung",
                function_state.boot_id(self.host.tree),
            )
        self.reboot()
        self.assertEqual(1, self.run_command("host", "plan").status)
        ran = self.run_command("host", "apply")
        self.assertEqual(0, ran.status, ran.err)
        said = f"a reboot ended the quarantine of {VF} (1 in all)\n"
        self.assertIn(said, ran.err)
        with store.Store.open(self.state) as opened:
            self.assertEqual({}, opened.quarantined())
        self.assertNotIn(said, self.run_command("host", "apply").err)

    def test_what_a_reboot_undid_is_told_until_something_is_done(self) -> None:
        self.declare(FOUR)
        self.run_command("host", "apply")
        self.reboot()
        for words in ("recover", "restore", "apply"):
            ran = self.run_command("host", words)
            self.assertEqual(0, ran.status)
            self.assertIn(
                f"a reboot ended what was done to {PF} (1 in all)\n",
                ran.err,
            )
        self.assertNotIn("reboot", self.run_command("host", "recover").err)

    def test_recover_says_what_became_of_each_change(self) -> None:
        self.declare(PAIR)
        with _Interrupted(self, f"{NIC} unbind"):
            self.run_command("host", "apply")
        ran = self.run_command("host", "recover", "-f", "json")
        self.assertEqual(0, ran.status)
        self.assertEqual(
            [
                {
                    "step": 1,
                    "subject": NIC,
                    "action": "finish: nothing is in the way",
                    "undo": None,
                    "state": "as declared",
                }
            ],
            ran.rows,
        )
        self.assertEqual(
            (0, "[]\n", ""), self.run_command("host", "recover", "-f", "json")
        )

    def test_apply_recovers_first(self) -> None:
        self.declare(PAIR)
        with _Interrupted(self, f"{NIC} unbind"):
            self.run_command("host", "apply")
        ran = self.run_command("host", "apply")
        self.assertEqual(0, ran.status)
        self.assertIn(f"recovered: {NIC}: finish:", ran.err)

    def claimable(self, entries: str, wanted: str) -> tuple[str, ...]:
        """Declare devices for instances.

        :returns: the command that claims some
        """
        with (self.folder / "nova.conf").open("a") as file:
            file.write(f"[pci]\n{entries}")
        self.useFixture(placement.EmbeddedPlacement(str(self.state)))
        return ("claim", "create", "--instance", UUID, "--alias", wanted)

    def test_what_was_begun_and_not_ended_is_given_to_nobody(self) -> None:
        self.declare(PAIR)
        claim = self.claimable(NIC_ENTRIES, "nic:1")
        with _Interrupted(self, f"{NIC} unbind"):
            self.run_command("host", "apply")
        ran = self.run_command(*claim)
        self.assertEqual(2, ran.status)
        self.assertIn("1 asked for, and 0 can be given", ran.err)
        # What can't be read counts as begun.
        path = self.state / journal.NAME
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        self.assertIn("is truncated", self.run_command(*claim).err)
        path.write_bytes(whole)
        self.assertEqual(0, self.run_command("host", "recover").status)
        ran = self.run_command(*claim)
        self.assertEqual(0, ran.status, ran.err)

    def test_a_recorded_host_is_not_what_the_journal_is_about(self) -> None:
        self.declare(PAIR)
        claim = self.claimable(NIC_ENTRIES, "nic:1")
        recorded = str(self.folder / "host.tar.gz")
        self.run_command("host", "snapshot", recorded)
        with _Interrupted(self, f"{NIC} unbind"):
            self.run_command("host", "apply")
        ran = self.run_command("--host-root", recorded, *claim)
        self.assertEqual(0, ran.status, ran.err)

    def test_a_recorded_host_has_nothing_to_restore(self) -> None:
        self.declare(PAIR)
        recorded = str(self.folder / "host.tar.gz")
        self.run_command("host", "snapshot", recorded)
        self.run_command("host", "apply")
        words = ("host", "restore", "--dry-run", "-f", "json")
        self.assertNotEqual([], self.run_command(*words).rows)
        ran = self.run_command("--host-root", recorded, *words)
        self.assertEqual((0, [], ""), (ran.status, ran.rows, ran.err))

    def test_nobody_is_given_vfs_whose_number_is_being_changed(self) -> None:
        self.declare(FOUR)
        claim = self.claimable(VF_ENTRIES, "vf:1")
        with _Interrupted(self, f"{PF} set-numvfs 4"):
            self.run_command("host", "apply")
        ran = self.run_command(*claim)
        self.assertIn("1 asked for, and 0 can be given", ran.err)
        self.assertEqual(0, self.run_command("host", "recover").status)
        ran = self.run_command(*claim)
        self.assertEqual(0, ran.status, ran.err)

    def test_a_second_writer_says_who_holds_the_lock(self) -> None:
        self.declare(FOUR)
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.node.context.LOCK_TIMEOUT", 0.2
            )
        )
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            with lock.state_lock(self.state, 5):
                os.write(writer, b"x")
                time.sleep(30)
            os._exit(0)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, 9)
        os.read(reader, 1)
        ran = self.run_command("host", "apply")
        self.assertEqual(2, ran.status)
        self.assertIn(f"process {pid}", ran.err)

    def test_a_host_that_cannot_be_written_is_one_clear_line(self) -> None:
        self.declare(FOUR)
        (self.host.root / "sys/bus/pci/drivers_probe").unlink()
        ran = self.run_command("host", "apply")
        self.assertEqual(2, ran.status)
        self.assertIn(
            "error: the host can't be changed: /sys/bus/pci/drivers_probe:",
            ran.err,
        )
        self.assertFalse(self.state.exists())

    def test_an_override_that_can_not_be_read_is_refused_beforehand(
        self,
    ) -> None:
        """Nothing is begun, so that nothing has to be quarantined."""
        self.declare(PAIR)
        for name in (NIC, "0000:31:02.0"):
            path = self.host.root / "sys/bus/pci/devices" / name
            override = path.resolve() / "driver_override"
            kept = override.with_name("kept")
            override.rename(kept)
            for target in ("/etc/driver_override", "/etc/none", "modalias"):
                override.symlink_to(target)
                before = self.host.picture()
                for words in (("plan",), ("apply",)):
                    ran = self.run_command("host", *words)
                    self.assertEqual(2, ran.status)
                    self.assertIn(
                        f"{name}: its driver_override can't be read", ran.err
                    )
                    self.assertIn("[VFIO562]", ran.err)
                self.assertEqual(before, self.host.picture())
                self.assertFalse((self.state / journal.NAME).exists())
                override.unlink()
            kept.rename(override)
        self.assertEqual(0, self.run_command("host", "apply").status)

    def test_a_damaged_journal_stops_everything_and_stays(self) -> None:
        self.declare(FOUR, PAIR)
        self.assertEqual(0, self.run_command("host", "apply").status)
        before = self.host.picture()
        path = self.state / journal.NAME
        whole = path.read_bytes()
        lines = whole.splitlines(keepends=True)
        for data in (
            b"what?\n",
            b"what?",
            b"",
            whole[:-20],
            whole[: len(whole) // 2],
            b"".join(lines[:3]),
            b"".join(lines[1:]),
            b"".join(lines[:3] + lines[4:]),
        ):
            path.write_bytes(data)
            for words in (
                ("plan",),
                ("apply", "--dry-run"),
                ("apply",),
                ("restore", "--dry-run"),
                ("restore",),
                ("recover",),
            ):
                ran = self.run_command("host", *words)
                self.assertEqual((2, ""), (ran.status, ran.out))
                self.assertRegex(
                    ran.err, "^error: the journal .* is (garbled|truncated)"
                )
                self.assertIn("then move the file away", ran.err)
                self.assertEqual(2, len(ran.err.splitlines()))
            self.assertEqual(data, path.read_bytes())
        self.assertEqual(before, self.host.picture())

    def test_a_step_that_fails_gives_status_2_and_its_reason(self) -> None:
        self.declare(FOUR, PAIR)
        # What the kernel does when a driver's probe fails: nothing is said.
        self.host.break_driver("vfio-pci")
        ran = self.run_command("host", "apply", "-f", "json")
        self.assertEqual(2, ran.status)
        self.assertIn(f"error: {NIC} probe vfio-pci: the kernel took", ran.err)
        self.assertIn("failed", [row["state"] for row in ran.rows])

    def test_what_was_said_before_a_refusal_is_still_said(self) -> None:
        self.host.add("0000:61:00.0", "8086:100e", group=20)
        vfio = '{"address": "0000:61:00.0", "driver": "vfio-pci"}'
        self.declare(FOUR, VARIANT, vfio)
        self.host.break_driver("vfio-pci")

        def plug_in() -> None:
            # It shares the IOMMU group of a VF that has just been made.
            place = self.host.root / "sys/bus/pci/devices" / VF
            group = int((place / "iommu_group").readlink().name)
            self.host.add(
                "0000:62:00.0", "8086:100e", group=group, driver="e1000"
            )

        with _At("0000:61:00.0 probe vfio-pci", "failed", plug_in):
            ran = self.run_command("host", "apply", "-f", "json")
        self.assertEqual(2, ran.status)
        self.assertIn(
            "error: 0000:61:00.0 probe vfio-pci: the kernel", ran.err
        )
        self.assertIn(f"error: {VF}: 0000:62:00.0 is in IOMMU gro", ran.err)
        done = [(row["action"], row["state"]) for row in ran.rows]
        self.assertIn(("set-numvfs 4", "done"), done)
        self.assertIn(("probe vfio-pci", "failed"), done)

    def test_what_was_said_before_a_function_went_is_still_said(self) -> None:
        self.declare(FOUR, PAIR)
        self.host.fault(3, vanish=NIC)
        ran = self.run_command("host", "apply", "-f", "json")
        self.assertEqual(2, ran.status)
        self.assertIn("error: 0000:31:01.0 set-override", ran.err)
        self.assertIn("[VFIO504]", ran.err)
        done = [(row["action"], row["state"]) for row in ran.rows]
        self.assertIn(("set-numvfs 4", "done"), done)

    def test_what_was_said_before_a_full_disk_is_still_said(self) -> None:
        self.declare(FOUR, PAIR)

        def fill() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with _At(f"{NIC} unbind", "begun", fill):
            ran = self.run_command("host", "apply", "-f", "json")
        self.assertEqual(2, ran.status)
        self.assertIn("No space left on device", ran.err)
        done = [(row["action"], row["state"]) for row in ran.rows]
        self.assertIn(("set-numvfs 4", "done"), done)

    def test_what_was_said_before_a_hang_is_still_said(self) -> None:
        self.declare(FOUR, PAIR)
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.decide.planning._BIND", 0.5
            )
        )
        self.host.fault(2, hang=3)
        ran = self.run_command("host", "apply", "-f", "json")
        self.assertEqual(2, ran.status)
        self.assertIn("unbind: it did not end in 0.5 seconds", ran.err)
        self.assertIn("hint: it goes on when", ran.err)
        self.assertEqual(
            [("set-numvfs 4", "done"), ("unbind", "failed")],
            [(row["action"], row["state"]) for row in ran.rows],
        )

    def test_what_was_recovered_and_what_can_not_be_are_both_said(
        self,
    ) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.host.writer().set_override(VF, "vfio-pci")
        self.host.writer().unbind(VF)
        self.host.writer().probe(VF)
        self.declare(FOUR)
        with _Interrupted(self, f"{PF} set-numvfs 0"):
            self.run_command("host", "apply")
        # It can't be finished, and what is undone can't be completed.
        self.host.fault(1, errno=12)
        self.host.break_driver("vfio-pci")
        ran = self.run_command("host", "recover", "-f", "json")
        self.assertEqual(1, ran.status)
        self.assertEqual(
            [(PF, "as before"), (VF, "unfinished")],
            [(row["subject"], row["state"]) for row in ran.rows],
        )
        self.assertIn("undo: it failed", ran.rows[0]["action"])
        self.assertIn(f"leave: {VF} probe vfio-pci: ", ran.rows[1]["action"])
        # It is said again, and what is declared is done all the same.
        ran = self.run_command("host", "apply")
        self.assertEqual(0, ran.status, ran.err)
        self.assertIn(f"recovered: {VF}: leave: ", ran.err)
        self.assertIn("set-numvfs 4", ran.out)
        # It went with the others, and the new one is owed nothing.
        ran = self.run_command("host", "recover", "-f", "json")
        self.assertEqual((0, []), (ran.status, ran.rows), ran.err)

    def test_another_state_path_is_no_way_around_the_lock(self) -> None:
        self.declare(FOUR)
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.node.context.LOCK_TIMEOUT", 0.2
            )
        )
        with host_lock.hold(self.host.root, [host_lock.HOST], 0):
            self.state = self.folder / "another"
            ran = self.run_command("host", "apply")
        self.assertEqual(2, ran.status)
        self.assertIn(f"process {os.getpid()}", ran.err)
        self.assertIn("run/nova-vfio/host after 0.2 seconds", ran.err)
        self.assertEqual(0, self.run_command("host", "apply").status)

    def test_vfs_are_counted_while_they_are_made(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.process.INTERVAL", 0.1
            )
        )
        self.declare(FOUR)
        self.host.fault(1, hang=1)
        ran = self.run_command("host", "apply")
        self.assertEqual(0, ran.status, ran.err)
        self.assertIn(f"{PF} set-numvfs 4: 0 VFs now\n", ran.err)
        self.host.fault(1, hang=1)
        self.assertEqual("", self.run_command("-q", "host", "restore").err)


class _Killed(BaseException):
    """Nothing that follows is run."""


class _Telling(host_observer.Observer):
    """Tells a test of steps, and somebody else of all the rest."""

    def __init__(
        self,
        other: host_observer.Observer,
        told: ty.Callable[[plan.Change, plan.Step, plan.StepState], None],
    ) -> None:
        self._other = other
        self._told = told

    def step(
        self, change: plan.Change, step: plan.Step, state: plan.StepState
    ) -> None:
        self._told(change, step, state)

    def count(self, step: plan.Step, vfs: int) -> None:
        self._other.count(step, vfs)

    def changed(self, change: plan.Change) -> None:
        self._other.changed(change)

    def failed(self, why: str) -> None:
        self._other.failed(why)

    def recovered(self, judged: judgement.Judgement) -> None:
        self._other.recovered(judged)

    def note(self, what: str) -> None:
        self._other.note(what)


class _At:
    """Something happens when a step is done, or failed."""

    def __init__(
        self, step: str, state: str, what: ty.Callable[[], object]
    ) -> None:
        self._when = step, state
        self._what = what
        self._patch = fixtures.MonkeyPatch(
            "nova_vfio_variant.host.act.actor.Actor.steps", self._steps
        )
        self._real = host_actor.Actor.steps

    def _steps(self, actor: host_actor.Actor, *args: ty.Any) -> None:
        told = actor.observer

        def progress(
            change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            told.step(change, step, state)
            if (str(step), state) == self._when:
                self._what()

        actor.observer = _Telling(told, progress)
        try:
            self._real(actor, *args)
        finally:
            actor.observer = told

    def __enter__(self) -> None:
        self._patch.setUp()

    def __exit__(self, *_: object) -> bool | None:
        self._patch.cleanUp()
        return None


class _Interrupted(_At):
    """The command dies when a step is done, as if it were killed."""

    def __init__(self, test: HostCommands, step: str) -> None:
        super().__init__(step, "done", self._die)
        self._test = test

    def _die(self) -> None:
        raise _Killed

    def __exit__(self, *why: object) -> bool:
        super().__exit__()
        self._test.assertIs(_Killed, why[0])
        return True
