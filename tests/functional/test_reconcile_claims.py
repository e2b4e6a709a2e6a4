# SPDX-License-Identifier: Apache-2.0
"""``reconcile`` and claims on whole functions."""

from nova_vfio_variant.tracker import device as tracked
from tests.functional import kill_points
from tests.functional.claims_case import VFS, WORDS, ClaimsCase
from tests.functional.cli_case import ONE, TWO


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
        self.assertIn(f"guests {ONE}, {TWO} have it (", row["reason"])

    def told(self) -> list[tuple[str, str]]:
        """What reconcile and config check tell of guests."""
        rows = self.json("reconcile", "--dry-run", status=1)
        found = [
            (row["subject"], row["reason"])
            for row in rows
            if "guest" in row["what"]
        ]
        self.assertEqual(sorted({at for at, _ in found}), self.checked())
        return found

    def checked(self) -> list[str]:
        """Of which devices config check tells the same."""
        return [
            found["subject"]
            for found in self.json("config", "check", "--fail-on", "error")
            if found["code"] == "VFIO403"
        ]

    def take(self, at: str) -> None:
        """Let ONE claim this one."""
        self.ok("claim", "create", "--instance", ONE, "--device", at)

    def test_one_that_only_its_process_tells_of_is_told(self) -> None:
        self.ok("device", "sync")
        pid = self.guest(TWO, VFS[0])
        ((at, said),) = self.told()
        self.assertEqual(VFS[0], at)
        self.assertIn(f"guest {TWO} has it, and nobody has claimed it", said)
        self.assertIn(f"is open in process {pid} (", said)

    def test_one_that_another_has_claimed_is_told(self) -> None:
        self.take(VFS[0])
        self.guest(TWO, VFS[0])
        self.guest(ONE)
        ((at, said),) = self.told()
        self.assertEqual(VFS[0], at)
        self.assertIn(f"instance {ONE} has claimed it", said)
        self.define(ONE)
        self.assertIn(f"{ONE} has claimed it, and is right", self.told()[1][1])

    def test_whoever_has_claimed_it_may_have_it_open(self) -> None:
        self.take(VFS[0])
        self.guest(ONE, VFS[0])
        self.define(ONE)
        self.ok("reconcile")
        self.assertEqual([], self.checked())

    def test_of_an_open_group_a_guest_has_what_it_has_claimed(self) -> None:
        mates = ["0000:43:00.0", "0000:43:00.1"]
        for at in mates:
            self.fake.add(at, "8086:10ca", driver="vfio-pci", group=90)
        self.ok("device", "sync")
        pid = self.guest(ONE, mates[0])
        self.assertEqual(mates, [at for at, _ in self.told()])
        self.fake.let_go(pid)
        self.take(mates[0])
        self.guest(ONE, mates[0])
        self.ok("reconcile")
        self.assertEqual([], self.checked())

    def test_what_the_host_keeps_is_no_guests(self) -> None:
        self.ok("device", "sync")
        place = f"sys/bus/pci/devices/{VFS[0]}"
        self.fake.write(f"{place}/driver/unbind", VFS[0].encode())
        words = ("qemu-system-x86_64", "-uuid", TWO)
        self.fake.open_file(f"/{place}/resource0", words[0], words)
        self.ok("reconcile")

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
