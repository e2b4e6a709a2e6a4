# SPDX-License-Identifier: Apache-2.0
"""Guests that fail on vGPUs: who says so, and what comes of it."""

import contextlib
import dataclasses
import sqlite3

from nova_vfio_variant.host.observe import scanner
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.node import node
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import store, tables, vgpu_reports, vgpus
from tests.functional import card_conf, check_host, cli_case, vgpu_case
from tests.functional.cli_case import ONE, TWO

VF, OTHER = "0000:25:00.4", "0000:25:00.5"
FIRST = "2d9a6a1e-3c5b-4a0e-9d5e-0a4b8e1f7c66"
SECOND = "7f0e8a52-6c1d-4b8a-9e57-8d1e1b7a1f02"


class VgpuHealthCase(cli_case.CliTestCase):
    """A card with two VFs, of which the first has a vGPU of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card())
        self.configure(card_conf.SPEC, card_conf.ALIAS)

    def open(self) -> store.Store:
        opened = store.Store.open(self.state)
        self.addCleanup(opened.close)
        return opened

    def give(
        self,
        assignment: str,
        instance: str | None = ONE,
        at: str = VF,
    ) -> None:
        """Record a vGPU of ours."""
        function = scanner.scan(opening.open_tree("host")).get(
            pci_address.PciAddress.parse(at)
        )
        assert function is not None
        with contextlib.closing(self.open()) as opened:
            opened.vgpus.put(
                vgpus.OurVgpu(
                    function.address,
                    "558",
                    vgpus.Origin.CLAIM,
                    instance,
                    assignment,
                    tables.now(),
                    function.identity,
                )
            )

    def report(self, which: str, assignment: str, result: str) -> str:
        words = ("vgpu", "report", which, "--assignment", assignment, result)
        return self.ok(*words).err

    def states(self) -> dict[str, str]:
        rows = self.json("device", "list")
        return {row["address"]: row["assignable"] for row in rows}

    def fail_twice(self) -> None:
        for assignment in (FIRST, SECOND):
            self.give(assignment)
            self.report(VF, assignment, "failed")


class ReportTest(VgpuHealthCase):
    def test_a_function_and_its_instance_name_an_assignment(self) -> None:
        self.give(FIRST)
        for which in (VF, ONE, ONE.upper()):
            said = self.report(which, FIRST, "failed")
            self.assertIn(f"{VF} is suspect: a guest failed to start", said)
        self.assertEqual(f"{VF} is well\n", self.report(VF, FIRST, "ok"))

    def test_an_assignment_that_is_not_known_is_refused(self) -> None:
        for has in ("none", FIRST):
            for which in (VF, ONE):
                said = self.refuses(
                    *("vgpu", "report", which),
                    *("--assignment", FIRST.upper(), "ok"),
                )
                self.assertIn(f"it has {has} now", said)
            self.give(FIRST)
        for which in (OTHER, TWO):
            said = self.refuses(
                *("vgpu", "report", which, "--assignment", FIRST, "ok")
            )
            self.assertIn("has no assignment", said)

    def test_what_is_neither_address_nor_uuid_is_refused(self) -> None:
        for words in (
            ("25:00.4", "--assignment", FIRST, "ok"),
            (VF, "--assignment", FIRST, "good"),
            (VF, "ok"),
        ):
            self.fails("vgpu", "report", *words)

    def test_where_nothing_was_ever_tracked_nothing_is_made(self) -> None:
        words = ("vgpu", "report", VF, "--assignment", FIRST, "ok")
        self.assertIn("it has none now", self.fails(*words))
        self.assertEqual([], self.json("vgpu", "health"))
        self.ok("vgpu", "clear", VF, status=1)
        self.assertFalse((self.state / "nova-vfio.sqlite").exists())

    def test_the_library_says_the_same(self) -> None:
        self.give(FIRST)
        on = node.Node(["nova.conf"], [], "host", "state")
        address = pci_address.PciAddress.parse(VF)
        said = on.vgpu_health.report(address, FIRST, ok=False)
        self.assertEqual(vgpu_reports.Health.SUSPECT, said.health)
        self.assertEqual((said,), on.vgpu_health.standings())
        again = on.vgpu_health.report(ONE.upper(), FIRST, ok=False)
        self.assertEqual(said.failures, again.failures)
        self.assertEqual(1, on.vgpu_health.clear(address))


class HealthTest(VgpuHealthCase):
    def test_two_guests_that_failed_quarantine_a_function(self) -> None:
        self.ok("device", "sync")
        self.give(FIRST)
        (row,) = self.json("vgpu", "health")
        self.assertEqual(
            ("well", FIRST, ONE, None),
            (
                row["health"],
                row["assignment"],
                row["instance_uuid"],
                row["reported"],
            ),
        )
        self.report(VF, FIRST, "failed")
        self.report(VF, FIRST, "failed")
        self.assertEqual("ready", self.states()[VF])
        self.give(SECOND, TWO)
        self.report(TWO, SECOND, "failed")
        self.assertEqual({VF: "blocked", OTHER: "ready"}, self.states())
        shown = self.json("device", "show", VF)
        self.assertIn("2 guests failed to start on it", shown["obstacles"][0])
        self.assertIn("[VFIO580]", shown["obstacles"][0])
        (row,) = self.json("vgpu", "health", status=1)
        self.assertEqual(
            ("quarantined", 2, "failed"),
            (row["health"], row["failures"], row["reported"]),
        )

    def test_success_of_the_very_assignment_lifts_it(self) -> None:
        self.ok("device", "sync")
        self.fail_twice()
        self.report(VF, FIRST, "ok")
        self.assertEqual("ready", self.states()[VF])
        self.report(VF, FIRST, "failed")
        self.assertEqual("blocked", self.states()[VF])
        self.report(VF, SECOND, "ok")
        self.assertEqual("ready", self.states()[VF])

    def test_it_is_lifted_by_hand(self) -> None:
        self.ok("device", "sync")
        self.fail_twice()
        self.ok("vgpu", "clear", VF)
        self.assertEqual("ready", self.states()[VF])
        self.assertEqual(
            f"nothing was reported on {VF}\n",
            self.ok("vgpu", "clear", VF, status=1).err,
        )

    def test_a_quarantined_one_is_claimed_by_nobody(self) -> None:
        self.fail_twice()
        words = ("claim", "create", "--alias=nic:1", "--instance")
        (claim,) = self.json(*words, ONE)
        self.assertEqual([OTHER], claim["addresses"])
        said = self.fails(*words, TWO)
        self.assertIn(
            "1 blocked: guests failed to start on the vGPU [VFIO580]", said
        )

    def test_it_is_reserved_in_placement_and_told_by_the_check(self) -> None:
        self.fail_twice()
        self.ok("inventory", "report")
        (record,) = (
            one
            for name, one in self.records().items()
            if name.endswith("25:00.0")
        )
        self.assertEqual((2, 1), (record["total"], record["reserved"]))
        rows = self.run_cli("config", "check", "-f", "json").json
        self.assertIn("VFIO580", [row["code"] for row in rows])

    def records(self) -> dict[str, dict[str, int]]:
        """The one inventory of each provider that has one."""
        found = {}
        for provider in self.get("/resource_providers")["resource_providers"]:
            path = f"/resource_providers/{provider['uuid']}/inventories"
            for record in self.get(path)["inventories"].values():
                found[provider["name"]] = record
        return found


class UnreadableTest(VgpuHealthCase):
    """Reports that can't be read close placement, and it is told."""

    def setUp(self) -> None:
        super().setUp()
        self.ok("device", "sync")
        with contextlib.closing(
            sqlite3.connect(self.state / "nova-vfio.sqlite")
        ) as link:
            link.execute(
                "INSERT INTO vgpu_reports VALUES ('here', 'a', NULL, 0, '', NULL)"
            )
            link.commit()

    def test_nothing_is_claimed_and_the_reason_is_told(self) -> None:
        said = self.fails(
            "claim", "create", "--alias=nic:1", "--instance", ONE
        )
        self.assertIn("is corrupt (a row: ", said)
        self.assertIn("is corrupt (a row: ", self.fails("vgpu", "health"))

    def test_lists_say_that_all_is_unknown_and_why(self) -> None:
        done = self.ok("host", "list", "-f", "json")
        self.assertEqual(
            {"unknown"},
            {
                row["assignable"]
                for row in done.json
                if row["address"] in (VF, OTHER)
            },
        )
        self.assertIn("is corrupt (a row: ", done.err)
        self.assertIn("what is assignable is unknown", done.err)
        done = self.run_cli("device", "list", "-f", "json")
        self.assertIn("is corrupt (a row: ", done.err)


