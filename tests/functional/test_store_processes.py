# SPDX-License-Identifier: Apache-2.0
"""Many processes on one store: racing, killed, and without rights."""

import collections
import os
import pathlib
import random
import time
import typing as ty
import uuid
from multiprocessing import connection

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.pci.alias import PciRequest
from nova_vfio_variant.testing import hosts
from nova_vfio_variant.tracker import family, lock, sqlite, sync
from nova_vfio_variant.tracker.device import Status
from nova_vfio_variant.tracker.store import Store
from tests import base
from tests.functional.children import FORK, Child
from tests.unit.tracker import samples

ONE = samples.ONE
NIC = PciRequest("nic", 1, (), "legacy")
HOST = hosts.make_functions(2, 5)
SPECS = [
    samples.spec(0, product_id="10ca"),
    samples.spec(1, product_id="10c9"),
]
NOBODY = 65534


def claim_any(path: pathlib.Path, *, locked: bool) -> str | None:
    """Claim any free VF for an instance of our own, as long as there is."""
    instance = str(uuid.uuid4())
    with Store.open(path) as store:
        while True:
            if locked:
                with lock.state_lock(path, 60):
                    return _claim_first(store, instance)
            try:
                return _claim_first(store, instance)
            except exception.InvalidDeviceStatus:
                continue


def _claim_first(store: Store, instance: str) -> str | None:
    free = [
        device
        for device in store.devices()
        if device.status == Status.AVAILABLE and device.parent_addr is not None
    ]
    if not free:
        return None
    store.claim(instance, [(NIC, free[:1])])
    return instance


def claim_both(path: pathlib.Path) -> bool:
    """Claim a PF, or its VF: whichever, only one process can."""
    with Store.open(path) as store:
        device = store.devices()[os.getpid() % 2]
        try:
            store.claim(str(uuid.uuid4()), [(NIC, [device])])
        except exception.InvalidDeviceStatus:
            return False
        return True


def claim_and_free(path: pathlib.Path, told: connection.Connection) -> None:
    """Claim and free three VFs again and again, and say how far we are."""
    with Store.open(path) as store:
        vfs = list(store.devices())[1:4]
        while True:
            told.send("claiming")
            store.claim(ONE, [(NIC, vfs)])
            told.send("claimed")
            store.free(ONE)
            told.send("freed")


class ProcessesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def sync(self) -> None:
        with Store.open(self.path) as store:
            store.apply(
                sync.decide(store.recorded(), sync.desired(SPECS, HOST))
            )

    def claims(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = collections.defaultdict(list)
        with Store.open(self.path, read_only=True) as store:
            for claim in store.claims():
                found[claim.instance_uuid] += map(str, claim.addresses)
        return dict(found)

    def assert_sound(self) -> None:
        sqlite.version(self.path / sqlite.NAME)
        with Store.open(self.path, read_only=True) as store:
            devices = list(store.devices())
        rated = family.Families(devices)
        for device in devices:
            self.assertEqual(
                device.status in family.IN_USE,
                device.instance_uuid is not None,
            )
            rated.rate(device.address)
        self.assertEqual((), rated.changes())


class RaceTest(ProcessesTest):
    def race(self, *, locked: bool) -> None:
        self.sync()
        children = [
            Child(lambda: claim_any(self.path, locked=locked))
            for _ in range(20)
        ]
        winners = [child.result() for child in children]
        claims = self.claims()
        self.assertEqual(sorted(filter(None, winners)), sorted(claims))
        self.assertEqual(10, len(claims))
        self.assertEqual(
            10, len({place for places in claims.values() for place in places})
        )
        self.assert_sound()

    def test_twenty_processes_make_exactly_ten_claims_of_ten_vfs(self) -> None:
        self.race(locked=False)

    def test_so_they_do_under_the_lock(self) -> None:
        self.race(locked=True)

    def test_a_pf_and_its_vf_are_never_both_won(self) -> None:
        self.sync()
        children = [Child(claim_both, self.path) for _ in range(8)]
        self.assertEqual(1, sum(child.result() for child in children))
        self.assert_sound()

    def test_processes_that_make_the_store_at_once_make_one(self) -> None:
        def make(name: str) -> None:
            with Store.open(self.path) as store:
                store.set_meta(name, name)

        children = [Child(make, str(n)) for n in range(6)]
        for child in children:
            child.result()
        with Store.open(self.path) as store:
            self.assertEqual(
                [str(n) for n in range(6)],
                [store.meta(str(n)) for n in range(6)],
            )
        self.assertEqual(
            [sqlite.NAME], [path.name for path in self.path.iterdir()]
        )


class KillTest(ProcessesTest):
    def test_a_claim_is_whole_however_its_process_ends(self) -> None:
        self.sync()
        for _ in range(12):
            mine, theirs = FORK.Pipe(duplex=False)
            child = Child(claim_and_free, self.path, theirs)
            theirs.close()
            mine.poll(30)
            time.sleep(random.random() * 0.05)
            child.kill()
            last = None
            try:
                while True:
                    last = mine.recv()
            except EOFError:
                mine.close()
            claims = self.claims()
            self.assertIn(len(claims.get(ONE, [])), {0, 3})
            if last == "freed":
                self.assertEqual({}, claims)
            self.assert_sound()
            with Store.open(self.path) as store:
                store.free(ONE)

    def test_what_a_call_said_it_did_outlives_its_process(self) -> None:
        self.sync()
        mine, theirs = FORK.Pipe(duplex=False)

        def claim() -> None:
            store = Store.open(self.path)
            store.claim(ONE, [(NIC, store.devices()[1:4])])
            theirs.send("claimed")
            time.sleep(600)

        child = Child(claim)
        self.assertEqual("claimed", mine.recv())
        child.kill()
        self.assertEqual(3, len(self.claims()[ONE]))

    def test_a_store_whose_making_was_killed_is_made_anew(self) -> None:
        for place in range(6):
            path = self.path / str(place)
            child = Child(Store.open, path)
            time.sleep(random.random() * 0.2)
            child.kill()
            with Store.open(path) as store:
                self.assertEqual(0, len(store.devices()))

    def test_a_killed_process_lets_go_of_the_lock(self) -> None:
        mine, theirs = FORK.Pipe(duplex=False)

        def hold() -> None:
            with lock.state_lock(self.path, 1):
                theirs.send("held")
                time.sleep(600)

        child = Child(hold)
        mine.recv()
        with (
            self.assertRaisesRegex(
                exception.LockTimeout,
                rf"process {child.process.pid} \(.+\) still holds the lock .+ after"
                r" 0\.1 seconds",
            ),
            lock.state_lock(self.path, 0.1),
        ):
            pass
        child.kill()
        with lock.state_lock(self.path, 1):
            pass

    def test_a_lock_that_was_removed_while_we_waited_is_not_taken(
        self,
    ) -> None:
        """Others would find another file, and not wait for us."""
        mine, theirs = FORK.Pipe(duplex=False)

        def hold() -> None:
            with lock.state_lock(self.path, 1):
                theirs.send("held")
                # By then the parent has opened the file that goes.
                time.sleep(0.5)
                (self.path / lock.NAME).unlink()

        child = Child(hold)
        mine.recv()
        with lock.state_lock(self.path, 30):
            self.assertTrue((self.path / lock.NAME).exists())
        child.result()


class RightsTest(ProcessesTest):
    def as_nobody(self, work: ty.Callable[[], ty.Any]) -> ty.Any:
        """Run it as a user without a right to write here."""
        writable = [self.path, *self.path.iterdir()]
        above = self.path
        while above != above.parent:
            if above.stat().st_uid == os.getuid():
                above.chmod(above.stat().st_mode | 0o055)
            above = above.parent
        self.addCleanup(self.path.chmod, 0o755)
        for path in writable:
            path.chmod(0o555 if path.is_dir() else 0o444)

        def changed() -> ty.Any:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            return work()

        return Child(changed).result()

    def read(self) -> tuple[int, list[str]]:
        with Store.open(self.path, read_only=True) as store:
            found = len(store.devices())
        return found, sorted(path.name for path in self.path.iterdir())

    def test_who_may_only_read_reads_and_leaves_nothing(self) -> None:
        self.sync()
        self.assertEqual((12, [sqlite.NAME]), self.as_nobody(self.read))

    def test_so_it_is_while_another_process_writes(self) -> None:
        self.sync()
        with Store.open(self.path) as store:
            store.claim(ONE, [(NIC, store.devices()[1:2])])

            def look() -> ty.Any:
                with Store.open(self.path, read_only=True) as mine:
                    return [claim.instance_uuid for claim in mine.claims()]

            self.assertEqual([ONE], self.as_nobody(look))

    def test_who_may_not_write_is_told_so(self) -> None:
        self.sync()

        def write(what: ty.Callable[[], ty.Any]) -> str:
            try:
                what()
            except exception.StoreError as error:
                return str(error)
            return "it was allowed"

        def both() -> list[str]:
            def take() -> None:
                with lock.state_lock(self.path, 0):
                    pass

            return [
                write(lambda: Store.open(self.path)),
                write(lambda: Store.open(self.path / "inner")),
                write(take),
            ]

        for text in self.as_nobody(both):
            self.assertIn("can't be written: Permission denied", text)
