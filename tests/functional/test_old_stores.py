# SPDX-License-Identifier: Apache-2.0
"""The state path of each earlier version, through every command.

``old_stores`` has them, as the code of their time left them.
"""

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import tempfile
import typing as ty

import fixtures
import sqlalchemy as sa

from nova_vfio_variant.cli import main, status
from nova_vfio_variant.tracker import models, schema, sqlite
from tests import base, sample_hosts
from tests.functional import cli_case
from tests.functional.old_stores import commands, make, stores

HUNG = "0000:21:10.2"
HAS = {"0000:21:10.4", "0000:21:10.6"}
SYNC = ("device", "sync")
OLD = "made by an older version of this program"
MEND = "'nova-vfio device sync', or any command that writes, upgrades it"


class OldStoreTestCase(cli_case.CliTestCase):
    """A host that an older version prepared, tracked and claimed."""

    def setUp(self) -> None:
        super().setUp()
        host = sample_hosts.with_igb(self.folder / "host")
        host.add_mdev_parent("mdpy", {"mdpy-hd": 1}, 4)
        self.enterContext(host.plugged_in())
        shutil.copy(stores.HERE / models.HEAD / "nova.conf", "nova.conf")
        self.useFixture(fixtures.EnvironmentVariable("vmId", cli_case.THREE))
        pathlib.Path("cards.json").write_text("[]")
        pathlib.Path("alive").write_text(f"{cli_case.ONE}\n")
        pathlib.Path("first").mkdir(mode=0o700)
        stores.load(pathlib.Path("first/old.sqlite"), stores.OLDER[0])
        # What that version did to the host.
        self.ok("--state-path=other", "host", "apply")
        self.store = self.state / sqlite.NAME

    def put(self, version: str) -> None:
        """Let the state path be as that version left it."""
        self.state.mkdir(exist_ok=True, mode=0o700)
        for file in self.state.glob("nova-vfio.sqlite*"):
            file.unlink()
        journal = self.state / "host-journal"
        shutil.copyfile(stores.HERE / version / "host-journal", journal)
        stores.load(self.store, version)
        for file in (journal, self.store):
            file.chmod(0o600)

    def assert_held(self, version: str) -> None:
        """It is this version's, and who had what has it."""
        self.assertEqual(models.HEAD, version_of(self.store), version)
        (claim,) = [
            claim
            for claim in self.json("claim", "list")
            if claim["instance_uuid"] == cli_case.ONE
        ]
        self.assertEqual(HAS, set(claim["addresses"]))


def dump(path: pathlib.Path) -> list[str]:
    """All that a store holds."""
    with contextlib.closing(sqlite3.connect(path)) as link:
        return sorted(link.iterdump())


