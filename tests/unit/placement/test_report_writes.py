# SPDX-License-Identifier: Apache-2.0
"""What a report writes, in which order, and what it refuses."""

import dataclasses
import typing as ty

import tenacity

from nova_vfio_variant import exception
from nova_vfio_variant.placement import (
    allocations,
    client,
    memory,
    provider,
    report,
    retry,
)
from nova_vfio_variant.testing import placement
from tests import base
from tests.unit.placement import small

AUTOMATIC = "COMPUTE_MANAGED_PCI_DEVICE"
ROOT = "compute-1"
RC = "CUSTOM_A"


def make(
    name: str,
    total: int = 4,
    resource_class: str = RC,
    traits: tuple[str, ...] = (AUTOMATIC,),
    **others: int,
) -> provider.Provider:
    one = provider.Inventory(total, total, **others)
    return provider.Provider(name, ROOT, {resource_class: one}, traits)


class ReportCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client = small.Placement()
        self.client.words |= {AUTOMATIC}
        self.known = placement.Memory()

    def report(
        self, *desired: provider.Provider, **others: ty.Any
    ) -> report.Result:
        dry_run = others.pop("dry_run", False)
        ask = report.ReportRequest(ROOT, desired, **others)
        return report.report(self.client, ask, self.known, dry_run=dry_run)

    def written(
        self, *desired: provider.Provider, **others: ty.Any
    ) -> list[str]:
        """What a report writes."""
        self.client.writes.clear()
        self.report(*desired, **others)
        return list(self.client.writes)

    def refused(
        self, word: str, *desired: provider.Provider, **others: ty.Any
    ) -> None:
        """A report is refused for this, and writes nothing."""
        self.client.writes.clear()
        told = self.assertRaises(
            exception.InventoryRefused, self.report, *desired, **others
        )
        self.assertIn(word, told.message)
        self.assertEqual([], self.client.writes)

    def named(self, name: str) -> provider.Published:
        found = self.client.find(name)
        assert found is not None, name
        return self.client.providers[found.uuid]

    def use(self, name: str, units: int, resource_class: str = RC) -> None:
        """A guest has so many units of a provider."""
        self.client.allocated["guest"] = client.Allocations(
            {self.named(name).uuid: {resource_class: units}}, 1
        )


