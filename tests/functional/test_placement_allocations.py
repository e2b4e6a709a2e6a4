# SPDX-License-Identifier: Apache-2.0
"""Claims as allocations in a real Placement."""

import dataclasses
import uuid

import fixtures
import requests

from nova_vfio_variant import exception
from nova_vfio_variant.placement import allocations, client, report
from tests.functional.placement_case import (
    PlacementTestCase,
    ask,
    make,
)


class AllocationTest(PlacementTestCase):
    def claim(self, instance: str, amount: int = 1, place: int = 1) -> None:
        wanted = {make(place).name: {"CUSTOM_A16_16A": amount}}
        asked = dataclasses.replace(
            ask(make(1), make(2)), only=frozenset(wanted)
        )
        report.report(self.client, asked, self.known)
        allocations.put(self.client, self.known, instance, wanted)

    def usage(self) -> dict[str, dict[str, int]]:
        there = allocations.published(
            self.client, self.known, ask(make(1), make(2))
        )
        return {
            name: dict(published.usages) for name, published in there.items()
        }

    def test_a_claim_publishes_its_provider_first(self) -> None:
        instance = str(uuid.uuid4())
        self.claim(instance, 3)
        self.assertEqual([make(1).name], list(self.published()))
        self.assertEqual({make(1).name: {"CUSTOM_A16_16A": 3}}, self.usage())
        found = self.direct.allocations(instance)
        self.assertEqual("INSTANCE", found.consumer_type)

    def test_a_consumer_that_a_crash_left_without_anything_is_used(
        self,
    ) -> None:
        self.report(make(1))
        (known,) = (
            self.known.get(name)
            for name in self.known.names()
            if name == make(1).name
        )
        assert known is not None
        instance = str(uuid.uuid4())

        class Crash(BaseException):
            """Placement ends here: nothing catches this."""

        def crash(*_: object, **__: object) -> None:
            raise Crash

        # It makes the consumer first, and commits that.
        with fixtures.MonkeyPatch(
            "placement.objects.allocation.replace_all", crash
        ):
            self.assertRaises(
                Crash,
                self.direct.put_allocations,
                instance,
                client.Allocations({known.uuid: {"CUSTOM_A16_16A": 1}}),
            )
        self.assertIsNone(self.direct.allocations(instance).generation)
        self.claim(instance, 2)
        self.assertEqual({make(1).name: {"CUSTOM_A16_16A": 2}}, self.usage())
        allocations.delete(self.client, self.known, instance)
        self.assertEqual({make(1).name: {"CUSTOM_A16_16A": 0}}, self.usage())

    def test_a_claim_that_ends_leaves_nothing(self) -> None:
        instance = str(uuid.uuid4())
        self.claim(instance)
        allocations.delete(self.client, self.known, instance)
        self.assertEqual({make(1).name: {"CUSTOM_A16_16A": 0}}, self.usage())
        self.assertIsNone(self.direct.allocations(instance).generation)
        # Ending it again does nothing.
        allocations.delete(self.client, self.known, instance)

    def test_a_claim_replaces_what_the_instance_had_of_ours(self) -> None:
        instance = str(uuid.uuid4())
        self.claim(instance, 2)
        self.claim(instance, 1, place=2)
        self.assertEqual(
            {
                make(1).name: {"CUSTOM_A16_16A": 0},
                make(2).name: {"CUSTOM_A16_16A": 1},
            },
            self.usage(),
        )

    def test_what_nova_gave_the_instance_stays(self) -> None:
        instance, nova = str(uuid.uuid4()), str(uuid.uuid4())
        self.direct.create(nova, "compute-2", None)
        self.direct.put_inventories(nova, 0, {"VCPU": {"total": 8}})
        theirs = {nova: {"VCPU": 2}}
        self.direct.put_allocations(
            instance,
            client.Allocations(theirs, None, "a project", "a user"),
        )
        self.claim(instance)
        self.assertEqual(
            {"VCPU": 2}, self.direct.allocations(instance).resources[nova]
        )
        allocations.delete(self.client, self.known, instance)
        found = self.direct.allocations(instance)
        self.assertEqual(theirs, found.resources)
        self.assertEqual("a project", found.project_id)

    def test_a_consumer_from_before_there_were_types_can_be_changed(
        self,
    ) -> None:
        instance = str(uuid.uuid4())
        self.report(make(1), make(2))
        listed = self.direct.find(make(2).name)
        assert listed is not None
        requests.put(
            f"{self.server.url}/allocations/{instance}",
            headers={
                "X-Auth-Token": "admin",
                "OpenStack-API-Version": "placement 1.36",
            },
            json={
                "allocations": {
                    listed.uuid: {"resources": {"CUSTOM_A16_16A": 1}}
                },
                "consumer_generation": None,
                "project_id": "a project",
                "user_id": "a user",
            },
            timeout=30,
        ).raise_for_status()
        self.claim(instance)
        self.assertEqual(
            {
                make(1).name: {"CUSTOM_A16_16A": 1},
                make(2).name: {"CUSTOM_A16_16A": 0},
            },
            self.usage(),
        )

    def test_more_than_there_is_is_refused_at_once(self) -> None:
        instance = str(uuid.uuid4())
        self.claim(instance)
        self.faults.seen.clear()
        error = self.assertRaises(
            exception.PlacementRefused, self.claim, str(uuid.uuid4()), 4
        )
        self.assertIn("exceed", str(error))
        self.assertEqual(1, len(self.faults.writes))

    def test_a_consumer_that_changes_meanwhile_is_read_again(self) -> None:
        instance = str(uuid.uuid4())
        self.claim(instance)
        disturbed: list[str] = []

        def rule(method: str, path: str) -> None:
            if method == "PUT" and "/allocations/" in path and not disturbed:
                disturbed.append(path)
                has = self.direct.allocations(instance)
                self.direct.put_allocations(instance, has)

        self.faults.rules.append(rule)
        self.claim(instance, 2)
        self.assertEqual(1, len(disturbed))
        self.assertEqual({make(1).name: {"CUSTOM_A16_16A": 2}}, self.usage())

    def test_a_provider_that_is_not_published_is_named(self) -> None:
        error = self.assertRaises(
            exception.PlacementRefused,
            allocations.put,
            self.client,
            self.known,
            str(uuid.uuid4()),
            {make(7).name: {"CUSTOM_A16_16A": 1}},
        )
        self.assertIn(make(7).name, str(error))
