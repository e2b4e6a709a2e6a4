# SPDX-License-Identifier: Apache-2.0
"""Mediated devices that claims make on a host without nova-compute."""

import typing as ty

from nova_vfio_variant.node import mdev_wishes
from tests.functional import mdev_claims_case
from tests.functional.mdev_claims_case import CARDS, ONE, TWO


class ClaimTest(mdev_claims_case.MdevClaimsCase):
    def test_a_device_is_made_for_a_claim_and_goes_with_it(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35")
        uuid = mdev_wishes.stable(ONE, 0)
        self.assertEqual({uuid: "nvidia-35"}, self.there())
        (row,) = self.rows()
        self.assertEqual(
            {
                "instance_uuid": ONE,
                "alias_name": "nvidia-35",
                "addresses": [],
                "status": "prepared",
                "assignment": claimed["assignment"],
                "vgpu_types": ["nvidia-35"],
                "assignments": [row.assignment],
                "mdevs": [uuid],
            },
            claimed,
        )
        self.assertEqual([claimed], self.json("claim", "list"))
        (freed,) = self.json("claim", "delete", "--instance", ONE)
        self.assertEqual(("freed", [uuid]), (freed["status"], freed["mdevs"]))
        self.assertEqual({}, self.there())
        self.assertEqual((), self.rows())
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(ONE))

    def test_some_fill_a_card_and_then_the_next(self) -> None:
        self.claim(ONE, "--vgpu-type", "nvidia-36:3")
        self.assertEqual([CARDS[0], CARDS[0], CARDS[1]], self.parents())

    def test_spread_takes_the_card_with_the_fewest(self) -> None:
        words = ("--vgpu-type", "nvidia-35:2", "--strategy", "spread")
        self.claim(ONE, *words)
        self.assertEqual([*CARDS], self.parents())

    def test_where_not_all_fit_none_is_made(self) -> None:
        self.claim(ONE, "--vgpu-type", "nvidia-36")
        before = self.there()
        said = self.fails(
            *("claim", "create", "--instance", TWO),
            *("--vgpu-type", "nvidia-35:2", "--vgpu-type", "nvidia-36:3"),
        )
        self.assertIn("no room for another nvidia-36", said)
        self.assertEqual(before, self.there())
        self.assertEqual([ONE], [row.instance_uuid for row in self.rows()])

    def test_it_stands_beside_functions(self) -> None:
        words = ("--alias", "gpu:1", "--vgpu-type", "nvidia-36")
        function, mediated = self.claim(ONE, *words)
        self.assertEqual([], function["mdevs"])
        # One card is given whole, so that the other one has the device.
        self.assertEqual(1, len(mediated["mdevs"]))
        self.assertEqual({*CARDS}, {*function["addresses"], *self.parents()})
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual({}, self.there())
        self.assertEqual([], self.json("claim", "list"))

    def test_a_card_with_devices_is_not_given_whole(self) -> None:
        words = ("--vgpu-type", "nvidia-35:2", "--strategy", "spread")
        self.claim(ONE, *words)
        said = self.fails(
            "claim", "create", "--instance", TWO, "--alias=gpu:1"
        )
        self.assertIn("[VFIO530]", said)

    def test_numa_keeps_to_the_cards_that_are_near(self) -> None:
        near = ("--vgpu-type", "nvidia-36", "--numa", "1")
        self.claim(ONE, *near, "--numa-policy", "required")
        self.assertEqual([CARDS[1]], self.parents())
        said = self.fails(
            *("claim", "create", "--instance", TWO, "--vgpu-type=nvidia-36"),
            *("--numa", "7"),
        )
        self.assertIn("is near NUMA nodes 7", said)

    def test_an_instance_claims_once(self) -> None:
        first = self.claim(ONE, "--vgpu-type", "nvidia-35")
        self.assertEqual(first, self.claim(ONE, "--vgpu-type", "nvidia-35"))
        self.assertEqual(1, len(self.there()))
        said = self.fails(
            "claim", "create", "--instance", ONE, "--vgpu-type", "nvidia-36"
        )
        self.assertIn("already has nvidia-35:1", said)

    def test_a_type_that_nobody_offers_is_told_with_the_nearest(self) -> None:
        said = self.fails(
            "claim", "create", "--instance", ONE, "--vgpu-type", "nvidia-37"
        )
        self.assertIn("nobody offers a type 'nvidia-37'", said)
        self.assertIn("nvidia-36", said)

    def test_what_is_open_keeps_its_claim(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35:2")
        pid = self.fake.hold(claimed["mdevs"][0], "qemu")
        said = self.refuses("claim", "delete", "--instance", ONE)
        self.assertIn(f"process {pid}", said)
        self.assertEqual(2, len(self.there()))
        # By force what can go goes.
        (freed,) = self.json("claim", "delete", "--instance", ONE, "--force")
        self.assertEqual(claimed["mdevs"][1:], freed["mdevs"])
        self.assertEqual(claimed["mdevs"][:1], [*self.there()])
        (left,) = self.json("claim", "list")
        self.assertEqual(claimed["mdevs"][:1], left["mdevs"])
        self.fake.let_go(pid)
        self.ok("claim", "delete", "--instance", ONE, "--wait", "5")
        self.assertEqual({}, self.there())

    def test_what_the_guest_of_another_instance_has_is_told(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35:2")
        by_process, by_file = claimed["mdevs"]
        self.start(ONE, by_process)
        self.define(ONE, by_file)
        self.ok("reconcile")
        self.define(TWO, by_file)
        (row,) = self.json("reconcile", status=1)
        self.assertEqual((by_file, "leave"), (row["subject"], row["action"]))
        self.assertIn(
            f"guest {TWO} has it, and instance {ONE} has claimed it"
            " (/etc/libvirt/qemu/guest.xml)",
            row["reason"],
        )
        self.define(ONE, by_file)
        pid = self.start(TWO, by_file)
        row, both = self.json("reconcile", status=1)
        self.assertIn(f"is open in process {pid} (", row["reason"])
        self.assertEqual("device of two guests", both["what"])

    def start(self, instance: str, uuid: str) -> int:
        """A guest that has a mediated device open."""
        pid = self.fake.hold(uuid, "qemu-system-x86")
        line = self.fake.root / f"proc/{pid}/cmdline"
        line.write_text(f"qemu-system-x86_64\0-uuid\0{instance}\0")
        return pid

    def define(self, instance: str, uuid: str) -> None:
        """A guest that libvirt would start with it."""
        place = self.fake.root / "etc/libvirt/qemu/guest.xml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(
            f"<domain><name>guest</name><uuid>{instance}</uuid><devices>"
            "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
            f"<address uuid='{uuid}'/></source></hostdev></devices></domain>"
        )

    def test_a_parent_whose_guest_failed_comes_last_and_then_not_at_all(
        self,
    ) -> None:
        for number in range(2):
            (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-36")
            self.assertEqual([CARDS[number]], self.parents())
            which = claimed["mdevs"][0] if number else CARDS[0]
            self.report(which, claimed, "failed")
            self.ok("claim", "delete", "--instance", ONE)
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-36")
        self.report(ONE, claimed, "failed")
        self.ok("claim", "delete", "--instance", ONE)
        words = ("--vgpu-type", "nvidia-36:2")
        self.claim(ONE, *words)
        self.assertEqual([CARDS[1]] * 2, self.parents())

    def test_of_a_parent_that_is_no_function_nothing_is_remembered(
        self,
    ) -> None:
        self.fake.add_mdev_parent("mtty", {"mtty-1": 1}, 2)
        (claimed,) = self.claim(ONE, "--vgpu-type", "mtty-1")
        said = self.fails(
            *("vgpu", "report", ONE, "ok"),
            *("--assignment", claimed["assignments"][0]),
        )
        self.assertIn("is made of mtty, which is no PCI function", said)
        said = self.fails("vgpu", "report", ONE, "--assignment=other", "ok")
        self.assertIn(f"it has {claimed['assignments'][0]} now", said)

    def report(
        self, which: str, claimed: dict[str, ty.Any], result: str
    ) -> None:
        """Say how a guest's start went."""
        (assignment,) = claimed["assignments"]
        self.ok("vgpu", "report", which, "--assignment", assignment, result)

    def test_a_parents_framework_is_shown(self) -> None:
        for row in self.json("host", "list"):
            self.assertEqual(
                ("mdev", "mdev"), (row["vgpu_mode"], row["vgpu_framework"])
            )

    def test_what_another_tool_made_stays(self) -> None:
        theirs = "c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11"
        self.fake.writer().create_mdev(theirs, CARDS[0], "nvidia-35")
        self.claim(ONE, "--vgpu-type", "nvidia-35")
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual([theirs], [*self.there()])
        self.assertEqual([], self.json("claim", "list"))

    def test_what_is_lost_is_shown_as_claimed_and_made_by_the_same_claim(
        self,
    ) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "nvidia-35")
        self.fake.write(
            f"sys/bus/mdev/devices/{claimed['mdevs'][0]}/remove", b"1\n"
        )
        (lost,) = self.json("claim", "list")
        self.assertEqual("claimed", lost["status"])
        (again,) = self.claim(ONE, "--vgpu-type", "nvidia-35")
        self.assertEqual("prepared", again["status"])
        self.assertEqual(claimed["mdevs"], again["mdevs"])


class AliasTest(mdev_claims_case.ByClassCase):
    """What an alias asks for by the class of a type."""

    def test_devices_of_its_type_are_made_of_parents_of_the_class(
        self,
    ) -> None:
        small, large = self.claim(ONE, "--alias", "large:1,small:2")
        self.assertEqual(
            [("nvidia-35", 2), ("nvidia-36", 1)],
            [
                (claimed["alias_name"], len(claimed["mdevs"]))
                for claimed in (small, large)
            ],
        )
        self.assertEqual([CARDS[0], CARDS[0], CARDS[1]], self.parents())
        # The other card takes more of the type, and has another class.
        said = self.fails(
            "claim", "create", "--instance", TWO, "--alias", "small:3"
        )
        self.assertIn("no room for another nvidia-35", said)
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual({}, self.there())

    def test_the_alias_says_how_near_they_have_to_be(self) -> None:
        far = ("claim", "create", "--instance", ONE, "--numa", "0")
        said = self.fails(*far, "--alias=large:1")
        self.assertIn("(policy required)", said)
        self.ok(*far, "--alias=large:1", "--numa-policy=preferred")

    def test_a_class_of_several_types_is_none(self) -> None:
        self.declare("VGPU")
        said = self.fails(
            "claim", "create", "--instance", ONE, "--alias", "small:1"
        )
        self.assertIn("nvidia-35, nvidia-36 have its class", said)

    def test_a_type_is_not_asked_for_in_two_ways(self) -> None:
        said = self.fails(
            *("claim", "create", "--instance", ONE, "--alias", "small:1"),
            *("--vgpu-type", "nvidia-35"),
        )
        self.assertIn("asked for twice", said)
        self.assertEqual([], self.json("claim", "list"))

    def test_ids_that_no_parent_has_are_none(self) -> None:
        self.fails("claim", "create", "--instance", ONE, "--alias", "other:1")
        found = self.json("config", "check", status=1)
        self.assertEqual(
            ["other"],
            [
                name
                for name in ("small", "large", "other")
                if any(f"alias '{name}'" in row["message"] for row in found)
            ],
        )

    def test_beside_nova_no_alias_makes_any(self) -> None:
        self.declare(more="nova_compute = yes\n")
        self.fails("claim", "create", "--instance", ONE, "--alias", "small:1")
        self.assertEqual({}, self.there())
