# SPDX-License-Identifier: Apache-2.0
"""``reconcile``, where Placement and the store don't say the same."""

import pathlib

from nova_vfio_variant.placement import client
from nova_vfio_variant.testing import fake_host
from tests.functional import (
    adopt_case,
    check_host,
    cli_case,
    mdev_claims_case,
)
from tests.functional.claims_case import ClaimsCase
from tests.functional.cli_case import ONE, TWO
from tests.functional.placement_case import Answer

CARD = "compute-1_0000:21:00.0"
CLASS = "CUSTOM_PCI_8086_10CA"


def give(
    of: client.PlacementClient, name: str, instance: str, units: int
) -> None:
    """An instance has just this of a provider."""
    listed = of.find(name)
    assert listed is not None
    has = of.allocations(instance)
    wanted = {listed.uuid: {CLASS: units}} if units else {}
    of.put_allocations(instance, client.Allocations(wanted, has.generation))


class EmbeddedTest(ClaimsCase):
    """Nobody but us writes there."""

    def allocate(self, instance: str, units: int) -> None:
        """Behind our back an instance has just this in Placement."""
        give(self.placement, CARD, instance, units)

    def units(self, instance: str) -> int:
        return sum(
            units
            for of_one in self.allocations(instance).values()
            for units in of_one.values()
        )

    def test_an_allocation_of_nobody_is_freed(self) -> None:
        self.ok("inventory", "report")
        self.allocate(ONE, 1)
        before = self.recorded()
        (row,) = self.json("reconcile", "--dry-run", status=1)
        self.assert_recorded(before)
        self.assertEqual(
            (ONE, "allocation without a claim", "free", "planned"),
            tuple(
                row[name] for name in ("subject", "what", "action", "state")
            ),
        )
        self.assertIn(f"in the store and 1 unit of {CARD} in", row["reason"])
        self.assertIn("the store is right", row["reason"])
        self.assertEqual([(ONE, "free", "done")], self.rows())
        self.assertEqual({}, self.allocations(ONE))
        self.assertEqual([], self.rows())

    def test_one_whose_instance_may_live_is_left(self) -> None:
        self.ok("inventory", "report")
        self.allocate(ONE, 1)
        pid = self.guest(ONE)
        self.assertIn("it lives", self.reason())
        self.fake.let_go(pid)
        self.fake.open_file("/dev/null", "qemu", ("qemu-kvm", "-nodefaults"))
        self.assertIn("counts as in use", self.reason())
        self.assertEqual(1, self.units(ONE))

    def test_a_claim_without_its_allocation_gets_it_again(self) -> None:
        address = self.claim()
        self.guest(ONE)
        self.allocate(ONE, 0)
        (row,) = self.json("reconcile", "--dry-run", status=1)
        self.assertEqual(
            ("claim without an allocation", "allocate", "planned"),
            (row["what"], row["action"], row["state"]),
        )
        self.assertIn("has 1 device in the store and no unit", row["reason"])
        self.assertEqual(0, self.units(ONE))
        self.assertEqual([(ONE, "allocate", "done")], self.rows())
        self.assertEqual(1, self.units(ONE))
        (claim,) = self.json("claim", "list")
        self.assertEqual([address], claim["addresses"])

    def test_one_whose_placement_was_lost_gets_it_again(self) -> None:
        self.claim()
        self.guest(ONE)
        for path in self.state.glob("placement.sqlite*"):
            path.unlink()
        # One that runs already has it open.
        done = cli_case.program(*self.options, "reconcile", "-f", "json")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn('"allocate"', done.stdout)
        self.assertEqual(1, self.units(ONE))

    def test_one_that_another_took_the_place_of_keeps_its_device(
        self,
    ) -> None:
        for instance in (ONE, TWO):
            self.claim(instance)
            self.guest(instance)
        self.allocate(ONE, 0)
        self.allocate(TWO, 2)
        self.assertEqual(
            {
                (ONE, "allocate", "failed"),
                (TWO, "leave", "left"),
            },
            {*self.rows(status=2)},
        )
        self.assertEqual(2, len(self.json("claim", "list")))
        self.assertEqual((0, 2), (self.units(ONE), self.units(TWO)))

    def test_the_claim_of_an_instance_that_is_gone_is_freed_once(
        self,
    ) -> None:
        self.claim()
        self.age()
        self.allocate(ONE, 0)
        self.assertEqual([(ONE, "free", "done")], self.rows())
        self.assertEqual([], self.rows())

    def test_both_sides_are_equal_where_nothing_happened(self) -> None:
        self.claim()
        self.guest(ONE)
        self.assertEqual([], self.rows())

    def test_a_host_without_placement_has_one_side_alone(self) -> None:
        self.claim()
        self.guest(ONE)
        self.allocate(ONE, 0)
        path = pathlib.Path("nova.conf")
        path.write_text(path.read_text().replace("= embedded", "= none"))
        self.assertEqual([], self.rows())


