# SPDX-License-Identifier: Apache-2.0
"""Locks of a host where files and locks fail."""

import errno
import os
import pathlib
import tempfile
import threading
import time
import typing as ty

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import lock
from tests import base


class LockTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = tempfile.mkdtemp()

    def failing(self, name: str, number: int) -> None:
        """Let a system call fail that the locks make."""

        def fail(*_args: object) -> ty.NoReturn:
            raise OSError(number, os.strerror(number))

        self.useFixture(fixtures.MonkeyPatch(f"{lock.__name__}.{name}", fail))

    def test_who_has_it_need_not_be_written_down(self) -> None:
        self.failing("os.pwrite", errno.ENOSPC)
        with lock.hold(self.root, ["group-1"], 0):
            error = self.assertRaises(
                exception.LockTimeout,
                lock.hold(self.root, ["group-1"], 0).__enter__,
            )
        self.assertIn("another process", error.message)

    def test_everybody_may_look_into_its_folder(self) -> None:
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        with lock.hold(self.root, ["host"], 0):
            folder = pathlib.Path(self.root, lock.FOLDER)
            self.assertEqual(0o755, folder.stat().st_mode & 0o777)
            self.assertEqual(0o600, (folder / "host").stat().st_mode & 0o777)

    def test_a_lock_that_the_kernel_does_not_give(self) -> None:
        self.failing("fcntl.flock", errno.ENOLCK)
        error = self.assertRaises(
            exception.HostError, lock.hold(self.root, ["host"], 0).__enter__
        )
        self.assertIn("run/nova-vfio/host can't be taken: No", error.message)

    def test_it_may_be_taken_for_somebody_else(self) -> None:
        with lock.hold(self.root, ["host"], 0, "4711 nova-vfio host apply"):
            error = self.assertRaises(
                exception.LockTimeout,
                lock.hold(self.root, ["host"], 0).__enter__,
            )
        self.assertIn("process 4711 (nova-vfio host apply)", error.message)

    def test_one_that_was_removed_while_we_waited_locks_nobody_out(
        self,
    ) -> None:
        path = pathlib.Path(self.root, lock.FOLDER, "host")
        begun, ended = threading.Event(), threading.Event()

        def wait() -> None:
            begun.set()
            with lock.hold(self.root, ["host"], 30) as (fd,):
                self.assertTrue(
                    os.path.samestat(os.fstat(fd), path.stat()),
                    "what is locked is not what others find",
                )
            ended.set()

        waiter = threading.Thread(target=wait)
        with lock.hold(self.root, ["host"], 0):
            waiter.start()
            begun.wait()
            # By then it has opened the file that goes.
            time.sleep(0.2)
            path.unlink()
        waiter.join()
        self.assertTrue(ended.is_set())