def version_of(path: pathlib.Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as link:
        ((found,),) = link.execute("SELECT version_num FROM alembic_version")
    return str(found)


class EveryCommandTest(OldStoreTestCase):
    def test_each_command_is_tried(self) -> None:
        self.assertEqual(
            set(main.COMMANDS),
            {
                *commands.WRITE,
                *commands.ASK,
                *commands.TELL,
                *commands.LEAVE,
                *commands.OF_A_CLOUD,
            },
        )

    def test_each_version_of_the_schema_is_kept(self) -> None:
        versions = (schema.MIGRATIONS / "versions").glob("0*.py")
        self.assertEqual(
            {path.name.partition("_")[0] for path in versions},
            set(make.COMMITS),
        )

    def test_each_that_writes_upgrades_it(self) -> None:
        for version in make.COMMITS:
            for name, (words, wanted) in commands.WRITE.items():
                self.put(version)
                done = self.ok(*name.split(), *words, status=wanted)
                self.assertNotIn(OLD, done.err)
                if name not in ("claim delete", "claim release"):
                    self.assert_held(version)
            # What it did to the host.
            self.ok("host", "apply")

    def test_a_release_that_waits_upgrades_it(self) -> None:
        for version in stores.OLDER:
            self.put(version)
            self.ok("claim", "delete", cli_case.ONE, "--wait", "1")
            self.assertEqual(models.HEAD, version_of(self.store))
            self.assertEqual([], self.json("claim", "list"))

    def test_what_waited_for_the_release_takes_effect(self) -> None:
        for version in make.COMMITS:
            self.put(version)
            self.ok("claim", "delete", cli_case.ONE)
            self.assertEqual(
                {None},
                {row["pending"] for row in self.json("device", "list")},
            )
            self.ok(*SYNC)
            self.assertIn("4", self.ok(*SYNC, "-c", "unchanged").out)

    def test_each_that_asks_says_what_to_run_and_that_works(self) -> None:
        for version in stores.OLDER:
            for name, words in commands.ASK.items():
                self.put(version)
                before = dump(self.store)
                said = self.fails(*name.split(), *words)
                self.assertIn(f"has version {version}, {OLD}", said)
                self.assertIn(MEND, said)
                self.assertEqual(before, dump(self.store))
            for name, words in commands.TELL.items():
                done = self.run_cli(*name.split(), *words)
                self.assertLess(done.status, 2, str(done))
                self.assertIn(MEND, done.err)
                self.assertEqual(before, dump(self.store))
            for name, words in commands.LEAVE.items():
                done = self.run_cli(*name.split(), *words)
                self.assertLess(done.status, 2, str(done))
                self.assertNotIn(OLD, done.err)
                self.assertEqual(before, dump(self.store))
            self.ok(*SYNC)
            self.assert_held(version)
            for name, words in {**commands.ASK, **commands.TELL}.items():
                done = self.run_cli(*name.split(), *words)
                self.assertLess(done.status, 2, str(done))

    def test_a_dry_run_says_what_to_run(self) -> None:
        for version in stores.OLDER:
            self.put(version)
            before = dump(self.store)
            for words in (SYNC, ("inventory", "report")):
                self.assertIn(MEND, self.fails(*words, "--dry-run"))
            self.assertEqual(before, dump(self.store))

    def test_an_error_of_the_configuration_comes_first(self) -> None:
        self.put(stores.OLDER[0])
        before = dump(self.store)
        with pathlib.Path("nova.conf").open("a") as file:
            file.write('[pci]\ndevice_spec = { "vendor": "8086" }\n')
        for name in ("device sync", "claim create", "inventory report"):
            said = self.fails(*name.split(), *commands.WRITE[name][0])
            self.assertIn("nothing was changed", said)
            self.assertEqual(before, dump(self.store))

    def test_another_file_that_the_connection_names(self) -> None:
        there = self.folder / "there.sqlite"
        with pathlib.Path("nova.conf").open("a") as file:
            file.write(f"[database]\nconnection = sqlite:///{there}\n")
        for version in stores.OLDER:
            there.unlink(missing_ok=True)
            stores.load(there, version)
            self.assertIn(MEND, self.fails("claim", "list"))
            self.ok(*SYNC)
            self.assertEqual(models.HEAD, version_of(there))
            (claim,) = self.json("claim", "list")
            self.assertEqual(HAS, set(claim["addresses"]))

    def test_what_hung_in_this_boot_stays_refused(self) -> None:
        for version in make.COMMITS:
            self.put(version)
            self.ok(*SYNC)
            # In which boot it was the first version didn't know.
            known = version != "0001"
            (row,) = [
                row
                for row in self.json("host", "list")
                if row["address"] == HUNG
            ]
            self.assertEqual(
                "blocked" if known else "ready", row["assignable"]
            )

    def test_the_journal_of_old_takes_the_host_back(self) -> None:
        for version in make.COMMITS:
            self.ok("host", "apply")
            self.put(version)
            self.ok("claim", "delete", cli_case.ONE)
            self.ok("host", "restore", status=int(version != "0001") * 2)


class ReportsTest(OldStoreTestCase):
    def test_what_was_reported_is_about_what_is_tracked_there(self) -> None:
        self.put("0004")
        with contextlib.closing(sqlite3.connect(self.store)) as link:
            link.executemany(
                "INSERT INTO vgpu_reports VALUES (?, 'a', NULL, 0, '')",
                [(commands.FREE,), ("0000:99:00.0",)],
            )
            link.commit()
        self.ok(*SYNC)
        with contextlib.closing(sqlite3.connect(self.store)) as link:
            found = dict(
                link.execute("SELECT address, identity FROM vgpu_reports")
            )
            (expected,) = link.execute(
                "SELECT identity FROM devices WHERE address = ?",
                (commands.FREE,),
            ).fetchone()
        self.assertIn('"vf_index"', expected)
        self.assertEqual(
            {commands.FREE: expected, "0000:99:00.0": None}, found
        )
        rows = self.json("vgpu", "health")
        self.assertEqual(
            {commands.FREE: "suspect", "0000:99:00.0": "suspect"},
            {row["address"]: row["health"] for row in rows},
        )


class UpgradeCheckTest(OldStoreTestCase):
    def test_an_older_store_is_a_warning_and_no_failure(self) -> None:
        for version in stores.OLDER:
            self.put(version)
            before = dump(self.store)
            with (
                contextlib.redirect_stdout(
                    (self.folder / "out").open("w")
                ) as out,
                out,
            ):
                code = status.main(
                    [*self.options, "upgrade", "check", "--json"]
                )
            found = json.loads((self.folder / "out").read_text())["checks"]
            by_name = {check["check"]: check for check in found}
            self.assertEqual(1, code, str(by_name))
            self.assertIn(MEND, by_name["State database"]["details"])
            self.assertEqual(0, by_name["Placement"]["result"])
            self.assertEqual(before, dump(self.store))


class KilledTest(base.TestCase):
    """A process that ends between any two statements of an upgrade."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(
            self.enterContext(
                tempfile.TemporaryDirectory(dir=sample_hosts.MEMORY)
            )
        )
        self.file = self.folder / sqlite.NAME

    def test_an_upgrade_is_done_whole_or_not_at_all(self) -> None:
        # The first version has the way of all before it.
        whole = self.upgraded(stores.OLDER[0], self.engine)
        for number in range(1, whole.statements + 1):
            before = self.begin(stores.OLDER[0])
            self.killed(self.engine, number)
            self.assertEqual(before, dump(self.file), str(number))
            schema._upgrade(self.engine())
            self.assertEqual(whole.dump, dump(self.file), str(number))

    def test_where_each_table_ends_a_transaction_it_goes_on(self) -> None:
        whole = self.upgraded(None, self.without_transactions)
        for number in range(1, whole.statements + 1):
            self.begin(None)
            self.killed(self.without_transactions, number)
            schema._version(self.without_transactions(), "it")
            schema._upgrade(self.without_transactions())
            self.assertEqual(whole.dump, dump(self.file), str(number))

    def begin(self, version: str | None) -> list[str]:
        self.file.unlink(missing_ok=True)
        if version is None:
            self.file.touch()
        else:
            stores.load(self.file, version)
        return dump(self.file)

    class Whole(ty.NamedTuple):
        """An upgrade that nobody killed."""

        statements: int
        dump: list[str]

    def upgraded(
        self, version: str | None, make_engine: ty.Callable[[], sa.Engine]
    ) -> Whole:
        self.begin(version)
        engine = make_engine()
        seen: list[str] = []

        @sa.event.listens_for(engine, "before_cursor_execute")
        def count(
            _link: object, _cursor: object, text: str, *_: object
        ) -> None:
            seen.append(text)

        schema._upgrade(engine)
        engine.dispose()
        self.assertGreater(len(seen), 3)
        return self.Whole(len(seen), dump(self.file))

    def killed(
        self, make_engine: ty.Callable[[], sa.Engine], number: int
    ) -> None:
        """In a process that ends before its n-th statement."""
        child = os.fork()
        if not child:
            try:
                engine = make_engine()
                left = [number]

                @sa.event.listens_for(engine, "before_cursor_execute")
                def die(*_: object) -> None:
                    left[0] -= 1
                    if not left[0]:
                        os._exit(9)

                schema._upgrade(engine)
            finally:
                os._exit(1)
        _, ended = os.waitpid(child, 0)
        self.assertEqual(9, os.waitstatus_to_exitcode(ended))

    def engine(self) -> sa.Engine:
        return schema._sqlite(self.file, None, read_only=False)

    def without_transactions(self) -> sa.Engine:
        """As MySQL: what changes a table can't be taken back."""
        return sa.create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(self.file, isolation_level=None),
        )