class ServiceTest(adopt_case.AdoptCase):
    """Nova writes there too, and nobody here knows its instances."""

    def setUp(self) -> None:
        super().setUp()
        fake = fake_host.FakeHost(self.folder / "host")
        fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        fake.add_driver("vfio-pci", ["8086:10ca"], vfio=True)
        fake.add(
            "0000:21:00.0",
            "8086:10c9",
            vfs=2,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        fake.writer().set_numvfs("0000:21:00.0", 2)
        self.enterContext(fake.plugged_in())
        self.declare(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        path = pathlib.Path("nova.conf")
        path.write_text(
            path.read_text().replace(
                "nova_compute = yes", "provider_root = pci-compute-1"
            )
        )

    def left(self) -> str:
        rows = self.json("reconcile", status=1)
        self.assertEqual(
            [("leave", "left")],
            [(row["action"], row["state"]) for row in rows],
            rows,
        )
        (row,) = rows
        return str(row["reason"])

    def test_what_nova_may_have_given_is_left(self) -> None:
        self.ok("inventory", "report")
        give(self.placement, f"pci-{CARD}", ONE, 1)
        said = self.left()
        self.assertIn("Nova may be right", said)
        self.assertIn(f"openstack server show {ONE}", said)
        self.assertEqual(1, len(self.allocations(ONE)))

    def test_it_says_so_where_placement_does_not_answer(self) -> None:
        self.ok("inventory", "report")
        self.faults.rules.append(lambda *_: Answer(503))
        said = self.left()
        self.assertIn("allocations were not compared", said)


class NovasTest(adopt_case.AdoptCase):
    """Providers that are Nova's."""

    def test_guests_of_novas_are_its_own_and_its_claims_too(self) -> None:
        self.host(*check_host.card(vfs=4))
        self.declare(
            'device_spec = { "product_id": "10ca", "address": "0000:25:*.*",'
            ' "resource_class": "NIC" }'
        )
        self.nova_publishes("0000:25:00.0", "CUSTOM_NIC", 4)
        self.nova_allocates({"0000:25:00.0": {"CUSTOM_NIC": 1}}, TWO)
        self.ok("device", "sync")
        self.assertEqual([], self.json("reconcile"))
        self.nova_allocates({"0000:25:00.0": {"CUSTOM_NIC": 1}})
        self.guest("0000:25:00.4")
        self.ok(*adopt_case.ADOPT)
        self.assertEqual([], self.json("reconcile"))
        self.nova_allocates({"0000:25:00.0": {"CUSTOM_NIC": 2}})
        (row,) = self.json("reconcile", status=1)
        self.assertEqual("left", row["state"])
        self.assertIn(f"nova-vfio claim adopt --instance {ONE}", row["reason"])


class MdevTest(mdev_claims_case.ByClassCase):
    """Mediated devices, on providers of their parents."""

    def test_the_allocation_of_a_claim_is_no_stranger(self) -> None:
        self.claim(ONE, "--alias", "small:1")
        self.assertEqual(1, len(self.allocations(ONE)))
        self.age()
        rows = self.json("reconcile", "--dry-run", status=1)
        self.assertNotIn("allocation", str(rows))
        self.assertNotIn("VFIO402", self.ok("config", "check", status=1).out)
