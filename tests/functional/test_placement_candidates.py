# SPDX-License-Identifier: Apache-2.0
"""Claims where others allocate from our providers in a cloud's Placement."""

import uuid

from nova_vfio_variant.placement import client
from tests.functional import cli_case
from tests.functional.service_case import CLAIM, REPORT, ServiceCase

FIRST, SECOND = "compute-1_0000:25:00.0", "compute-1_0000:26:00.0"
OTHERS = str(uuid.uuid4())
CLASS = "CUSTOM_NIC"


class CandidatesTest(ServiceCase):
    def setUp(self) -> None:
        super().setUp()
        self.ok(*REPORT)

    def others_take(
        self, name: str, units: int, *, report: bool = True
    ) -> None:
        """Another tool has units of a provider of ours."""
        listed = self.placement.find(name)
        assert listed is not None
        has = self.placement.allocations(OTHERS)
        self.placement.put_allocations(
            OTHERS,
            client.Allocations(
                {**has.resources, listed.uuid: {CLASS: units}}, has.generation
            ),
        )
        if report:  # It has seen the generation that this moved.
            self.ok(*REPORT)

    def claimed(self, *words: str) -> list[str]:
        """The devices of a claim that is made."""
        (made,) = self.json(*words)
        return sorted(made["addresses"])

    def asked(self) -> list[dict[str, str]]:
        """What candidates were asked for."""
        return [
            query
            for (_, path), query in zip(
                self.faults.seen, self.faults.queries, strict=True
            )
            if path == "/allocation_candidates"
        ]

    def test_placement_is_asked_for_each_device_in_a_group(self) -> None:
        self.ok(*CLAIM)
        (query,) = self.asked()
        root = self.placement.find("compute-1")
        assert root is not None
        self.assertEqual(
            {
                "group_policy": "none",
                "limit": "1",
                "resources1": f"{CLASS}:1",
                "in_tree1": root.uuid,
                "resources2": f"{CLASS}:1",
                "in_tree2": root.uuid,
            },
            query,
        )

    def test_what_others_have_is_not_given_again(self) -> None:
        self.others_take(FIRST, 1)
        self.assertEqual(
            ["0000:25:00.4", "0000:26:00.4"], self.claimed(*CLAIM)
        )
        self.assertEqual(
            {FIRST: {CLASS: 1}, SECOND: {CLASS: 1}},
            self.allocations(cli_case.ONE),
        )
        self.assertEqual([], self.json("inventory", "diff"))

    def test_too_little_is_refused_with_what_is_left(self) -> None:
        self.others_take(FIRST, 2)
        said = self.refuses(*CLAIM)
        self.assertIn(f"Placement hasn't 2 of {CLASS}", said)
        one = (*CLAIM[:-1], "--alias=nic:1")
        self.assertEqual(["0000:26:00.4"], self.claimed(*one))

    def test_a_trait_that_an_alias_asks_for_is_required(self) -> None:
        self.configure_fast()
        self.ok(
            "claim", "create", "--instance", cli_case.ONE, "--alias=fast:1"
        )
        (query,) = self.asked()
        self.assertEqual("CUSTOM_FAST", query["required1"])
        self.ok("claim", "delete", "--instance", cli_case.ONE)
        self.others_take(SECOND, 1)
        said = self.refuses(
            "claim", "create", "--instance", cli_case.ONE, "--alias=fast:1"
        )
        self.assertIn(f"Placement hasn't 1 of {CLASS} with CUSTOM_FAST", said)

    def configure_fast(self) -> None:
        """An alias for the card with the trait."""
        with open("nova.conf") as file:
            text = file.read()
        with open("nova.conf", "w") as file:
            file.write(
                text.replace(
                    "alias =",
                    'alias = { "name": "fast", "device_type": "type-VF",'
                    ' "resource_class": "NIC", "traits": "CUSTOM_FAST" }\n'
                    "alias =",
                )
            )

    def test_what_others_take_meanwhile_is_not_given_either(self) -> None:
        """Between the question and the allocation."""

        def rule(method: str, path: str) -> None:
            if method == "PUT" and path.startswith("/allocations/"):
                self.faults.rules.clear()
                self.others_take(FIRST, 2, report=False)

        self.faults.rules.append(rule)
        said = self.fails(*CLAIM)
        self.assertIn("409", said)
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(cli_case.ONE))
        one = (*CLAIM[:-1], "--alias=nic:1")
        self.assertEqual(["0000:26:00.4"], self.claimed(*one))

    def test_the_first_claim_publishes_what_it_asks_for(self) -> None:
        fresh = "compute-2"
        with open("nova.conf") as file:
            text = file.read()
        with open("nova.conf", "w") as file:
            file.write(text.replace("host = compute-1", f"host = {fresh}"))
        self.assertEqual(2, len(self.claimed(*CLAIM)))
        self.assertIn(f"{fresh}_0000:25:00.0", self.published())
