# SPDX-License-Identifier: Apache-2.0
"""``claim adopt``: what Nova claimed, mirrored here."""

import contextlib
import pathlib
import sqlite3

from nova_vfio_variant.placement import client
from nova_vfio_variant.testing import fake_host
from tests.functional import (
    adopt_case,
    check_host,
    cli_case,
    mdev_claims_case,
)
from tests.functional.adopt_case import ADOPT
from tests.functional.cli_case import ONE, TWO
from tests.functional.placement_case import Answer

CARD = "0000:25:00.0"
CLASS = "CUSTOM_NIC"
VFS = ("0000:25:00.4", "0000:25:00.5")
SPEC = (
    'device_spec = { "product_id": "10ca", "address": "0000:25:*.*",'
    ' "resource_class": "NIC" }'
)
ALIAS = (
    'alias = { "name": "nic", "device_type": "type-VF",'
    ' "resource_class": "NIC" }'
)


class AdoptTest(adopt_case.AdoptCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=4))
        self.declare(SPEC, ALIAS)
        self.nova_publishes(CARD, CLASS, 4)

    def adopted(self) -> list[str]:
        """Adopt, twice; the devices."""
        (claim,) = self.json(*ADOPT)
        self.assertEqual("allocated", claim["status"])
        self.assertEqual([claim], self.json(*ADOPT))
        self.assertEqual([claim], self.json("claim", "list"))
        return sorted(claim["addresses"])

    def of_nova(self) -> object:
        """All that Nova has in Placement."""
        return self.published(), self.get(f"/allocations/{ONE}")

    def test_what_both_say_is_mirrored_and_nothing_of_novas_moves(
        self,
    ) -> None:
        self.nova_allocates({CARD: {CLASS: 2}})
        self.guest(*VFS)
        before = self.of_nova()
        self.assertEqual([*VFS], self.adopted())
        self.assertEqual(
            {ONE},
            {
                device["instance_uuid"]
                for device in self.json("device", "list")
                if device["address"] in VFS
            },
        )
        for move in ("prepare", "started"):
            (claim,) = self.json("claim", move, "--instance", ONE)
            self.assertEqual("allocated", claim["status"])
        (freed,) = self.json("claim", "delete", "--instance", ONE)
        self.assertEqual([*VFS], freed["addresses"])
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual(
            {"available"},
            {device["status"] for device in self.json("device", "list")},
        )
        self.assertEqual([], self.json("claim", "delete", "--instance", ONE))
        self.assertEqual(before, self.of_nova())

    def test_one_that_is_defined_and_does_not_run_counts(self) -> None:
        self.nova_allocates({CARD: {CLASS: 1}})
        self.guest(VFS[0], folder="etc/libvirt/qemu")
        self.assertEqual([VFS[0]], self.adopted())

    def test_where_they_disagree_each_is_told(self) -> None:
        self.nova_allocates({CARD: {CLASS: 2}})
        said = self.fails(*ADOPT)
        self.assertIn(f"Placement says 2 {CLASS} of compute-1_{CARD}", said)
        self.assertIn("libvirt has no domain of it", said)
        path = self.guest(VFS[0])
        said = self.refuses(*ADOPT)
        self.assertIn(f"Placement says 2 {CLASS} of compute-1_{CARD}", said)
        self.assertIn(f"its guest (/{path.relative_to('host')})", said)
        self.assertIn(f"{VFS[0]}, which is 1 {CLASS} of", said)
        self.assertIn(f"claim adopt --instance {ONE}", said)
        self.guest(*VFS)
        self.nova_allocates({})
        self.assertIn("Placement says nothing", self.refuses(*ADOPT))

    def test_where_neither_has_anything_there_is_nothing(self) -> None:
        self.assertIn("has claimed nothing", self.fails(*ADOPT))
        self.guest()
        self.assertIn("has claimed nothing", self.refuses(*ADOPT))

    def test_what_nova_changes_later_is_mirrored_anew(self) -> None:
        self.nova_allocates({CARD: {CLASS: 1}})
        self.guest(VFS[0])
        self.assertEqual([VFS[0]], self.adopted())
        (first,) = self.json("claim", "list")
        self.nova_allocates({CARD: {CLASS: 2}})
        self.guest(*VFS)
        self.assertEqual([*VFS], self.adopted())
        (second,) = self.json("claim", "list")
        self.assertNotEqual(first["assignment"], second["assignment"])

    def test_a_device_of_another_claim_is_refused(self) -> None:
        self.nova_allocates({CARD: {CLASS: 1}})
        self.guest(VFS[0])
        self.adopted()
        self.nova_allocates({CARD: {CLASS: 1}}, TWO)
        self.guest(VFS[0], instance=TWO)
        said = self.refuses("claim", "adopt", "--instance", TWO)
        self.assertIn(VFS[0], said)

    def test_what_cannot_be_mirrored_anew_stays_as_it_was(self) -> None:
        for device, instance in zip(VFS, (ONE, TWO), strict=True):
            self.nova_allocates({CARD: {CLASS: 1}}, instance)
            self.guest(device, instance=instance)
            self.ok("claim", "adopt", "--instance", instance)
        before = self.json("claim", "list")
        self.nova_allocates({}, TWO)
        self.nova_allocates({CARD: {CLASS: 2}})
        self.guest(*VFS)
        self.assertIn(VFS[1], self.refuses(*ADOPT))
        self.assertEqual(before, self.json("claim", "list"))

    def test_other_allocations_of_the_instance_do_not_matter(self) -> None:
        self.placement.put_inventories(self.root, 0, {"VCPU": {"total": 8}})
        self.nova_allocates({CARD: {CLASS: 1}})
        has = self.placement.allocations(ONE)
        self.placement.put_allocations(
            ONE,
            client.Allocations(
                {**has.resources, self.root: {"VCPU": 2}}, has.generation
            ),
        )
        self.guest(VFS[0])
        self.assertEqual([VFS[0]], self.adopted())

    def test_a_file_that_says_nothing_is_told(self) -> None:
        self.nova_allocates({CARD: {CLASS: 1}})
        path = self.guest(VFS[0])
        for text in ("", path.read_text().replace("</domain>", "")):
            path.write_text(text)
            said = self.fails(*ADOPT)
            self.assertIn(str(path.relative_to("host")), said)

    def test_without_a_service_there_is_nothing_of_novas(self) -> None:
        for which in ("embedded", "none"):
            self.configure(SPEC, ALIAS, tail=f"[vfio]\nplacement = {which}\n")
            said = self.fails(*ADOPT)
            self.assertIn(f"[vfio] placement is {which}", said)
            self.assertIn("set [vfio] placement = service", said)

    def test_a_claim_of_our_own_is_not_novas(self) -> None:
        self.configure(SPEC, ALIAS, tail="[vfio]\nplacement = none\n")
        self.ok("claim", "create", "--instance", ONE, "--alias", "nic:1")
        self.declare(SPEC, ALIAS)
        self.nova_allocates({CARD: {CLASS: 1}})
        self.guest(VFS[0])
        said = self.refuses(*ADOPT)
        self.assertIn("has a claim that isn't Nova's", said)

    def test_an_adopted_claim_is_not_claimed_again(self) -> None:
        self.nova_allocates({CARD: {CLASS: 1}})
        self.guest(VFS[0])
        self.adopted()
        said = self.refuses(
            "claim", "create", "--instance", ONE, "--alias", "nic:1"
        )
        self.assertIn("already has", said)
        shown = self.json("claim", "show", ONE)
        self.assertEqual({}, shown["asked"]["adopted"])


