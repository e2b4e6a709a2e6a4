# SPDX-License-Identifier: Apache-2.0
"""``vgpu types``, ``host list`` and ``host show`` of cards that make vGPUs."""

import contextlib
import pathlib
import shutil
import sqlite3
import tempfile
import typing as ty

import hypothesis
from hypothesis import strategies

from nova_vfio_variant.host.decide import vgpu_capacity
from nova_vfio_variant.host.observe import facts, scanner, vgpu_card
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import fake_host
from tests import base, sample_hosts
from tests.functional import cli_case
from tests.functional.vgpu_cards import (
    CARD,
    L40S,
    NIC,
    OTHER,
    Q12,
    Q24,
    build,
    give,
    make_vfs,
)


class VgpuTypesTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake = build(self.folder / "host")
        self.configure()

    def make(self, card: str = CARD, **more: ty.Any) -> list[str]:
        vfs = make_vfs(self.fake, card)
        self.fake.add_vendor_vgpus(card, L40S, 49152, **more)
        return vfs

    def types(self, *words: str) -> dict[str, dict[str, ty.Any]]:
        return {
            f"{row['card']} {row['id']}": row
            for row in self.json("vgpu", "types", *words)
        }

    def numbers(self) -> dict[int, tuple[int, int, int, str | None]]:
        return {
            row["id"]: (
                row["existing"],
                row["available"],
                row["at_most"],
                row["why"],
            )
            for row in self.types(CARD).values()
        }

    def test_each_type_is_told_with_numbers_and_nulls(self) -> None:
        self.make()
        self.assertEqual(
            {
                "card": CARD,
                "framework": "vendor_vfio",
                "id": 1148,
                "name": "NVIDIA L40S-12Q",
                "framebuffer_mib": 12288,
                "existing": 0,
                "available": 4,
                "at_most": 4,
                "why": None,
                "max_instances": 4,
                "mode": "vendor",
                "heterogeneous": False,
            },
            self.types()[f"{CARD} 1148"],
        )
        self.assertFalse(self.state.joinpath("nova-vfio.sqlite").exists())

    def test_what_vanished_from_the_lists_is_remembered_with_its_reason(
        self,
    ) -> None:
        vfs = self.make()
        self.ok("device", "sync")
        give(self.fake, vfs[0], Q24)
        self.assertEqual(
            {
                1145: (
                    0,
                    0,
                    0,
                    "the card holds vGPUs of another framebuffer size",
                ),
                1148: (
                    0,
                    0,
                    0,
                    "the card holds vGPUs of another framebuffer size",
                ),
                1149: (1, 1, 1, None),
            },
            self.numbers(),
        )
        give(self.fake, vfs[1], Q24)
        self.assertEqual((2, 0, 0, "the card is full"), self.numbers()[1149])
        # The name of what a full card has is known nowhere else.
        row = self.json("host", "show", vfs[0])
        self.assertEqual(
            ("vendor", "vendor_vfio", 1149, "NVIDIA L40S-24Q", {}),
            tuple(
                row[name]
                for name in (
                    "vgpu_mode",
                    "vgpu_framework",
                    "vgpu_type",
                    "vgpu_type_name",
                    "vgpu_types",
                )
            ),
        )

    def test_a_carved_card_that_was_never_empty_is_known_as_it_is(
        self,
    ) -> None:
        vfs = self.make(listing="rfc")
        give(self.fake, vfs[0], Q24)
        tool = self.fake.root / "usr/bin/nvidia-smi"
        text = tool.read_text()
        tool.unlink()
        self.ok("device", "sync")
        self.assertEqual({1149}, set(self.numbers()))
        # A vendor's tool tells all, whatever the card holds.
        tool.write_text(text)
        tool.chmod(0o755)
        for _ in range(2):
            self.assertEqual({1145, 1148, 1149}, set(self.numbers()))
            self.ok("device", "sync")

    def test_reading_remembers_nothing_and_makes_no_store(self) -> None:
        vfs = self.make()
        for words in (
            ("vgpu", "types"),
            ("host", "list"),
            ("host", "show", CARD),
        ):
            self.ok(*words)
        self.assertFalse(self.state.joinpath("nova-vfio.sqlite").exists())
        give(self.fake, vfs[0], Q24)
        self.ok("device", "sync")
        before = self.recorded()
        self.fake.write(
            f"sys/bus/pci/devices/{vfs[0]}/nvidia/current_vgpu_type", b"0\n"
        )
        self.ok("vgpu", "types")
        self.assert_recorded(before)

    def test_another_card_at_the_address_has_no_types_of_the_first(
        self,
    ) -> None:
        self.make()
        self.ok("device", "sync")
        self.fake.writer().set_numvfs(CARD, 0)
        self.fake.exchange(CARD, "10de:2235", class_code=0x030200, vfs=4)
        make_vfs(self.fake)
        self.fake.add_vendor_vgpus(
            CARD, {"564": ("NVIDIA A40-8Q", 8192)}, 49152
        )
        for _ in range(2):
            self.assertEqual({564}, set(self.numbers()))
            self.ok("device", "sync")

    def test_a_card_without_vfs_keeps_what_is_known_of_it(self) -> None:
        self.make()
        self.ok("device", "sync")
        self.fake.writer().set_numvfs(CARD, 0)
        self.ok("device", "sync")
        self.assertEqual(
            (0, 0, 0, "the card has no VFs that take vGPUs"),
            self.numbers()[1149],
        )
        vfs = make_vfs(self.fake)
        give(self.fake, vfs[0], Q24)
        self.assertEqual({1145, 1148, 1149}, set(self.numbers()))

    def test_without_the_vendors_tool_sizes_are_null_and_guessed_in_a_table(
        self,
    ) -> None:
        self.make()
        (self.fake.root / "usr/bin/nvidia-smi").unlink()
        row = self.types()[f"{CARD} 1148"]
        self.assertEqual(
            (None, None, None, 1, 4),
            tuple(
                row[name]
                for name in (
                    "framebuffer_mib",
                    "max_instances",
                    "heterogeneous",
                    "available",
                    "at_most",
                )
            ),
        )
        self.assertIn("~12288", self.ok("vgpu", "types").out)
        self.assertNotIn("~", self.ok("vgpu", "types", "-f", "csv").out)

    def test_a_tool_that_fails_or_lies_costs_its_part_alone(self) -> None:
        self.make()
        tool = self.fake.root / "usr/bin/nvidia-smi"
        for text in ("exit 3", "echo vGPU Type ID : what", "kill -9 $$"):
            tool.write_text(f"#!/bin/sh\n{text}\n")
            row = self.types()[f"{CARD} 1148"]
            self.assertEqual(
                (None, 1), (row["framebuffer_mib"], row["available"]), text
            )

    def test_a_vf_that_somebody_has_open_is_not_free(self) -> None:
        vfs = self.make()
        give(self.fake, vfs[0], Q12)
        self.fake.hold(vfs[0])
        self.assertEqual((1, 3, 3, None), self.numbers()[1148])

    def test_a_memory_that_makes_no_sense_is_none(self) -> None:
        self.make()
        self.ok("device", "sync")
        for text in ("[]", "{", '{"0000:41:00.0": {"sizes": 1, "no": 2}}'):
            with (
                contextlib.closing(
                    sqlite3.connect(self.state / "nova-vfio.sqlite")
                ) as link,
                link,
            ):
                link.execute(
                    "UPDATE meta SET value = ? WHERE name = 'vgpu_told'",
                    (text,),
                )
            self.assertEqual((0, 4, 4, None), self.numbers()[1148], text)
            self.ok("device", "sync")

    def test_a_card_in_mig_mode_without_an_instance_says_so(self) -> None:
        self.make()
        self.ok("device", "sync")
        self.fake.writer().set_numvfs(CARD, 0)
        make_vfs(self.fake)
        self.fake.add_vendor_vgpus(CARD, L40S, 49152, mig=True)
        self.assertIn("MIG mode", str(self.numbers()[1148][-1]))

    def test_cards_of_one_host_have_each_their_mode(self) -> None:
        self.make()
        self.make(OTHER)
        proc = self.fake.root / "proc/driver/nvidia"
        (proc / "gpus" / OTHER).mkdir(parents=True)
        (proc / "gpus" / OTHER / "information").write_text(
            "Model: \t\t NVIDIA A100\nDevice Minor: \t 1\n"
        )
        (proc / "capabilities/gpu1/mig/gi1").mkdir(parents=True)
        modes = {
            row["address"]: row["vgpu_mode"]
            for row in self.json("host", "list")
        }
        self.assertEqual(
            ("plain", "vendor", "mig"),
            (modes[NIC], modes[CARD], modes[OTHER]),
        )
        self.assertEqual(
            ["vendor"] * 4 + ["mig"] * 4,
            [
                modes[address]
                for address in sorted(modes)
                if address not in (NIC, CARD, OTHER)
            ],
        )

    def test_one_card_alone_is_listed_by_its_pf_or_a_vf(self) -> None:
        vfs = self.make()
        self.make(OTHER)
        self.assertEqual(6, len(self.types()))
        for word in (CARD, vfs[2]):
            self.assertEqual(
                {CARD}, {row["card"] for row in self.types(word).values()}
            )

    def test_no_vendor_folder_means_none_and_is_no_failure(self) -> None:
        self.assertIn("no card takes vGPUs", self.ok("vgpu", "types").err)
        self.assertIn(
            f"{NIC} takes no vGPUs: it has no vendor's folder",
            self.ok("vgpu", "types", NIC).err,
        )
        make_vfs(self.fake)
        done = self.ok("vgpu", "types", CARD, "-f", "json")
        self.assertEqual([], done.json)
        self.assertIn("the vGPU manager isn't loaded", done.err)
        self.assertIn(
            "no PCI function", self.fails("vgpu", "types", "0000:99:00.0")
        )

    def test_lists_that_make_no_sense_are_told_with_the_line(self) -> None:
        vfs = self.make()
        place = self.fake.root / "sys/bus/pci/devices"
        (place / vfs[0] / "nvidia/creatable_vgpu_types").write_text(
            "ID    : vGPU Name\n1148  : NVIDIA \x1b[2JL40S-12Q\nwhat\x1b[0m\n"
        )
        (place / vfs[1] / "nvidia/creatable_vgpu_types").unlink()
        (place / vfs[2] / "nvidia/current_vgpu_type").write_text("x\n")
        done = self.ok("vgpu", "types")
        for said in (
            f"warning: {vfs[0]}: creatable_vgpu_types:3: 'what\\x1b[0m' is",
            f"warning: {vfs[1]}: its list can't be read",
            f"warning: {vfs[2]}: its type can't be read",
        ):
            self.assertIn(said, done.err)
        self.assertNotIn("\x1b", done.out + done.err)
        names = {row["name"] for row in self.types().values()}
        self.assertIn("NVIDIA L40S-12Q", names)


