# SPDX-License-Identifier: Apache-2.0
"""``vgpu types`` of cards that offer mediated devices."""

import typing as ty

from tests.functional import cli_case, mdev_case, vgpu_cards
from tests.functional.mdev_case import CARD, ONE, OTHER, TWO, UUID


def rows(case: cli_case.CliTestCase, *words: str) -> list[dict[str, ty.Any]]:
    """What ``vgpu types`` lists."""
    return ty.cast(
        "list[dict[str, ty.Any]]", case.json("vgpu", "types", *words)
    )


class MdevTypesTest(mdev_case.MdevCase):
    def numbers(
        self, card: str = CARD
    ) -> dict[str, tuple[int, int, int, str | None]]:
        return {
            row["id"]: (
                row["existing"],
                row["available"],
                row["at_most"],
                row["why"],
            )
            for row in rows(self, card)
        }

    def test_types_of_parents_stand_in_the_same_columns(self) -> None:
        first, *_ = rows(self)
        self.assertEqual(
            {
                "card": CARD,
                "framework": "mdev",
                "id": "nvidia-35",
                "name": "GRID T4-1B",
                "framebuffer_mib": 1024,
                "existing": 0,
                "available": 2,
                "at_most": 2,
                "why": None,
                "max_instances": 2,
                "mode": "mdev",
                "heterogeneous": None,
            },
            first,
        )
        self.assertEqual({CARD, OTHER}, {row["card"] for row in rows(self)})

    def test_a_parent_that_is_no_function_is_listed_by_its_name(self) -> None:
        self.fake.add_mdev_parent("mtty", {"mtty-1": 1}, 24)
        row = rows(self)[-1]
        self.assertEqual(("mtty", "mtty-1"), (row["card"], row["id"]))
        self.assertEqual("mdev", row["framework"])

    def test_a_card_that_is_full_says_what_is_idle_on_it(self) -> None:
        self.by_another(UUID, CARD, "nvidia-36")
        existing, available, at_most, why = self.numbers()["nvidia-35"]
        self.assertEqual((0, 0, 0), (existing, available, at_most))
        self.assertIn(f"idle there: {UUID}", str(why))
        self.assertEqual(1, self.numbers()["nvidia-36"][0])

    def test_a_parent_that_is_given_whole_takes_none(self) -> None:
        self.configure(
            'device_spec = { "address": "0000:06:00.0", "managed": "yes" }',
            'alias = { "name": "gpu", "product_id": "1eb8",'
            ' "vendor_id": "10de" }',
            tail="[vfio]\nplacement = embedded\n",
        )
        self.fake.add_driver("vfio-pci", vfio=True)
        self.ok("claim", "create", "--instance", ONE, "--alias", "gpu:1")
        _, available, _, why = self.numbers()["nvidia-35"]
        self.assertEqual(0, available)
        self.assertIn(ONE, str(why))
        # What a dry run says is what is done.
        for words in ([], ["--dry-run"]):
            said = self.fails(
                *("mdev", "create", "nvidia-35", "--parent", CARD), *words
            )
            self.assertIn(ONE, said)

    def test_a_parent_on_which_guests_failed_takes_none(self) -> None:
        for instance in (ONE, TWO):
            made = self.make(CARD, instance_uuid=instance)
            self.ok(
                *("vgpu", "report", instance, "failed"),
                *("--assignment", made.assignment),
            )
        self.assertEqual(0, self.numbers()["nvidia-35"][1])
        self.ok("vgpu", "clear", CARD)
        for made in self.ours().values():
            self.ok("mdev", "delete", made.uuid)
        self.assertEqual((0, 2, 2, None), self.numbers()["nvidia-35"])

    def test_where_none_can_be_counted_none_is_made(self) -> None:
        place = f"sys/class/mdev_bus/{CARD}/mdev_supported_types/nvidia-35"
        (self.fake.root / place / "available_instances").write_text("many")
        *counted, why = self.numbers()["nvidia-35"]
        self.assertEqual([0, 0, 0], counted)
        self.assertIn("is no number", str(why))

    def test_of_parents_that_are_novas_none_is_made(self) -> None:
        self.configure(
            head="[devices]\nenabled_mdev_types = nvidia-35\n",
            tail="[vfio]\nnova_compute = yes\n",
        )
        _, available, _, why = self.numbers()["nvidia-35"]
        self.assertEqual(0, available)
        self.assertIn("nova-compute hands out nvidia-35", str(why))

    def test_what_can_not_be_read_is_told(self) -> None:
        place = self.fake.root / "sys/class/mdev_bus"
        place.rename(self.folder / "elsewhere")
        place.write_text("")
        done = self.ok("vgpu", "types")
        self.assertIn("warning: /sys/class/mdev_bus: Not a dir", done.err)


class MixedHostTest(cli_case.CliTestCase):
    """A host with a card of each kind."""

    def test_one_command_shows_both_frameworks(self) -> None:
        fake = vgpu_cards.build(self.folder / "host")
        self.configure()
        vgpu_cards.make_vfs(fake)
        fake.add_vendor_vgpus(vgpu_cards.CARD, vgpu_cards.L40S, 49152)
        fake.add_mdev_parent(
            "nvidia-vgpu", {"nvidia-35": 1}, 2, function=vgpu_cards.NIC
        )
        self.assertEqual(
            [
                ("vendor_vfio", vgpu_cards.CARD, 1145),
                ("vendor_vfio", vgpu_cards.CARD, 1148),
                ("vendor_vfio", vgpu_cards.CARD, 1149),
                ("mdev", vgpu_cards.NIC, "nvidia-35"),
            ],
            [(row["framework"], row["card"], row["id"]) for row in rows(self)],
        )
        shown = self.ok("vgpu", "types").out
        for mode, kind in (("vendor", 1149), ("mdev", "nvidia-35")):
            self.assertRegex(shown, rf"\| {mode} +\| +{kind} +\|")
