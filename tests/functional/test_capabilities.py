# SPDX-License-Identifier: Apache-2.0
"""What a host can give to guests, as ``capabilities`` says it."""

import pathlib
import typing as ty

from tests.functional import (
    check_host,
    cli_case,
    mdev_claims_case,
    vgpu_case,
)
from tests.functional.card_conf import ALIAS, SPEC, VF

OTHER = "0000:25:00.5"


class CapabilitiesTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        self.configure(SPEC, ALIAS)

    def asked(self, status: int = 0) -> dict[str, dict[str, ty.Any]]:
        rows = self.json("capabilities", status=status)
        return {row["name"]: row for row in rows}

    def test_devices_of_a_class_have_name_address_and_availability(
        self,
    ) -> None:
        self.ok("device", "register", VF, "--name", "uplink-a")
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:1")
        (owned,) = self.json("claim", "list")[0]["addresses"]
        row = self.asked()["network"]
        self.assertEqual(
            ("class", True, 2, 1, None),
            (
                row["kind"],
                row["supported"],
                row["count"],
                row["available"],
                row["why_not"],
            ),
        )
        self.assertEqual(
            {VF: "uplink-a", OTHER: None},
            {one["address"]: one["name"] for one in row["devices"]},
        )
        for one in row["devices"]:
            self.assertEqual(one["address"] != owned, one["available"])
            self.assertEqual(one["available"], one["why_not"] is None)
        self.ok("capabilities")

    def test_the_host_tells_of_iommu_modules_and_huge_pages(self) -> None:
        row = self.asked()["hugepages"]
        self.assertIsNone(row["supported"])
        place = pathlib.Path("host/sys/kernel/mm/hugepages/hugepages-2048kB")
        place.mkdir(parents=True)
        (place / "nr_hugepages").write_text("512\n")
        (place / "free_hugepages").write_text("500\n")
        asked = self.asked()
        row = asked["hugepages-2048kB"]
        self.assertEqual(
            (True, 512, 500),
            (row["supported"], row["count"], row["available"]),
        )
        self.assertTrue(asked["iommu"]["supported"])
        self.assertTrue(asked["vfio-pci"]["supported"])


class VgpuCapabilitiesTest(vgpu_case.VgpuCase):
    def test_each_type_tells_how_many_can_be_made(self) -> None:
        rows = {
            row["name"]: row
            for row in self.json("capabilities")
            if row["kind"] == "vgpu_type"
        }
        self.assertEqual(
            {name for name, _ in vgpu_case.TYPES.values()}, set(rows)
        )
        for row in rows.values():
            self.assertEqual([{"address": vgpu_case.PF}], row["devices"])
            self.assertEqual((0, 2), (row["count"], row["available"]))


class MdevCapabilitiesTest(mdev_claims_case.MdevClaimsCase):
    def test_what_parents_have_left_is_not_added_up(self) -> None:
        rows = {
            row["name"]: row
            for row in self.json("capabilities")
            if row["kind"] == "mdev_type"
        }
        self.assertEqual(set(mdev_claims_case.COSTS), set(rows))
        row = rows["nvidia-36"]
        self.assertEqual((0, None), (row["count"], row["available"]))
        self.assertEqual(
            [(card, 2) for card in mdev_claims_case.CARDS],
            [(one["address"], one["available"]) for one in row["devices"]],
        )
