# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way: hangs, crashes, functions that go."""

import mmap
import os
import signal
import struct

import fixtures

from nova_vfio_variant.host import decide, hands, journal
from nova_vfio_variant.host.use import processes
from tests.behaviour.host import EDU, NIC, NIC_TOO, PF, VF, VFS, VIRTIO
from tests.behaviour.test_preparing import (
    EDUS,
    FOUR,
    PAIR,
    VFIO,
    PreparingCase,
    contents,
)


class HangTest(PreparingCase):
    """A process has it open that nobody sees: in another PID namespace."""

    def setUp(self) -> None:
        super().setUp()
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.eventually(lambda: self.driver(VF) == "igbvf")
        self.bind(VF, "vfio-pci")
        self.before = contents(self.snapshot())
        self.pid = self.host.hold(VF)
        # Long enough for what doesn't hang.
        self.deadline = self.host.patience / 5
        self.unseen = fixtures.MonkeyPatch(
            f"{processes.__name__}.look", lambda tree: processes.OpenFiles()
        )
        self.useFixture(self.unseen)
        self.useFixture(
            fixtures.MonkeyPatch(f"{decide.__name__}._BIND", self.deadline)
        )

    def test_an_unbind_that_hangs_is_told_and_the_command_ends(self) -> None:
        self.declare(
            f'{{"address": "{VF}", "driver": "host"}}',
            f'{{"address": "{VIRTIO}", "driver": "vfio-pci"}}',
        )
        ran = self.run_command("host", "apply")
        self.assertEqual(2, ran.status)
        self.assertIn(
            f"{VF} unbind: it did not end in {self.deadline:g} seconds",
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
        for number in self.host.sample:
            self.declare(FOUR.replace("4", "2"), VFIO, PAIR)
            self.assertIsNone(_killed(self, number, "host", "apply"))
            self.accounted()
            self.done("host", "apply")
            if _killed(self, number, "host", "restore") is None:
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
    real = test.host.hands

    def counted() -> hands.Hands:
        worker = real()
        write = worker._write

        def kill_at(rel: str, data: bytes) -> None:
            (so_far,) = struct.unpack("q", count[:8])
            count[:8] = struct.pack("q", so_far + 1)
            if so_far + 1 == number:
                if number % 2:
                    write(rel, data)
                os.kill(main, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            write(rel, data)

        worker._write = kill_at
        return worker

    started = os.fork()
    if not started:
        try:
            main = os.getpid()
            test._hands = counted
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
