# SPDX-License-Identifier: Apache-2.0
"""Locks of a host where files and locks fail."""

import errno
import os
import tempfile
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
