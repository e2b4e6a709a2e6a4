# SPDX-License-Identifier: Apache-2.0
"""``host diff``: what is different between two looks at a host."""

import pathlib
import shutil

from tests.functional import check_host, cli_case

CARD = "0000:82:00.0"
NEXT = "0000:83:00.0"
CONF = (
    f'device_spec = {{ "address": "{CARD}" }}',
    'device_spec = { "vendor_id": "10de" }',
)
HOST_SPEC = (
    f'[vfio]\nhost_spec = {{ "address": "{CARD}", "driver": "vfio-pci" }}\n'
)


class DiffTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.options = ["--state-path=state"]
        self.build("old", {CARD: ("01.0", "10de:20b0")})

    def build(
        self,
        name: str,
        cards: dict[str, tuple[str, str]],
        driver: str = "nvidia",
        mac: str | None = None,
    ) -> None:
        """A host with cards, each below its own port of the root."""
        root = pathlib.Path(name)
        shutil.rmtree(root, ignore_errors=True)
        check_host.build(
            root,
            [
                check_host.Function(
                    address,
                    ids,
                    "030200",
                    driver,
                    files={"net/eth0/address": mac} if mac else {},
                )
                for address, (_, ids) in cards.items()
            ],
        )
        for address, (port, _) in cards.items():
            flat = root / "sys/devices/pci0000:00" / address
            below = flat.parent / f"0000:00:{port}" / address
            below.parent.mkdir()
            flat.rename(below)
            for link, target in (
                (
                    root / "sys/bus/pci/devices" / address,
                    f"devices/pci0000:00/0000:00:{port}/{address}",
                ),
                (below / "driver", f"../bus/pci/drivers/{driver}"),
                (below / "iommu_group", "../kernel/iommu_groups/0"),
            ):
                link.unlink()
                link.symlink_to(f"../../../{target}")

    def moved(self) -> None:
        """A card was added before the one that was there."""
        self.build(
            "new", {CARD: ("00.0", "1000:00ac"), NEXT: ("01.0", "10de:20b0")}
        )

    def rows(self, *words: str) -> list[tuple[object, ...]]:
        found = self.json("host", "diff", *words, status=1)
        return [tuple(row.values()) for row in found]

    def test_the_same_host_is_no_difference(self) -> None:
        done = self.ok("host", "diff", "old", "old")
        self.assertEqual(
            ("", "there is no difference\n"), (done.out, done.err)
        )

    def test_a_card_that_moved_is_found_at_its_port(self) -> None:
        self.moved()
        self.assertEqual(
            [
                (
                    "moved",
                    CARD,
                    NEXT,
                    "10de:20b0",
                    "address",
                    CARD,
                    NEXT,
                    "same port",
                ),
                ("came", None, CARD, "1000:00ac", None, None, None, None),
            ],
            self.rows("old", "new"),
        )

    def test_recordings_say_the_same(self) -> None:
        self.moved()
        wanted = self.rows("old", "new")
        for name in ("old", "new"):
            root = f"--host-root={name}"
            self.ok(root, "host", "snapshot", f"{name}.tar.gz")
        self.assertEqual(wanted, self.rows("old.tar.gz", "new.tar.gz"))

    def test_a_mac_address_says_more_where_it_was_recorded(self) -> None:
        mac = "52:54:00:12:34:56"
        self.build("old", {CARD: ("01.0", "10de:20b0")}, mac=mac)
        self.build("new", {NEXT: ("02.0", "10de:20b0")}, mac=mac)
        for words, basis in (
            ([], "guess: the only one of its kind"),
            (["--identities"], "MAC address"),
        ):
            for name in ("old", "new"):
                self.ok(
                    f"--host-root={name}",
                    *("host", "snapshot", f"{name}.tar.gz", *words),
                )
            (row,) = self.rows("old.tar.gz", "new.tar.gz")
            self.assertEqual(basis, row[-1])

    def test_entries_that_name_others_are_told(self) -> None:
        self.configure(*CONF, tail=HOST_SPEC)
        self.moved()
        rows = self.rows("--config-file=nova.conf", "old", "new")
        self.assertEqual(
            [
                ("changed", "device_spec", "nova.conf:7:15", "nova.conf:8:15"),
                ("changed", "host_spec", "nova.conf:10:13", None),
                ("came", "device_spec", None, "nova.conf:7:15"),
                ("came", "host_spec", None, "nova.conf:10:13"),
            ],
            [
                (row[0], *row[4:7])
                for row in rows
                if str(row[4]).endswith("_spec")
            ],
        )

    def test_what_changed_of_one_that_stayed(self) -> None:
        self.build("new", {CARD: ("01.0", "10de:20b0")}, driver="vfio-pci")
        self.assertEqual(
            [
                (
                    *("changed", CARD, CARD, "10de:20b0"),
                    *("driver", "nvidia", "vfio-pci", None),
                )
            ],
            self.rows("old", "new"),
        )

    def test_what_can_not_be_compared_is_an_error(self) -> None:
        self.assertIn(
            "'nowhere'", self.fails("host", "diff", "old", "nowhere")
        )
        pathlib.Path("new.tar.gz").write_bytes(b"\x1f\x8b")
        self.fails("host", "diff", "old", "new.tar.gz")
        self.configure('device_spec = { "vendor": "10de" }')
        said = self.ok(
            "--config-file=nova.conf", "host", "diff", "old", "old", status=2
        ).err
        self.assertIn("[VFIO104]", said)
