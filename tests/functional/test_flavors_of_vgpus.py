# SPDX-License-Identifier: Apache-2.0
"""Flavors that ask for what claims make: vGPUs and mediated devices."""

from tests.functional import claimed_vgpus, mdev_claims_case

CHECK = ("flavor", "check", "--property")


class VgpuTest(claimed_vgpus.OnDemand):
    def test_a_type_that_no_vf_has_yet_is_to_be_had(self) -> None:
        (row,) = self.json(*CHECK, "pci_passthrough:alias=q8:1")
        self.assertEqual(
            ("preparable", [claimed_vgpus.VFS[0]]),
            (row["state"], row["addresses"]),
        )
        self.assertEqual(["0"] * 4, self.types())
        (claimed,) = self.claim(claimed_vgpus.ONE, "--alias", "q8:1")
        self.assertEqual(row["addresses"], claimed["addresses"])

    def test_more_than_the_card_has_vfs_are_not(self) -> None:
        (row,) = self.json(*CHECK, "pci_passthrough:alias=q8:5", status=1)
        self.assertEqual(("none", "count"), (row["state"], row["step"]))

    def test_a_plain_alias_gets_no_vf_without_a_type(self) -> None:
        (row,) = self.json(*CHECK, "pci_passthrough:alias=gpu:1", status=1)
        self.assertEqual("verdict", row["step"])
        self.assertIn("VFIO534", row["why"])


class MdevTest(mdev_claims_case.ByClassCase):
    def test_an_alias_for_mediated_devices_is_told_of_them(self) -> None:
        (row,) = self.json(*CHECK, "pci_passthrough:alias=small:1")
        self.assertEqual(("preparable", []), (row["state"], row["addresses"]))
        (row,) = self.json(*CHECK, "pci_passthrough:alias=small:99", status=1)
        self.assertEqual(("none", "parents"), (row["state"], row["step"]))

    def test_what_parents_have_left_is_not_added_up(self) -> None:
        """They may share it, as VFs of one card do."""
        self.configure(
            mdev_claims_case.SPEC,
            'alias = { "name": "small", "resource_class": "VGPU" }',
            tail="[devices]\nenabled_mdev_types = nvidia-35\n"
            "[vfio]\nplacement = embedded\n",
        )
        for count, state in ((4, "preparable"), (5, "unknown"), (9, "none")):
            (row,) = self.json(
                *CHECK,
                f"pci_passthrough:alias=small:{count}",
                status=int(count > 4),
            )
            self.assertEqual(state, row["state"], str(row))
