# SPDX-License-Identifier: Apache-2.0
"""Reports to a real Placement."""

import dataclasses
import uuid

from nova_vfio_variant.placement import allocations, report, tree
from tests.functional.placement_case import (
    AUTOMATIC,
    ROOT,
    PlacementTestCase,
    ask,
    connect,
    make,
)
from tests.unit.placement import devices as tracked_devices


class ReportTest(PlacementTestCase):
    def test_a_report_makes_root_and_providers_as_desired(self) -> None:
        result = self.report(
            make(1), make(2, 2, "PGPU", (AUTOMATIC, "CUSTOM_BIG"))
        )

        self.assertEqual(
            {
                make(1).name: ({"CUSTOM_A16_16A": 4}, (AUTOMATIC,)),
                make(2).name: ({"PGPU": 2}, (AUTOMATIC, "CUSTOM_BIG")),
            },
            self.published(),
        )
        self.assertEqual({"add"}, {one.change for one in result.changes})
        self.assertEqual((), result.warnings)

    def test_a_dry_run_says_the_same_and_writes_nothing(self) -> None:
        planned = report.report(
            self.client, ask(make(1)), self.known, dry_run=True
        )
        self.assertEqual([], self.faults.writes)
        self.assertEqual({}, self.known.rows)
        self.assertEqual(planned, self.report(make(1)))

    def test_an_unchanged_tree_costs_no_write_and_three_requests(
        self,
    ) -> None:
        desired = [make(place) for place in range(1, 20)]
        self.report(*desired)
        # As a new process: it asks for the versions too.
        self.client = connect(self.server.url)

        with self.faults.counted() as requests:
            result = self.report(*desired)

        self.assertEqual((), result.changes)
        self.assertEqual([], self.faults.writes)
        self.assertLessEqual(len(requests), 3)

    def test_a_provider_whose_generation_moved_costs_two_reads(self) -> None:
        desired = [make(place) for place in range(1, 6)]
        self.report(*desired)
        with self.faults.counted() as requests:
            self.report(*desired)
        least = len(requests)
        self.use(desired[0])
        self.use(desired[3])

        with self.faults.counted() as requests:
            self.report(*desired)
        self.assertEqual(least + 4, len(requests))
        self.assertEqual([], self.faults.writes)

        with self.faults.counted() as requests:
            self.report(*desired)
        self.assertEqual(least, len(requests))

    def test_totals_traits_and_classes_follow_what_is_desired(self) -> None:
        self.report(make(1), make(2))
        self.report(
            make(1, 6, traits=(AUTOMATIC, "CUSTOM_NEW")),
            make(2, 3, "CUSTOM_OTHER"),
        )
        self.assertEqual(
            {
                make(1).name: (
                    {"CUSTOM_A16_16A": 6},
                    (AUTOMATIC, "CUSTOM_NEW"),
                ),
                make(2).name: ({"CUSTOM_OTHER": 3}, (AUTOMATIC,)),
            },
            self.published(),
        )

    def test_a_provider_of_ours_goes_when_nobody_desires_it(self) -> None:
        self.report(make(1), make(2))
        result = self.report(make(2))
        self.assertEqual([make(2).name], list(self.published()))
        self.assertEqual({"delete"}, {one.change for one in result.changes})
        self.assertNotIn(make(1).name, self.known.rows)

    def test_nothing_goes_below_what_is_in_use(self) -> None:
        self.report(make(1), make(2))
        self.use(make(1), 3)
        self.use(make(2), 2)

        result = self.report(make(1, 1))

        self.assertEqual(
            {
                make(1).name: ({"CUSTOM_A16_16A": 3}, (AUTOMATIC,)),
                make(2).name: ({"CUSTOM_A16_16A": 2}, (AUTOMATIC,)),
            },
            self.published(),
        )
        self.assertEqual(2, len(result.warnings))
        # It is said again, for it is still so.
        self.assertEqual(2, len(self.report(make(1, 1)).warnings))

    def test_what_was_kept_goes_once_it_is_free(self) -> None:
        self.report(make(1), make(2))
        consumer = self.use(make(2))
        self.report(make(1))
        free = dataclasses.replace(
            self.direct.allocations(consumer), resources={}
        )
        self.direct.put_allocations(consumer, free)

        self.report(make(1))

        self.assertEqual([make(1).name], list(self.published()))

    def test_a_device_for_one_time_stays_reserved(self) -> None:
        once = make(1, 1)
        self.report(once)
        self.report(make(1, 1, reserved=1))
        self.report(once)
        listed = self.direct.find(once.name)
        assert listed is not None
        _, inventories = self.direct.inventories(listed.uuid)
        self.assertEqual(1, inventories["CUSTOM_A16_16A"]["reserved"])

    def test_a_report_of_some_leaves_the_others_alone(self) -> None:
        self.report(make(1), make(2))
        self.report(make(1, 2), make(3), only={make(3).name})
        self.assertEqual(
            {1: 4, 2: 4, 3: 4},
            {
                place: self.published()[make(place).name][0]["CUSTOM_A16_16A"]
                for place in (1, 2, 3)
            },
        )

    def test_what_a_crash_left_half_made_is_finished(self) -> None:
        """It was killed after a UUID was remembered, or a provider made."""
        made, unmade, root = (str(uuid.uuid4()) for _ in range(3))
        self.known.put(ROOT, root, None, None)
        self.known.put(make(1).name, made, None, None)
        self.known.put(make(2).name, unmade, None, None)
        self.direct.create(root, ROOT, None)
        self.direct.create(made, make(1).name, root)

        self.report(make(1), make(2))

        self.assertEqual(
            {ROOT: root, make(1).name: made, make(2).name: unmade},
            {listed.name: listed.uuid for listed in self.direct.tree(root)},
        )
        self.assertEqual(2, len(self.published()))

    def test_a_remembered_name_that_is_nowhere_is_forgotten(self) -> None:
        self.known.put("compute-1_gone", str(uuid.uuid4()), None, None)
        self.report(make(1))
        self.assertNotIn("compute-1_gone", self.known.rows)


