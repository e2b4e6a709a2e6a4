# SPDX-License-Identifier: Apache-2.0
"""Apply does what was planned, takes back what fails, and tells what hangs."""

import mmap
import os
import signal
import time
import typing as ty

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import (
    apply,
    executor,
    journal,
    lock,
    sysfs_writer,
    undoing,
)
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import function_state, scanner
from nova_vfio_variant.pci import address as pci_address
from tests import base, driverctl
from tests.unit.host import plan_case
from tests.unit.host.act_case import PAIR, VARIANT, ActCase
from tests.unit.host.plan_case import NIC, OTHER, PF, VF


class ApplyTest(ActCase):
    def test_the_host_becomes_what_is_declared_and_is_restored(self) -> None:
        before = self.host.picture()
        outcome = self.apply(plan_case.FOUR_VFS, VARIANT, PAIR)
        self.assertEqual((), outcome.failed)
        states = self.states()
        self.assertEqual(
            function_state.State("igb", None, 4, True), states[PF]
        )
        for name, state in states.items():
            if name.startswith("0000:21:1"):
                self.assertEqual(
                    function_state.State("igbvf_vfio_pci", "igbvf_vfio_pci"),
                    state,
                )
                self.assertEqual(
                    "as declared", self.actor().journal.account(name)
                )
        self.assertEqual(
            function_state.State("vfio-pci", "vfio-pci"), states[NIC]
        )
        self.assertEqual(function_state.State(None, None), states[OTHER])
        # Nothing is left to do, and nothing is done.
        lines = (self.state / journal.NAME).read_bytes()
        self.assertEqual(
            (), self.apply(plan_case.FOUR_VFS, VARIANT, PAIR).done
        )
        self.assertEqual(lines, (self.state / journal.NAME).read_bytes())
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual({}, self.actor().journal.priors)
        self.assertEqual(before, self.host.picture())

    def test_prior_driver_and_override_come_back_together(self) -> None:
        # A driver that the kernel would not choose, and a name that no
        # driver has, as somebody else left them.
        self.host.writer().set_override(NIC, "igbvf")
        self.host.writer().unbind(NIC)
        self.host.writer().probe(NIC)
        self.host.writer().set_override(NIC, "nobody")
        self.host.writer().unbind(OTHER)
        before = self.host.picture()
        self.assertEqual(
            (), self.apply(PAIR.replace("]", ', "0000:31:02.0"]')).failed
        )
        self.assertEqual("vfio-pci", self.states()[NIC].driver)
        undoing.restore(self.actor())
        self.assertEqual(before, self.host.picture())

    def test_vfs_that_went_come_back_as_they_were(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.host.writer().set_override(VF, "vfio-pci")
        self.host.writer().unbind(VF)
        self.host.writer().probe(VF)
        before = self.host.picture()
        self.assertEqual((), self.apply(plan_case.FOUR_VFS).failed)
        self.assertEqual(4, self.states()[PF].numvfs)
        undoing.restore(self.actor())
        self.assertEqual(before, self.host.picture())

    def test_a_pf_gets_its_driver_back_before_its_vfs(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        before = self.host.picture()
        none = plan_case.FOUR_VFS.replace("4", "0")
        away = (
            '{"address": "0000:21:00.0", "driver": "vfio-pci",'
            ' "allow_pf": true}'
        )
        self.assertEqual((), self.apply(none, away).failed)
        self.assertEqual(
            function_state.State("vfio-pci", "vfio-pci", 0, True),
            self.states()[PF],
        )
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual(before, self.host.picture())

    def test_what_somebody_else_bound_meanwhile_is_left(self) -> None:
        self.apply(plan_case.FOUR_VFS, PAIR)
        writer = self.host.writer()
        for name in (NIC, OTHER):
            before = self.states()[name]
            writer.set_override(name, "igbvf")
            if before.driver:
                writer.unbind(name)
            writer.probe(name)
            picture = self.host.picture()
            error = self.assertRaises(
                exception.HostRefused, undoing.restore, self.actor()
            )
            self.assertIn(
                f"{name}: somebody else changed it: it is on igbvf with the "
                "override igbvf",
                error.message,
            )
            self.assertIn(
                f"put it back on {before.driver or 'no driver'}, or restore",
                str(error.hint),
            )
            self.assertEqual(picture, self.host.picture())
            writer.unbind(name)
            writer.set_override(name, before.override or "")
            writer.probe(name)
        # What is as we left it, or on no driver, is taken back; and so is
        # what somebody took back.
        writer.set_override(OTHER, "e1000")
        writer.probe(OTHER)
        writer.set_override(OTHER, "")
        writer.unbind(NIC)
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual("e1000", self.states()[NIC].driver)
        self.assertEqual({}, self.actor().journal.priors)

    def test_a_vf_that_the_kernel_bound_is_what_our_number_of_vfs_made(
        self,
    ) -> None:
        writer = self.host.writer()
        writer.set_numvfs(PF, 2)
        writer.set_override(VF, "vfio-pci")
        writer.unbind(VF)
        writer.probe(VF)
        self.apply(VARIANT)
        self.apply(plan_case.FOUR_VFS)
        self.assertEqual("igbvf", self.states()[VF].driver)
        vf = pci_address.PciAddress.parse(VF)
        self.assertEqual((), undoing.restore(self.actor(), [vf]))
        self.assertEqual("vfio-pci", self.states()[VF].driver)

    def test_one_function_is_restored_and_the_others_are_not(self) -> None:
        self.apply(plan_case.FOUR_VFS, VARIANT)
        vf = pci_address.PciAddress.parse(VF)
        self.assertEqual((), undoing.restore(self.actor(), [vf]))
        states = self.states()
        self.assertEqual(function_state.State(), states[VF])
        self.assertEqual("igbvf_vfio_pci", states["0000:21:10.2"].driver)
        self.assertEqual(
            ["as before", "as declared"],
            [
                self.actor().journal.account(name)
                for name in (VF, "0000:21:10.2")
            ],
        )

    def test_restore_is_refused_while_somebody_has_a_vf(self) -> None:
        self.apply(plan_case.FOUR_VFS, VARIANT)
        before = self.host.picture()
        self.owners[pci_address.PciAddress.parse(VF)] = "x"
        self.assertRaises(exception.HostRefused, undoing.restore, self.actor())
        self.assertEqual(before, self.host.picture())

    def test_a_pf_whose_vfs_somebody_made_meanwhile_is_left(self) -> None:
        away = (
            '{"address": "0000:21:00.0", "driver": "vfio-pci",'
            ' "allow_pf": true}'
        )
        start = self.host.picture()
        self.assertEqual((), self.apply(away).failed)
        self.host.write("sys/module/vfio_pci/parameters/enable_sriov", b"1")
        self.host.writer().set_numvfs(PF, 2)
        before = self.host.picture()
        error = self.assertRaises(
            exception.HostRefused, undoing.restore, self.actor()
        )
        self.assertIn("it has 2 VFs, which go when it", error.message)
        self.assertEqual(before, self.host.picture())
        driverctl.paste(self.host, error.hint)
        self.host.write("sys/module/vfio_pci/parameters/enable_sriov", b"0")
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual(start, self.host.picture())

    def test_refusals_and_wrong_entries_change_nothing(self) -> None:
        before = self.host.picture()
        error = self.assertRaises(
            exception.HostRefused,
            self.apply,
            '{"address": "0000:21:00.0", "num_vfs": 9}',
            PAIR,
        )
        self.assertIn("9 VFs are asked for", error.message)
        self.assertRaises(
            exception.ConfigError,
            self.apply,
            PAIR,
            '{"address": "0000:99:00.0", "driver": "host"}',
        )
        self.assertEqual(before, self.host.picture())
        self.assertFalse(self.state.exists())


class FailureTest(ActCase):
    def test_a_step_that_fails_is_taken_back_and_the_others_are_done(
        self,
    ) -> None:
        before = self.states()
        self.failing[f"{NIC} probe vfio-pci"] = 16
        outcome = self.apply(PAIR, plan_case.FOUR_VFS)
        self.assertEqual(
            (
                (
                    f"{NIC} probe vfio-pci: Device or resource busy; it was taken "
                    "back"
                ),
            ),
            outcome.failed,
        )
        self.assertEqual(before[NIC], self.states()[NIC])
        self.assertEqual(4, self.states()[PF].numvfs)
        self.assertEqual("as before", self.actor().journal.account(NIC))
        self.assertEqual({}, self.quarantined)

    def test_a_companion_goes_back_with_whom_it_was_unbound_for(self) -> None:
        before = self.host.picture()
        self.failing[f"{NIC} probe vfio-pci"] = 16
        outcome = self.apply(PAIR, plan_case.FOUR_VFS)
        self.assertEqual(1, len(outcome.failed))
        self.assertEqual([PF], [change.subject for change in outcome.done])
        self.assertEqual("e1000", self.states()[OTHER].driver)
        self.assertEqual("as before", self.actor().journal.account(OTHER))
        undoing.restore(self.actor())
        self.assertEqual(before, self.host.picture())

    def test_a_companion_waits_for_a_driver_that_is_yet_to_be_loaded(
        self,
    ) -> None:
        before = self.host.picture()
        self.failing["igbvf_vfio_pci load-module igbvf_vfio_pci"] = 2
        text = PAIR.replace("vfio-pci", "igbvf_vfio_pci")
        self.assertEqual(1, len(self.apply(text).failed))
        self.assertEqual(before, self.host.picture())

    def test_a_companion_that_another_one_needs_stays_unbound(self) -> None:
        third = "0000:31:03.0"
        self.host.add(third, "8086:100e", group=2)
        self.failing[f"{NIC} probe vfio-pci"] = 16
        outcome = self.apply(PAIR, PAIR.replace(f'"{NIC}"', f'"{third}"'))
        self.assertEqual(1, len(outcome.failed))
        self.assertIsNone(self.states()[OTHER].driver)
        self.assertEqual("vfio-pci", self.states()[third].driver)

    def test_a_write_without_effect_is_a_failure(self) -> None:
        self.host.modprobe = lambda name: None  # type: ignore[method-assign]
        self.host.writer().set_numvfs(PF, 1)
        outcome = self.apply(VARIANT)
        self.assertIn("no driver of its name is there", outcome.failed[0])
        self.assertEqual("igbvf", self.states()[VF].driver)

    def test_a_probe_that_binds_nothing_is_taken_back(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        self.assertEqual((), self.apply(plan_case.ON_VFIO).failed)
        before = self.states()
        # The kernel's driver refuses the function, and says so nowhere.
        text = '{"address": "0000:31:*.0", "driver": "igbvf_vfio_pci"}'
        self.host.modprobe("igbvf_vfio_pci")
        self.host.break_driver("igbvf_vfio_pci")
        outcome = self.apply(text)
        self.assertIn(
            "the kernel took it without an error, and nothing stands there in "
            "place of igbvf_vfio_pci",
            outcome.failed[0],
        )
        self.assertEqual(before, self.states())

    def test_a_number_of_vfs_that_fails_halfway_is_taken_back(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.host.writer().set_override(VF, "vfio-pci")
        self.host.writer().unbind(VF)
        self.host.writer().probe(VF)
        before = self.states()
        self.failing[f"{PF} set-numvfs 4"] = 12
        outcome = self.apply(plan_case.FOUR_VFS)
        self.assertEqual(1, len(outcome.failed))
        self.assertEqual(before, self.states())
        self.assertEqual(set(), self.actor().journal.owed)

    def test_what_cannot_be_taken_back_is_quarantined(self) -> None:
        self.failing[f"{NIC} probe vfio-pci"] = 16
        self.failing[f"{NIC} set-override e1000"] = 5
        with self.assertLogs(host_actor.__name__, "INFO") as logged:
            outcome = self.apply(PAIR)
        self.assertIn(f"{NIC}: quarantined: ", str(logged.output))
        self.assertIn("taking it back failed", outcome.failed[0])
        self.assertIn("Input/output error", str(self.quarantined[NIC]))
        self.assertEqual("unfinished", self.actor().journal.account(NIC))


class HangTest(ActCase):
    """A helper that hangs: it sleeps, as nothing else here would."""

    def hanging(self, action: str) -> host_actor.Actor:
        actor = self.actor()
        write = self.host.write

        def slow(rel: str, data: bytes) -> None:
            if rel.endswith(action):
                time.sleep(3600)
            write(rel, data)

        writer = sysfs_writer.SysfsWriter(
            self.host.tree, slow, self.host.modprobe
        )

        def perform(
            step: plan.Step, keep: tuple[int, ...], _: process.Meanwhile
        ) -> str:
            return process.run(lambda: executor.do(writer, step), 1.0, keep)

        self.by.way = perform
        return actor

    def hung(self, action: str) -> exception.HostStepHung:
        self.host.writer().set_numvfs(PF, 1)
        started = time.monotonic()
        error: ty.Any = self.assertRaises(
            exception.HostStepHung,
            apply.apply,
            self.hanging(action),
            plan_case.specs(plan_case.ON_VFIO, PAIR),
        )
        self.assertLess(time.monotonic() - started, 5)
        pid = int(error.message.rpartition("process ")[2].split()[0])
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        # It is still there: nobody waits for it, nobody kills it.
        os.kill(pid, 0)
        return ty.cast("exception.HostStepHung", error)

    def test_a_hang_is_told_quarantined_and_ends_the_command(self) -> None:
        error = self.hung("unbind")
        self.assertIn("no process is seen to have it open", error.message)
        # What would have come after it was not begun.
        self.assertEqual({VF}, set(self.quarantined))
        self.assertEqual("unfinished", self.actor().journal.account(VF))
        self.assertEqual("e1000", self.states()[NIC].driver)

    def test_who_does_the_steps_may_end_in_the_middle_of_one(self) -> None:
        """It looked into processes, too."""
        actor = self.actor()
        by = self.by
        ended = "the privileged process ended"

        def perform(*_args: object) -> str:
            by.look = watch
            raise process.Hung(ended, None)

        def watch() -> ty.NoReturn:
            raise exception.HostError(ended)

        by.way = perform
        error = self.assertRaises(
            exception.HostStepHung,
            apply.apply,
            actor,
            plan_case.specs(PAIR),
        )
        self.assertIn("a process may be left in the kernel", error.message)
        self.assertIn(f"can't be seen: {ended}", error.message)
        self.assertEqual({OTHER}, set(self.quarantined))
        self.assertEqual("unfinished", self.actor().journal.account(OTHER))

    def test_the_group_stays_locked_as_long_as_the_helper_lives(self) -> None:
        self.hung("unbind")
        function = scanner.scan(self.host.tree).get(
            pci_address.PciAddress.parse(VF)
        )
        assert function is not None
        with lock.hold(self.host.root, ["group-1"], 0):
            pass
        error = self.assertRaises(
            exception.LockTimeout,
            lock.hold(self.host.root, [lock.key(function)], 0.1).__enter__,
        )
        self.assertIn(f"process {os.getpid()}", error.message)


class HelperTest(base.TestCase):
    def test_answers_and_errors_come_back(self) -> None:
        self.assertEqual("seen", process.run(lambda: "seen", 5))

        def refuse() -> str:
            raise OSError(16, "busy")

        error = self.assertRaises(OSError, process.run, refuse, 5)
        self.assertEqual(16, error.errno)

        def stumble() -> str:
            raise ValueError("no address")

        failed = self.assertRaises(
            exception.HostStepFailed, process.run, stumble, 5
        )
        self.assertEqual("no address", failed.message)

    def test_nothing_is_begun_without_a_deadline(self) -> None:
        begun = mmap.mmap(-1, 1)

        def work() -> str:
            begun[0] = 1
            return ""

        self.assertRaises(TypeError, process.run, work, "x")
        time.sleep(0.1)
        self.assertEqual(0, begun[0])

    def test_something_is_called_while_it_works(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(f"{process.__name__}.INTERVAL", 0.05)
        )
        called: list[float] = []

        def meanwhile() -> None:
            called.append(time.monotonic())
            # Nobody listens any more: that is not the helper's trouble.
            raise BrokenPipeError

        def work() -> str:
            time.sleep(0.5)
            return "seen"

        self.assertEqual("seen", process.run(work, 30, (), meanwhile))
        self.assertGreater(len(called), 2)

    def test_a_killed_helper_is_a_failure(self) -> None:
        def die() -> str:
            os.kill(os.getpid(), signal.SIGKILL)
            return ""

        failed = self.assertRaises(
            exception.HostStepFailed, process.run, die, 5
        )
        self.assertIn("killed", failed.message)

    def test_it_keeps_nothing_open_but_the_locks(self) -> None:
        mine = os.open("/dev/null", os.O_RDONLY)
        kept = os.open("/dev/zero", os.O_RDONLY)
        self.addCleanup(os.close, mine)
        self.addCleanup(os.close, kept)

        def look() -> str:
            return " ".join(
                os.readlink(f"/proc/self/fd/{name}")
                for name in os.listdir("/proc/self/fd")
                if os.path.exists(f"/proc/self/fd/{name}")
            )

        seen = set(process.run(look, 5, (kept,)).split())
        self.assertIn("/dev/zero", seen)
        self.assertEqual(
            set(),
            {
                one
                for one in seen - {"/dev/zero", "/dev/null"}
                if not one.startswith(("pipe:", "/proc/"))
            },
        )


class SysfsWriterTest(ActCase):
    def test_what_is_no_address_and_no_name_reaches_no_path(self) -> None:
        written: list[str] = []
        writer = sysfs_writer.SysfsWriter(
            self.host.tree,
            lambda rel, data: written.append(rel),
            written.append,
        )
        for bad in ("", "../..", "0000:21:00.0/../x", "0000:21:00.0\n", "x"):
            for method in (
                writer.unbind,
                writer.probe,
                lambda one: writer.set_override(one, "vfio-pci"),
                lambda one: writer.set_numvfs(one, 1),
                lambda one: writer.set_autoprobe(one, True),
            ):
                self.assertRaises(ValueError, method, bad)
        for bad in ("a/b", "a b", "a\n", "\0", ".", "-x", "x" * 65):
            self.assertRaises(ValueError, writer.set_override, PF, bad)
            self.assertRaises(ValueError, writer.load_module, bad)
        for count in (-1, 65536, True):
            self.assertRaises(ValueError, writer.set_numvfs, PF, count)
        self.assertEqual([], written)

    def test_a_bridge_is_never_taken_from_its_driver(self) -> None:
        bridge = "0000:20:00.0"
        self.host.add(bridge, "8086:3420", class_code=0x060400)
        before = self.host.picture()
        writer = self.host.writer()
        self.assertRaises(ValueError, writer.unbind, bridge)
        for driver in ("pci-stub", ""):
            self.assertRaises(ValueError, writer.set_override, bridge, driver)
        self.assertEqual(before, self.host.picture())

    def test_only_what_forwards_is_left_alone(self) -> None:
        kinds = {
            (0x060000, None): False,
            (0x060100, None): True,
            (0x068000, None): True,
            (0x068000, 1): False,
            (0x060700, None): False,
        }
        writer = self.host.writer()
        for slot, ((code, header), may) in enumerate(kinds.items()):
            name = f"0000:20:{slot:02x}.0"
            self.host.add(name, "8086:3420", class_code=code, header=header)
            if may:
                writer.set_override(name, "vfio-pci")
                writer.probe(name)
                self.assertEqual("vfio-pci", writer.driver(name))
            else:
                self.assertRaises(
                    ValueError, writer.set_override, name, "vfio-pci"
                )

    def test_no_write_leaves_the_root(self) -> None:
        outside = self.folder / "outside"
        outside.mkdir()
        for name in ("unbind", "driver_override", "sriov_numvfs"):
            (outside / name).write_text("precious")
        place = self.host._files.device(PF)
        (place / "driver").unlink()
        (place / "driver").symlink_to(outside)
        for name in ("driver_override", "sriov_numvfs"):
            (place / name).unlink()
            up = os.path.relpath(outside / name, place)
            (place / name).symlink_to(up)
        (self.host.root / "sys/bus/pci/drivers_probe").unlink()
        os.mkfifo(self.host.root / "sys/bus/pci/drivers_probe")
        writer = sysfs_writer.of_directory(str(self.host.root))
        for work in (
            lambda: writer.unbind(PF),
            lambda: writer.set_override(PF, "vfio-pci"),
            lambda: writer.set_numvfs(PF, 1),
            lambda: writer.probe(PF),
        ):
            self.assertRaises(OSError, work)
        self.assertEqual(
            ["precious"] * 3, [path.read_text() for path in outside.iterdir()]
        )

    def test_no_module_is_loaded_for_another_root(self) -> None:
        writer = sysfs_writer.of_directory(str(self.host.root))
        error = self.assertRaises(OSError, writer.load_module, "vfio_pci")
        self.assertEqual(1, error.errno)

    def test_an_override_is_cleared_with_a_line_feed(self) -> None:
        written: list[bytes] = []
        writer = sysfs_writer.SysfsWriter(
            self.host.tree,
            lambda rel, data: written.append(data),
            self.host.modprobe,
        )
        writer.set_override(PF, "")
        self.assertEqual([b"\n"], written)
