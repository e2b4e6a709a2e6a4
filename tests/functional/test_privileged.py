# SPDX-License-Identifier: Apache-2.0
"""What runs with privileges: in a daemon of its own with few capabilities.

The daemon is forked off by a process that is root, as the tests are; it has
dropped all capabilities but those that are named.
"""

import os
import pathlib
import signal
import subprocess
import sys
import typing as ty

import fixtures
import testtools

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import lock, privileged
from nova_vfio_variant.testing import fake_host
from tests import base, sample_hosts
from tests.functional import privileged_case

PF = "0000:21:00.0"
VF = "0000:21:10.0"
NIC, OTHER = sample_hosts.NIC, sample_hosts.OTHER

_PROGRAM = """
import logging, subprocess, sys
from oslo_privsep import priv_context
from nova_vfio_variant.host.act import lock, privileged
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe.use import processes
from nova_vfio_variant.host.tree import opening

logging.disable(logging.CRITICAL)
by = privileged.PrivilegedExecutor()
lock.FOLDER = sys.argv[1]
privileged.context.start(priv_context.Method.FORK)
other = subprocess.Popen(
    [sys.executable, "-c", "import os, time; os.setuid(65534);"
     "open('/dev/null'); print(flush=True); time.sleep(60)"],
    stdout=subprocess.PIPE)
other.stdout.readline()
opened = by.open_files()
# What root itself may not look into (a container's first process) aside.
mine = processes.look(opening.open_tree("/"))
print("unreadable", set(opened.unreadable) - set(mine.unreadable))
other.kill()

def perform(*words):
    step = plan.Step(*words)
    try:
        print(by.perform(step, (), lambda: None))
    except Exception as error:
        print(type(error).__name__, error)

with by.hold(["function-0000:ff:1f.7", "host"], 0):
    perform("0000:ff:1f.7", "unbind", "", "x", "test")
    perform("0000:ff:1f.7/../../x", "unbind", "", "x", "test")
    perform("0000:ff:1f.7", "set-override", "a/b", "", "test")
    perform("0000:ff:1f.7", "format", "", "", "test")
with by.hold(["host"], 0):
    perform("0000:ff:1f.7", "probe", "", "", "test")
"""
#: A write that waits for somebody who reads a fifo, as none to sysfs could.
_HANGING = """
import os
from nova_vfio_variant.host.act import guard, sysfs_writer

def probe(writer, address):
    with open(f"{writer.root.root}/fifo", "w") as fifo:
        fifo.write(address)

sysfs_writer.SysfsWriter.probe = probe
guard.check = lambda tree, step: None
"""
#: Ends only when it is killed; what it was doing hangs.
_LEFT = (
    _HANGING
    + """
import logging, sys, time
from oslo_privsep import priv_context
from nova_vfio_variant.host.act import lock, privileged
from nova_vfio_variant.host.decide import plan

logging.disable(logging.CRITICAL)
by = privileged.PrivilegedExecutor()
privileged.ROOT = sys.argv[1]
privileged.context.start(priv_context.Method.FORK)
with by.hold(["function-0000:21:00.0", "host"], 0):
    step = plan.Step("0000:21:00.0", "probe", "", "", "test", 0.3)
    try:
        by.perform(step, (), lambda: None)
    except Exception as error:
        print(error.pid, flush=True)
    time.sleep(60)
"""
)


#: The daemon is killed while something that it was asked for hangs.
_KILLED = (
    _HANGING
    + """
import logging, os, pathlib, signal, sys, threading
from oslo_privsep import priv_context
from nova_vfio_variant.host.act import lock, privileged
from nova_vfio_variant.host.decide import plan

logging.disable(logging.CRITICAL)
by = privileged.PrivilegedExecutor()
privileged.ROOT = sys.argv[1]
privileged.context.start(priv_context.Method.FORK)
daemon = int(pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
             .read_text().split()[0])

def tried(what):
    try:
        print(what())
    except Exception as error:
        print(type(error).__name__, error)

step = plan.Step("0000:21:00.0", "probe", "", "", "test", 60)
with by.hold(["host"], 0):
    with by.hold(["function-0000:21:00.0"], 0):
        threading.Timer(1, os.kill, (daemon, signal.SIGKILL)).start()
        tried(lambda: by.perform(step, (), lambda: None))
    tried(by.hold(["function-0000:22:00.0"], 0).__enter__)
    tried(by.open_files)
    tried(lambda: by.perform(step, (), lambda: None))
print("at its end")
"""
)


