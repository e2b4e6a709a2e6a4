# SPDX-License-Identifier: Apache-2.0
"""vGPU types that claims set on a host without nova-compute."""

import shlex

from nova_vfio_variant.pci import address
from nova_vfio_variant.tracker import store, vgpu_reports
from tests.functional import claimed_vgpus
from tests.functional.claimed_vgpus import (
    ALIAS,
    ONE,
    OTHER_PF,
    OTHER_VFS,
    OURS,
    PF,
    PLAIN,
    SPEC,
    TWO,
    VFS,
)


class ClaimTest(claimed_vgpus.OnDemand):
    def test_a_type_is_set_for_a_claim_and_goes_with_it(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "NVIDIA A16-8Q")
        self.assertEqual([VFS[0]], claimed["addresses"])
        self.assertEqual("prepared", claimed["status"])
        self.assertEqual(["558", "0", "0", "0"], self.types())
        (row,) = self.rows()
        self.assertEqual(
            ("558", "claim", ONE),
            (row.type_id, str(row.origin), row.instance_uuid),
        )
        self.assertEqual([row.assignment], claimed["assignments"])
        self.assertEqual([claimed], self.json("claim", "list"))
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(["0"] * 4, self.types())
        self.assertEqual((), self.rows())
        self.assertEqual([], self.json("claim", "list"))

    def test_a_type_is_named_by_number_and_without_its_vendor_too(
        self,
    ) -> None:
        self.claim(ONE, "--vgpu-type", "557")
        self.claim(TWO, "--vgpu-type", "A16-4Q:2")
        self.assertEqual(["557", "557", "557", "0"], self.types())

    def test_an_alias_of_the_types_class_sets_it(self) -> None:
        (claimed,) = self.claim(ONE, "--alias", "q8:2")
        self.assertEqual("q8", claimed["alias_name"])
        self.assertEqual(["558", "558", "0", "0"], self.types())

    def test_alias_and_type_stand_beside_each_other(self) -> None:
        self.claim(ONE, "--alias", "q8:1", "--vgpu-type", "A16-8Q")
        self.assertEqual(["558", "558", "0", "0"], self.types())

    def test_a_plain_alias_gets_no_vf_without_a_type(self) -> None:
        said = self.fails(
            "claim", "create", "--instance", ONE, "--alias=gpu:1"
        )
        self.assertIn("[VFIO534]", said)
        self.assertEqual(["0"] * 4, self.types())

    def test_what_the_card_has_no_room_for_is_refused_and_nothing_is_set(
        self,
    ) -> None:
        self.claim(ONE, "--vgpu-type", "A16-8Q")
        before = self.recorded()
        for words in (
            ("--vgpu-type", "A16-4Q"),
            ("--vgpu-type", "A16-16Q"),
        ):
            said = self.fails("claim", "create", "--instance", TWO, *words)
            self.assertIn("[VFIO591]", said)
            self.assertIn("'nova-vfio vgpu types'", said)
            self.assert_recorded(before)
        # One fits, and the second doesn't.
        self.fails("claim", "create", "--instance", TWO, "--vgpu-type=558:2")
        self.assertEqual(["558", "0", "0", "0"], self.types())
        self.assertEqual(1, len(self.rows()))
        self.assertEqual({}, self.allocations(TWO))

    def test_an_unknown_type_is_told_with_the_nearest(self) -> None:
        said = self.refuses(
            "claim", "create", "--instance", ONE, "--vgpu-type", "A16-8R"
        )
        self.assertIn("did you mean", said)
        self.assertIn("NVIDIA A16-8Q", said)

    def test_nothing_asked_for_is_told(self) -> None:
        said = self.fails("claim", "create", "--instance", ONE)
        self.assertIn("nothing is asked for", said)

    def test_a_type_that_another_one_set_stays_when_the_claim_goes(
        self,
    ) -> None:
        self.fake.writer().set_vgpu_type(VFS[2], "558")
        (claimed,) = self.claim(ONE, "--vgpu-type", "558")
        self.assertEqual([VFS[2]], claimed["addresses"])
        self.assertEqual((), self.rows())
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(["0", "0", "558", "0"], self.types())

    def test_a_type_that_somebody_changed_meanwhile_is_left(self) -> None:
        self.claim(ONE, "--vgpu-type", "557")
        writer = self.fake.writer()
        writer.set_vgpu_type(VFS[0], "0")
        writer.set_vgpu_type(VFS[0], "559")
        done = self.ok("claim", "delete", "--instance", ONE)
        self.assertIn(
            f"{VFS[0]}: it is not as we left it, with vGPU type 559", done.err
        )
        self.assertEqual(["559", "0", "0", "0"], self.types())
        self.assertEqual((), self.rows())

    def test_an_open_vgpu_keeps_its_claim_and_its_type(self) -> None:
        self.claim(ONE, "--vgpu-type", "558")
        pid = self.fake.hold(VFS[0], f"qemu\0-uuid\0{ONE}\0")
        said = self.refuses("claim", "delete", "--instance", ONE)
        self.assertIn(VFS[0], said)
        self.assertEqual("558", self.type_of(VFS[0]))
        # By force the claim goes, and what is ours stays known.
        self.ok("claim", "delete", "--instance", ONE, "--force")
        self.assertEqual("558", self.type_of(VFS[0]))
        self.assertEqual([ONE], [row.instance_uuid for row in self.rows()])
        self.fake.let_go(pid)

    def test_beside_nova_compute_it_is_refused_and_nothing_is_touched(
        self,
    ) -> None:
        self.configure(SPEC, ALIAS, PLAIN)
        said = self.refuses(
            "claim", "create", "--instance", ONE, "--vgpu-type", "558"
        )
        self.assertIn("beside nova-compute", said)
        self.assertIn("report_in_placement", said)
        said = self.fails("claim", "create", "--instance", ONE, "--alias=q8:1")
        self.assertEqual(["0"] * 4, self.types())

    def test_what_is_declared_is_not_set_by_a_claim(self) -> None:
        declared = (
            f'host_spec = {{ "address": "{VFS[0]}", "vgpu_type": "558" }}\n'
        )
        self.configure(SPEC, ALIAS, PLAIN, tail=OURS + declared)
        (claimed,) = self.claim(ONE, "--vgpu-type", "557")
        self.assertEqual([VFS[1]], claimed["addresses"])
        self.ok("claim", "delete", "--instance", ONE)
        # What is declared of a whole card is so of each of its VFs.
        whole = f'host_spec = {{ "address": "{PF}", "vgpu_types": {{"558": 1}} }}\n'
        self.configure(SPEC, ALIAS, PLAIN, tail=OURS + whole)
        said = self.fails("claim", "create", "--instance", ONE, "--alias=q8:1")
        self.assertEqual(["0"] * 4, self.types(), said)
        self.ok("host", "apply")
        (claimed,) = self.claim(ONE, "--alias", "q8:1")
        self.assertEqual("558", self.type_of(claimed["addresses"][0]))
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(["558", "0", "0", "0"], self.types())

    def test_the_check_knows_who_sets_types(self) -> None:
        codes = {one["code"] for one in self.json("config", "check")}
        self.assertEqual({"VFIO311", "VFIO220", "VFIO592"} & codes, set())
        self.configure(SPEC, ALIAS)
        codes = {one["code"] for one in self.json("config", "check", status=1)}
        self.assertEqual(
            {"VFIO311", "VFIO592"} & codes, {"VFIO311", "VFIO592"}
        )

    def test_a_card_that_waits_for_claims_is_no_finding(self) -> None:
        self.configure(SPEC, tail=OURS)
        self.assertEqual([], self.json("config", "check"))
        # Nor is one that is full of what claims have, or an alias for more.
        self.claim(ONE, "--vgpu-type", "559")
        self.configure(SPEC, ALIAS, tail=OURS)
        self.assertEqual([], self.json("config", "check"))
        self.ok("claim", "delete", "--instance", ONE)
        self.claim(ONE, "--alias", "q8:1")
        self.assertEqual([], self.json("config", "check"))
        self.ok("claim", "delete", "--instance", ONE)
        # Who sets this one sets the others, too, or nobody does.
        self.fake.writer().set_vgpu_type(VFS[0], "559")
        (found,) = self.json("config", "check", status=1)
        self.assertEqual("VFIO311", found["code"])

    def test_the_mend_of_a_vf_without_a_type_works(self) -> None:
        self.configure(SPEC)
        (found,) = self.json("config", "check", status=1)
        self.assertEqual("VFIO311", found["code"])
        words = shlex.split(found["hint"].split("'", 1)[1].rsplit("'", 1)[0])
        self.assertEqual("nova-vfio", words[0])
        self.ok(*words[1:])
        self.assertEqual("557", self.type_of(VFS[0]))

    def test_equal_vfs_are_used_in_turn(self) -> None:
        used = []
        for _ in range(5):
            (claimed,) = self.claim(ONE, "--vgpu-type", "557")
            used += claimed["addresses"]
            self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual([*VFS, VFS[0]], used)

    def test_a_vf_whose_guest_failed_comes_last(self) -> None:
        self.run_cli("device", "sync")
        with store.Store.open(str(self.state)) as opened:
            opened.vgpu_reports.add(
                vgpu_reports.Report(
                    address.PciAddress.parse(VFS[0]),
                    "an-assignment",
                    TWO,
                    False,
                    vgpu_reports.now(),
                )
            )
        used = []
        for _ in range(4):
            (claimed,) = self.claim(ONE, "--vgpu-type", "557")
            used += claimed["addresses"]
            self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual([*VFS[1:], VFS[1]], used)

    def test_a_type_that_cannot_be_set_takes_all_back(self) -> None:
        self.ok("device", "sync")
        # The list says yes, and the driver no.
        place = f"sys/bus/pci/devices/{VFS[0]}/nvidia/creatable_vgpu_types"
        self.fake.writer().set_vgpu_type(VFS[3], "557")
        (self.fake.root / place).write_text("558 : NVIDIA A16-8Q\n")
        said = self.fails(
            "claim", "create", "--instance", ONE, "--vgpu-type", "558"
        )
        self.assertIn(VFS[0], said)
        self.assertEqual(["0", "0", "0", "557"], self.types())
        self.assertEqual((), self.rows())
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(ONE))