class WriteTest(ReportCase):
    def test_a_root_and_what_stands_below_it_are_made(self) -> None:
        self.assertEqual(
            [
                "create compute-1",
                "create a",
                "traits a",
                "inventories a",
                "create b",
                "traits b",
                "inventories b",
            ],
            self.written(make("a"), make("b")),
        )
        root = self.named(ROOT)
        self.assertEqual(
            {self.named("a").uuid: root.uuid, self.named("b").uuid: root.uuid},
            {k: v for k, v in self.client.parents.items() if v},
        )
        self.assertEqual(4, self.named("a").inventories[RC]["total"])

    def test_what_is_as_it_should_be_is_not_written_again(self) -> None:
        self.report(make("a"))
        self.assertEqual([], self.written(make("a")))
        self.assertEqual((), self.report(make("a")).changes)

    def test_only_what_differs_is_written(self) -> None:
        self.report(make("a"))
        self.assertEqual(["inventories a"], self.written(make("a", 5)))
        self.assertEqual(
            ["traits a"],
            self.written(make("a", 5, traits=(AUTOMATIC, "CUSTOM_X"))),
        )

    def test_a_dry_run_writes_nothing_and_says_the_same(self) -> None:
        said = self.report(make("a"), dry_run=True)
        self.assertEqual([], self.client.writes)
        self.assertEqual(said, self.report(make("a")))

    def test_what_goes_is_first_then_what_shrinks_then_the_rest(self) -> None:
        self.report(make("a"), make("b", 4), make("c", 1), make("z"))
        self.assertEqual(
            [
                "delete z",
                "inventories b",
                "inventories c",
                "create d",
                "traits d",
                "inventories d",
            ],
            self.written(make("a"), make("b", 3), make("c", 2), make("d")),
        )

    def test_a_class_that_goes_is_one_that_shrinks(self) -> None:
        self.report(make("a", 1), make("b", 1))
        self.assertEqual(
            ["inventories b", "inventories a"],
            self.written(make("a", 2), make("b", 1, "CUSTOM_B")),
        )

    def test_what_is_in_use_stays_and_is_told(self) -> None:
        self.report(make("a"), make("b"))
        self.use("a", 3)
        said = self.report(make("a", 1), make("b"))
        self.assertEqual(3, self.named("a").inventories[RC]["total"])
        (warning,) = said.warnings
        self.assertIn("stays at 3 where 1 would be right", warning)
        # It is looked at again, and goes once it is free.
        self.client.allocated.clear()
        self.report(make("a", 1), make("b"))
        self.assertEqual(1, self.named("a").inventories[RC]["total"])

    def test_a_provider_in_use_stays(self) -> None:
        self.report(make("a"), make("b"))
        self.use("a", 3)
        self.report(make("b"))
        self.assertEqual(3, self.named("a").inventories[RC]["total"])
        self.client.allocated.clear()
        self.report(make("b"))
        self.assertIsNone(self.client.find("a"))
        self.assertIsNone(self.known.get("a"))

    def test_a_report_of_some_leaves_the_others(self) -> None:
        self.report(make("a"), make("b"), make("c"))
        self.assertEqual(
            ["inventories a"],
            self.written(make("a", 5), make("b", 5), only={"a"}),
        )

    def test_what_is_blocked_is_reserved_as_ours(self) -> None:
        self.report(make("a", blocked=2))
        self.assertEqual(2, self.named("a").inventories[RC]["reserved"])
        self.assertEqual({RC: 2}, memory.ours(self.known, self.named("a")))
        self.report(make("a"))
        self.assertEqual(0, self.named("a").inventories[RC]["reserved"])

    def test_what_a_crash_left_is_forgotten_or_finished(self) -> None:
        self.known.put("nowhere", "uuid", 1, None)
        self.known.put("a", "uuid of a", None, None)
        self.report(make("a"))
        self.assertEqual("uuid of a", self.named("a").uuid)
        self.assertIsNone(self.known.get("nowhere"))
        # One of some forgets nothing.
        self.known.put("nowhere", "uuid", 1, None)
        self.report(make("a"), only={"a"})
        self.assertIsNotNone(self.known.get("nowhere"))

    def test_a_root_is_made_again_with_its_uuid(self) -> None:
        self.known.put(ROOT, "uuid of root", None, None)
        self.report(make("a"))
        self.assertEqual("uuid of root", self.named(ROOT).uuid)

    def test_words_are_made_that_placement_lacks(self) -> None:
        self.report(make("a", traits=("CUSTOM_T",)))
        self.assertEqual({AUTOMATIC, RC, "CUSTOM_T"}, self.client.words)
        told = self.assertRaises(
            exception.PlacementRefused,
            self.report,
            make("a", traits=("HW_NEW",)),
        )
        self.assertIn("doesn't know the trait HW_NEW", told.message)

    def test_what_is_new_or_goes_is_told_by_field(self) -> None:
        self.assertEqual(
            [("add", "a"), ("add", "b")],
            sorted(
                {
                    (one.change, one.provider)
                    for one in self.report(make("b"), make("a")).changes
                }
            ),
        )
        self.assertEqual(
            {"add"}, {one.change for one in report.additions([make("a")])}
        )


