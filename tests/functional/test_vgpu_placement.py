# SPDX-License-Identifier: Apache-2.0
"""What Placement is told of cards whose vGPUs are made on demand."""

import re
import shlex
import typing as ty
import urllib.parse
import uuid

from nova_vfio_variant.pci import address
from nova_vfio_variant.tracker import store
from tests.functional import claimed_vgpus
from tests.functional.claimed_vgpus import (
    ONE,
    OTHER_PF,
    OURS,
    PF,
    SPEC,
    TWO,
    TYPES,
    VFS,
)

FB, VF = "CUSTOM_VGPU_FB_MIB", "CUSTOM_VGPU_VF"


class PlacementCase(claimed_vgpus.OnDemand):
    def provider(self, pf: str = PF) -> dict[str, ty.Any]:
        """A card's provider."""
        (found,) = (
            one
            for one in self.get("/resource_providers")["resource_providers"]
            if one["name"].endswith(f"_{pf.upper()}")
        )
        return ty.cast("dict[str, ty.Any]", found)

    def inventories(self, pf: str = PF) -> dict[str, dict[str, int]]:
        """What a card has, by class."""
        uuid = self.provider(pf)["uuid"]
        got = self.get(f"/resource_providers/{uuid}/inventories")
        return ty.cast("dict[str, dict[str, int]]", got["inventories"])

    def takes(self, size: int) -> bool:
        """Whether the scheduler finds a card for a vGPU of so many MiB."""
        words = urllib.parse.urlencode({"resources1": f"{FB}:{size},{VF}:1"})
        got = self.get(f"/allocation_candidates?{words}")
        return bool(got["allocation_requests"])

    def asked(self, name: str) -> dict[str, str]:
        """What a flavor asks for that config suggest has for a class."""
        said = self.ok("config", "suggest").out
        (line,) = re.findall(
            rf"--alias {name}:1\n# (openstack flavor set .*)\n", said
        )
        groups: dict[str, list[str]] = {}
        for word in shlex.split(line):
            group, _, wanted = word.partition(":")
            if group.startswith("resources"):
                groups.setdefault(group, []).append(wanted.replace("=", ":"))
        return {group: ",".join(those) for group, those in groups.items()}

    def candidates(self, asked: dict[str, str]) -> list[ty.Any]:
        """What the scheduler may choose from."""
        words = urllib.parse.urlencode(asked)
        got = self.get(f"/allocation_candidates?{words}")
        return ty.cast("list[ty.Any]", got["allocation_requests"])

    def allocate(self, chosen: ty.Any) -> int:
        """Allocate one of them, as the scheduler does."""
        got = self.placement._cloud.placement.put(
            f"/allocations/{uuid.uuid4()}",
            json={
                "allocations": chosen["allocations"],
                "mappings": chosen["mappings"],
                "project_id": "p",
                "user_id": "u",
                "consumer_generation": None,
                "consumer_type": "INSTANCE",
            },
            microversion="1.38",
            raise_exc=False,
        )
        return int(got.status_code)

    def has(self, instance: str) -> dict[str, int]:
        """What an instance has of the card, of the two classes."""
        (resources,) = self.allocations(instance).values()
        return {
            name: units
            for name, units in resources.items()
            if name in (FB, VF)
        }

    def assert_equal_to_the_store(self) -> None:
        self.assertEqual([], self.json("inventory", "diff"))