class RealCarve(base.TestCase):
    """Capacity beside what a carve of the fake host really achieves."""

    @hypothesis.settings(max_examples=25, deadline=None)
    @hypothesis.given(strategies.data())
    def test_no_more_is_promised_than_is_achieved(
        self, data: strategies.DataObject
    ) -> None:
        folder = tempfile.mkdtemp(dir=sample_hosts.MEMORY)
        self.addCleanup(shutil.rmtree, folder)
        host = build(pathlib.Path(folder) / "host")
        vfs = make_vfs(host)
        mixed = data.draw(strategies.booleans())
        room = data.draw(strategies.sampled_from((12288, 24576, 49152)))
        host.add_vendor_vgpus(
            CARD,
            L40S,
            room,
            heterogeneous=mixed,
            listing=data.draw(
                strategies.sampled_from(("header", "headerless", "rfc"))
            ),
        )
        for vf in data.draw(strategies.lists(strategies.sampled_from(vfs))):
            self._try(host, vf, data.draw(strategies.sampled_from(list(L40S))))
        card = pci_address.PciAddress.parse(CARD)
        seen = facts.gather(scanner.scan(host.tree))
        wanted = data.draw(strategies.sampled_from(list(L40S)))
        found = vgpu_capacity.of_type(
            vgpu_card.Card(
                card,
                vgpu_card.cards(seen)[card],
                told=vgpu_card.Told(
                    room,
                    {name: size for name, (_, size) in L40S.items()},
                ),
                heterogeneous=mixed,
            ),
            wanted,
        )
        achieved = sum(self._try(host, vf, wanted) for vf in vfs)
        self.assertLessEqual(found.now, achieved)
        self.assertLessEqual(achieved, found.at_most)

    def _try(self, host: fake_host.FakeHost, vf: str, type_id: str) -> bool:
        """Give a free VF a type, if it can have it."""
        place = host.root / "sys/bus/pci/devices" / vf / "nvidia"
        if (place / "current_vgpu_type").read_text().strip() != "0":
            return False
        try:
            give(host, vf, type_id)
        except OSError:
            return False
        return True
