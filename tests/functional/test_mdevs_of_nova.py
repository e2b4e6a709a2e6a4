# SPDX-License-Identifier: Apache-2.0
"""Two masters: mediated devices of parents whose devices Nova hands out."""

import pathlib

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case

CARD, TOO = "0000:84:00.0", "0000:85:00.0"
PROVIDER = "n1_pci_0000_84_00_0"
OURS = "[DEFAULT]\nhost = n1\n[vfio]\nnova_compute = no\n"
TYPES = (
    "[devices]\nenabled_mdev_types = nvidia-35\n"
    f"[mdev_nvidia-35]\ndevice_addresses = {CARD}\n"
)


class TwoMasters(cli_case.CliTestCase):
    """Two cards of which mediated devices are made."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("nvidia", ["10de:1db4"])
        for at in (CARD, TOO):
            self.fake.add(at, "10de:1db4", class_code=0x030200)
            self.fake.add_mdev_parent(
                at, {"nvidia-35": 1, "nvidia-36": 2}, 4, function=at
            )
        self.enterContext(self.fake.plugged_in())
        self.declare(TYPES)

    def declare(self, text: str) -> None:
        """All that the configuration says."""
        pathlib.Path("nova.conf").write_text(text)


class CreateTest(TwoMasters):
    def test_none_is_made_where_nova_would_hand_it_out(self) -> None:
        for kind in ("nvidia-35", "nvidia-36"):
            said = self.fails("mdev", "create", kind, "--parent", CARD)
            self.assertIn(f"hands out nvidia-35 of {CARD}", said)
            self.assertIn("[VFIO597]", said)
            self.assertIn("enabled_mdev_types", said)
        self.assertEqual([], self.json("mdev", "list"))

    def test_another_parent_is_taken_if_there_is_one(self) -> None:
        for _ in range(4):
            [row] = self.json("mdev", "create", "nvidia-35")
            self.assertEqual(TOO, row["parent"])
        said = self.fails("mdev", "create", "nvidia-35")
        self.assertIn("VFIO589", said)

    def test_without_nova_compute_all_are_ours(self) -> None:
        self.declare(f"{TYPES}[vfio]\nnova_compute = no\n")
        [row] = self.json("mdev", "create", "nvidia-35", "--parent", CARD)
        self.assertEqual(CARD, row["parent"])

    def test_a_process_of_nova_compute_is_seen(self) -> None:
        self.declare(f"{TYPES}[vfio]\nplacement = embedded\n")
        self.json("mdev", "create", "nvidia-35", "--parent", CARD)
        place = self.fake.root / "proc/4711"
        place.mkdir(parents=True, exist_ok=True)
        (place / "cmdline").write_bytes(
            b"/usr/bin/python3\0/usr/bin/nova-compute\0--config-file\0"
        )
        said = self.fails("mdev", "create", "nvidia-35", "--parent", CARD)
        self.assertIn("nova-compute runs as process 4711", said)

    def test_none_is_made_again_there(self) -> None:
        self.declare("")
        [row] = self.json("mdev", "create", "nvidia-35", "--parent", CARD)
        place = self.fake.root / "sys/bus/mdev/devices" / row["uuid"]
        self.fake.write(
            str(place.relative_to(self.fake.root) / "remove"), b"1\n"
        )
        self.declare(TYPES)
        [left] = self.json("reconcile", status=1)
        self.assertEqual("left", left["state"])
        self.assertIn("nova-compute hands out", left["reason"])


class ClaimTest(TwoMasters):
    """Claims beside nova-compute, of what it doesn't hand out."""

    INSTANCE = "11111111-1111-4111-8111-111111111111"

    def setUp(self) -> None:
        super().setUp()
        self.declare(f"{TYPES}[vfio]\nnova_compute = yes\n")

    def claim(self, kind: str) -> tuple[str, ...]:
        return (
            *("claim", "create", "--instance", self.INSTANCE),
            *("--vgpu-type", kind),
        )

    def test_a_claim_is_made_of_parents_that_nova_leaves_alone(self) -> None:
        for kind in ("nvidia-35", "nvidia-36"):
            [row] = self.json(*self.claim(kind))
            self.assertEqual(
                [kind, "prepared"], [row["alias_name"], row["status"]]
            )
            [shown] = self.json("mdev", "list")
            self.assertEqual(TOO, shown["parent"])
            self.ok("claim", "delete", "--instance", self.INSTANCE)
        self.assertEqual([], self.json("mdev", "list"))

    def test_none_where_nova_hands_out_all_that_there_are(self) -> None:
        self.declare(
            "[devices]\nenabled_mdev_types = nvidia-35\n"
            "[vfio]\nnova_compute = yes\n"
        )
        for kind in ("nvidia-35", "nvidia-36"):
            said = self.fails(*self.claim(kind))
            self.assertIn("hands out nvidia-35", said)
            self.assertIn("VFIO597", said)
        self.assertEqual([], self.json("claim", "list"))


class InventoryTest(TwoMasters):
    def setUp(self) -> None:
        super().setUp()
        self.declare(f"{OURS}{TYPES}mdev_class = CUSTOM_A\n")

    def shown(self, *words: str, status: int = 0) -> dict[str, list[int]]:
        """Total and reserved of each provider."""
        return {
            row["provider"]: [row["total"], row["reserved"]]
            for row in self.json("inventory", "show", *words, status=status)
            if row["resource_class"] == "CUSTOM_A"
        }

    def test_ours_are_published_with_novas_names_and_settle(self) -> None:
        self.assertEqual({PROVIDER: [4, 0]}, self.shown())
        self.json("inventory", "report")
        self.assertEqual([], self.json("inventory", "report"))
        self.assertEqual([], self.json("inventory", "diff"))
        # What no claim has is reserved: no claim is given it.
        self.json("mdev", "create", "nvidia-35", "--parent", CARD)
        self.assertEqual({PROVIDER: [4, 1]}, self.shown())
        self.json("inventory", "report")
        self.assertEqual([], self.json("inventory", "diff"))

    def test_what_another_type_took_is_reserved(self) -> None:
        types = f"sys/class/mdev_bus/{CARD}/mdev_supported_types"
        (self.fake.root / types / "nvidia-35/description").write_text(
            "num_heads=2, frl_config=60, framebuffer=1024M, max_instance=4\n"
        )
        self.json("inventory", "report")
        for _ in range(2):
            self.json("mdev", "create", "nvidia-36", "--parent", CARD)
        [row] = self.json("inventory", "report")
        self.assertEqual(
            [PROVIDER, "CUSTOM_A.reserved", 4],
            [row["provider"], row["field"], row["desired"]],
        )

    def test_beside_nova_they_are_shown_and_not_published(self) -> None:
        self.declare(
            f"{TYPES}mdev_class = CUSTOM_A\n[vfio]\nnova_compute = yes\n"
            "[DEFAULT]\nhost = n1\n"
        )
        self.assertEqual({PROVIDER: [4, 0]}, self.shown())
        self.assertEqual([], self.json("inventory", "report"))
        self.assertEqual([], self.json("inventory", "diff"))