class HeterogeneousTest(PlacementCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake.add_vendor_vgpus(PF, TYPES, 16384, heterogeneous=True)

    def test_a_card_has_its_framebuffer_and_its_vfs(self) -> None:
        self.ok("inventory", "report")
        found = self.inventories()
        self.assertEqual(
            [(16384, 0, 1, 1, 16384), (4, 0, 1, 1, 4)],
            [
                tuple(
                    found[name][field]
                    for field in (
                        "total",
                        "reserved",
                        "min_unit",
                        "step_size",
                        "max_unit",
                    )
                )
                for name in (FB, VF)
            ],
        )
        self.assert_equal_to_the_store()

    def test_mixed_sizes_are_not_offered_beyond_the_framebuffer(self) -> None:
        self.ok("inventory", "report")
        self.assertTrue(self.takes(16384))
        self.claim(ONE, "--vgpu-type", "558")
        self.assertEqual({FB: 8192, VF: 1}, self.has(ONE))
        self.assertFalse(self.takes(16384))
        self.assertTrue(self.takes(8192))
        self.assert_equal_to_the_store()
        self.claim(TWO, "--vgpu-type", "557")
        self.assertEqual({FB: 4096, VF: 1}, self.has(TWO))
        self.assertFalse(self.takes(8192))
        self.assertTrue(self.takes(4096))
        self.assert_equal_to_the_store()
        self.ok("claim", "delete", "--instance", ONE)
        self.assertTrue(self.takes(8192))
        self.assertEqual({}, self.allocations(ONE))
        self.assert_equal_to_the_store()

    def test_several_of_an_instance_add_up(self) -> None:
        self.claim(ONE, "--vgpu-type", "557:2", "--vgpu-type", "558")
        self.assertEqual({FB: 16384, VF: 3}, self.has(ONE))
        self.assertFalse(self.takes(4096))
        self.assert_equal_to_the_store()

    def test_what_another_tool_made_is_reserved(self) -> None:
        self.fake.writer().set_vgpu_type(VFS[3], "558")
        self.ok("inventory", "report")
        found = self.inventories()
        self.assertEqual(
            (8192, 1), (found[FB]["reserved"], found[VF]["reserved"])
        )
        self.assertTrue(self.takes(8192))
        self.assertFalse(self.takes(16384))
        self.assert_equal_to_the_store()
        self.fake.writer().set_vgpu_type(VFS[3], "0")
        self.ok("inventory", "report")
        found = self.inventories()
        self.assertEqual(
            (0, 0), (found[FB]["reserved"], found[VF]["reserved"])
        )

    def test_without_sizes_it_is_as_without_types(self) -> None:
        (self.fake.root / "usr/bin/nvidia-smi").unlink()
        said = self.ok(
            "claim", "create", f"--instance={ONE}", "--vgpu-type=558"
        )
        self.assertEqual({"CUSTOM_PCI_10DE_25B7"}, set(self.inventories()))
        self.assertIn(f"{PF} has no {FB} in Placement: nobody told", said.err)
        self.assertEqual({}, self.has(ONE))
        self.assert_equal_to_the_store()

    def test_a_card_of_declared_vgpus_is_as_it_was(self) -> None:
        declared = (
            f'host_spec = {{ "address": "{VFS[0]}", "vgpu_type": "558" }}\n'
        )
        self.configure(claimed_vgpus.SPEC, tail=claimed_vgpus.OURS + declared)
        self.ok("host", "apply")
        self.ok("inventory", "report")
        self.assertFalse({FB, VF} & set(self.inventories()))


class HomogeneousTest(PlacementCase):
    def units(self) -> tuple[int, ...]:
        found = self.inventories()[FB]
        return found["min_unit"], found["step_size"], found["max_unit"]

    def test_the_first_type_is_the_only_size_until_the_card_is_empty(
        self,
    ) -> None:
        self.claim(ONE, "--vgpu-type", "557")
        self.assertEqual((4096, 4096, 4096), self.units())
        self.assertTrue(self.takes(4096))
        self.assertFalse(self.takes(8192))
        self.assert_equal_to_the_store()
        self.claim(TWO, "--vgpu-type", "557")
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual((4096, 4096, 4096), self.units())
        self.ok("claim", "delete", "--instance", TWO)
        self.assertEqual((1, 1, 16384), self.units())
        self.assertTrue(self.takes(8192))
        self.assert_equal_to_the_store()

    def test_an_instance_may_have_two_of_the_size(self) -> None:
        self.claim(ONE, "--vgpu-type", "557:2")
        self.assertEqual({FB: 8192, VF: 2}, self.has(ONE))
        self.assertEqual((4096, 4096, 8192), self.units())
        self.assert_equal_to_the_store()

    def test_a_claim_that_fails_leaves_no_size_behind(self) -> None:
        self.ok("inventory", "report")
        place = f"sys/bus/pci/devices/{VFS[0]}/nvidia/creatable_vgpu_types"
        self.fake.writer().set_vgpu_type(VFS[3], "557")
        (self.fake.root / place).write_text("558 : NVIDIA A16-8Q\n")
        self.fails("claim", "create", "--instance", ONE, "--vgpu-type", "558")
        self.assertEqual({}, self.allocations(ONE))
        self.assert_equal_to_the_store()


class FlavorTest(PlacementCase):
    """Two cards, of which the suggested flavors are scheduled."""

    cards = (PF, OTHER_PF)

    def setUp(self) -> None:
        super().setUp()
        for card in self.cards:
            self.fake.add_vendor_vgpus(card, TYPES, 16384, heterogeneous=True)
        self.configure(SPEC, tail=OURS)
        self.ok("inventory", "report")

    def of(self, chosen: ty.Any, pf: str) -> bool:
        """Whether a card alone gives all that was chosen."""
        return [self.provider(pf)["uuid"]] == list(chosen["allocations"])

    def fill(self, asked: dict[str, str], pf: str, count: int) -> None:
        """Let instances have so many of a card."""
        for _ in range(count):
            chosen = next(
                found for found in self.candidates(asked) if self.of(found, pf)
            )
            self.assertEqual(204, self.allocate(chosen))

    def test_what_is_suggested_passes_the_check(self) -> None:
        self.configure(self.ok("config", "suggest").out, tail=OURS)
        self.assertEqual([], self.json("config", "check"))
        (claimed,) = self.claim(ONE, "--alias", "A16_8C:1")
        self.assertEqual("560", self.type_of(claimed["addresses"][0]))
        # What claims made is no reason to suggest something else.
        self.assertEqual(
            {"resources1": f"{FB}:8192,{VF}:1"}, self.asked("A16_8C")
        )
        self.assertNotIn("resource_class", self.specs())

    def specs(self) -> str:
        """The entries that are suggested."""
        said = self.ok("config", "suggest").out
        return "\n".join(re.findall("^device_spec = .*", said, re.MULTILINE))

    def test_mixed_sizes_fill_the_cards_and_no_more(self) -> None:
        flavors = {
            name: self.asked(name) for name in ("A16_16Q", "A16_8Q", "A16_4Q")
        }
        made = dict.fromkeys(flavors, 0)
        for name in ("A16_8Q", "A16_4Q", "A16_16Q", "A16_8Q", *["A16_4Q"] * 9):
            found = self.candidates(flavors[name])
            if found:
                self.assertEqual(204, self.allocate(found[-1]))
                made[name] += 1
        self.assertEqual([], self.candidates(flavors["A16_4Q"]))
        self.assertGreater(made["A16_4Q"], 0)
        for pf in self.cards:
            used = self.get(
                f"/resource_providers/{self.provider(pf)['uuid']}/usages"
            )["usages"]
            self.assertEqual(16384, used[FB])
            self.assertLessEqual(used[VF], 4)

    def test_what_was_free_when_the_scheduler_looked_is_given_once(
        self,
    ) -> None:
        (chosen,) = (
            found
            for found in self.candidates(self.asked("A16_16Q"))
            if self.of(found, PF)
        )
        self.fill(self.asked("A16_4Q"), PF, 1)
        self.assertEqual(409, self.allocate(chosen))

    def test_a_card_alone_gives_framebuffer_and_vf(self) -> None:
        self.fake.add_vendor_vgpus(PF, TYPES, 65536, heterogeneous=True)
        with store.Store.open(str(self.state)) as opened:
            opened.vgpus.forget_types(address.PciAddress.parse(PF))
        self.ok("inventory", "report")
        # One has framebuffer left and no VF, the other VFs and no more.
        self.fill(self.asked("A16_4Q"), PF, 4)
        self.fill(self.asked("A16_16Q"), OTHER_PF, 1)
        asked = self.asked("A16_8Q")
        self.assertEqual([], self.candidates(asked))
        (split,) = self.candidates({"resources": asked["resources1"]})
        self.assertEqual(2, len(split["allocations"]))
