# SPDX-License-Identifier: Apache-2.0
"""The lock within one process; tests/functional has it between processes."""

import pathlib
import threading

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.tracker import lock
from tests import base


class LockTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path

    def other_thread_gets_it(self) -> bool:
        got: list[bool] = []

        def attempt() -> None:
            try:
                with lock.state_lock(self.path, 0.01):
                    got.append(True)
            except exception.LockTimeout as error:
                self.assertIn("this process still holds", str(error))
                got.append(False)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        return got[0]

    def test_nobody_takes_it_twice(self) -> None:
        with lock.state_lock(self.path, 1):
            error = self.assertRaises(
                exception.LockTimeout,
                lock.state_lock(self.path, 0.01).__enter__,
            )
            self.assertIn("this process still holds", str(error))
            self.assertFalse(self.other_thread_gets_it())
        self.assertTrue(self.other_thread_gets_it())

    def test_that_a_thread_waits_for_another_is_logged(self) -> None:
        with (
            lock.state_lock(self.path, 1),
            self.assertLogs(lock.__name__, "INFO") as logged,
        ):
            self.assertFalse(self.other_thread_gets_it())
        self.assertEqual(1, len(logged.output))
        self.assertIn("waiting for the lock", logged.output[0])

    def test_an_error_lets_go_of_it(self) -> None:
        with (
            self.assertRaisesRegex(ValueError, "mine"),
            lock.state_lock(self.path, 1),
        ):
            raise ValueError("mine")
        self.assertTrue(self.other_thread_gets_it())

    def test_it_makes_the_state_path(self) -> None:
        inner = pathlib.Path(self.path, "a", "b")
        with lock.state_lock(inner, 1):
            self.assertEqual(
                ["nova-vfio.lock"], [path.name for path in inner.iterdir()]
            )

    def test_a_state_path_that_is_no_folder_is_an_error(self) -> None:
        file = pathlib.Path(self.path, "file")
        file.touch()
        with (
            self.assertRaisesRegex(exception.StoreError, "can't be written"),
            lock.state_lock(file, 1),
        ):
            pass
