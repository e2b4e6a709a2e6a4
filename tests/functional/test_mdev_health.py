# SPDX-License-Identifier: Apache-2.0
"""How guests do on mediated devices, as ``vgpu health`` shows it."""

import contextlib
import dataclasses
import typing as ty

from nova_vfio_variant.node import node
from nova_vfio_variant.tracker import store
from tests.functional import mdev_case, mdev_claims_case
from tests.functional.mdev_case import CARD, ONE, OTHER, TWO
from tests.functional.mdev_claims_case import CARDS


class HealthTest(mdev_claims_case.MdevClaimsCase):
    def shown(
        self, *columns: str, status: int = 0
    ) -> list[tuple[ty.Any, ...]]:
        return [
            tuple(row[name] for name in columns)
            for row in self.json("vgpu", "health", status=status)
        ]

    def report(self, assignment: str, result: str) -> None:
        self.ok("vgpu", "report", ONE, "--assignment", assignment, result)

    def test_each_assignment_of_a_claim_is_shown(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35:2")
        self.assertEqual(
            {
                (CARDS[0], "well", ONE, uuid, assignment)
                for uuid, assignment in zip(
                    claimed["mdevs"], claimed["assignments"], strict=True
                )
            },
            {
                *self.shown(
                    *("address", "health", "instance_uuid", "mdev"),
                    "assignment",
                )
            },
        )

    def test_what_was_reported_stands_with_its_assignment(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35:2")
        good, bad = claimed["assignments"]
        self.report(good, "ok")
        self.report(bad, "failed")
        rows = self.shown("assignment", "health", "reported", "failures")
        self.assertEqual(
            {(good, "suspect", "ok", 1), (bad, "suspect", "failed", 1)},
            {*rows},
        )
        # What is given back is remembered of its parent alone.
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(
            [(CARDS[0], None, None, "suspect", ONE)],
            self.shown(
                *("address", "mdev", "assignment", "health", "instance_uuid")
            ),
        )

    def test_the_library_says_the_same(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35")
        health = node.Node(["nova.conf"], None, "host", "state").vgpu_health
        (assignment,) = claimed["assignments"]
        said = health.report(ONE, assignment, ok=False)
        self.assertEqual((said,), health.standings())
        self.assertEqual(claimed["mdevs"], [said.mdev])

    def test_a_quarantined_parent_ends_it_with_status_1(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35:2")
        for assignment in claimed["assignments"]:
            self.report(assignment, "failed")
        self.assertEqual(
            [("quarantined",)] * 2, self.shown("health", status=1)
        )

    def test_of_a_parent_that_is_no_function_there_is_no_health(self) -> None:
        self.fake.add_mdev_parent("mtty", {"mtty-1": 1}, 2)
        self.claim(ONE, "--vgpu-type", "mtty-1")
        self.assertEqual([], self.shown("address"))


class SuspectTest(mdev_case.MdevCase):
    """Guests that ended, and nobody said how their start went."""

    def setUp(self) -> None:
        super().setUp()
        self.given = [
            self.make(card, instance_uuid=instance)
            for card, instance in (
                (CARD, ONE),
                (OTHER, TWO),
            )
        ]
        self.age()

    def health(self) -> dict[str, str]:
        return {
            row["address"]: row["health"]
            for row in self.json("vgpu", "health")
        }

    def test_who_ended_without_a_report_counts_as_failed(self) -> None:
        self.ok(
            *("vgpu", "report", TWO, "ok"),
            *("--assignment", self.given[1].assignment),
        )
        self.ok("reconcile")
        self.assertEqual({}, self.there())
        self.assertEqual(
            {CARD: "suspect", OTHER: "well"},
            self.health(),
        )

    def test_where_nobody_reports_nobody_is_suspect(self) -> None:
        self.ok("reconcile")
        self.assertEqual({}, self.health())

    def test_the_end_of_what_somebody_removed_says_nothing(self) -> None:
        self.ok(
            *("vgpu", "report", TWO, "ok"),
            *("--assignment", self.given[1].assignment),
        )
        self.make(CARD, instance_uuid=ONE)
        self.guest(ONE)
        with contextlib.closing(store.Store.open(self.state)) as opened:
            # As where the removal was killed midway.
            opened.mdevs.put(dataclasses.replace(self.given[0], assignment=""))
        self.ok("reconcile")
        self.assertEqual([CARD], [*self.there().values()])
        self.assertEqual({CARD: "well", OTHER: "well"}, self.health())