class LayoutTest(PlacementTestCase):
    def test_classes_of_one_pf_have_totals_and_usage_of_their_own(
        self,
    ) -> None:
        devices = [
            tracked_devices.make(f"0000:25:00.{place}", resource_class=name)
            for place, name in enumerate(
                ("CUSTOM_A16_16A", "CUSTOM_A16_8A", "CUSTOM_A16_8A"), 4
            )
        ]
        desired, findings = tree.build(devices, ROOT, "per_class")
        self.assertEqual((), findings)
        asked = ask(*desired, layout="per_class")

        instance = str(uuid.uuid4())
        wanted = allocations.amounts(desired, devices[1:2])
        report.report(
            self.client,
            dataclasses.replace(asked, only=frozenset(wanted)),
            self.known,
        )
        allocations.put(self.client, self.known, instance, wanted)
        report.report(self.client, asked, self.known)

        big, small = (
            f"{ROOT}_0000:25:00.0_CUSTOM_A16_{name}" for name in ("16A", "8A")
        )
        self.assertEqual(
            {
                big: ({"CUSTOM_A16_16A": 1}, (AUTOMATIC,)),
                small: ({"CUSTOM_A16_8A": 2}, (AUTOMATIC,)),
            },
            self.published(),
        )
        self.assertEqual(
            {big: {"CUSTOM_A16_16A": 0}, small: {"CUSTOM_A16_8A": 1}},
            {
                name: published.usages
                for name, published in allocations.published(
                    self.client, self.known, asked
                ).items()
            },
        )

    def test_many_long_traits_are_made(self) -> None:
        traits = tuple(f"CUSTOM_{number:0>240}" for number in range(60))
        self.report(make(1, traits=(AUTOMATIC, *traits)))
        _, published = self.published()[make(1).name]
        self.assertEqual({AUTOMATIC, *traits}, set(published))

    def test_a_placement_says_what_it_speaks(self) -> None:
        major, minor = self.client.max_microversion().split(".")
        self.assertEqual("1", major)
        self.assertGreaterEqual(int(minor), 38)
