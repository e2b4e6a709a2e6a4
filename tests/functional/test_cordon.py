# SPDX-License-Identifier: Apache-2.0
"""Devices that nobody new gets, until somebody lifts that by hand."""

import contextlib
import typing as ty

from nova_vfio_variant.node import mdev_wishes
from tests.functional import (
    check_host,
    cli_case,
    mdev_claims_case,
    service_case,
    vgpu_case,
)
from tests.functional.cli_case import ONE, TWO

PF, VFS = "0000:21:00.0", [f"0000:21:00.{number}" for number in (4, 5)]
NIC = "CUSTOM_NIC"


class CordonCase(cli_case.CliTestCase):
    """A card with two VFs."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(0x21, vfs=2))
        self.declare()

    def declare(self, tail: str = "") -> None:
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
            ' "resource_class": "NIC" }',
            'alias = { "name": "nic", "resource_class": "NIC",'
            ' "device_type": "type-VF" }',
            tail=f"[vfio]\nplacement = embedded\n{tail}",
        )

    def cordon(self, at: str, reason: str = "ECC errors") -> None:
        self.ok("device", "cordon", at, "--reason", reason)

    def claim(self, instance: str = ONE, count: int = 1) -> list[str]:
        (claim,) = self.json(
            *("claim", "create", "--instance", instance),
            *("--alias", f"nic:{count}"),
        )
        return ty.cast("list[str]", claim["addresses"])

    def reserved(self) -> int:
        (row,) = [
            row
            for row in self.json("inventory", "show")
            if row["resource_class"] == NIC
        ]
        return int(row["reserved"])

    def really_reserved(self) -> int:
        """What Placement says."""
        listed = self.placement.find(f"compute-1_{PF}")
        assert listed is not None
        return int(self.placement.read(listed).inventories[NIC]["reserved"])


class ClaimTest(CordonCase):
    def test_no_new_claim_gets_it(self) -> None:
        self.cordon(VFS[1])
        self.assertEqual([VFS[0]], self.claim())
        said = self.refuses(
            *("claim", "create", "--instance", TWO, "--alias", "nic:1")
        )
        self.assertIn("blocked: the function is cordoned [VFIO546]", said)
        self.ok("device", "uncordon", VFS[1])
        self.assertEqual([VFS[1]], self.claim(TWO))

    def test_of_a_pf_no_vf_is_given(self) -> None:
        self.cordon(PF)
        words = ("claim", "create", "--instance", ONE, "--alias", "nic:1")
        self.assertIn("2 blocked", self.refuses(*words))

    def test_who_has_it_keeps_it(self) -> None:
        before = self.claim(count=2)
        self.cordon(PF)
        self.ok("claim", "started", "--instance", ONE)
        self.assertEqual(before, self.claim(count=2))
        self.ok("claim", "prepare", "--instance", ONE)

    def test_it_can_be_said_twice(self) -> None:
        self.cordon(PF)
        before = self.recorded()
        self.cordon(PF)
        self.assert_recorded(before)
        self.cordon(PF, "a new card comes")
        (device, _) = self.json("device", "list")
        self.assertEqual("a new card comes", device["cordoned"])
        self.ok("device", "uncordon", PF)
        said = self.ok("device", "uncordon", PF, status=1).err
        self.assertIn(f"{PF} is not cordoned", said)

    def test_of_a_vf_it_is_told_that_its_pf_is_cordoned(self) -> None:
        self.cordon(PF)
        for own in (False, True):
            if own:
                self.cordon(VFS[0], "its firmware")
            said = self.ok("device", "uncordon", VFS[0], status=1).err
            self.assertNotIn(f"{VFS[0]} is not cordoned", said)
            self.assertIn(f"cordoned with its PF {PF}: ECC errors", said)
            self.assertIn(f"hint: nova-vfio device uncordon {PF}", said)
        self.ok("device", "uncordon", PF)
        said = self.ok("device", "uncordon", VFS[0], status=1).err
        self.assertIn(f"{VFS[0]} is not cordoned", said)

    def test_what_is_not_there_or_is_a_bridge_is_refused(self) -> None:
        words = ("--reason", "it is so")
        said = self.refuses("device", "cordon", "0000:99:00.0", *words)
        self.assertIn("no PCI function 0000:99:00.0", said)
        said = self.fails("device", "cordon", PF, "--reason", "\n")
        self.assertIn("a reason is a line of text", said)


class PlacementTest(CordonCase):
    def test_it_is_reserved_at_once_and_no_more_when_lifted(self) -> None:
        self.ok("inventory", "report")
        self.ok("device", "cordon", VFS[0], "--reason", "ECC errors")
        self.assertEqual(1, self.really_reserved())
        self.ok("inventory", "diff")
        self.ok("device", "uncordon", VFS[0])
        self.assertEqual(0, self.really_reserved())

    def test_it_is_reserved_whatever_reserve_blocked_says(self) -> None:
        self.declare("reserve_blocked = false\n")
        self.ok("inventory", "report")
        self.cordon(PF)
        self.assertEqual((2, 2), (self.really_reserved(), self.reserved()))
        self.ok("inventory", "report")
        self.assertEqual(2, self.really_reserved())

    def test_what_was_in_use_is_reserved_once_it_is_given_back(self) -> None:
        self.claim(count=2)
        self.cordon(PF)
        self.assertEqual(0, self.really_reserved())
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(2, self.really_reserved())
        self.ok("inventory", "diff")

    def test_what_an_operator_reserved_stays_reserved(self) -> None:
        self.ok("inventory", "report")
        self.reserve(f"compute-1_{PF}", 1)
        self.cordon(VFS[0])
        self.assertEqual(2, self.really_reserved())
        self.ok("device", "uncordon", VFS[0])
        self.assertEqual(1, self.really_reserved())

    def test_a_broken_configuration_is_in_nobodys_way(self) -> None:
        self.ok("inventory", "report")
        self.configure('device_spec = { "vendor_id": 1 }')
        done = self.ok("device", "cordon", PF, "--reason", "now", status=1)
        self.assertIn("it is not reserved in Placement", done.err)
        self.assertIn("hint: nova-vfio inventory report", done.err)
        self.declare()
        self.assertEqual(0, self.really_reserved())
        self.ok("inventory", "report")
        self.assertEqual(2, self.really_reserved())


class ShownTest(CordonCase):
    def test_each_command_that_shows_a_device_says_so(self) -> None:
        self.claim()
        self.cordon(PF)
        rows = self.json("device", "list")
        self.assertEqual(["ECC errors"] * 2, [row["cordoned"] for row in rows])
        self.assertEqual({"blocked"}, {row["assignable"] for row in rows})
        shown = self.json("device", "show", VFS[0])
        self.assertEqual("ECC errors", shown["cordoned"])
        told = f"its PF {PF} is cordoned: ECC errors"
        self.assertIn(told, shown["obstacles"][0])
        for words in (
            ("host", "show", VFS[0]),
            ("explain", VFS[0]),
        ):
            done = self.run_cli(*words, "-f", "json")
            self.assertIn("is cordoned: ECC errors", done.out, str(done))
        for words in (
            ("device", "list"),
            ("claim", "list"),
            ("claim", "show", ONE),
            ("vgpu", "types"),
            ("mdev", "types"),
        ):
            said = self.ok(*words).err
            told = f"note: {PF} is cordoned: ECC errors"
            self.assertIn(told, said, " ".join(words))

    def test_check_says_so_and_has_nothing_against_it(self) -> None:
        status = self.run_cli("config", "check").status
        self.cordon(PF)
        done = self.run_cli("config", "check", "-f", "json")
        self.assertEqual(status, done.status)
        (found,) = [row for row in done.json if row["code"] == "VFIO408"]
        self.assertIn("it is cordoned: ECC errors", found["message"])
        self.assertIn(f"nova-vfio device uncordon {PF}", str(found))


class DrainTest(CordonCase):
    def drain(self, *words: str, status: int = 0) -> list[dict[str, ty.Any]]:
        return ty.cast(
            "list[dict[str, ty.Any]]",
            self.json(
                *("device", "drain", PF, "--reason", "a new card", *words),
                status=status,
            ),
        )

    def test_it_says_who_is_still_on_it(self) -> None:
        (address,) = self.claim()
        self.assertEqual(
            [
                {
                    "subject": address,
                    "instance_uuid": ONE,
                    "what": "its claim is prepared",
                }
            ],
            self.drain(status=1),
        )
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual([], self.drain("--wait", "5"))
        self.refuses("claim", "create", "--instance", ONE, "--alias", "nic:1")

    def test_it_waits_no_longer_than_it_is_told(self) -> None:
        self.claim()
        self.assertEqual(1, len(self.drain("--wait", "0.2", status=1)))


class VgpuTest(vgpu_case.VgpuCase):
    """A card whose VFs take vGPUs."""

    def test_a_card_divides_no_more(self) -> None:
        words = ("--vgpu-type", "NVIDIA A16-4Q")
        (claim,) = self.json("claim", "create", "--instance", ONE, *words)
        self.ok("device", "cordon", vgpu_case.PF, "--reason", "ECC errors")
        said = self.refuses("claim", "create", "--instance", TWO, *words)
        self.assertIn("cordoned [VFIO546]", said)
        for row in self.json("vgpu", "types"):
            self.assertEqual(
                (0, "the VFs of the card that are free are cordoned"),
                (row["available"], row["why"]),
            )
        # What its claim lost it gets again.
        (address,) = claim["addresses"]
        self.set_type("0", address)
        self.ok("claim", "prepare", "--instance", ONE)
        self.assertEqual("557", self.type_of(address))

    def test_who_has_it_open_without_a_claim_is_named(self) -> None:
        self.set_type("557")
        self.guest(ONE, vgpu_case.VF)
        words = ("--reason", "ECC errors")
        (row,) = self.json("device", "drain", vgpu_case.PF, *words, status=1)
        self.assertEqual(
            (vgpu_case.VF, ONE), (row["subject"], row["instance_uuid"])
        )
        self.assertIn("is open in process", row["what"])

    def test_it_survives_unplugging_and_not_another_card(self) -> None:
        self.ok("device", "cordon", vgpu_case.VF, "--reason", "ECC errors")
        words = ("claim", "create", "--instance", ONE, "--vgpu-type")
        for count in (0, 2):
            self.fake.writer().set_numvfs(vgpu_case.PF, count)
            self.ok("device", "sync")
            done = self.run_cli("config", "check", "-f", "json")
            (found,) = [row for row in done.json if row["code"] == "VFIO408"]
            self.assertEqual(not count, "doesn't have it" in found["message"])
        self.assertIn("cordon", self.fails(*words, "NVIDIA A16-8Q:2"))
        self.fake.exchange(vgpu_case.VF, "10de:25b8", class_code=0x030200)
        done = self.run_cli("config", "check", "-f", "json")
        (found,) = [row for row in done.json if row["code"] == "VFIO409"]
        self.assertIn("another device was", found["message"])
        said = self.ok("device", "list").err
        self.assertIn(f"note: {vgpu_case.VF} is not cordoned: that was", said)


class MdevTest(mdev_claims_case.MdevClaimsCase):
    """A card that offers mediated devices."""

    def test_none_is_made_of_it_any_more(self) -> None:
        first, other = mdev_claims_case.CARDS
        words = ("--vgpu-type", "nvidia-35")
        self.claim(ONE, *words)
        self.assertEqual([first], self.parents())
        self.ok("device", "cordon", first, "--reason", "ECC errors")
        self.claim(TWO, *words)
        self.assertEqual([first, other], self.parents())
        said = self.refuses("mdev", "create", "nvidia-35", "--parent", first)
        self.assertIn("it is cordoned: ECC errors [VFIO546]", said)
        self.fails("mdev", "create", "nvidia-35", "--parent", first, "-n")
        # What its claim lost it gets again.
        uuid = mdev_wishes.stable(ONE, 0)
        self.fake.writer().remove_mdev(uuid)
        self.ok("claim", "prepare", "--instance", ONE)
        self.assertEqual([first, other], self.parents())
        (row,) = self.json(
            "device", "drain", first, "--reason", "ECC errors", status=1
        )[:1]
        self.assertIn(ONE, str(row))

    def test_its_provider_is_reserved(self) -> None:
        first = mdev_claims_case.CARDS[0]
        self.configure(
            tail="[vfio]\nplacement = embedded\nnova_compute = no\n[devices]\n"
            "enabled_mdev_types = nvidia-35\n"
        )
        self.ok("inventory", "report")
        self.ok("device", "cordon", first, "--reason", "ECC errors")
        name = "compute-1_pci_0000_06_00_0"
        listed = self.placement.find(name)
        assert listed is not None
        record = self.placement.read(listed).inventories["VGPU"]
        self.assertEqual(record["total"], record["reserved"])
        self.ok("inventory", "diff")


class NovaTest(service_case.ServiceCase):
    """Where Nova publishes, its provider counts the VFs of a PF."""

    CARD, VF = "0000:25:00.0", "0000:25:00.4"

    def setUp(self) -> None:
        super().setUp()
        self.point_at(self.server.url, "[vfio]\nnova_compute = yes\n")

    def cordon(self, at: str, status: int) -> str:
        words = ("device", "cordon", at, "--reason", "ECC errors")
        return self.ok(*words, status=status).err

    def test_a_single_vf_is_recorded_and_told_not_to_be_enforceable(
        self,
    ) -> None:
        said = self.cordon(self.VF, 1)
        self.assertIn("Nova may give it to a guest all the same", said)
        self.assertIn(
            f"hint: nova-vfio device cordon {self.CARD} --reason 'ECC errors'",
            said,
        )
        shown = self.json("device", "show", self.VF)
        self.assertEqual("ECC errors", shown["cordoned"])
        done = self.run_cli("config", "check", "-f", "json")
        (found,) = [row for row in done.json if row["code"] == "VFIO408"]
        self.assertIn("Nova may give it to a guest", found["message"])

    def test_a_pf_is_reserved_by_whose_provider_it_is(self) -> None:
        said = self.cordon(self.CARD, 1)
        self.assertIn(
            "hint: openstack resource provider inventory set $(openstack"
            f" resource provider list --name compute-1_{self.CARD} -f value"
            " -c uuid) --amend --resource CUSTOM_NIC:reserved=2",
            said,
        )
        self.publish_as_nova()
        self.reserve(f"compute-1_{self.CARD}", 2)
        self.assertEqual("", self.cordon(self.CARD, 0))
        said = self.ok("device", "uncordon", self.CARD, status=1).err
        self.assertIn("CUSTOM_NIC:reserved=0", said)
        self.assertIn("Nova gives it to nobody while it is reserved", said)

    def publish_as_nova(self) -> None:
        """Let another one than we publish, below a root of its own."""
        with contextlib.suppress(Exception):
            self.point_at(self.server.url, "[vfio]\nnova_compute = no\n")
            self.ok("inventory", "report")
        self.point_at(self.server.url, "[vfio]\nnova_compute = yes\n")
