# SPDX-License-Identifier: Apache-2.0
"""What is no file, or has no end, is refused at once."""

import os
import pathlib
import socket
import tempfile
import threading

from nova_vfio_variant import exception, input_file
from nova_vfio_variant.conf import loader
from nova_vfio_variant.host.tree import opening
from tests import base

_MOST = 1 << 20


class InputFileTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(tempfile.mkdtemp(), "it.conf")

    def refused(self, *said: str) -> None:
        """Nobody reads it, whatever it was named for."""
        error = self.assertRaises(OSError, input_file.read, self.path, _MOST)
        configuration = self.assertRaises(
            exception.ConfigError, loader.load, [self.path]
        )
        drop_in = self.assertRaises(
            exception.ConfigError,
            loader.load,
            [],
            [os.path.dirname(self.path)],
        )
        for text in (
            error.strerror or "",
            str(configuration.findings[0]),
            str(drop_in.findings[0]),
        ):
            for words in said:
                self.assertIn(words, text)

    def test_a_regular_file_is_read_whole(self) -> None:
        data = b"x" * _MOST
        pathlib.Path(self.path).write_bytes(data)
        self.assertEqual(data, input_file.read(self.path, _MOST))

    def test_a_file_that_says_no_size_is_read_whole(self) -> None:
        self.assertIn(b"Name:", input_file.read("/proc/self/status", _MOST))

    def test_a_byte_too_many_is_refused(self) -> None:
        pathlib.Path(self.path).write_bytes(b"x" * (_MOST + 1))
        error = self.assertRaises(OSError, input_file.read, self.path, _MOST)
        self.assertEqual("it is larger than 1 MiB, the limit", error.strerror)

    def test_a_fifo_is_refused_whoever_writes_to_it(self) -> None:
        os.mkfifo(self.path)
        self.refused("it is a FIFO or pipe, not a regular file")
        other = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, other)
        os.write(other, b"[pci]\n")
        self.refused("it is a FIFO or pipe, not a regular file")

    def test_a_socket_is_refused(self) -> None:
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(self.path)
        self.refused("it is a socket")

    def test_devices_are_refused(self) -> None:
        for device in ("/dev/zero", "/dev/full", "/dev/null", "/dev/random"):
            os.symlink(device, self.path)
            self.refused("it is a device")
            os.remove(self.path)

    def test_a_directory_is_refused(self) -> None:
        os.mkdir(self.path)
        self.refused("Is a directory")

    def test_a_link_that_goes_round_is_refused(self) -> None:
        os.symlink(self.path, self.path)
        self.refused("symbolic links")

    def test_a_file_full_of_holes_is_refused(self) -> None:
        with open(self.path, "wb") as file:
            file.truncate(1 << 40)
        self.refused("it is larger than")

    def test_a_recording_is_a_regular_file_with_a_limit(self) -> None:
        os.mkfifo(self.path)
        for path, said in (
            (self.path, "a FIFO"),
            ("/dev/zero", "a device"),
        ):
            error = self.assertRaises(
                exception.HostError, opening.open_tree, path
            )
            self.assertIn(said, error.message)
        os.remove(self.path)
        with open(self.path, "wb") as file:
            file.truncate(1 << 40)
        error = self.assertRaises(
            exception.HostError, opening.open_tree, self.path
        )
        self.assertIn("it is larger than 64 MiB", error.message)

    def test_what_takes_the_place_of_a_file_meanwhile_holds_nobody_up(
        self,
    ) -> None:
        """It may be a file when it is looked at, and a FIFO when opened."""
        pathlib.Path(self.path).touch()
        stop = threading.Event()

        def exchange() -> None:
            while not stop.is_set():
                for make in (os.mkfifo, lambda path: open(path, "x").close()):
                    make(f"{self.path}.new")
                    os.replace(f"{self.path}.new", self.path)

        thread = threading.Thread(target=exchange)
        thread.start()
        try:
            for _ in range(2000):
                try:
                    self.assertEqual(b"", input_file.read(self.path, _MOST))
                except OSError as error:
                    self.assertIn("a FIFO", str(error))
        finally:
            stop.set()
            thread.join()
