# SPDX-License-Identifier: Apache-2.0
"""The life of a claim, as whoever runs guests drives it by commands."""

import uuid

from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import store
from tests.functional import check_host, cli_case, schema_case

ONE, TWO = cli_case.ONE, cli_case.TWO
MINE = ("--instance", ONE)
WORDS = ("--alias", "nic:2")


class LifeTest(schema_case.SchemaCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(0x21, vfs=4))
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )

    def moved(self, move: str, *words: str) -> list[str]:
        """Make a move twice, as after a crash; in which state it is then."""
        first = self.json("claim", move, *MINE, *words)
        self.assertEqual(first, self.json("claim", move, *MINE, *words))
        return [claim["status"] for claim in first]

    def statuses(self) -> set[str]:
        return {device["status"] for device in self.json("device", "list")}

    def test_each_move_can_be_made_twice(self) -> None:
        self.assertEqual(["prepared"], self.moved("create", *WORDS))
        (claim,) = self.json("claim", "list", *MINE)
        mine = ("--assignment", claim["assignment"])
        self.assertEqual(["prepared"], self.moved("prepare", *mine))
        self.assertEqual(["allocated"], self.moved("started", *mine))
        # Its guest runs: there is nothing to prepare, and all stays.
        self.assertEqual(["allocated"], self.moved("prepare", *mine))
        self.assertEqual(["allocated"], self.moved("create", *WORDS))
        (freed,) = self.json("claim", "release", *MINE, *mine)
        self.assertEqual("freed", freed["status"])
        self.assertEqual([], self.moved("release", *mine))
        self.assertEqual([], self.moved("delete"))
        self.assertEqual({"available"}, self.statuses())
        self.assertEqual({}, self.allocations(ONE))

    def test_another_request_of_the_same_instance_is_refused(self) -> None:
        self.ok("claim", "create", *MINE, *WORDS)
        for words in (
            ("--alias", "nic:1"),
            (*WORDS, "--numa-policy", "preferred"),
        ):
            said = self.refuses("claim", "create", *MINE, *words)
            self.assertIn("already has nic:2", said)

    def test_a_late_release_takes_nothing_from_the_next_claim(self) -> None:
        (first,) = self.json("claim", "create", *MINE, *WORDS)
        self.ok("claim", "delete", *MINE)
        (second,) = self.json("claim", "create", *MINE, *WORDS)
        self.assertNotEqual(first["assignment"], second["assignment"])
        late = ("--assignment", first["assignment"])
        self.assertEqual([], self.json("claim", "release", *MINE, *late))
        for move in ("prepare", "started"):
            said = self.refuses("claim", move, *MINE, *late)
            self.assertIn(first["assignment"], said)
        self.assertEqual([second], self.json("claim", "list"))

    def test_what_is_being_given_back_is_not_claimed_again(self) -> None:
        self.ok("claim", "create", *MINE, *WORDS)
        with store.Store.open(str(self.state)) as opened:
            record = opened.claim_records.get(ONE)
            assert record is not None
            opened.claim_records.move(record, tracked.ClaimState.RELEASING)
        for words in (
            ("create", *MINE, *WORDS),
            ("prepare", *MINE),
            ("started", *MINE),
        ):
            said = self.refuses("claim", *words)
            self.assertIn("is giving its devices back", said)
            self.assertIn(f"nova-vfio claim release --instance {ONE}", said)
        self.ok("claim", "release", *MINE)
        self.assertEqual({"available"}, self.statuses())

    def test_one_of_nobody_is_named(self) -> None:
        for words in (("prepare", *MINE), ("started", *MINE), ("show", ONE)):
            said = self.refuses("claim", *words)
            self.assertIn("has claimed nothing", said)

    def test_one_is_shown_whole(self) -> None:
        self.ok("claim", "create", *MINE, *WORDS)
        self.ok("claim", "create", "--instance", TWO, "--alias", "nic:1")
        shown = self.json("claim", "show", ONE)
        (device,) = shown["devices"]
        self.assertEqual(
            (ONE, "prepared", [["nic", 2]], 2),
            (
                shown["instance_uuid"],
                shown["status"],
                shown["asked"]["counts"],
                len(device["addresses"]),
            ),
        )
        self.assertEqual(4, uuid.UUID(shown["assignment"]).version)
        self.assertEqual(2, len(self.json("claim", "list")))
        (claim,) = self.json("claim", "list", *MINE)
        self.assertEqual(shown["assignment"], claim["assignment"])
