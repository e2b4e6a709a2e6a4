# SPDX-License-Identifier: Apache-2.0
"""``reconcile`` and claims on whole functions."""

import contextlib
import datetime as dt

import sqlalchemy as sa

from nova_vfio_variant.node import node
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import models, store
from tests.functional import cli_case, kill_points
from tests.functional.cli_case import ONE, TWO

VFS = ("0000:21:10.0", "0000:21:10.2")
WORDS = ("--alias", "nic:1")
XML = """<domain type="kvm"><name>{name}</name><uuid>{uuid}</uuid><devices>
<hostdev mode="subsystem" type="pci"><source><address domain="0x0000"
bus="0x21" slot="0x10" function="0x0"/></source></hostdev></devices></domain>
"""


class ClaimsCase(cli_case.CliTestCase):
    """A card with two VFs, on vfio-pci."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        self.fake.add_driver("vfio-pci", ["8086:10ca"], vfio=True)
        self.fake.add(
            "0000:21:00.0",
            "8086:10c9",
            vfs=2,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        self.fake.writer().set_numvfs("0000:21:00.0", 2)
        self.enterContext(self.fake.plugged_in())
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
            tail="[vfio]\nplacement = embedded\n",
        )
        self.node = node.Node(["nova.conf"], None, "host", "state")

    def claim(self, instance: str = ONE) -> str:
        (claim,) = self.json("claim", "create", "--instance", instance, *WORDS)
        return str(claim["addresses"][0])

    def age(self) -> None:
        """Let all claims be older than the grace."""
        since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=10)
        with (
            contextlib.closing(store.Store.open(self.state)) as opened,
            opened._write() as link,
        ):
            link.execute(
                sa.update(models.claims).values(since=since.isoformat())
            )

    def move(self, state: tracked.ClaimState) -> None:
        with contextlib.closing(store.Store.open(self.state)) as opened:
            record = opened.claim_records.get(ONE)
            assert record is not None
            opened.claim_records.move(record, state)

    def guest(self, instance: str, vf: str | None = None) -> int:
        words = ("qemu-system-x86_64", "-uuid", instance)
        if vf is None:
            return self.fake.open_file("/dev/null", words[0], words)
        pid = self.fake.hold(vf, "qemu-system-x86")
        text = "".join(f"{word}\0" for word in words)
        (self.fake.root / f"proc/{pid}/cmdline").write_text(text)
        return pid

    def define(self, *instances: str) -> None:
        folder = self.fake.root / "etc/libvirt/qemu"
        folder.mkdir(parents=True, exist_ok=True)
        for number, uuid in enumerate(instances):
            name = f"guest{number}"
            text = XML.format(name=name, uuid=uuid)
            (folder / f"{name}.xml").write_text(text)

    def rows(self, *words: str, status: int = 0) -> list[tuple[str, ...]]:
        return [
            (row["subject"], row["action"], row["state"])
            for row in self.json("reconcile", *words, status=status)
        ]

    def reason(self) -> str:
        (row,) = self.json("reconcile", status=1)
        self.assertEqual(("leave", "left"), (row["action"], row["state"]))
        return str(row["reason"])


class GoneTest(ClaimsCase):
    def test_a_claim_whose_guest_is_gone_is_freed_after_the_grace(
        self,
    ) -> None:
        for started in (False, True):
            self.claim()
            if started:
                self.ok("claim", "started", "--instance", ONE)
            self.assertIn("less than five minutes ago", self.reason())
            self.age()
            wanted = [(ONE, "free", "planned")]
            self.assertEqual(wanted, self.rows("--dry-run", status=1))
            self.assertEqual([(ONE, "free", "done")], self.rows())
            self.assertEqual([], self.json("claim", "list"))
            self.assertEqual({}, self.allocations(ONE))
            self.assertEqual([], self.rows())

    def test_one_whose_guest_lives_or_has_it_open_stays(self) -> None:
        address = self.claim()
        self.age()
        pid = self.guest(ONE)
        self.assertEqual([], self.rows())
        self.fake.let_go(pid)
        self.fake.hold(address, "vfio-user")
        self.assertIn("open in process", self.reason())
        self.assertEqual(1, len(self.json("claim", "list")))

    def test_one_of_which_nobody_knows_stays(self) -> None:
        self.claim()
        self.age()
        self.fake.open_file("/dev/null", "qemu", ("qemu-kvm", "-nodefaults"))
        self.assertIn("is not known", self.reason())


class MidwayTest(ClaimsCase):
    def test_what_was_being_given_back_is_given_back(self) -> None:
        self.claim()
        self.move(tracked.ClaimState.RELEASING)
        self.guest(ONE)
        self.assertEqual([(ONE, "free", "done")], self.rows())
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(ONE))

    def test_a_claim_killed_anywhere_is_finished_or_taken_back(self) -> None:
        words = ("claim", "create", "--instance", ONE, *WORDS)
        for lives in (True, False):
            at = 0
            pid = self.guest(ONE) if lives else None

            def create() -> None:
                self.node.claims.claim(ONE, "nic:1")

            while kill_points.killed(at, create):
                if self.json("claim", "list"):
                    self.age()
                    self.rows()
                    self.assertEqual([], self.rows(), f"point {at}")
                claims = self.json("claim", "list")
                self.assertEqual(
                    bool(claims), bool(self.allocations(ONE)), f"point {at}"
                )
                self.assertLessEqual(
                    {claim["status"] for claim in claims}, {"prepared"}
                )
                self.ok("claim", "delete", "--instance", ONE)
                at += 1
            self.assertGreater(at, 5)
            self.ok(*words)
            self.ok("claim", "delete", "--instance", ONE)
            if pid is not None:
                self.fake.let_go(pid)

    def test_freeing_killed_anywhere_is_ended_by_the_next(self) -> None:
        at = 0
        self.claim()
        self.age()
        while kill_points.killed(at, self.node.reconciling.run):
            self.rows()
            self.assertEqual([], self.json("claim", "list"), f"point {at}")
            self.assertEqual({}, self.allocations(ONE), f"point {at}")
            self.claim()
            self.age()
            at += 1
        self.assertGreater(at, 3)


class GuestTest(ClaimsCase):
    def test_a_guest_without_a_claim_is_told_and_keeps_it(self) -> None:
        self.ok("device", "sync")
        self.define(ONE)
        said = self.reason()
        self.assertIn(f"guest {ONE} has it, and nobody has claimed it", said)

    def test_a_device_of_two_guests_is_told(self) -> None:
        self.ok("device", "sync")
        self.define(ONE, TWO)
        rows = self.json("reconcile", status=1)
        (row,) = [row for row in rows if row["what"].endswith("two guests")]
        self.assertEqual((VFS[0], "leave"), (row["subject"], row["action"]))
        self.assertIn(f"{ONE}, {TWO} name it", row["reason"])

    def test_a_claimed_device_that_vanished_or_is_another_is_told(
        self,
    ) -> None:
        address = self.claim()
        self.guest(ONE)
        self.fake.exchange(address, "8086:1520", class_code=0x020000)
        self.assertIn("it is another device", self.reason())
        self.fake.vanish(address)
        said = self.reason()
        self.assertIn(f"instance {ONE} has claimed it; it is tracked", said)
        self.assertIn(f"nova-vfio claim delete --instance {ONE}", said)