class ClassFromTypeTest(claimed_vgpus.OnDemand):
    """Where a VF with a type has its class."""

    def setUp(self) -> None:
        super().setUp()
        by_class = (
            'alias = { "name": "c8", "resource_class": "CUSTOM_A16_8Q" }'
        )
        self.configure(
            SPEC,
            ALIAS,
            by_class,
            PLAIN,
            tail=f"{OURS}resource_class_from_type = true\n",
        )

    def test_each_way_to_ask_for_a_type_gets_it(self) -> None:
        for words in (
            ("--alias", "q8:2"),
            ("--alias", "c8:2"),
            ("--vgpu-type", "558:2"),
            ("--vgpu-type", "NVIDIA A16-8Q:2"),
            ("--vgpu-type", "A16-8Q:1", "--alias", "q8:1"),
        ):
            with self.subTest(words=words):
                self.claim(ONE, *words)
                self.assertEqual(2, self.types().count("558"))
                self.assertEqual([], self.json("inventory", "diff"))
                self.ok("claim", "delete", "--instance", ONE)
                self.assertEqual(["0"] * 4, self.types())
                self.assertEqual([], self.json("inventory", "diff"))

    def test_a_second_one_beside_the_first_gets_it_too(self) -> None:
        self.claim(ONE, "--alias", "q8:1")
        self.ok("device", "sync")
        self.ok("inventory", "report")
        self.claim(TWO, "--alias", "c8:1")
        self.assertEqual(["558", "558", "0", "0"], self.types())
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(["0", "558", "0", "0"], self.types())

    def test_a_type_that_another_one_set_is_taken_first(self) -> None:
        self.fake.writer().set_vgpu_type(VFS[2], "558")
        (claimed,) = self.claim(ONE, "--alias", "q8:1")
        self.assertEqual([VFS[2]], claimed["addresses"])
        self.assertEqual([], self.json("inventory", "diff"))
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(["0", "0", "558", "0"], self.types())


class TwoCardsTest(claimed_vgpus.OnDemand):
    cards = (PF, OTHER_PF)

    def test_what_one_card_has_no_room_for_goes_to_the_next(self) -> None:
        (claimed,) = self.claim(ONE, "--vgpu-type", "559:2")
        self.assertEqual([VFS[0], OTHER_VFS[0]], claimed["addresses"])
