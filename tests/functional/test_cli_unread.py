# SPDX-License-Identifier: Apache-2.0
"""What can't be read of the host is never taken for nothing."""

import pathlib
import shutil

from tests.functional import check_host, cli_case
from tests.functional.card_conf import ALIAS, SPEC, VF

PROVIDER = "compute-1_0000:25:00.0"
DEVICES = pathlib.Path("host/sys/bus/pci/devices")
FUNCTIONS = pathlib.Path("host/sys/devices/pci0000:00")
#: Each command that writes what the host has.
WRITERS = (
    ("device", "sync"),
    ("inventory", "report"),
    ("claim", "create", "--instance", cli_case.TWO, "--alias", "nic:1"),
)
READERS = (
    ("host", "list"),
    ("host", "show", VF),
    ("host", "snapshot", "new.tar.gz"),
    ("config", "explain", VF),
    ("config", "suggest"),
    ("device", "sync", "--dry-run"),
    ("inventory", "show"),
    ("inventory", "diff"),
    ("inventory", "report", "--dry-run"),
)


class UnreadCase(cli_case.CliTestCase):
    """A host with three VFs that are tracked and published, one claimed."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=3))
        self.configure(SPEC, ALIAS)
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:1")
        self.ok("inventory", "report")

    def total(self) -> int:
        found: dict[str, int] = self.published()[PROVIDER]["total"]
        return sum(found.values())

    def without(self, name: str, address: str = VF) -> None:
        """Keep a fact from being read, whoever reads."""
        place = FUNCTIONS / address / name
        place.unlink()
        place.mkdir()


class ListingTest(UnreadCase):
    def refused(self, reason: str) -> None:
        said = f"can't be listed: sys/bus/pci/devices: {reason}\n"
        for words in (*WRITERS, *READERS):
            self.assertIn(said, self.refuses(*words))
        (found,) = self.json("config", "check", status=2)
        self.assertEqual(
            ("error", "VFIO316"), (found["severity"], found["code"])
        )
        self.assertEqual(3, self.total())
        self.assertEqual(3, len(self.json("device", "list")))

    def test_a_host_without_a_listing_is_refused(self) -> None:
        shutil.rmtree(DEVICES)
        self.refused("No such file or directory")

    def test_a_listing_that_can_not_be_read_is_refused(self) -> None:
        shutil.rmtree(DEVICES)
        DEVICES.write_text("")
        self.refused("Not a directory")

    def test_the_files_are_checked_all_the_same(self) -> None:
        shutil.rmtree(DEVICES)
        self.configure('device_spec = { "mangaed": "no" }')
        found = self.json("config", "check", status=2)
        self.assertEqual(
            ["VFIO316", "VFIO104"],
            [one["code"] for one in found if one["severity"] == "error"],
        )


class FunctionTest(UnreadCase):
    def kept(self, why: str, *addresses: str) -> None:
        """The first VF of those is named as unread; nothing changes."""
        before = self.recorded()
        devices = self.json("device", "list")
        said = f"warning: {addresses[0]}: {why}\n"
        for more in ([], ["--dry-run"]):
            done = self.ok("device", "sync", "-f", "json", *more, status=1)
            self.assertIn(said, done.err)
            for one in addresses:
                self.assertIn(f"kept as it is, unread: {one}\n", done.err)
            self.assertEqual(
                {
                    "added": 0,
                    "updated": 0,
                    "removed": 0,
                    "unchanged": 3 - len(addresses),
                    "kept": len(addresses),
                },
                done.json,
            )
        for more in ([], ["--dry-run"]):
            done = self.ok(
                "inventory", "report", "-f", "json", *more, status=1
            )
            self.assertIn(said, done.err)
            self.assertEqual([], done.json)
        self.assertEqual([], self.json("inventory", "diff"))
        (shown,) = self.json("inventory", "show")
        self.assertEqual((3, 1), (shown["total"], shown["used"]))
        self.assertEqual(devices, self.json("device", "list"))
        self.assert_recorded(before)
        done = self.ok("config", "check", "-f", "json", status=1)
        self.assertIn("VFIO317", [one["code"] for one in done.json])

    def test_one_that_can_not_be_entered_stays(self) -> None:
        (DEVICES / VF).unlink()
        (DEVICES / VF).symlink_to("../gone")
        self.kept("left out: No such file or directory", VF)

    def test_one_without_ids_stays(self) -> None:
        self.without("modalias")
        self.kept("left out: No such file or directory", VF)

    def test_one_whose_pf_can_not_be_read_stays_a_vf(self) -> None:
        self.without("physfn")
        self.kept("left out: physfn: Invalid argument", VF)

    def test_vfs_that_are_named_by_an_unread_pf_stay(self) -> None:
        pf = "0000:25:00.0"
        self.configure(
            'device_spec = { "address": "0000:25:00.0",'
            ' "product_id": "10ca" }',
            ALIAS,
        )
        self.ok("inventory", "report")
        self.without("sriov_totalvfs", pf)
        done = self.ok("device", "sync", "-f", "json", status=1)
        self.assertEqual(
            (0, 3), (done.json["removed"], done.json["kept"]), str(done)
        )
        self.ok("inventory", "report", status=1)
        self.assertEqual(3, self.total())

    def test_it_is_not_given_away(self) -> None:
        self.without("physfn", "0000:25:00.5")
        done = self.ok(
            *("claim", "create", "--instance", cli_case.TWO),
            *("--alias", "nic:1", "-f", "json"),
        )
        self.assertIn("warning: 0000:25:00.5: left out: physfn", done.err)
        self.assertEqual(
            [["0000:25:00.4"]], [one["addresses"] for one in done.json]
        )
        before = self.recorded()
        done = self.ok(
            *("claim", "create", "--instance", cli_case.THREE),
            *("--alias", "nic:1"),
            status=2,
        )
        self.assertIn("1 asked for, and 0 can be given", done.err)
        self.assert_recorded(before)

    def test_one_that_was_not_tracked_is_not_added(self) -> None:
        self.host(*check_host.card(0x41, vfs=2))
        self.without("physfn", "0000:41:00.5")
        done = self.ok("device", "sync", "-f", "json", status=1)
        self.assertEqual((1, 0), (done.json["added"], done.json["kept"]))

    def test_it_is_as_before_once_it_can_be_read(self) -> None:
        self.without("physfn")
        self.ok("device", "sync", status=1)
        (FUNCTIONS / VF / "physfn").rmdir()
        (FUNCTIONS / VF / "physfn").symlink_to("../0000:25:00.0")
        self.assertEqual(3, self.json("device", "sync")["unchanged"])

    def test_a_lost_detail_costs_the_detail_alone(self) -> None:
        self.without("numa_node", "0000:25:00.5")
        done = self.ok("device", "sync", "-f", "json")
        self.assertEqual(1, done.json["updated"])
        self.assertIn("warning: 0000:25:00.5: numa_node: ", done.err)


class NamedByInterfaceTest(cli_case.CliTestCase):
    def test_a_device_stays_whose_interface_can_not_be_read(self) -> None:
        self.host(
            check_host.Function("0000:25:00.0", driver="igb", netdev="eth1")
        )
        pathlib.Path("nova.conf").write_text(
            '[pci]\ndevice_spec = { "devname": "eth1" }\n'
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10c9", "device_type": "type-PCI" }\n'
        )
        self.assertEqual(1, self.json("device", "sync")["added"])
        shutil.rmtree(FUNCTIONS / "0000:25:00.0/net")
        (FUNCTIONS / "0000:25:00.0/net").write_text("")
        done = self.ok("device", "sync", "-f", "json", status=1)
        self.assertEqual((0, 1), (done.json["removed"], done.json["kept"]))
        # Whether an entry still takes it nobody knows.
        words = (
            "claim",
            "create",
            "--instance",
            cli_case.ONE,
            "--alias=nic:1",
        )
        self.assertIn("nic", self.run_cli(*words).err)
        self.assertEqual([], self.json("claim", "list"))