class AnotherDeviceTest(vgpu_case.VgpuCase):
    def report(self, assignment: str) -> None:
        self.give(assignment=assignment)
        words = ("vgpu", "report", vgpu_case.VF, "--assignment", assignment)
        self.ok(*words, "failed")
        self.set_type("0")

    def health(self, status: int = 0) -> tuple[str, int]:
        (row,) = self.json("vgpu", "health", status=status)
        return row["health"], row["failures"]

    def test_what_was_reported_says_nothing_of_what_follows(self) -> None:
        self.report(FIRST)
        self.report(SECOND)
        self.assertEqual(("quarantined", 2), self.health(1))
        self.fake.exchange(vgpu_case.VF, "10de:25b8", class_code=0x030200)
        self.assertEqual(("well", 0), self.health())
        self.assertNotIn(
            "VFIO580", self.run_cli("host", "show", vgpu_case.VF).out
        )
        # What was said of the old one is not added to what is of the new.
        with contextlib.closing(self.open()) as opened:
            (row,) = opened.vgpus.all()
            function = scanner.scan(
                opening.open_tree(str(self.fake.root))
            ).get(row.address)
            assert function is not None
            opened.vgpus.put(
                dataclasses.replace(
                    row, assignment="third", identity=function.identity
                )
            )
        self.ok(
            *("vgpu", "report", vgpu_case.VF, "--assignment", "third"),
            "failed",
        )
        self.assertEqual(("suspect", 1), self.health())
