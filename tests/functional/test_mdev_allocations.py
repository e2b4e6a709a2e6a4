# SPDX-License-Identifier: Apache-2.0
"""Mediated devices of claims as allocations, where we publish their parents."""

import dataclasses

from nova_vfio_variant.placement import client
from tests.functional import mdev_claims_case
from tests.functional.mdev_claims_case import CARDS, ONE, TWO


class AllocationTest(mdev_claims_case.ByClassCase):
    """What a claim has of parents that are published stands there."""

    def used(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Total, reserved and used of the mediated devices of each card."""
        return {
            (row["provider"], row["resource_class"]): (
                row["total"],
                row["reserved"],
                row["used"],
            )
            for row in self.json("inventory", "show")
            if "_pci_" in row["provider"]
        }

    def allocated(self, instance: str) -> list[tuple[str, int]]:
        """What an instance has of them, whatever the provider."""
        return sorted(
            (name, units)
            for resources in self.allocations(instance).values()
            for name, units in resources.items()
        )

    def test_a_claim_is_an_allocation_and_goes_with_it(self) -> None:
        self.claim(ONE, "--alias", "large:1,small:2")
        self.assertEqual(
            [("CUSTOM_LARGE", 1), ("VGPU", 2)], self.allocated(ONE)
        )
        self.ok("inventory", "report")
        self.assertEqual(
            {("VGPU", 2), ("CUSTOM_LARGE", 1)},
            {(key[1], units[2]) for key, units in self.used().items()},
        )
        self.assertEqual({0}, {units[1] for units in self.used().values()})
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual([], self.allocated(ONE))

    def test_so_is_one_by_type(self) -> None:
        self.claim(ONE, "--vgpu-type", "nvidia-35")
        self.assertEqual([("VGPU", 1)], self.allocated(ONE))
        # The other card is published for another type.
        self.claim(TWO, "--vgpu-type", "nvidia-35:4")
        self.assertEqual([("VGPU", 3)], self.allocated(TWO))

    def test_it_stands_beside_that_of_functions(self) -> None:
        self.configure(
            mdev_claims_case.SPEC,
            mdev_claims_case.ALIAS,
            tail="[devices]\nenabled_mdev_types = nvidia-35\n"
            "[vfio]\nplacement = embedded\n",
        )
        self.claim(ONE, "--alias", "gpu:1", "--vgpu-type", "nvidia-35")
        both = [("CUSTOM_PCI_10DE_1BB3", 1), ("VGPU", 1)]
        self.assertEqual(both, self.allocated(ONE))
        self.ok("inventory", "report")
        self.assertEqual(both, self.allocated(ONE))
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual([], self.allocated(ONE))

    def test_one_that_was_made_alone_and_reconcile_settle_it_too(self) -> None:
        (row,) = self.json(
            "mdev",
            "create",
            "nvidia-35",
            "--instance",
            ONE,
            "--parent",
            CARDS[0],
        )
        self.assertEqual([("VGPU", 1)], self.allocated(ONE))
        self.ok("mdev", "delete", row["uuid"])
        self.assertEqual([], self.allocated(ONE))

    def test_a_report_makes_allocations_that_are_missing(self) -> None:
        self.claim(ONE, "--alias", "small:2")
        has = self.placement.allocations(ONE)
        self.placement.put_allocations(
            ONE, dataclasses.replace(has, resources={})
        )
        self.assertEqual([], self.allocated(ONE))
        self.ok("inventory", "report")
        self.assertEqual([("VGPU", 2)], self.allocated(ONE))

    def test_where_placement_has_no_room_none_is_left(self) -> None:
        self.ok("inventory", "report")
        (card,) = (
            one["uuid"]
            for one in self.get("/resource_providers")["resource_providers"]
            if one["name"].endswith("_pci_0000_06_00_0")
        )
        self.placement.put_allocations(
            TWO, client.Allocations({card: {"VGPU": 1}})
        )
        said = self.fails(
            "claim", "create", "--instance", ONE, "--alias", "small:4"
        )
        self.assertIn("Placement", said)
        self.assertEqual(({}, ()), (self.there(), self.rows()))
        self.assertEqual([], self.allocated(ONE))

    def test_what_reconcile_takes_from_the_dead_has_no_allocation(
        self,
    ) -> None:
        self.claim(ONE, "--alias", "small:1")
        self.age()
        (self.folder / "alive").write_text(f"{TWO}\n")
        self.run_cli("reconcile", f"--alive={self.folder}/alive")
        self.assertEqual({}, self.there())
        self.assertEqual([], self.allocated(ONE))
