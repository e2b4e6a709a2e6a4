# SPDX-License-Identifier: Apache-2.0
"""The store on real SQLite files, sound and damaged."""

import dataclasses
import os
import pathlib
import shutil
import sqlite3
import typing as ty

import fixtures
import sqlalchemy as sa
from alembic import autogenerate, migration

from nova_vfio_variant import exception
from nova_vfio_variant.pci.alias import PciRequest
from nova_vfio_variant.pci.function import Identity
from nova_vfio_variant.testing import hosts
from nova_vfio_variant.tracker import allowance, models, schema, sqlite, sync
from nova_vfio_variant.tracker.device import Device, Devices, number
from nova_vfio_variant.tracker.store import Store
from tests import base
from tests.unit.tracker import samples

ONE, TWO = samples.ONE, samples.TWO
IDENTITY = '{"vendor_id": "8086", "product_id": "10ca"}'
HOST = hosts.make_functions(2, 5)
NIC = PciRequest("nic", 1, (), "legacy")
GPU = PciRequest("gpu", 1, (), "legacy")


def wanted(host: ty.Any = HOST, **entry: ty.Any) -> Devices:
    return sync.desired([samples.spec(product_id="10ca", **entry)], host)


def _tables(engine: sa.Engine) -> dict[str, object]:
    """All tables of a database, and what stands in them."""
    seen = sa.inspect(engine)
    with engine.connect() as link:
        return {
            name: (
                [str(one) for one in seen.get_columns(name)],
                seen.get_pk_constraint(name),
                sorted(seen.get_foreign_keys(name), key=str),
                sorted(seen.get_unique_constraints(name), key=str),
                sorted(seen.get_check_constraints(name), key=str),
                sorted(seen.get_indexes(name), key=str),
                link.execute(sa.text(f'SELECT * FROM "{name}"')).all(),
            )
            for name in seen.get_table_names()
        }


class StoreTestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = self.path / sqlite.NAME

    def open(self, **how: ty.Any) -> Store:
        store = Store.open(self.path, **how)
        self.addCleanup(store.close)
        return store

    def synced(self, devices: Devices | None = None) -> Store:
        store = self.open()
        devices = wanted() if devices is None else devices
        store.apply(sync.decide(store.recorded(), devices))
        return store

    def listing(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


class RecordingTest(StoreTestCase):
    def test_what_was_synced_is_read_back_by_another_process(self) -> None:
        self.synced(
            wanted(
                traits=["b", "a"],
                physical_network="näme",
                managed=False,
                resource_class="x",
            )
        ).close()
        self.assertEqual([sqlite.NAME], self.listing())
        self.assertEqual(
            list(
                wanted(
                    traits=["b", "a"],
                    physical_network="näme",
                    managed=False,
                    resource_class="x",
                )
            ),
            list(self.open().devices()),
        )

    def test_a_sync_without_change_writes_nothing(self) -> None:
        store = self.synced()
        before = store.recorded().generation
        plan = sync.decide(store.recorded(), wanted())
        store.apply(plan)
        self.assertEqual(10, len(plan.unchanged))
        self.assertEqual(before, store.recorded().generation)

    def test_domains_beyond_16_bits_keep_their_place(self) -> None:
        far = samples.vf("10000:00:00.1", "10000:00:00.0")
        store = self.synced(sync.marked([far, *wanted()]))
        self.assertEqual(far, store.devices()[-1])
        store.claim(ONE, [(NIC, [far])])
        self.assertEqual((far.address,), store.claims()[0].addresses)

    def test_a_plan_that_was_overtaken_is_refused(self) -> None:
        store = self.synced()
        plan = sync.decide(store.recorded(), wanted(managed=False))
        store.claim(ONE, [(NIC, store.devices()[:1])])
        error = self.assertRaises(exception.StoreError, store.apply, plan)
        self.assertIn("changed while a sync was decided", str(error))
        self.assertEqual(
            {"true"},
            {device.extra_info["managed"] for device in store.devices()},
        )

    def test_devices_that_were_overtaken_before_they_were_read_are_refused(
        self,
    ) -> None:
        store = self.synced()
        recorded = store.recorded()
        store.claim(ONE, [(NIC, store.devices()[:1])])
        self.assertRaises(exception.StoreError, recorded.__getitem__, 0)

    def test_removed_devices_are_gone(self) -> None:
        store = self.synced()
        plan = sync.decide(store.recorded(), wanted(host=HOST[:6]))
        store.apply(plan)
        self.assertEqual(5, len(plan.removed))
        self.assertEqual(list(wanted(host=HOST[:6])), list(store.devices()))

    def test_meta_and_quarantine_are_kept(self) -> None:
        store = self.synced()
        address = store.devices()[0].address
        store.set_meta("layout", "nova")
        store.set_meta("layout", "per_class")
        store.quarantine(address, "it hung", "b1")
        store = self.open()
        self.assertEqual("per_class", store.meta("layout"))
        self.assertIsNone(store.meta("other"))
        self.assertEqual({address: "it hung"}, store.quarantined())
        error = self.assertRaises(
            exception.InvalidDeviceStatus,
            store.claim,
            ONE,
            [(NIC, store.devices()[:1])],
        )
        self.assertIn("it hung", str(error))
        store.quarantine(address, None, "b1")
        self.assertEqual({}, store.quarantined())

    def test_a_quarantine_ends_with_the_boot(self) -> None:
        store = self.synced()
        first, second = (device.address for device in store.devices()[:2])
        store.quarantine(first, "it hung", "b1")
        store.quarantine(second, "it hung too", "b2")
        self.assertEqual({second: "it hung too"}, store.quarantined("b2"))
        self.assertEqual((first,), store.end_quarantines("b2"))
        self.assertEqual({second: "it hung too"}, store.quarantined())
        store.quarantine(second, "it hung again", "b3")
        self.assertEqual((), store.end_quarantines("b3"))

    def test_allowances_are_kept_for_the_function_they_were_said_of(
        self,
    ) -> None:
        one, two = HOST[1], HOST[2]
        there = {seen.address: seen for seen in HOST}.get
        allowances = self.open().allowances
        allowances.add(one.address, "VFIO512", "no", one.identity)
        allowances.add(one.address, "VFIO512", "it is idle", one.identity)
        allowances.add(one.address, "VFIO301", "too", one.identity)
        allowances.add(two.address, "VFIO512", "as well", two.identity)
        found = self.open().allowances.all()
        self.assertEqual(
            {
                one.address: {"VFIO301": "too", "VFIO512": "it is idle"},
                two.address: {"VFIO512": "as well"},
            },
            allowance.standing(found, there),
        )
        self.assertRegex(found[0].since, r"^20..-..-..T..:..:..\+00:00$")
        other = dataclasses.replace(one, vendor_id="15b3")
        self.assertEqual(
            {two.address: {"VFIO512": "as well"}},
            allowance.standing(
                found,
                lambda at: other if at == one.address else there(at),
            ),
        )
        self.assertEqual({}, allowance.standing(found, lambda _: None))
        self.assertEqual(1, allowances.remove(one.address, "VFIO512"))
        self.assertEqual(0, allowances.remove(one.address, "VFIO512"))
        self.assertEqual(1, allowances.remove(one.address))
        (left,) = self.open().allowances.all()
        self.assertEqual(two.address, left.address)

    def test_what_is_known_of_providers_is_kept(self) -> None:
        memory = self.open().provider_memory
        memory.put("b", ONE, None, None)
        memory.put("b", ONE, 3, "x" * 64)
        memory.put("a", TWO, 0, "y")
        memory.forget("a")
        memory.forget("unknown")
        memory = self.open().provider_memory
        self.assertEqual(("b",), memory.names())
        known = memory.get("b")
        assert known is not None
        self.assertEqual(
            (ONE, 3, "x" * 64),
            (known.uuid, known.generation, known.fingerprint),
        )
        self.assertIsNone(memory.get("a"))

    def test_the_tables_are_those_that_the_migrations_make(self) -> None:
        self.open()
        made, _ = schema.open_engine(self.path, None, read_only=False)
        migrated = sa.create_engine(f"sqlite:///{self.path}/migrated")
        schema._upgrade(migrated)
        self.assertEqual(_tables(migrated), _tables(made))
        for engine in (made, migrated):
            with engine.connect() as link:
                context = migration.MigrationContext.configure(link)
                self.assertEqual(
                    [], autogenerate.compare_metadata(context, models.METADATA)
                )

    def test_the_file_is_durable_whatever_happens(self) -> None:
        store = self.synced()
        self.assertEqual(
            ["wal", 2, 1],
            [
                store._link.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ],
        )


class ClaimTest(StoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.synced()
        self.devices = list(self.store.devices())

    def status(self, place: int) -> str:
        return str(self.open().devices()[place].status)

    def claim(self, instance: str, *devices: Device) -> ty.Any:
        return self.store.claim(instance, [(NIC, devices)])

    def test_a_claim_is_made_allocated_and_freed(self) -> None:
        made = self.store.claim(
            ONE,
            [(NIC, self.devices[2:4]), (GPU, self.devices[:1])],
        )
        self.assertEqual(
            [
                ("gpu", ["0000:00:00.1"], "claimed"),
                ("nic", ["0000:00:00.3", "0000:00:00.4"], "claimed"),
            ],
            [
                (
                    claim.alias_name,
                    [str(a) for a in claim.addresses],
                    str(claim.status),
                )
                for claim in made
            ],
        )
        self.assertEqual(made, self.open().claims())
        self.assertEqual((), self.open().claims(TWO))
        self.assertEqual(
            {"allocated"}, {str(c.status) for c in self.store.allocate(ONE)}
        )
        self.assertEqual("allocated", self.status(2))
        freed = self.store.free(ONE)
        self.assertEqual(
            [claim.addresses for claim in made],
            [claim.addresses for claim in freed],
        )
        self.assertEqual(self.devices, list(self.open().devices()))
        self.assertEqual((), self.store.free(ONE))
        self.assertEqual((), self.store.allocate(ONE))

    def test_a_claim_is_whole_or_not_at_all(self) -> None:
        self.claim(ONE, self.devices[3])
        self.assertRaises(
            exception.InvalidDeviceStatus, self.claim, TWO, *self.devices
        )
        self.assertEqual(
            ["claimed"], [str(c.status) for c in self.open().claims()]
        )
        self.assertEqual("available", self.status(0))

    def test_a_device_that_is_not_tracked_is_not_claimed(self) -> None:
        self.assertRaises(
            exception.DeviceNotFound,
            self.claim,
            ONE,
            samples.vf("0000:99:00.1"),
        )

    def test_a_pf_and_its_vfs_exclude_each_other(self) -> None:
        both = sync.desired(
            [
                samples.spec(0, product_id="10ca"),
                samples.spec(1, product_id="10c9"),
            ],
            HOST,
        )
        self.store.apply(sync.decide(self.store.recorded(), both))
        pf, vf, *_ = self.store.devices()
        self.claim(ONE, vf)
        self.assertEqual("unclaimable", self.status(0))
        self.assertRaises(exception.InvalidDeviceStatus, self.claim, TWO, pf)
        self.store.free(ONE)
        self.claim(TWO, pf)
        self.assertEqual("unclaimable", self.status(1))
        self.assertRaises(exception.InvalidDeviceStatus, self.claim, ONE, vf)

    def test_many_devices_are_claimed_in_one_transaction(self) -> None:
        host = hosts.make_functions(12, 60)
        self.store.apply(sync.decide(self.store.recorded(), wanted(host=host)))
        before = self.store.recorded().generation
        self.claim(ONE, *self.store.devices())
        self.assertEqual(720, len(self.store.claims()[0].addresses))
        self.assertEqual(before + 1, self.store.recorded().generation)

    def test_a_changed_tag_waits_on_disk_until_the_device_is_freed(
        self,
    ) -> None:
        self.claim(ONE, self.devices[0])
        new = wanted(managed=False)
        self.store.apply(sync.decide(self.store.recorded(), new))
        waiting = self.open().devices()[0]
        self.assertEqual(
            ({"managed": "false", "parent_ifname": "eth0"}, True),
            ((waiting.pending or {})["extra_info"], waiting.managed),
        )
        self.assertFalse(sync.decide(self.open().recorded(), new))
        self.open().free(ONE)
        self.assertEqual(list(new), list(self.open().devices()))
        self.assertFalse(sync.decide(self.open().recorded(), new))

    def test_a_device_that_vanished_in_use_goes_when_it_is_freed(self) -> None:
        self.claim(ONE, self.devices[0])
        host = [
            function
            for function in HOST
            if function.address != self.devices[0].address
        ]
        plan = sync.decide(self.store.recorded(), wanted(host=host))
        self.store.apply(plan)
        self.assertEqual(
            [self.devices[0].address], [device.address for device in plan.kept]
        )
        self.assertEqual({}, self.open().devices()[0].pending)
        self.store.free(ONE)
        self.assertEqual(self.devices[1:], list(self.open().devices()))


class ReadingTest(StoreTestCase):
    def test_reading_where_nothing_is_makes_nothing(self) -> None:
        missing = self.path / "none"
        with Store.open(missing, read_only=True) as store:
            self.assertEqual(0, len(store.devices()))
            self.assertEqual((), store.claims())
            self.assertEqual((), store.provider_memory.names())
            self.assertIsNone(store.meta("layout"))
            self.assertFalse(sync.decide(store.recorded(), ()))
        self.assertFalse(missing.exists())

    def test_reading_leaves_nothing_behind(self) -> None:
        self.synced().close()
        content = self.file.read_bytes()
        with Store.open(self.path, read_only=True) as store:
            self.assertEqual(list(wanted()), list(store.devices()))
            self.assertRaises(exception.StoreError, store.set_meta, "a", "b")
        self.assertEqual([sqlite.NAME], self.listing())
        self.assertEqual(content, self.file.read_bytes())

    def test_a_name_with_signs_of_urls_is_a_name(self) -> None:
        self.path /= "a?b#c%20d e"
        self.file = self.path / sqlite.NAME
        self.synced().close()
        self.assertEqual([sqlite.NAME], self.listing())
        with Store.open(self.path, read_only=True) as store:
            self.assertEqual(10, len(store.devices()))


class OtherDatabaseTest(StoreTestCase):
    def test_another_sqlite_file_is_used_where_the_connection_says(
        self,
    ) -> None:
        place = self.path / "elsewhere.db"
        for _ in range(2):
            with Store.open(self.path, f"sqlite:///{place}") as store:
                store.apply(sync.decide(store.recorded(), wanted()))
                self.assertEqual(10, len(store.devices()))
        self.assertEqual(["elsewhere.db"], self.listing())

    def test_a_wrong_connection_is_one_clear_line(self) -> None:
        for connection, text in (
            ("nonsense", "no database URL"),
            ("mysql+pymysql://u:secret@h:port/d", "no database URL"),
            ("oracle+nothing://u:secret@h/d", "oracle+nothing://u:***@h/d"),
            ("mssql+pymssql://u:secret@h/d", "the Python package pymssql"),
        ):
            error = self.assertRaises(
                exception.StoreError, self.open, connection=connection
            )
            self.assertIn(text, str(error))
            self.assertNotIn("secret", str(error))

    def test_a_database_that_is_no_file_is_filled_and_used(self) -> None:
        with Store.open(self.path, "sqlite://") as store:
            store.apply(sync.decide(store.recorded(), wanted()))
            store.claim(ONE, [(NIC, store.devices()[:2])])
            self.assertEqual(2, len(store.claims()[0].addresses))
            store.free(ONE)
            self.assertEqual(list(wanted()), list(store.devices()))
        self.assertEqual([], self.listing())

    def test_the_database_of_another_host_is_refused(self) -> None:
        engine, _ = schema.open_engine(self.path, "sqlite://", read_only=False)
        self.useFixture(
            fixtures.MonkeyPatch("socket.gethostname", lambda: "other")
        )
        error = self.assertRaises(
            exception.StoreError,
            schema._expect_host,
            engine,
            "sqlite://",
            read_only=True,
        )
        self.assertIn("this is other", str(error))

    def test_a_database_with_tables_of_others_is_refused(self) -> None:
        engine = sa.create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        with engine.begin() as link:
            link.exec_driver_sql("CREATE TABLE instances (id INTEGER)")
        error = self.assertRaises(
            exception.StoreError, schema._version, engine, "sqlite://"
        )
        self.assertIn("holds tables of others", str(error))
        with engine.begin() as link:
            link.exec_driver_sql("CREATE TABLE alembic_version (v TEXT)")
        error = self.assertRaises(
            exception.StoreError, schema._version, engine, "sqlite://"
        )
        self.assertIn("isn't a state database of this program", str(error))

    def test_one_that_lost_its_version_is_not_taken_for_an_empty_one(
        self,
    ) -> None:
        engine, _ = schema.open_engine(self.path, "sqlite://", read_only=False)
        self.addCleanup(engine.dispose)
        with engine.begin() as link:
            link.exec_driver_sql("DELETE FROM alembic_version")
        self.assertIsNone(schema._version(engine, "sqlite://"))
        store = Store(engine, sa.make_url("sqlite://"))
        store.apply(sync.decide(store.recorded(), wanted()))
        error = self.assertRaises(
            exception.StoreCorruptError, schema._version, engine, "sqlite://"
        )
        self.assertIn("doesn't say its version", str(error))


class DamageTest(StoreTestCase):
    def refused(
        self, error: type[exception.StoreError], text: str, **how: ty.Any
    ) -> exception.StoreError:
        before = self.file.read_bytes()
        raised = self.assertRaises(error, self.open, **how)
        self.assertIn(text, str(raised))
        self.assertEqual(before, self.file.read_bytes())
        return raised

    def kept_aside(self) -> pathlib.Path:
        (kept,) = self.path.glob(f"{sqlite.NAME}.corrupt-*Z")
        return kept

    def test_a_database_of_a_newer_version_is_left_alone(self) -> None:
        self.synced().close()
        with sqlite3.connect(self.file) as link:
            link.execute("UPDATE alembic_version SET version_num = '9999'")
        link.close()
        for read_only in (True, False):
            self.refused(
                exception.StoreVersionError,
                "has version 9999, made by a newer version",
                read_only=read_only,
            )
        self.assertEqual([sqlite.NAME], self.listing())

    def test_an_older_version_is_upgraded_by_who_writes(self) -> None:
        self.synced().close()
        scripts = self.path / "migrations"
        shutil.copytree(schema.MIGRATIONS, scripts)
        later = f"{int(models.HEAD) + 1:04}"
        (scripts / "versions" / f"{later}_next.py").write_text(
            "from alembic import op\n"
            f"revision, down_revision = {later!r}, {models.HEAD!r}\n"
            "def upgrade():\n"
            "    op.execute('CREATE TABLE later (id INTEGER)')\n"
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.tracker.schema.MIGRATIONS", scripts
            )
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.tracker.models.HEAD", later
            )
        )
        self.refused(
            exception.StoreOutdatedError,
            "made by an older version",
            read_only=True,
        )
        self.assertEqual(list(wanted()), list(self.open().devices()))
        with sqlite3.connect(self.file) as link:
            link.execute("SELECT * FROM later")
        link.close()

    def test_each_older_version_becomes_this_one_with_what_it_holds(
        self,
    ) -> None:
        first, second = (device.address for device in list(wanted())[:2])
        for version in ("0001", "0002"):
            old = self.of(version)
            store = self.open()
            devices = store.devices()
            self.assertEqual(old, [device.known for device in devices])
            self.assertEqual(
                {None}, {device.identity for device in devices}, version
            )
            (claim,) = store.claims()
            self.assertEqual(
                (ONE, "nic", (first,)),
                (claim.instance_uuid, claim.alias_name, claim.addresses),
            )
            self.assertEqual({"tags": {"a": "b"}}, devices[0].pending)
            self.assertEqual({second: "it hung"}, store.quarantined())
            # In which boot that was the first version didn't know.
            ended = store.end_quarantines("b2")
            self.assertEqual((second,), ended)
            self.assertEqual("nova", store.meta("layout"))
            known = store.provider_memory.get("n1_0000:00:00.0")
            assert known is not None
            self.assertEqual(
                (TWO, 7, "f"),
                (known.uuid, known.generation, known.fingerprint),
            )
            self.assertEqual(
                {}, store.provider_memory.shares("n1_0000:00:00.0")
            )
            self.assertEqual((), store.allowances.all())
            # The first sync tells which functions they are.
            plan = sync.decide(store.recorded(), wanted())
            self.assertEqual((), plan.exchanged)
            store.apply(plan)
            self.assertEqual(
                [device.identity for device in wanted()],
                [device.identity for device in store.devices()],
            )
            self.assertEqual((claim,), store.claims())
            self.assertFalse(sync.decide(store.recorded(), wanted()))
            store.close()

    def of(self, version: str) -> list[Identity]:
        """Make a database as that version left it, with a bit of all.

        :returns: what it says of the functions behind its devices
        """
        for path in self.path.iterdir():
            path.unlink()
        with fixtures.MonkeyPatch(
            "nova_vfio_variant.tracker.models.HEAD", version
        ):
            engine = sa.create_engine(f"sqlite:///{self.file}")
            schema._upgrade(engine)
            engine.dispose()
        boot = () if version == "0001" else ("b1",)
        with sqlite3.connect(self.file) as link:

            def insert(table: str, *values: object) -> None:
                marks = ", ".join("?" * len(values))
                link.execute(f"INSERT INTO {table} VALUES ({marks})", values)

            devices = list(wanted())
            for device in devices:
                first = device is devices[0]
                insert(
                    "devices",
                    number(device.address),
                    "an older mark",
                    str(device.address),
                    device.vendor_id,
                    device.product_id,
                    device.dev_type,
                    device.numa_node,
                    str(device.parent_addr),
                    device.resource_class,
                    "[]",
                    "{}",
                    "allocated" if first else "available",
                    ONE if first else None,
                    TWO if first else None,
                    "nic" if first else None,
                    '{"managed": "true"}',
                    '{"tags": {"a": "b"}}' if first else None,
                )
            second = devices[1].address
            insert("quarantine", number(second), str(second), "it hung", *boot)
            insert("meta", "layout", "nova")
            insert("providers", "n1_0000:00:00.0", TWO, 7, "f")
        link.close()
        return [device.known for device in devices]

    def test_garbage_is_kept_aside_and_never_taken_for_nothing(self) -> None:
        self.file.write_bytes(b"this is no database" * 1000)
        for read_only in (False, True, False):
            error = self.refused(
                exception.StoreCorruptError,
                "is corrupt",
                read_only=read_only,
            )
            self.assertIn(str(self.kept_aside()), str(error))
        self.assertEqual(
            self.file.read_bytes(), self.kept_aside().read_bytes()
        )

    def test_a_truncated_database_is_corrupt(self) -> None:
        self.synced().close()
        os.truncate(self.file, self.file.stat().st_size // 2)
        self.refused(exception.StoreCorruptError, "is corrupt")
        self.kept_aside()

    def test_an_empty_file_is_corrupt(self) -> None:
        self.file.touch()
        self.refused(exception.StoreCorruptError, "it is empty")

    def test_a_database_of_something_else_is_corrupt(self) -> None:
        with sqlite3.connect(self.file) as link:
            link.execute("CREATE TABLE mine (id INTEGER)")
        link.close()
        self.refused(exception.StoreCorruptError, "alembic_version")

    def test_another_program_s_database_is_not_ours(self) -> None:
        with sqlite3.connect(self.file) as link:
            link.execute("CREATE TABLE instances (id INTEGER)")
            link.execute("CREATE TABLE alembic_version (version_num TEXT)")
            link.execute("INSERT INTO alembic_version VALUES ('b30f573d')")
        link.close()
        for read_only in (True, False):
            error = self.refused(
                exception.StoreError,
                "isn't a state database of this program",
                read_only=read_only,
            )
            self.assertIn(str(self.file), error.message)

    def test_a_page_of_nonsense_is_corrupt(self) -> None:
        self.synced().close()
        content = bytearray(self.file.read_bytes())
        content[4096:4196] = b"\xff" * 100
        self.file.write_bytes(content)
        error = self.refused(exception.StoreCorruptError, "is corrupt")
        self.assertEqual(1, len(str(error).splitlines()), str(error))
        self.assertNotIn("***", str(error))
        self.kept_aside()

    def test_a_byte_of_the_schema_that_is_no_text_is_corrupt(self) -> None:
        self.synced().close()
        content = bytearray(self.file.read_bytes())
        at = content.index(b"CREATE TABLE devices") + 40
        content[at] = 0x92
        self.file.write_bytes(content)
        self.refused(exception.StoreCorruptError, "is corrupt")
        self.kept_aside()

    def test_a_row_that_we_never_wrote_is_corrupt(self) -> None:
        for column, value in (
            ("status", "happy"),
            ("extra_info", "{"),
            ("parent_addr", "here"),
            ("tags", "7"),
            ("traits", "[" * 100_000),
            ("resource_class", b"\xff"),
            ("numa_node", "x"),
        ):
            self.synced().close()
            with sqlite3.connect(self.file) as link:
                link.execute(f"UPDATE devices SET {column} = ?", (value,))
            link.close()
            error = self.assertRaises(
                exception.StoreCorruptError,
                lambda: list(self.open().devices()),
            )
            self.assertIn("device 0000:00:00.1", str(error))
            self.file.unlink()

    def test_so_is_one_of_what_nobody_gets_or_somebody_overruled(self) -> None:
        read: ty.Mapping[str, ty.Callable[[Store], object]] = {
            "quarantine VALUES (1, 'x', 'y', 'z')": Store.quarantined,
            "allowances VALUES ('x', 'y', 'z', '{}', '')": (
                lambda store: store.allowances.all()
            ),
            "allowances VALUES ('0000:00:00.1', 'y', 'z', '[]', '')": (
                lambda store: store.allowances.all()
            ),
            f"allowances VALUES ('0000:00:00.1', x'ff', 'z', '{IDENTITY}', '')": (
                lambda store: store.allowances.all()
            ),
            f"cordons VALUES ('0000:00:00.1', x'ff', '{IDENTITY}', '')": (
                lambda store: store.cordons.all()
            ),
            f"names VALUES ('x', '0000:00:00.1', x'ff', '{IDENTITY}', '')": (
                lambda store: store.names.all()
            ),
        }
        self.assert_corrupt(read)

    def test_so_is_one_of_a_vgpu_or_of_its_type(self) -> None:
        a, of = "'0000:00:00.1'", f"'{IDENTITY}'"
        types = "vgpu_types (card, type_id, name, identity, framebuffer_mib)"
        made = "vgpus (address, type_id, origin, assignment, since, identity)"
        told = "vgpu_reports (address, assignment, ok, at, identity)"
        self.assert_corrupt(
            {
                **dict.fromkeys(
                    (
                        f"{types} VALUES ({a}, 'x', 'y', {of}, 1)",
                        f"{types} VALUES ({a}, x'ff', 'y', {of}, 1)",
                        f"{types} VALUES ({a}, '5', x'ff', {of}, 1)",
                        f"{types} VALUES ({a}, '5', 'y', {of}, 'much')",
                        f"{types} VALUES ('here', '5', 'y', {of}, 1)",
                    ),
                    lambda store: store.vgpus.types(),
                ),
                **dict.fromkeys(
                    (
                        f"{made} VALUES ({a}, '5', 'whim', '', '', {of})",
                        f"{made} VALUES ({a}, x'ff', 'claim', '', '', {of})",
                        f"{made} VALUES ({a}, '5', 'claim', '', '', '[]')",
                        (
                            f"{made} VALUES ({a}, '5', 'claim', '', '',"
                            """ '{"vendor_id": 1, "product_id": 2}')"""
                        ),
                    ),
                    lambda store: store.vgpus.all(),
                ),
                **dict.fromkeys(
                    (
                        f"{told} VALUES ({a}, '', 1, x'ff', {of})",
                        f"{told} VALUES ('here', '', 1, '', {of})",
                    ),
                    lambda store: store.vgpu_reports.all(),
                ),
            }
        )

    def test_so_is_one_of_a_mediated_device(self) -> None:
        into = "mdevs (uuid, kind, assignment, since, attributes)"
        self.assert_corrupt(
            dict.fromkeys(
                (
                    f"{into} VALUES ('{ONE}', 'x', '', '', '[]')",
                    f"{into} VALUES ('{ONE}', '../a/b', '', '', '[]')",
                    f"{into} VALUES ('{ONE}', 'a/b', x'ff', '', '[]')",
                    f"{into} VALUES ('x', 'a/b', '', '', '[]')",
                    f"{into} VALUES ('{ONE}', 'a/b', '', '', '{{}}')",
                    f"{into} VALUES ('{ONE}', 'a/b', '', '', '[[1]]')",
                    f"{into} VALUES ('{ONE}', 'a/b', '', '', '[\"remove=1\"]')",
                ),
                lambda store: store.mdevs.all(),
            )
        )

    def test_so_is_one_of_providers_that_we_made(self) -> None:
        self.assert_corrupt(
            {
                "providers VALUES ('x', x'ff', 1, '')": (
                    lambda store: store.provider_memory.names()
                ),
                "reserved (provider, resource_class, units)"
                " VALUES ('x', 'VGPU', 'all')": (
                    lambda store: store.provider_memory.shares("x")
                ),
            }
        )

    def assert_corrupt(
        self, read: ty.Mapping[str, ty.Callable[[Store], object]]
    ) -> None:
        """A store with such a row is, for whoever reads it."""
        for row, reads in read.items():
            self.synced().close()
            with sqlite3.connect(self.file) as link:
                link.execute(f"INSERT INTO {row}")
            link.close()
            error = self.assertRaises(
                exception.StoreCorruptError, reads, self.open()
            )
            self.assertIn("is corrupt (a row: ", str(error))
            self.file.unlink()

    def test_a_log_without_its_database_is_corrupt(self) -> None:
        self.synced()
        self.file.unlink()
        error = self.assertRaises(exception.StoreCorruptError, self.open)
        self.assertIn("write-ahead log", str(error))

    def test_a_folder_in_its_place_is_an_error(self) -> None:
        self.file.mkdir()
        error = self.assertRaises(exception.StoreError, self.open)
        self.assertIn("Is a directory", str(error))

    def test_a_state_path_that_is_a_file_is_an_error(self) -> None:
        file = self.path / "file"
        file.touch()
        for read_only in (False, True):
            error = self.assertRaises(
                exception.StoreError, Store.open, file, read_only=read_only
            )
            self.assertIn("Not a directory", str(error))

    def test_a_busy_database_is_named(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.tracker.sqlite.BUSY_TIMEOUT", 0.05
            )
        )
        store = self.synced()
        other = sqlite3.connect(self.file, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        error = self.assertRaises(
            exception.StoreError, store.set_meta, "a", "b"
        )
        self.assertIn("another process has kept it busy", str(error))
