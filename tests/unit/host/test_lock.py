# SPDX-License-Identifier: Apache-2.0
"""Locks of a host where files and locks fail."""

import errno
import os
import pathlib
import stat
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

    def test_no_umask_changes_its_modes(self) -> None:
        folder = pathlib.Path(self.root, lock.FOLDER)
        for umask in (0o777, 0o000):
            before = os.umask(umask)
            self.addCleanup(os.umask, before)
            with lock.hold(self.root, ["host"], 0):
                pass
            os.umask(before)
            for path, mode in (
                (folder.parent, 0o755),
                (folder, 0o755),
                (folder / "host", 0o600),
            ):
                self.assertEqual(mode, path.stat().st_mode & 0o7777)
            (folder / "host").unlink()
            folder.rmdir()
            folder.parent.rmdir()

    def test_what_others_may_write_locks_nobody_out(self) -> None:
        folder = pathlib.Path(self.root, lock.FOLDER)
        with lock.hold(self.root, ["host"], 0):
            pass
        (folder / "host").chmod(0o666)
        self.assertIn("host may be written by others", self.refused())
        folder.chmod(0o777)
        self.assertIn("the folder may be written by others", self.refused())

    def refused(self, name: str = "host") -> str:
        error = self.assertRaises(
            exception.HostError, lock.hold(self.root, [name], 0).__enter__
        )
        return error.message

    def test_no_link_leads_it_out_of_the_root(self) -> None:
        outside = pathlib.Path(tempfile.mkdtemp())
        for name in lock.FOLDER.split("/"):
            place = pathlib.Path(self.root, lock.FOLDER.partition(name)[0])
            place.mkdir(exist_ok=True)
            for to in (outside, os.path.relpath(outside, place)):
                (place / name).symlink_to(to)
                self.assertIn("can't be used", self.refused())
                (place / name).unlink()
        self.assertEqual([], list(outside.iterdir()))

    def test_a_lock_is_a_file_of_its_own(self) -> None:
        folder = pathlib.Path(self.root, lock.FOLDER)
        folder.mkdir(parents=True)
        victim = pathlib.Path(self.root, "victim")
        victim.write_text("precious")
        (folder / "group-1").symlink_to(victim)
        self.assertIn("group-1 is a symbolic link", self.refused("group-1"))
        (folder / "group-2").hardlink_to(victim)
        self.assertIn("group-2 has 2 names", self.refused("group-2"))
        os.mkfifo(folder / "group-3")
        self.assertIn("group-3 is a FIFO", self.refused("group-3"))
        self.assertEqual("precious", victim.read_text())

    def test_a_lock_of_somebody_else_is_none(self) -> None:
        folder = pathlib.Path(self.root, lock.FOLDER)
        folder.mkdir(parents=True)
        (folder / "host").touch()
        fstat = os.fstat

        def anothers(fd: int) -> os.stat_result:
            found = fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return found
            return os.stat_result((*found[:4], 4711, *found[5:]))

        self.useFixture(
            fixtures.MonkeyPatch(f"{lock.__name__}.os.fstat", anothers)
        )
        self.assertIn("host belongs to user 4711", self.refused())

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
