# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way: hangs, crashes, functions that go."""

import mmap
import os
import signal
import struct

import fixtures

from nova_vfio_variant.host import vf_provider
from nova_vfio_variant.host.act import actor, journal, sysfs_writer
from nova_vfio_variant.host.decide import plan, planning
from nova_vfio_variant.host.observe.use import device_files, processes
from nova_vfio_variant.tracker import store
from tests.behaviour.case import on_the_fake_alone
from tests.behaviour.host import EDU, NIC, NIC_TOO, PF, VF, VFS, VIRTIO
from tests.behaviour.preparing_case import (
    EDUS,
    FOUR,
    PAIR,
    VFIO,
    PreparingCase,
    contents,
)


class HangCase(PreparingCase):
    """A VF on vfio-pci, and deadlines that come soon."""

    def setUp(self) -> None:
        super().setUp()
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.eventually(lambda: self.driver(VF) == "igbvf")
        self.bind(VF, "vfio-pci")
        self.before = contents(self.host.root)
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{planning.__name__}._BIND", self.host.deadline
            )
        )


class HangTest(HangCase):
    """A process has it open that nobody sees: in another PID namespace."""

    def setUp(self) -> None:
        super().setUp()
        self.pid = self.host.hold(VF)
        self.unseen = fixtures.MonkeyPatch(
            f"{processes.__name__}.look", lambda tree: device_files.OpenFiles()
        )
        self.useFixture(self.unseen)

    def test_an_unbind_that_hangs_is_told_and_the_command_ends(self) -> None:
        self.declare(
            f'{{"address": "{VF}", "driver": "host"}}',
            f'{{"address": "{VIRTIO}", "driver": "vfio-pci"}}',
        )
        ran = self.run_command("host", "apply")
        self.assertEqual(2, ran.status)
        self.assertIn(
            f"{VF} unbind: it did not end in {self.host.deadline:g} seconds",
            ran.err,
        )
        self.assertIn("nova-vfio host recover", ran.err)
        # Nothing came after it.
        self.assertEqual("virtio-pci", self.driver(VIRTIO))
        # The lock of the group is free once the kernel is done with it.
        self.host.let_go(self.pid)
        ran = self.done("host", "recover", "-f", "json")
        self.assertIn("finish", ran.rows[0]["action"])
        self.eventually(lambda: self.driver(VF) == "igbvf")
        self.restore()
        self.assert_as_before()

    def test_recovery_leaves_what_still_hangs(self) -> None:
        self.declare(f'{{"address": "{VF}", "driver": "host"}}')
        self.assertEqual(2, self.run_command("host", "apply").status)
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{actor.__name__}.LOCK_TIMEOUT", self.host.deadline
            )
        )
        for _ in range(2):
            ran = self.run_command("host", "recover", "-f", "json")
            self.assertEqual(1, ran.status, ran.err)
            (row,) = ran.rows
            self.assertEqual(VF, row["subject"])
            self.assertTrue(row["action"].startswith("leave"), row)
            self.assertIn("still holds the lock", row["action"])
            self.assertEqual("unfinished", row["state"])
        # Others need not wait for it.
        self.declare(f'{{"address": "{VIRTIO}", "driver": "vfio-pci"}}')
        self.done("host", "apply")
        self.assertEqual("vfio-pci", self.driver(VIRTIO))
        self.host.let_go(self.pid)
        ran = self.done("host", "recover", "-f", "json")
        self.assertIn("finish", ran.rows[0]["action"])
        self.eventually(lambda: self.driver(VF) == "igbvf")
        self.restore()
        self.assert_as_before()


