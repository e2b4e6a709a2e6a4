# SPDX-License-Identifier: Apache-2.0
"""What runs with privileges: in a daemon of its own with few capabilities.

The daemon is forked off by a process that is root, as the tests are; it has
dropped all capabilities but those that are named.
"""

import fcntl
import os
import pathlib
import subprocess
import sys

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host import lock, privileged
from tests import base

_PROGRAM = """
import logging, os, subprocess, sys
from oslo_privsep import priv_context
from nova_vfio_variant.host import helper, lock, plan, privileged, tree
from nova_vfio_variant.host.use import processes

logging.disable(logging.CRITICAL)
folder = sys.argv[1]
privileged.context.start(priv_context.Method.FORK)
other = subprocess.Popen(
    [sys.executable, "-c", "import os, time; os.setuid(65534);"
     "open('/dev/null'); print(flush=True); time.sleep(60)"],
    stdout=subprocess.PIPE)
other.stdout.readline()
opened = privileged.open_files()
# What root itself may not look into (a container's first process) aside.
mine = processes.look(tree.HostTree.open("/"))
print("unreadable", set(opened.unreadable) - set(mine.unreadable))
other.kill()
with lock.hold(folder, ["group-1"], 0) as keep:
    for step in (
        plan.Step("0000:ff:1f.7", "unbind", "", "x", "test"),
        plan.Step("0000:ff:1f.7/../../x", "unbind", "", "x", "test"),
        plan.Step("0000:ff:1f.7", "set-override", "a/b", "", "test"),
        plan.Step("0000:ff:1f.7", "format", "", "", "test"),
    ):
        try:
            print(privileged.perform(step, keep))
        except Exception as error:
            print(type(error).__name__, error)
paths = [folder + "/host-locks/group-1"]
print(privileged.do_step(
    {"subject": "0000:ff:1f.7", "action": "probe", "value": "", "prior": "",
     "reason": "", "deadline": 5.0, "provider": "sysfs"}, paths, os.getpid()))
"""


class DaemonTest(base.TestCase):
    def test_it_works_with_the_capabilities_that_it_keeps(self) -> None:
        """Only root can give them; others are told so."""
        if os.geteuid():
            self.refused()
        else:
            self.works()

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
        self.assertIn("FileNotFoundError", lines[1])
        self.assertIn("is no PCI address", lines[2])
        self.assertIn("is no name of a driver or module", lines[3])
        self.assertIn("is no action", lines[4])
        # Whoever asked has ended, or lost the group.
        self.assertIn("no longer holds the lock", lines[5])


class AdoptTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = str(self.folder / lock.FOLDER / "group-1")

    def test_a_helper_of_another_process_keeps_the_group(self) -> None:
        with (
            lock.hold(self.folder, ["group-1"], 0),
            lock.adopt([self.path], os.getpid()) as held,
        ):
            left = os.dup(held[0])
        self.addCleanup(os.close, left)
        self.assertRaises(
            exception.LockTimeout,
            lock.hold(self.folder, ["group-1"], 0.1).__enter__,
        )
        fcntl.flock(left, fcntl.LOCK_UN)
        with lock.hold(self.folder, ["group-1"], 0.1):
            pass

    def test_who_lost_the_group_is_not_helped(self) -> None:
        with lock.hold(self.folder, ["group-1"], 0):
            pass
        for owner in (os.getpid(), 1):
            self.assertRaises(
                exception.HostStepFailed,
                lock.adopt([self.path], owner).__enter__,
            )

    def test_who_has_not_the_group_is_not_helped(self) -> None:
        with lock.hold(self.folder, ["group-1"], 0):
            self.assertRaises(
                exception.HostStepFailed,
                lock.adopt([self.path], os.getpid() + 1).__enter__,
            )
