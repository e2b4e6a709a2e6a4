# SPDX-License-Identifier: Apache-2.0
"""Candidates of vGPUs on demand, in a cloud's Placement."""

import typing as ty
import uuid

from nova_vfio_variant.placement import client
from nova_vfio_variant.testing import placement
from tests.functional import (
    claimed_vgpus,
    cli_case,
    placement_case,
)
from tests.functional.claimed_vgpus import ONE, TWO

OTHERS = str(uuid.uuid4())
REPORT = ("inventory", "report")


class CandidatesCase(cli_case.CliTestCase):
    """A Placement in which others allocate, too."""

    def serve(self) -> str:
        """Start it; what nova.conf says of it."""
        self.faults = placement_case.Faults()
        self.server = self.useFixture(
            placement.PlacementServer(self.faults.before)
        )
        self.embedded = self.server.embedded
        return (
            "[vfio]\nplacement = service\nnova_compute = no\n"
            "[placement]\nauth_type = admin_token\ntoken = admin\n"
            f"endpoint = {self.server.url}\n"
        )

    def others_take(
        self, name: str, *, report: bool = True, **units: int
    ) -> None:
        """Another tool has units of a provider of ours."""
        listed = self.placement.find(name)
        assert listed is not None
        has = self.placement.allocations(OTHERS)
        self.placement.put_allocations(
            OTHERS,
            client.Allocations(
                {**has.resources, listed.uuid: units}, has.generation
            ),
        )
        if report:  # It has seen the generation that this moved.
            self.ok(*REPORT)

    def asked(self) -> list[dict[str, str]]:
        """What candidates were asked for."""
        return [
            {
                key: value
                for key, value in query.items()
                if key.startswith("resources")
            }
            for (_, path), query in zip(
                self.faults.seen, self.faults.queries, strict=True
            )
            if path == "/allocation_candidates"
        ]

    def create(self, instance: str, *words: str) -> ty.Any:
        return self.json("claim", "create", "--instance", instance, *words)


class VfTest(CandidatesCase, claimed_vgpus.OnDemand):
    """VFs that are given types on demand."""

    cards = (claimed_vgpus.PF, claimed_vgpus.OTHER_PF)
    FIRST = f"compute-1_{claimed_vgpus.PF}"

    def setUp(self) -> None:
        super().setUp()
        self.configure(
            claimed_vgpus.SPEC, claimed_vgpus.ALIAS, tail=self.serve()
        )
        self.ok(*REPORT)

    def test_a_card_is_asked_for_its_framebuffer(self) -> None:
        (made,) = self.create(ONE, "--vgpu-type", "558")
        self.assertEqual(1, len(made["addresses"]))
        self.assertEqual(
            [{"resources1": "CUSTOM_VGPU_FB_MIB:8192,CUSTOM_VGPU_VF:1"}],
            self.asked(),
        )
        self.assertEqual([], self.json("inventory", "diff"))

    def test_what_others_have_of_a_card_is_not_given_again(self) -> None:
        self.others_take(
            self.FIRST, CUSTOM_VGPU_FB_MIB=16384, CUSTOM_VGPU_VF=1
        )
        (made,) = self.create(ONE, "--vgpu-type", "558:2")
        self.assertLessEqual({*made["addresses"]}, {*claimed_vgpus.OTHER_VFS})
        self.ok(*REPORT)  # What the claim moved is seen.
        said = self.refuses(
            "claim", "create", "--instance", TWO, "--vgpu-type", "558"
        )
        self.assertIn("CUSTOM_VGPU_FB_MIB", said)
        self.assertEqual({}, self.allocations(TWO))

    def test_what_others_take_meanwhile_is_not_given_either(self) -> None:
        """Between the question and the allocation."""

        def rule(method: str, path: str) -> None:
            if method == "PUT" and path.startswith("/allocations/"):
                self.faults.rules.clear()
                for pf in self.cards:
                    self.others_take(
                        f"compute-1_{pf}",
                        report=False,
                        CUSTOM_VGPU_VF=4,
                    )

        self.faults.rules.append(rule)
        said = self.fails(
            "claim", "create", "--instance", ONE, "--vgpu-type", "558"
        )
        self.assertIn("409", said)
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(ONE))
        self.assertEqual(["0"] * 4, self.types())

    def test_one_that_has_the_type_is_asked_for_by_its_own_class(self) -> None:
        for vf in claimed_vgpus.VFS[:2]:
            self.fake.writer().set_vgpu_type(vf, "558")
        self.ok(*REPORT)
        self.create(ONE, "--vgpu-type", "558")
        self.assertEqual(
            [{"resources1": "CUSTOM_PCI_10DE_25B7:1"}], self.asked()
        )