class DaemonTest(base.TestCase):
    def test_it_works_with_the_capabilities_that_it_keeps(self) -> None:
        """Only root can give them; others are told so."""
        if os.geteuid():
            self.refused()
        else:
            self.works()

    def test_its_start_is_logged(self) -> None:
        program = (
            "import logging\n"
            "from oslo_privsep import priv_context\n"
            "from nova_vfio_variant.host.act import privileged\n"
            "logging.basicConfig(level=logging.INFO)\n"
            "begin = privileged.context.start\n"
            "way = priv_context.Method.FORK\n"
            "privileged.context.start = lambda: begin(way)\n"
            "privileged.start()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if os.geteuid():
            self.assertIn("without root's privileges", done.stderr)
        else:
            self.assertIn("privsep: the privileged process", done.stderr)
        self.assertEqual("", done.stdout)

    def test_that_it_waits_for_a_lock_is_logged_by_the_command(self) -> None:
        """What the daemon logs doesn't come to its file."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        program = (
            "import sys\n"
            "from oslo_privsep import priv_context\n"
            "from nova_vfio_variant import exception\n"
            "from nova_vfio_variant.cli import main\n"
            "from nova_vfio_variant.host.act import lock, privileged\n"
            "main.set_up_logging('nova-vfio', verbose_level=2)\n"
            "lock.FOLDER = sys.argv[1]\n"
            "privileged.context.start(priv_context.Method.FORK)\n"
            "by = privileged.PrivilegedExecutor()\n"
            "with lock.hold('/', ['group-1'], 0):\n"
            "    try:\n"
            "        by.hold(['group-1', 'host'], 0.1).__enter__()\n"
            "    except exception.LockTimeout as error:\n"
            "        print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder).lstrip("/")],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if os.geteuid():
            self.assertNotEqual(0, done.returncode)
            return
        self.assertIn("after 0.1 seconds", done.stdout)
        said = [
            line.partition("] ")[2]
            for line in done.stderr.splitlines()
            if "waiting for" in line
        ]
        self.assertEqual(["waiting for the locks group-1, host"], said)

    def test_who_is_not_root_needs_sudo(self) -> None:
        self.refused()

    def refused(self) -> None:
        """Nobody starts the daemon where there is no sudo."""
        self.useFixture(fixtures.EnvironmentVariable("PATH", "/nowhere"))
        said = self.assertRaises(exception.HostError, privileged.start)
        self.assertIn("without root's privileges", said.message)
        self.assertIn("run as root", str(said.hint))

    def works(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, folder],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual("", done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual("unreadable set()", lines[0])
        # Its words are checked again on the other side.
        self.assertIn("unbind: this host has no such function", lines[1])
        self.assertIn("is no PCI address", lines[2])
        self.assertIn("is nothing that can be done", lines[3])
        self.assertIn("is no action", lines[4])
        # Whoever asks has to have the group.
        self.assertIn("function-0000:ff:1f.7 isn't held", lines[5])

    def test_no_other_daemon_takes_the_place_of_one_that_ended(self) -> None:
        if os.geteuid():
            self.skipTest("only root can give capabilities")
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        probe = root / "fifo"
        os.mkfifo(probe)
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, root],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        # What hung goes on, without its daemon.
        with probe.open("rb") as file:
            self.assertEqual(b"0000:21:00.0", file.read())
        self.assertEqual("", done.stderr)
        ended = "the privileged process ended"
        self.assertEqual(
            [
                f"Hung {ended}",
                f"_EndedError {ended}",
                f"_EndedError {ended}",
                f"Hung {ended}",
                "at its end",
            ],
            done.stdout.splitlines(),
        )

    def test_a_killed_command_gives_back_what_nothing_hangs_in(self) -> None:
        if os.geteuid():
            self.skipTest("only root can give capabilities")
        root = self.useFixture(fixtures.TempDir()).path
        os.mkfifo(f"{root}/fifo")
        command = subprocess.Popen(
            [sys.executable, "-c", _LEFT, root], stdout=subprocess.PIPE
        )
        assert command.stdout is not None
        helper = int(command.stdout.readline())
        self.addCleanup(command.stdout.close)
        with testtools.ExpectedException(exception.LockTimeout):
            lock.hold(root, ["host"], 0).__enter__()
        command.kill()
        command.wait()
        with lock.hold(root, ["host"], 10):
            pass
        # The group is its helper's, which nobody can end in a kernel.
        name = "function-0000:21:00.0"
        with testtools.ExpectedException(exception.LockTimeout):
            lock.hold(root, [name], 0.5).__enter__()
        os.kill(helper, signal.SIGKILL)
        with lock.hold(root, [name], 10):
            pass


class StepTest(privileged_case.StepCase):
    """What the daemon does with the words of whoever calls it."""

    def made(self, root: pathlib.Path) -> fake_host.FakeHost:
        """One with an igb."""
        return sample_hosts.with_igb(root)

    def test_nothing_is_done_without_its_lock(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        before = self.host.picture()
        steps = (
            (PF, "set-numvfs", "0"),
            (VF, "unbind", ""),
            ("vfio_pci", "load-module", "vfio_pci"),
        )
        with privileged_case.BY.hold(["host", "group-77", "module-x"], 0):
            for subject, action, value in steps:
                self.assertIn(
                    "isn't held", self.do(subject, action, value=value)
                )
        self.assertEqual(before, self.host.picture())
        with privileged_case.BY.hold(
            ["module-vfio_pci", self.locked(PF)[0]], 0
        ):
            # Without the host's lock somebody else may be at it too.
            self.assertIn(
                "the lock host isn't",
                self.do("vfio_pci", "load-module", value="vfio_pci"),
            )
            self.assertIn("the lock host isn't", self.do(VF, "unbind"))
        with privileged_case.BY.hold(["host", "module-vfio_pci"], 0):
            self.assertEqual(
                "ok 0 vfio-pci",
                self.do("vfio_pci", "load-module", value="vfio_pci"),
            )
        with privileged_case.BY.hold(["host", *self.locked(PF)], 0):
            # Its VFs come and go with it.
            self.assertEqual("ok 0 ", self.do(VF, "unbind"))
        with privileged_case.BY.hold(["host"], 0):
            self.assertIn("isn't held", self.do(VF, "probe"))
        group = self.host.root / f"sys/bus/pci/devices/{VF}/iommu_group"
        with privileged_case.BY.hold(
            ["host", f"group-{group.readlink().name}"], 0
        ):
            self.assertEqual("ok 0 igbvf", self.do(VF, "probe"))

    def test_a_step_that_makes_no_sense_is_not_begun(self) -> None:
        before = self.host.picture()
        with privileged_case.BY.hold(["host", *self.locked(PF)], 0):
            for more in (
                {"deadline": "x"},
                {"deadline": -5.0},
                {"deadline": float("nan")},
                {"deadline": float("inf")},
                {"deadline": 1e9},
                {"deadline": True},
                {"deadline": None},
                {"value": 2},
                {"provider": None},
                {"more": "x"},
                {"value": ["2"]},
                {"value": "2\n"},
                {"value": "65536"},
                {"reason": [PF]},
                {"provider": "../x"},
            ):
                said = self.do(PF, "set-numvfs", **{"value": "2"} | more)
                self.assertTrue(said.startswith("failed 0 "), said)
        wrong: tuple[ty.Any, ...] = ([], "x", None, {}, {"action": "unbind"})
        for step in wrong:
            self.assertEqual("failed", privileged.do_step(step)[0])
        self.assertEqual(before, self.host.picture())

    def test_nothing_is_unbound_that_it_sees_in_use(self) -> None:
        writer = self.host.writer()
        writer.set_numvfs(PF, 1)
        writer.set_override(VF, "vfio-pci")
        writer.unbind(VF)
        writer.probe(VF)
        pid = self.host.hold(VF)
        who = f"process {pid} (qemu-system-x86)"
        self.refused(who, (VF, "unbind", ""), (PF, "set-numvfs", "0"))
        self.refused("it has 1 VFs", (PF, "unbind", ""))
        self.host.let_go(pid)
        with privileged_case.BY.hold(["host", *self.locked(VF)], 0):
            self.assertEqual("ok 0 ", self.do(VF, "unbind"))
            self.assertEqual("ok 0 vfio-pci", self.do(VF, "probe"))

    def test_no_hosts_driver_comes_to_a_group_that_a_guest_has(self) -> None:
        writer = self.host.writer()
        for name in (NIC, OTHER):
            writer.set_override(name, "vfio-pci")
            writer.unbind(name)
        writer.probe(NIC)
        pid = self.host.hold(NIC)
        with privileged_case.BY.hold(["host", *self.locked(OTHER)], 0):
            self.assertEqual("ok 0 ", self.do(OTHER, "set-override"))
            self.assertIn(f"process {pid}", self.do(OTHER, "probe"))
            self.do(OTHER, "set-override", value="vfio-pci")
            self.assertEqual("ok 0 vfio-pci", self.do(OTHER, "probe"))

    def test_no_module_is_loaded_that_no_plan_may_name(self) -> None:
        self.host.add_driver("xe", ["8086:56c0"], loaded=False)
        self.host.add_driver("mlx5_core", ["15b3:1017"], loaded=False)
        self.host._kernel.can_load("dccp")
        self.refused(
            "it is no module for this host's functions",
            *(
                (name, "load-module", name)
                for name in ("dccp", "mlx5_core", "nobodys")
            ),
        )
        for name, driver in (("xe", "xe"), ("igbvf_vfio_pci",) * 2):
            with privileged_case.BY.hold(["host", f"module-{name}"], 0):
                self.assertEqual(
                    f"ok 0 {driver}",
                    self.do(name, "load-module", value=name),
                )

    def test_what_makes_no_sense_for_its_subject_is_refused(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        bridge = "0000:20:00.0"
        self.host.add(bridge, "8086:3420", class_code=0x060400)
        self.refused(
            "it is a bridge",
            (bridge, "unbind", ""),
            (bridge, "set-override", "vfio-pci"),
            (bridge, "probe", ""),
        )
        self.refused(
            "it can have no VFs",
            (VF, "set-numvfs", "1"),
            (VF, "set-autoprobe", "0"),
        )
        self.refused("8 VFs are asked for", (PF, "set-numvfs", "8"))
        self.refused(
            "no driver igbvf_vfio_pci", (VF, "probe", "igbvf_vfio_pci")
        )
        self.refused("no such function", ("0000:99:00.0", "unbind", ""))
        with privileged_case.BY.hold(["host", *self.locked(PF)], 0):
            said = self.do(PF, "set-numvfs", value="0", provider="nvidia")
            self.assertIn("made by sysfs, and not by nvidia", said)

    def test_no_key_leads_out_of_the_folder(self) -> None:
        for key in ("../x", "group-1/../../x", "", "/x", ".", "group-1\n"):
            with testtools.ExpectedException(exception.HostError):
                privileged_case.BY.hold([key], 0).__enter__()
        for keys in ("host", {"host": 1}, [b"host"], ["host", 7], None, 7):
            kind, said, _ = privileged.take_locks(keys, 0, "x")
            self.assertEqual("failed", kind)
            self.assertIn("is no list of keys", said)
        for timeout in (-1, float("nan"), "x"):
            kind, _, _ = privileged.take_locks(["host"], timeout, "x")
            self.assertEqual("failed", kind)
        kind, said, _ = privileged.take_locks(["host"], 0, b"4711 x")
        self.assertEqual(("failed", "b'4711 x' is no text"), (kind, said))

    def test_nothing_is_given_back_twice(self) -> None:
        with privileged_case.BY.hold(["host"], 0):
            privileged.give_locks()

    def test_who_waits_is_told_who_has_it(self) -> None:
        with lock.hold(self.host.root, ["group-1"], 0):
            error = self.assertRaises(
                exception.LockTimeout,
                privileged_case.BY.hold(["group-1"], 0.1).__enter__,
            )
        self.assertIn(f"process {os.getpid()}", error.message)
        kind, _, _ = privileged.take_locks(["host"], 0, "4711 apply\n\x1b[1m")
        self.assertEqual("ok", kind)
        self.addCleanup(privileged.give_locks)
        error = self.assertRaises(
            exception.LockTimeout,
            lock.hold(self.host.root, ["host"], 0).__enter__,
        )
        self.assertIn("process 4711 (apply\\n\\x1b[1m)", error.message)