class ReconcileTest(adopt_case.AdoptCase):
    """A host that shows its processes, and an adopted claim that is old."""

    CARD = "0000:21:00.0"

    def setUp(self) -> None:
        super().setUp()
        fake = fake_host.FakeHost(self.folder / "host")
        fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        fake.add_driver("vfio-pci", ["8086:10ca"], vfio=True)
        fake.add(
            self.CARD,
            "8086:10c9",
            vfs=2,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        fake.writer().set_numvfs(self.CARD, 2)
        self.enterContext(fake.plugged_in())
        self.declare(SPEC.replace(":25:", ":21:"), ALIAS)
        self.nova_publishes(self.CARD, CLASS, 2)
        self.nova_allocates({self.CARD: {CLASS: 1}})
        self.file = self.guest("0000:21:10.0")
        self.ok(*ADOPT)
        with contextlib.closing(
            sqlite3.connect(self.state / "nova-vfio.sqlite")
        ) as opened:
            opened.execute(
                "UPDATE claims SET since = '2020-01-01T00:00:00+00:00'"
            )
            opened.commit()
        self.file.unlink()

    def reconciled(self, status: int) -> list[tuple[str, str]]:
        """What is done about the claim, and what came of it."""
        rows = self.json("reconcile", status=status)
        return [
            (row["action"], row["state"])
            for row in rows
            if row["subject"] == ONE
        ]

    def claims(self) -> int:
        return len(self.json("claim", "list"))

    def test_it_ends_once_both_have_let_go(self) -> None:
        self.assertEqual([("leave", "left")], self.reconciled(1))
        self.nova_allocates({})
        before = self.published()
        self.assertEqual([("forget", "done")], self.reconciled(0))
        self.assertEqual((0, []), (self.claims(), self.reconciled(0)))
        self.assertEqual(before, self.published())

    def test_it_stays_while_placement_is_out_of_reach(self) -> None:
        self.nova_allocates({})
        self.faults.rules.append(lambda *_: Answer(503))
        self.assertEqual([("leave", "left")], self.reconciled(1))
        self.faults.rules.clear()
        self.assertEqual(1, self.claims())

    def test_it_stays_while_its_guest_is_defined(self) -> None:
        self.file = self.guest("0000:21:10.0", folder="etc/libvirt/qemu")
        self.assertEqual([], self.reconciled(0))
        self.nova_allocates({})
        self.assertEqual([("leave", "left")], self.reconciled(1))
        self.assertEqual(1, self.claims())


class MdevTest(adopt_case.AdoptCase):
    """Mediated devices, which Nova makes and names."""

    def test_those_of_a_guest_are_mirrored_and_left_alone(self) -> None:
        fake = mdev_claims_case.with_cards(self.folder / "host")
        self.enterContext(fake.plugged_in())
        self.declare(more="[devices]\nenabled_mdev_types = nvidia-35\n")
        place = "pci_0000_06_00_0"
        self.nova_publishes(place, "VGPU", 4)
        self.nova_allocates({place: {"VGPU": 1}})
        made = cli_case.THREE
        kind = (
            "sys/bus/pci/devices/0000:06:00.0/mdev_supported_types/nvidia-35"
        )
        fake.write(f"{kind}/create", made.encode())
        self.guest(made, folder="etc/libvirt/qemu")
        (claim,) = self.json(*ADOPT)
        self.assertEqual(
            ("nvidia-35", [made], "allocated"),
            (claim["alias_name"], claim["mdevs"], claim["status"]),
        )
        self.assertEqual([claim], self.json(*ADOPT))
        self.assertEqual([claim], self.json("claim", "list"))
        self.ok("reconcile")
        self.ok("device", "sync")
        self.assertEqual([claim], self.json("claim", "list"))
        (freed,) = self.json("claim", "release", "--instance", ONE)
        self.assertEqual([made], freed["mdevs"])
        self.assertEqual([], self.json("claim", "list"))
        there = pathlib.Path("host/sys/bus/mdev/devices", made)
        self.assertTrue(there.is_symlink())

    def test_one_that_is_not_there_is_told(self) -> None:
        fake = mdev_claims_case.with_cards(self.folder / "host")
        self.enterContext(fake.plugged_in())
        self.declare(more="[devices]\nenabled_mdev_types = nvidia-35\n")
        self.guest(cli_case.THREE)
        said = self.fails(*ADOPT)
        self.assertIn(f"{cli_case.THREE} isn't on this host", said)
