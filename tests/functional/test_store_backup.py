# SPDX-License-Identifier: Apache-2.0
"""What is recorded, copied into a file and taken back, by commands."""

import contextlib
import os
import pathlib
import re
import shutil
import sqlite3
import time
import typing as ty
from unittest import mock

from nova_vfio_variant import shown
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import backup, sqlite
from tests.functional import backup_case, cli_case

ONE, TWO = backup_case.ONE, backup_case.TWO
FILE, DECLARED = backup_case.FILE, backup_case.DECLARED


class BackupTest(backup_case.BackupCase):
    def test_what_was_copied_is_restored_and_the_rest_is_kept(self) -> None:
        self.ok("device", "sync")
        before = self.dump()
        self.assertEqual(f"{FILE}\n", self.ok("store", "backup", FILE).out)
        # Beside Nova's publication it is not all that is to be done.
        self.ok(
            *("device", "cordon", "0000:21:00.0", "--reason", "it is so"),
            status=1,
        )
        done = self.ok("store", "restore", FILE)
        self.assertEqual(before, self.dump())
        (kept,) = self.state.glob("*.before-restore-*")
        self.assertIn(kept.name, done.err)
        # And back again.
        self.ok("store", "restore", str(kept))
        self.assertNotEqual(before, self.dump())

    def test_what_was_given_back_since_is_claimed_again(self) -> None:
        self.ok("store", "backup", FILE)
        self.ok("claim", "delete", ONE)
        for _ in "again", "and again":
            self.ok("store", "restore", FILE)
        (claim,) = self.json("claim", "list")
        self.assertEqual(
            (ONE, "claimed"), (claim["instance_uuid"], claim["status"])
        )
        self.ok("inventory", "report")
        (claim,) = self.json("claim", "list")
        self.assertEqual("prepared", claim["status"])
        self.assertEqual(1, len(self.allocations(ONE)))

    def test_a_copy_is_one_file_of_its_owner(self) -> None:
        os.umask(os.umask(0))
        self.ok("store", "backup", FILE)
        self.assertEqual(
            ["store.backup"],
            [one.name for one in pathlib.Path("kept").iterdir()],
        )
        self.assertEqual(0o600, pathlib.Path(FILE).stat().st_mode & 0o777)
        before = pathlib.Path(FILE).read_bytes()
        self.ok("store", "restore", FILE)
        self.assertEqual(before, pathlib.Path(FILE).read_bytes())

    def test_what_is_asked_for_is_counted_and_not_done(self) -> None:
        self.ok("store", "backup", FILE)
        self.counts(FILE, "--dry-run")
        self.ok("claim", "delete", ONE)
        before = self.recorded()
        found = self.counts(FILE, "--dry-run", status=1)
        self.assertEqual([0, 1], found["claims"])
        self.assertEqual([4, 4], found["devices"])
        self.assert_recorded(before)

    def test_what_is_so_already_is_not_kept_again(self) -> None:
        self.ok("store", "backup", FILE)
        self.ok("store", "restore", FILE)
        before = self.recorded()
        done = self.ok("store", "restore", FILE)
        self.assertNotIn("is kept as", done.err)
        self.assertIn("nothing is changed", done.err)
        self.assert_recorded(before)

    def test_claims_that_the_copy_does_not_know_are_named(self) -> None:
        self.ok("store", "backup", FILE)
        self.claim(TWO)
        for words in ((), ("--dry-run",)):
            said = self.refuses("store", "restore", FILE, *words)
            self.assertIn(TWO, said)
            self.assertNotIn(ONE, said)
        done = self.ok("store", "restore", FILE, "--force")
        self.assertIn(f"the claim of instance {TWO} is forgotten", done.err)
        self.assertEqual({ONE}, self.instances())

    def test_another_host_s_is_refused(self) -> None:
        with mock.patch("socket.gethostname", lambda: "compute-9"):
            self.ok("store", "backup", FILE)
        said = self.refuses("store", "restore", FILE)
        self.assertIn("compute-9", said)
        self.ok("store", "restore", FILE, "--force")

    def test_what_is_known_of_the_world_outside_stays(self) -> None:
        self.ok("store", "backup", FILE)
        with contextlib.closing(sqlite3.connect(self.store)) as link:
            link.execute(
                "INSERT INTO quarantine VALUES (1, '0000:21:10.6', 'hung', '')"
            )
            link.execute(
                "INSERT INTO meta VALUES ('spent', '[\"0000:21:10.4\"]')"
            )
            link.commit()
        self.ok("store", "restore", FILE)
        with contextlib.closing(sqlite3.connect(self.store)) as link:
            self.assertEqual(
                [("hung",)],
                link.execute("SELECT reason FROM quarantine").fetchall(),
            )
            self.assertEqual(
                [('["0000:21:10.4"]',)],
                link.execute(
                    "SELECT value FROM meta WHERE name = 'spent'"
                ).fetchall(),
            )
        self.ok("inventory", "report")
        self.ok("inventory", "diff")

    def test_where_there_is_no_store_it_is_made(self) -> None:
        before = self.dump()
        self.ok("store", "backup", FILE)
        for path in self.state.glob("nova-vfio*"):
            path.unlink()
        self.assertIn(
            "there is no state database",
            self.fails("store", "backup", "kept/other"),
        )
        self.ok("store", "restore", FILE)
        self.assertEqual(before, self.dump())

    def mend(self, said: str) -> list[str]:
        """The command that an error names, with the backup in it."""
        (found,) = re.findall(r"'nova-vfio (store restore .*?)'", said)
        return str(found).replace("FILE", FILE).split()

    def test_a_damaged_store_gives_way_and_is_kept(self) -> None:
        before = self.dump()
        self.ok("store", "backup", FILE)
        whole = self.store.read_bytes()
        self.store.write_bytes(whole[:4096] + b"\xff" * 8192)
        self.assertIn("--force", self.fails("store", "restore", FILE))
        said = self.fails("store", "backup", "kept/other")
        self.assertIn("corrupt", said)
        done = self.ok(*self.mend(said))
        (kept,) = self.state.glob("*.corrupt-*")
        self.assertIn(kept.name, done.err)
        self.assertEqual(before, self.dump())

    def test_rows_that_nobody_of_ours_wrote_are_damage(self) -> None:
        before = self.dump()
        self.ok("store", "backup", FILE)
        self.ok("store", "backup", "kept/bad")
        with contextlib.closing(sqlite3.connect("kept/bad")) as link:
            link.execute("INSERT INTO meta VALUES ('spent', 'x')")
            link.commit()
        said = self.refuses("store", "restore", "kept/bad", "--force")
        self.assertIn("kept/bad is no backup", said)
        with contextlib.closing(sqlite3.connect(self.store)) as link:
            link.execute(
                "UPDATE devices SET address = 'x'"
                " WHERE instance_uuid IS NOT NULL"
            )
            link.commit()
        self.assertIn("--force", self.fails("store", "restore", FILE))
        self.ok("store", "restore", FILE, "--force")
        self.assertEqual(before, self.dump())

    def test_of_a_lost_store_the_log_is_kept(self) -> None:
        self.ok("store", "backup", FILE)
        self.store.unlink()
        log = self.store.with_name(f"{self.store.name}-wal")
        log.write_bytes(b"left")
        log.chmod(0o600)
        self.fails("store", "restore", FILE)
        self.ok(*self.mend(self.fails("device", "list")))
        (kept,) = self.state.glob("*.before-restore-*-wal")
        self.assertEqual(b"left", kept.read_bytes())
        self.assertEqual({ONE}, self.instances())

    def test_what_is_no_backup_is_refused(self) -> None:
        self.ok("store", "backup", FILE)
        whole = pathlib.Path(FILE).read_bytes()
        bad = pathlib.Path("kept/bad")
        with contextlib.closing(sqlite3.connect("kept/foreign")) as link:
            link.execute("CREATE TABLE other (x)")
        for data in (
            b"",
            b"text",
            whole[:100],
            whole[:-4096],
            whole[:4096] + b"\xff" * 8192 + whole[12288:],
            pathlib.Path("kept/foreign").read_bytes(),
        ):
            bad.write_bytes(data)
            said = self.refuses("store", "restore", str(bad), "--force")
            self.assertIn("kept/bad is no backup", said)
        bad.unlink()
        bad.symlink_to("store.backup")
        said = self.refuses("store", "restore", str(bad))
        self.assertIn("symbolic link", said)
        self.refuses("store", "restore", "kept/none")
        self.refuses("store", "restore", str(self.store))
        with contextlib.closing(sqlite3.connect(FILE)) as link:
            link.execute("UPDATE alembic_version SET version_num = '9999'")
            link.commit()
        said = self.refuses("store", "restore", FILE, "--force")
        self.assertIn("newer version", said)

    def test_a_copy_goes_into_no_place_of_the_store_s_own(self) -> None:
        for name in (sqlite.NAME, "host-journal", "placement.sqlite", "new"):
            self.refuses("store", "backup", f"state/{name}")
        pathlib.Path("kept/link").symlink_to(self.store)
        said = self.refuses("store", "backup", "kept/link")
        self.assertIn("symbolic link", said)
        pathlib.Path("kept").chmod(0o777)
        said = self.refuses("store", "backup", FILE)
        self.assertIn("may be written by others", said)

    def test_what_names_no_file_is_told(self) -> None:
        self.ok("store", "backup", FILE)
        for command in (
            ("store", "backup"),
            ("store", "restore"),
            ("host", "snapshot"),
        ):
            for name in (".", "/", "..", "kept", "kept/", "kept/.."):
                self.assertIn("Is a directory", self.refuses(*command, name))
            said = self.refuses(*command, "")
            self.assertIn("'' names no file or folder", said)
        for name in ("/.", "//", "/..", "/kept/"):
            self.configure(
                *DECLARED, tail=f"[database]\nconnection = sqlite://{name}\n"
            )
            said = self.fails("claim", "list")
            self.assertRegex(said, "nova.conf:.*names a folder|Is a directory")

    def test_an_option_that_is_given_nothing_is_refused(self) -> None:
        for option in ("--state-path", "--log-file", "--log-config-append"):
            said = self.refuses(f"{option}=", "claim", "list")
            self.assertIn(f"argument {option}: '' names no file", said)
        said = self.refuses(
            *("guest", "xml", "--instance", ONE, "--output-dir", "")
        )
        self.assertIn("'' names no file or folder", said)

    def test_a_name_may_have_any_bytes(self) -> None:
        for name in ("kept/\udcff", "kept/a\nb", "kept/%41?mode=ro#x"):
            done = self.ok("store", "backup", name)
            self.assertEqual(f"{shown.line(name)}\n", done.out)
            self.ok("claim", "delete", ONE)
            self.ok("store", "restore", name)
            self.assertEqual({ONE}, self.instances())
            # As the state path, too.
            self.options[-1] = f"--state-path={name}.d"
            self.ok("device", "sync")
            self.assertEqual(4, len(self.json("device", "list")))
            self.options[-1] = "--state-path=state"

    def test_a_newer_version_s_store_gives_way(self) -> None:
        self.ok("store", "backup", FILE)
        before = self.dump()
        with contextlib.closing(sqlite3.connect(self.store)) as link:
            link.execute("UPDATE alembic_version SET version_num = '9999'")
            link.commit()
        self.ok("store", "restore", FILE)
        self.assertEqual(before, self.dump())

    def test_another_database_is_for_its_own_tools(self) -> None:
        with pathlib.Path("nova.conf").open("a") as file:
            file.write("[database]\nconnection = @URL@\n")
        text = pathlib.Path("nova.conf").read_text()
        for url, tool in (
            ("postgresql://u:secret@h/d", "pg_dump"),
            ("mysql+pymysql://u:secret@h/d", "mysqldump"),
            ("mariadb+pymysql://u:secret@h/d", "mariadb-dump"),
        ):
            pathlib.Path("nova.conf").write_text(text.replace("@URL@", url))
            for word in ("backup", "restore"):
                said = self.fails("store", word, FILE)
                self.assertIn(tool, said)
                self.assertNotIn("secret", said)
        other = self.folder / "other.sqlite"
        pathlib.Path("nova.conf").write_text(
            text.replace("@URL@", f"sqlite:///{other}")
        )
        self.ok("device", "sync")
        self.ok("store", "backup", FILE)
        self.ok("store", "restore", FILE)


