# SPDX-License-Identifier: Apache-2.0
"""What operators call devices, and what commands make of that."""

import shutil
import uuid

from tests.functional import check_host, cli_case
from tests.functional.card_conf import ALIAS, SPEC, VF

OTHER = "0000:25:00.5"
PF = "0000:25:00.0"
ONE = cli_case.ONE


class NamesTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        self.configure(SPEC, ALIAS)

    def register(self, *words: str) -> dict[str, str]:
        made: dict[str, str] = self.json("device", "register", *words)
        return made

    def exchange(self) -> None:
        """Another card comes to the place of this one."""
        shutil.rmtree("host")
        self.host(*check_host.card(vfs=2, vf_ids="15b3:101e"))

    def test_a_device_is_taken_by_id_name_or_address(self) -> None:
        made = self.register(VF, "--name", "uplink-a")
        self.assertEqual(("uplink-a", VF), (made["name"], made["address"]))
        uuid.UUID(made["id"])
        shown = self.json("device", "show", VF)
        for key in ("id", "name", "type", "created_at"):
            self.assertEqual(made[key], shown[key])
        for word in (
            "uplink-a",
            made["id"],
            made["id"].upper(),
            made["id"].replace("-", ""),
        ):
            self.assertEqual(shown, self.json("device", "show", word))
        for words in (
            ("host", "show"),
            ("config", "explain"),
            ("explain",),
            ("host", "plan", "--only"),
            ("guest", "xml", "--address"),
            ("guest", "qemu", "--address"),
            ("vgpu", "types"),
            ("vgpu", "clear"),
            ("device", "disallow"),
        ):
            by_name = self.run_cli(*words, "uplink-a")
            by_address = self.run_cli(*words, VF)
            self.assertEqual(
                (by_address.status, by_address.out, by_address.err),
                (by_name.status, by_name.out, by_name.err),
            )

    def test_what_is_given_no_name_has_its_address_for_one(self) -> None:
        self.assertEqual("pci-0000-25-00-4", self.register(VF)["name"])
        names = [row["name"] for row in self.json("device", "list")]
        self.assertEqual(["pci-0000-25-00-4", None], names)

    def test_a_name_that_can_t_be_is_refused(self) -> None:
        for name in ("a", "-a", "a b", "a/b", "\u00e4b", "a" * 256, ONE):
            said = self.fails("device", "register", VF, f"--name={name}")
            self.assertIn("no name of a device", said)

    def test_an_id_is_taken_in_any_spelling_to_take_a_name_away(self) -> None:
        made = self.register(VF, "--name", "uplink-a")
        self.ok("device", "unregister", made["id"].upper())

    def test_a_name_is_given_once_and_a_device_has_one(self) -> None:
        self.register(VF, "--name", "uplink-a")
        said = self.refuses("device", "register", OTHER, "--name=uplink-a")
        self.assertIn(f"the device at {VF} is called uplink-a", said)
        said = self.refuses("device", "register", "uplink-a", "--name=more")
        self.assertIn("is called uplink-a already", said)
        self.ok("device", "unregister", "uplink-a")
        self.register(OTHER, "--name", "uplink-a")

    def test_what_no_device_spec_names_can_have_none(self) -> None:
        said = self.fails("device", "register", PF)
        self.assertIn(f"no device_spec names {PF}", said)
        said = self.fails("device", "register", "0000:99:00.0")
        self.assertIn("this host has no PCI function 0000:99:00.0", said)

    def test_a_word_that_names_nothing_is_told(self) -> None:
        for words in (
            ("device", "show", "uplink-b"),
            ("device", "unregister", "uplink-b"),
            ("device", "register", "uplink-b"),
            ("host", "restore", "uplink-b"),
            ("host", "apply", "--only", "uplink-b"),
        ):
            said = self.fails(*words)
            self.assertIn("no device is called 'uplink-b'", said)

    def test_a_claimed_device_keeps_its_name(self) -> None:
        self.register(VF, "--name", "uplink-a")
        self.ok("claim", "create", "--instance", ONE, "--alias=nic:2")
        said = self.refuses("device", "unregister", "uplink-a")
        self.assertIn(f"uplink-a ({VF}) is claimed by instance {ONE}", said)
        self.ok("claim", "delete", "--instance", ONE)
        self.ok("device", "unregister", VF)
        self.assertIsNone(self.json("device", "show", VF)["name"])

    def test_a_name_is_not_for_another_card_at_the_address(self) -> None:
        self.register(VF, "--name", "uplink-a")
        self.exchange()
        said = self.refuses("device", "show", "uplink-a")
        self.assertIn("15b3:101e", said)
        self.assertIn("stands there now", said)
        self.assertIsNone(self.json("device", "show", VF)["name"])
        (why,) = (
            row["why_not"]
            for row in self.json("device", "available")
            if row["address"] == VF
        )
        self.assertIn("'nova-vfio device unregister uplink-a'", why)
        self.ok("device", "unregister", "uplink-a")

    def test_another_card_is_given_a_name_once_it_is_tracked(self) -> None:
        self.ok("device", "sync")
        self.exchange()
        both = (
            SPEC,
            'device_spec = { "vendor_id": "15b3", "product_id": "101e" }',
        )
        self.configure(*both)
        said = self.fails("device", "register", VF)
        self.assertIn("[VFIO406]", said)
        self.ok("device", "sync", "--accept", VF, status=1)
        self.register(VF)

    def test_a_name_of_what_is_gone_can_be_taken_away(self) -> None:
        self.register(OTHER, "--name", "gone")
        shutil.rmtree("host")
        self.host(*check_host.card(vfs=1))
        self.assertIsNone(self.json("device", "unregister", "gone")["type"])

    def test_what_could_be_named_is_listed_with_the_reason(self) -> None:
        self.register(VF, "--name", "uplink-a")
        rows = {
            row["address"]: row for row in self.json("device", "available")
        }
        self.assertEqual(
            {
                PF: (False, "no device_spec names it"),
                VF: (False, "it is called uplink-a"),
                OTHER: (True, None),
            },
            {
                address: (row["available"], row["why_not"])
                for address, row in rows.items()
            },
        )

    def test_a_gpu_is_told_from_other_devices(self) -> None:
        shutil.rmtree("host")
        self.host(
            check_host.Function("0000:41:00.0", "10de:25b6", "030200"),
            check_host.Function("0000:42:00.0", "8086:1521"),
        )
        self.assertEqual(
            ["gpu", "pci"],
            [row["type"] for row in self.json("device", "available")],
        )
