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
from tests.functional import backup_case

#: Bytes that are free: each page where the first ones count, then further
#: apart. A new database has about 100 KiB, Placement's 200 KiB.
FILE, ONE = backup_case.FILE, backup_case.ONE
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


class FullStateTest(backup_case.BackupCase):
    """A state path on a disk that is full now, after a claim."""

    def setUp(self) -> None:
        super().setUp()
        self.configure(
            *backup_case.DECLARED, tail="[vfio]\nplacement = none\n"
        )
        self.ok("claim", "delete", ONE)
        for path in self.state.iterdir():
            path.unlink()
        subprocess.run(
            [
                "mount",
                "-t",
                "tmpfs",
                "-o",
                "size=2m,mode=700",
                "none",
                "state",
            ],
            check=True,
        )
        self.addCleanup(subprocess.check_call, ["umount", "-l", self.state])
        self.claim(ONE)

    def fill(self) -> None:
        stats = os.statvfs(self.state)
        with (self.state / "ballast").open("wb") as file:
            os.posix_fallocate(
                file.fileno(), 0, stats.f_bavail * stats.f_bsize
            )

    def files(self) -> set[str]:
        """All but the index of a log, which says nothing without it."""
        return {path.name for path in self.state.iterdir()} - {
            f"{sqlite.NAME}-shm"
        }

    def test_what_is_recorded_is_shown_and_copied_elsewhere(self) -> None:
        commands = (
            ("claim", "list"),
            ("claim", "show", ONE),
            ("device", "list"),
            ("guest", "xml", "--instance", ONE),
            ("explain", ONE),
            ("store", "restore", FILE, "--dry-run"),
        )
        self.ok("store", "backup", FILE)
        before = [self.run_cli(*words) for words in commands]
        self.fill()
        files = self.files()
        for done in before:
            again = self.run_cli(*done.words)
            self.assertEqual(str(done), str(again))
        self.ok("store", "backup", "kept/now")
        self.assertEqual(files, self.files())
        self.assertEqual(
            self.dump(pathlib.Path(FILE)),
            self.dump(pathlib.Path("kept/now")),
        )
        said = self.fails("claim", "delete", ONE)
        self.assertIn("is full", said)
        # Somebody makes room with what was copied.
        (self.state / "ballast").unlink()
        self.ok("claim", "delete", ONE)
        self.ok("store", "restore", "kept/now")
        self.assertEqual({ONE}, self.instances())

    def test_what_a_killed_one_left_in_the_log_is_shown(self) -> None:
        with contextlib.closing(sqlite3.connect(self.store)) as link:
            link.execute("PRAGMA journal_mode = WAL")
            link.execute("UPDATE devices SET alias_name = 'left in the log'")
            link.commit()
            log = self.store.with_name(f"{self.store.name}-wal")
            pathlib.Path("kept/db").write_bytes(self.store.read_bytes())
            pathlib.Path("kept/log").write_bytes(log.read_bytes())
        for kept, path in ("kept/db", self.store), ("kept/log", log):
            path.write_bytes(pathlib.Path(kept).read_bytes())
            path.chmod(0o600)
        self.fill()
        (claim,) = self.json("claim", "list")
        self.assertIn("left in the log", str(claim))
        self.ok("store", "backup", "kept/now")

    def test_beside_one_who_has_it_open_it_is_read(self) -> None:
        with store.Store.open(self.state) as writer:
            writer.set_meta("what", "x")
            self.fill()
            self.assertEqual({ONE}, self.instances())
            self.ok("store", "backup", "kept/now")

    def test_of_a_restore_nothing_is_left_and_nothing_lost(self) -> None:
        self.ok("store", "backup", FILE)
        self.ok("claim", "delete", ONE)
        before = self.dump()
        for free in range(0, 512 << 10, 64 << 10):
            with self.subTest(free):
                self.fill()
                ballast = self.state / "ballast"
                os.truncate(ballast, ballast.stat().st_size - free)
                files = self.files()
                done = self.run_cli("store", "restore", FILE)
                ballast.unlink()
                if done.status:
                    self.assertIn("is full", done.err)
                    self.assertEqual(before, self.dump())
                    self.assertEqual(files, self.files() | {"ballast"})
                else:
                    self.assertEqual({ONE}, self.instances())
                    self.ok("claim", "delete", ONE)
                for path in self.state.glob("*.before-restore-*"):
                    path.unlink()