class OpenTest(cli_case.CliTestCase):
    def test_it_is_refused_while_what_is_claimed_is_open(self) -> None:
        fake = fake_host.FakeHost(self.folder / "host")
        fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        fake.add_driver("vfio-pci", ["8086:10ca"], vfio=True)
        fake.add(
            "0000:21:00.0",
            "8086:10c9",
            vfs=1,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        fake.writer().set_numvfs("0000:21:00.0", 1)
        self.enterContext(fake.plugged_in())
        self.configure(*DECLARED)
        pathlib.Path("kept").mkdir(mode=0o700)
        (claim,) = self.json(
            *("claim", "create", "--instance", ONE, "--alias", "nic:1")
        )
        self.ok("store", "backup", FILE)
        (address,) = claim["addresses"]
        pid = fake.hold(address)
        for words in ((), ("--force",), ("--dry-run",)):
            said = self.refuses("store", "restore", FILE, *words)
            self.assertIn(f"is open in process {pid}", said)
        fake.let_go(pid)
        self.ok("store", "restore", FILE)


class KilledTest(backup_case.BackupCase):
    """A restore that is killed, at whatever it writes."""

    def test_the_old_store_or_the_new_one_stands(self) -> None:
        self.ok("store", "backup", FILE)
        self.ok("claim", "delete", ONE)
        old = self.dump()
        shutil.copytree("state", "before")
        self.ok("store", "restore", FILE)
        whole = self.dump()
        outcomes = []
        for at in range(200):
            shutil.rmtree("state")
            shutil.copytree("before", "state")
            ended = self.killed(at)
            found = self.dump()
            self.assertIn(found, (old, whole), str(at))
            outcomes.append(found == whole)
            self.ok("store", "restore", FILE)
            self.assertEqual(whole, self.dump())
            if ended:
                break
        # There is one point from which on it is the new one.
        self.assertTrue(ended)
        self.assertGreater(len(outcomes), 20)
        self.assertEqual(sorted(outcomes), outcomes)

    def killed(self, at: int) -> bool:
        """Kill it before its so-maniest step; whether it came to its end."""
        pid = os.fork()
        if pid == 0:
            left = [at]

            def before(real: ty.Callable[..., ty.Any]) -> ty.Any:
                def call(*args: ty.Any, **more: ty.Any) -> ty.Any:
                    if not left[0]:
                        os._exit(9)
                    left[0] -= 1
                    return real(*args, **more)

                return call

            code = 8
            with contextlib.suppress(BaseException):
                for name in ("rename", "fsync", "open", "unlink", "close"):
                    setattr(os, name, before(getattr(os, name)))
                for name in ("put", "write", "keep_aside"):
                    setattr(backup, name, before(getattr(backup, name)))
                # Looked at between two pages.
                backup.PAGES = 1
                time.monotonic = before(time.monotonic)
                code = self.run_cli("store", "restore", FILE).status
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self.assertIn(code, (0, 9))
        return code == 0
