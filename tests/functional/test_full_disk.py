# SPDX-License-Identifier: Apache-2.0
"""What is made on a disk that is full, or nearly so."""

import contextlib
import os
import pathlib
import sqlite3
import subprocess
import tempfile
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import embedded
from nova_vfio_variant.testing import placement as fixture
from nova_vfio_variant.tracker import sqlite, store
from tests import base

#: Bytes that are free: each page where the first ones count, then further
#: apart. A new database has about 100 KiB, Placement's 200 KiB.
_PAGE = 4096
SIZES = (
    *range(0, 96 * 1024, _PAGE),
    *range(96 * 1024, 512 * 1024, 8 * _PAGE),
    *range(512 * 1024, 2048 * 1024 + 1, 64 * _PAGE),
)


class FullDiskTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(tempfile.mkdtemp())
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "none", self.path],
            check=True,
        )
        self.addCleanup(subprocess.check_call, ["umount", "-l", self.path])

    @contextlib.contextmanager
    def only(self, free: int) -> ty.Iterator[pathlib.Path]:
        """A state path on a disk with so many bytes left."""
        state = self.path / "state"
        state.mkdir()
        state.chmod(0o700)
        ballast = self.path / "ballast"
        with ballast.open("wb") as file:
            stats = os.statvfs(self.path)
            os.posix_fallocate(
                file.fileno(), 0, stats.f_bavail * stats.f_bsize - free
            )
        self.assertEqual(free, os.statvfs(self.path).f_bavail * _PAGE)
        yield state
        ballast.unlink()
        for path in state.iterdir():
            path.unlink()
        state.rmdir()

    def assert_told(
        self, error: exception.VfioVariantError, state: pathlib.Path
    ) -> None:
        """It says what is full, and what to do."""
        self.assertIn(str(state), error.message)
        self.assertRegex(error.message, "is full|No space left on device")
        self.assertIn("--state-path DIR", error.hint or "")

    def test_who_can_not_write_is_told_what_is_full(self) -> None:
        written = 0
        for free in SIZES[:24:3]:
            with self.subTest(free), self.only(1 << 20) as state:
                store.Store.open(state).close()
                with (self.path / "more").open("wb") as file:
                    stats = os.statvfs(self.path)
                    left = stats.f_bavail * stats.f_bsize - free
                    os.posix_fallocate(file.fileno(), 0, left)
                try:
                    with store.Store.open(state) as opened:
                        opened.set_meta("what", "x" * 100_000)
                    written += 1
                except exception.StoreError as error:
                    self.assertNotIsInstance(
                        error, exception.StoreCorruptError
                    )
                    self.assert_told(error, state)
                (self.path / "more").unlink()
        self.assertEqual(0, written)

    def test_a_store_is_whole_or_not_there(self) -> None:
        made = 0
        for free in SIZES:
            with self.subTest(free), self.only(free) as state:
                file = state / sqlite.NAME
                try:
                    store.Store.open(state).close()
                except exception.StoreError as error:
                    self.assertNotIsInstance(
                        error, exception.StoreCorruptError
                    )
                    self.assertNotIn("backup", str(error))
                    self.assert_told(error, state)
                self.assertEqual(
                    [file.name] * file.exists(),
                    [path.name for path in state.iterdir()],
                )
                if file.exists():
                    made += 1
                    # Somebody makes room.
                    (self.path / "ballast").unlink()
                    (self.path / "ballast").touch()
                    with store.Store.open(state) as opened:
                        self.assertEqual(0, len(opened.devices()))
        self.assertGreater(made, 10)
        self.assertLess(made, len(SIZES))

    def test_an_embedded_placement_is_whole_or_not_there(self) -> None:
        # Imported once, for all the processes that are to come.
        with fixture.EmbeddedPlacement() as running:
            running.client.find("host")
        made = 0
        sizes = SIZES[::5]
        for free in sizes:
            with self.subTest(free), self.only(free) as state:
                file = embedded.database(state)
                # A process has one for as long as it lives.
                child = os.fork()
                if not child:
                    ended = 1
                    try:
                        running = fixture.EmbeddedPlacement(str(state))
                        running.setUp()
                        try:
                            running.client.find("host")
                        except exception.PlacementError as error:
                            if not file.exists():
                                self.assert_told(error, state)
                        ended = 0
                    finally:
                        os._exit(ended)
                self.assertEqual((child, 0), os.waitpid(child, 0))
                if file.exists():
                    made += 1
                    with contextlib.closing(sqlite3.connect(file)) as link:
                        ((verdict,),) = link.execute("PRAGMA quick_check")
                        self.assertEqual("ok", verdict)
                        ((version,),) = link.execute(
                            "SELECT version_num FROM alembic_version"
                        )
                        self.assertTrue(version)
        self.assertGreater(made, 0)
        self.assertLess(made, len(sizes))
