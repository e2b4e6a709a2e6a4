# SPDX-License-Identifier: Apache-2.0
"""Two masters: mediated devices of parents whose devices Nova hands out."""

import pathlib

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case

CARD, TOO = "0000:84:00.0", "0000:85:00.0"
TYPES = (
    "[devices]\nenabled_mdev_types = nvidia-35\n"
    f"[mdev_nvidia-35]\ndevice_addresses = {CARD}\n"
)


class TwoMastersTest(cli_case.CliTestCase):
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