class RefusalTest(ReportCase):
    def others(self, name: str, parent: str | None = None) -> str:
        uuid = f"their {name}"
        self.client.create(uuid, name, parent)
        return uuid

    def test_a_root_of_others_is_left_alone(self) -> None:
        self.others(ROOT)
        self.refused("was not made by us", make("a"))
        # In a Placement of our own nobody else makes any.
        self.report(make("a"), embedded=True)

    def test_a_provider_of_others_is_left_alone(self) -> None:
        self.report(make("a"))
        self.others("b", self.named(ROOT).uuid)
        self.refused("provider b in", make("a"), make("b"))
        self.assertEqual([], self.written(make("a")))
        self.report(make("a"), make("b"), embedded=True)

    def test_in_a_placement_of_our_own_what_nobody_desires_goes(self) -> None:
        self.report(make("a"))
        theirs = self.others("b", self.named(ROOT).uuid)
        self.assertEqual([], self.written(make("a"), embedded=True))
        self.client.put_traits(theirs, 0, [AUTOMATIC])
        self.assertEqual(["delete b"], self.written(make("a"), embedded=True))

    def test_whoever_owns_a_provider_by_now_has_it(self) -> None:
        self.report(make("a"))
        one = self.named("a")
        self.client.put_traits(
            one.uuid, one.generation, (*one.traits, "OWNER_NOVA")
        )
        self.refused("provider a has an owner, OWNER_NOVA", make("a", 5))

    def test_whoever_owns_the_root_by_now_has_all_of_it(self) -> None:
        self.report(make("a"))
        root = self.named(ROOT)
        self.client.put_traits(
            root.uuid, root.generation, ("OWNER_NOVA", "CUSTOM_X")
        )
        self.refused(
            "provider compute-1 has an owner, OWNER_NOVA, a", make("a")
        )

    def test_a_layout_is_not_changed_under_claims(self) -> None:
        self.report(make("a"))
        self.refused(
            "provider_layout can't be changed to per_class",
            make("b"),
            layout="per_class",
            has_claims=True,
        )
        self.use("a", 1)
        self.refused("provider_layout", make("b"), layout="per_class")
        self.client.allocated.clear()
        self.assertIn("delete a", self.written(make("b"), layout="per_class"))

    def test_providers_are_not_moved_under_claims(self) -> None:
        self.report(make("a"))
        moved = dataclasses.replace(make("a"), parent="other")

        def ask(**others: ty.Any) -> report.ReportRequest:
            return report.ReportRequest("other", [moved], **others)

        for others in ({"has_claims": True}, {}):
            if not others:
                self.use("a", 1)
            told = self.assertRaises(
                exception.InventoryRefused,
                report.report,
                self.client,
                ask(**others),
                self.known,
            )
            self.assertIn("there are claims: a, compute-1", told.message)
        self.client.allocated.clear()

    def test_all_is_not_published_from_a_part(self) -> None:
        self.report(make("a"))
        self.refused("not all devices can be published", whole=False)
        self.assertEqual([], self.written(make("a"), only={"a"}, whole=False))
        self.refused(
            "not all devices can be published",
            make("a"),
            only={"a"},
            whole=False,
            layout="per_class",
        )


class AgainTest(ReportCase):
    def setUp(self) -> None:
        super().setUp()
        # Nothing is waited for.
        self.patch(report, "_PAUSE", 0)

    def test_what_moves_meanwhile_is_read_and_written_again(self) -> None:
        self.client.instead = exception.PlacementConflict("moved")
        said = self.report(make("a"))
        self.assertEqual({"add"}, {one.change for one in said.changes})
        self.assertEqual(4, self.named("a").inventories[RC]["total"])
        self.assertIn("attempt 1: moved; trying again", self.log.output)

    def test_what_moves_again_and_again_is_given_up_and_put_back(
        self,
    ) -> None:
        tries: list[int] = []

        def moves(*_args: object) -> int:
            tries.append(1)
            raise exception.PlacementConflict("moved")

        self.patch(self.client, "put_inventories", moves)
        told = self.assertRaises(
            exception.PlacementConflict, self.report, make("a")
        )
        self.assertEqual(retry.ATTEMPTS, len(tries))
        self.assertIn(
            f"others changed the same providers {retry.ATTEMPTS} times",
            told.message,
        )
        self.assertEqual({}, self.client.providers)
        self.assertEqual({}, self.known.rows)

    def test_other_failures_are_not_tried_again(self) -> None:
        self.client.instead = exception.PlacementRefused("no", "why")
        told = self.assertRaises(
            exception.PlacementRefused, self.report, make("a")
        )
        self.assertEqual(("no", "why"), (told.message, told.hint))

    def test_what_can_not_be_put_back_is_named(self) -> None:
        def gone(*_args: object) -> int:
            raise exception.PlacementUnreachable("gone")

        self.patch(self.client, "put_inventories", gone)
        self.patch(self.client, "delete", gone)
        told = self.assertRaises(
            exception.PlacementUnreachable, self.report, make("a")
        )
        self.assertEqual(
            "gone; what was written to compute-1, a could not be put back",
            told.message,
        )