class LateTest(HangCase):
    """A process opens it at the last moment: when it is looked at no more."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{vf_provider.__name__}.VfProvider.deadline",
                lambda *_: self.host.deadline,
            )
        )
        self.pid, self.late = 0, ""
        real = journal.Journal.step

        def step(
            known: journal.Journal,
            kind: journal.Kind,
            number: int,
            step: plan.Step,
            why: str = "",
        ) -> None:
            real(known, kind, number, step, why)
            if (kind, str(step)) == (journal.Kind.BEGUN, self.late):
                self.late = ""
                self.pid = self.host.hold(VF)

        self.useFixture(
            fixtures.MonkeyPatch(f"{journal.__name__}.Journal.step", step)
        )

    def hung(self, entry: str, step: str) -> dict[str, str]:
        """Apply; a step of it hangs.

        :returns: what is quarantined, and why
        """
        self.late = step
        self.declare(entry)
        ran = self.run_command("host", "apply", "-f", "json")
        self.assertEqual(2, ran.status)
        self.assertIn(
            f"{step}: it did not end in {self.host.deadline:g} seconds",
            ran.err,
        )
        self.assertRegex(ran.err, rf"is open in process {self.pid} \(.+\)")
        self.assertRegex(ran.err, r"process \d+ is left in the kernel with it")
        self.assertEqual(
            ("failed", step),
            (
                ran.rows[-1]["state"],
                f"{ran.rows[-1]['subject']} {ran.rows[-1]['action']}",
            ),
        )
        return self.quarantined()

    def quarantined(self) -> dict[str, str]:
        """What nobody gets, and why."""
        with store.Store.open(self.state) as opened:
            return {
                str(address): why
                for address, why in opened.quarantined().items()
            }

    def recovered(self) -> None:
        """Once it is let go, all of it can be brought to its end."""
        self.host.let_go(self.pid)
        ran = self.done("host", "recover", "-f", "json")
        self.assertEqual(1, len(ran.rows))
        self.assertIn("finish", ran.rows[0]["action"])
        self.assertEqual({}, self.quarantined())

    @on_the_fake_alone
    def test_an_unbind_that_hangs_is_told_with_its_holder(self) -> None:
        found = self.hung(
            f'{{"address": "{VF}", "driver": "host"}}', f"{VF} unbind"
        )
        self.assertEqual({VF}, set(found))
        self.assertIn(f"is open in process {self.pid}", found[VF])
        self.recovered()
        self.eventually(lambda: self.driver(VF) == "igbvf")
        self.restore()
        self.assert_as_before()

    def test_vfs_that_do_not_go_are_told_with_their_holder(self) -> None:
        found = self.hung(
            f'{{"address": "{PF}", "num_vfs": 0}}', f"{PF} set-numvfs 0"
        )
        # The VF would be given to somebody just before it vanishes.
        self.assertEqual({PF, VF}, set(found))
        for why in found.values():
            self.assertIn(f"is open in process {self.pid}", why)
        self.recovered()
        self.assertEqual([], self.vfs(PF))
        self.restore()
        self.assertEqual("vfio-pci", self.driver(VF))
        self.assert_as_before()


class GoneTest(PreparingCase):
    def test_a_vf_that_went_is_forgotten(self) -> None:
        self.apply(FOUR, VFIO)
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.restore()
        self.assert_as_before()

    def test_a_pf_that_was_removed_and_came_back(self) -> None:
        self.apply(FOUR, VFIO)
        self.set_attribute(PF, "remove", "1")
        self.assertFalse(self.is_there(VF))
        self.declare(PAIR)
        self.done("host", "apply")
        self.write("sys/bus/pci/rescan", "1")
        self.eventually(lambda: self.driver(PF) == "igb")
        self.apply(FOUR, VFIO, PAIR)
        self.assertEqual("vfio-pci", self.driver(VFS[3]))
        self.restore()
        self.assert_as_before()

    def test_a_function_that_goes_in_the_middle(self) -> None:
        self.declare(EDUS[0], PAIR)
        self.assertIsNone(_killed(self, 2, "host", "apply"))
        for address in (EDU, NIC, NIC_TOO):
            self.set_attribute(address, "remove", "1")
        ran = self.run_command("host", "recover", "-f", "json")
        self.assertEqual(0, ran.status, ran.err)
        self.write("sys/bus/pci/rescan", "1")
        self.eventually(lambda: self.driver(NIC_TOO) == "e1000")
        self.restore()
        self.assert_as_before()


class KilledTest(PreparingCase):
    """Kill -9 at the n-th write of a command, then recover."""

    def test_at_some_writes_of_apply_and_of_restore(self) -> None:
        for of_apply, of_restore in self.host.sample:
            self.declare(FOUR.replace("4", "2"), VFIO, PAIR)
            self.assertIsNone(_killed(self, of_apply, "host", "apply"))
            self.accounted()
            self.done("host", "apply")
            if _killed(self, of_restore, "host", "restore") is None:
                self.accounted()
            self.restore()
            self.assert_as_before()

    def accounted(self) -> None:
        """Recover: every function is as before or as declared."""
        self.done("host", "recover")
        self.assertEqual(
            (0, "[]\n", ""), self.run_command("host", "recover", "-f", "json")
        )
        known = journal.Journal.open(
            self.state,
            self.host.read("proc/sys/kernel/random/boot_id"),
        )
        self.assertEqual({}, known.unfinished)
        for address in known.priors:
            if not self.is_there(address):
                self.assertEqual("as before", known.account(address))
                continue
            now = self.driver(address)
            if known.account(address) == "as declared":
                wanted: dict[str, list[str | None]] = {
                    PF: ["igb"],
                    NIC_TOO: [None],
                }
                self.assertIn(now, wanted.get(address, ["vfio-pci"]))
            else:
                wanted = {PF: ["igb"], NIC: ["e1000"], NIC_TOO: ["e1000"]}
                self.assertIn(now, wanted.get(address, [None, "igbvf"]))

    @on_the_fake_alone
    def test_recovery_is_killed_as_well(self) -> None:
        self.declare(FOUR, VFIO)
        self.assertIsNone(_killed(self, 6, "host", "apply"))
        for _ in range(2):
            _killed(self, 1, "host", "recover")
        self.accounted()
        self.restore()
        self.assert_as_before()


def _killed(test: PreparingCase, number: int, *words: str) -> int | None:
    """Run a command in a process that is killed at a write, with its helper.

    Every other time it is killed right after the write, not before.

    :returns: its status if it came to its end; None if not
    """
    count = mmap.mmap(-1, 8)
    real = test.host.writer

    def counted() -> sysfs_writer.SysfsWriter:
        writer = real()
        write = writer._write

        def kill_at(rel: str, data: bytes) -> None:
            (so_far,) = struct.unpack("q", count[:8])
            count[:8] = struct.pack("q", so_far + 1)
            if so_far + 1 == number:
                if number % 2:
                    write(rel, data)
                os.kill(main, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            write(rel, data)

        writer._write = kill_at
        return writer

    started = os.fork()
    if not started:
        try:
            main = os.getpid()
            test._writer = counted
            status = test.run_command(*words).status
        except BaseException:  # noqa: BLE001 - told by the status
            status = 99
        finally:
            os._exit(status)
    _, status = os.waitpid(started, 0)
    if os.WIFSIGNALED(status):
        test.assertEqual(signal.SIGKILL, os.WTERMSIG(status))
        return None
    test.assertEqual(0, os.WEXITSTATUS(status))
    return 0