class CompareTest(ReportCase):
    def test_it_tells_whoever_owns_them(self) -> None:
        self.client.create("root", ROOT, None)
        self.client.create("b", "b", "root")
        self.client.put_traits("b", 0, [AUTOMATIC, "OWNER_NOVA"])
        self.client.create("c", "c", "root")
        self.client.writes.clear()
        ask = report.ReportRequest(ROOT, [make("a")])
        found = report.compare(self.client, ask, self.known)
        self.assertEqual(
            {("add", "a"), ("delete", "b")},
            {(one.change, one.provider) for one in found.changes},
        )
        self.assertEqual([], self.client.writes)


class AllocationsTest(ReportCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(report, "_PAUSE", 0)
        self.report(make("a"), make("b"))

    def put(self, **wanted: int) -> None:
        allocations.put(
            self.client,
            self.known,
            "guest",
            {name: {RC: units} for name, units in wanted.items()},
        )

    def has(self) -> dict[str, int]:
        return {
            uuid
            if uuid == "theirs"
            else self.client.providers[uuid].name: sum(one.values())
            for uuid, one in self.client.allocations("guest").resources.items()
        }

    def test_an_instance_has_just_what_is_wanted_of_ours(self) -> None:
        self.put(a=1)
        self.assertEqual({"a": 1}, self.has())
        self.put(b=2)
        self.assertEqual({"b": 2}, self.has())

    def test_what_it_has_already_is_not_written_again(self) -> None:
        self.put(a=1)
        self.client.writes.clear()
        self.put(a=1)
        self.assertEqual([], self.client.writes)

    def test_what_it_has_of_others_stays(self) -> None:
        self.client.allocated["guest"] = client.Allocations(
            {"theirs": {"VCPU": 4}}, 1
        )
        self.put(a=1)
        self.assertEqual({"theirs": 4, "a": 1}, self.has())
        allocations.delete(self.client, self.known, "guest")
        self.assertEqual({"theirs": 4}, self.has())

    def test_what_is_not_published_is_named(self) -> None:
        told = self.assertRaises(
            exception.PlacementRefused, self.put, a=1, d=1, c=1
        )
        self.assertEqual("provider c, d is not published", told.message)

    def test_what_moves_is_tried_again(self) -> None:
        self.put(a=1)
        self.client.instead = exception.PlacementConflict("moved")
        self.put(a=2)
        self.assertEqual({"a": 2}, self.has())

    def test_what_moves_again_and_again_is_told(self) -> None:
        tries: list[int] = []

        def moves(*_args: object) -> None:
            tries.append(1)
            raise exception.PlacementConflict("moved")

        self.put(a=1)
        self.patch(self.client, "put_allocations", moves)
        told = self.assertRaises(exception.PlacementConflict, self.put, a=2)
        self.assertIn(
            f"others changed instance guest or its providers"
            f" {retry.ATTEMPTS} times",
            told.message,
        )
        self.assertEqual(retry.ATTEMPTS, len(tries))

    def test_a_consumer_that_was_made_and_has_nothing_is_used(self) -> None:
        generations: list[int | None] = []

        def made(_consumer: str, wanted: client.Allocations) -> None:
            generations.append(wanted.generation)
            if wanted.generation is None:
                raise exception.PlacementConflict("it is there")

        self.patch(self.client, "put_allocations", made)
        self.put(a=1)
        self.assertEqual([None, 0], generations)

    def test_what_is_published_is_read_with_its_usage(self) -> None:
        self.put(a=3)
        self.known.put_shares("b", {})
        ask = report.ReportRequest(ROOT, [make("a"), make("c")])
        found = allocations.published(self.client, self.known, ask)
        self.assertEqual(["a"], [*found])
        self.assertEqual({RC: 3}, found["a"].usages)


class RetryTest(base.TestCase):
    def test_it_waits_at_most_half_a_second(self) -> None:
        waits = retry.retrying().wait
        assert isinstance(waits, tenacity.wait_random)
        self.assertEqual(
            (0, 0.5), (waits.wait_random_min, waits.wait_random_max)
        )
