# SPDX-License-Identifier: Apache-2.0
"""Mixed classes below one PF, and what an entry may not do to another."""

import pathlib

from tests.functional import check_host, cli_case

CLASSES = (
    (
        'device_spec = { "product_id": "10ca", "address": "0000:25:00.4",'
        ' "resource_class": "SMALL" }'
    ),
    (
        'device_spec = { "product_id": "10ca", "address": "0000:25:00.5",'
        ' "resource_class": "SMALL" }'
    ),
    (
        'device_spec = { "product_id": "10ca", "address": "0000:25:00.6",'
        ' "resource_class": "BIG", "traits": "CUSTOM_FAST" }'
    ),
    (
        'alias = { "name": "small", "device_type": "type-VF",'
        ' "resource_class": "SMALL" }'
    ),
    (
        'alias = { "name": "big", "device_type": "type-VF",'
        ' "resource_class": "BIG", "traits": "CUSTOM_FAST" }'
    ),
)
PER_CLASS = "[vfio]\nprovider_layout = per_class\n"
SMALL = "compute-1_0000:25:00.0_CUSTOM_SMALL"
BIG = "compute-1_0000:25:00.0_CUSTOM_BIG"
AUTOMATIC = "COMPUTE_MANAGED_PCI_DEVICE"
CLAIM = ("claim", "create", "--instance", cli_case.ONE, "--alias")


class LayoutTest(cli_case.CliTestCase):
    """One card with VFs of two classes."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=3))

    def rows(self) -> dict[str, tuple[int, int]]:
        """Total and usage by provider, as 'inventory show' has them."""
        return {
            one["provider"]: (one["total"], one["used"])
            for one in self.json("inventory", "show")
        }

    def test_novas_layout_refuses_and_names_both_entries(self) -> None:
        self.configure(*CLASSES)
        for words in (
            ("device", "sync"),
            ("inventory", "report"),
            (*CLAIM, "small:1"),
        ):
            said = self.refuses(*words)
            self.assertIn("nova.conf:9:84: error: ", said)
            self.assertIn("nova.conf:7:15", said)
            self.assertIn("CUSTOM_BIG", said)
            self.assertIn("CUSTOM_SMALL", said)
        self.assertFalse(self.state.exists())

    def test_per_class_has_a_provider_for_each_class(self) -> None:
        self.configure(*CLASSES, tail=PER_CLASS)
        checked = self.ok("config", "check", status=1)
        self.assertIn("nova-compute", checked.out)
        self.ok("inventory", "report")
        self.assertEqual({SMALL: (2, 0), BIG: (1, 0)}, self.rows())
        self.ok(*CLAIM, "small:1,big:1")
        self.assertEqual({SMALL: (2, 1), BIG: (1, 1)}, self.rows())
        published = self.published()
        self.assertEqual(
            {
                "total": {"CUSTOM_SMALL": 2},
                "used": {"CUSTOM_SMALL": 1},
                "traits": [AUTOMATIC],
            },
            published[SMALL],
        )
        self.assertEqual(
            {
                "total": {"CUSTOM_BIG": 1},
                "used": {"CUSTOM_BIG": 1},
                "traits": [AUTOMATIC, "CUSTOM_FAST"],
            },
            published[BIG],
        )
        self.assertEqual(
            {SMALL: {"CUSTOM_SMALL": 1}, BIG: {"CUSTOM_BIG": 1}},
            self.allocations(cli_case.ONE),
        )
        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual({SMALL: (2, 0), BIG: (1, 0)}, self.rows())
        self.assertEqual([], self.json("inventory", "diff"))

    def test_the_layout_stays_while_there_are_claims(self) -> None:
        same = (*CLASSES[:2], CLASSES[3])
        self.configure(*same)
        self.ok(*CLAIM, "small:1")
        self.configure(*same, tail=PER_CLASS)
        for words in (
            ("inventory", "report"),
            ("claim", "create", "--instance", cli_case.TWO, "--alias=small:1"),
        ):
            said = self.refuses(*words)
            self.assertIn("provider_layout can't be changed", said)
            self.assertIn("claim", said)
        self.assertEqual(
            {"compute-1", "compute-1_0000:25:00.0"}, set(self.published())
        )
        self.ok("claim", "delete", cli_case.ONE)
        self.ok("inventory", "report")
        self.assertEqual({"compute-1", SMALL}, set(self.published()))
        self.configure(*same)
        self.ok("inventory", "report")
        self.assertEqual(
            {"compute-1", "compute-1_0000:25:00.0"}, set(self.published())
        )

    def test_vfs_of_one_class_with_different_traits_stay_an_error(
        self,
    ) -> None:
        self.configure(
            *CLASSES[:2],
            CLASSES[2].replace('"BIG"', '"SMALL"'),
            tail=PER_CLASS,
        )
        said = self.refuses("device", "sync")
        self.assertIn("nova.conf:9:103: error: ", said)
        self.assertIn("CUSTOM_FAST", said)

    def test_no_name_is_longer_than_placement_takes(self) -> None:
        # <host>_<PF>_ are 23 characters, and Placement takes 200.
        fits = "CUSTOM_" + "X" * 170
        longer = [f"CUSTOM_{'Y' * 200}{end}" for end in "AB"]
        self.configure(
            *(
                line.replace("SMALL", name).replace("BIG", name)
                for line, name in zip(CLASSES, (fits, *longer), strict=False)
            ),
            tail=PER_CLASS,
        )
        self.ok("inventory", "report")
        names = {
            next(iter(one["total"])): name
            for name, one in self.published().items()
            if one["total"]
        }
        self.assertEqual({fits, *longer}, set(names))
        self.assertEqual(f"compute-1_0000:25:00.0_{fits}", names[fits])
        for one in longer:
            self.assertEqual(200, len(names[one]))
            self.assertTrue(
                names[one].startswith("compute-1_0000:25:00.0_CUSTOM_YYY")
            )
        self.assertNotEqual(*(names[one] for one in longer))
        self.assertEqual([], self.json("inventory", "diff"))


class OverlapTest(cli_case.CliTestCase):
    """What Nova starts with blocks nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))

    def test_two_entries_for_one_device_are_a_warning(self) -> None:
        self.configure(
            'device_spec = { "product_id": "10ca", "managed": "no" }',
            'device_spec = { "address": "0000:25:00.5", "managed": "yes" }',
            'alias = { "name": "a", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        checked = self.ok("config", "check", status=1)
        self.assertIn("nova.conf:8:15: warning: ", checked.out)
        self.assertIn("nova.conf:7:15", checked.out)
        for words in (
            ("device", "sync"),
            ("inventory", "report"),
            (*CLAIM, "a:2"),
        ):
            self.assertEqual("", self.ok(*words).err)
        self.assertEqual(
            [False, False],
            [one["managed"] for one in self.json("device", "list")],
        )

    def test_vfs_that_differ_in_managed_are_a_warning(self) -> None:
        self.configure(
            'device_spec = { "product_id": "10ca", "address":'
            ' "0000:25:00.4", "managed": "no" }',
            'device_spec = { "product_id": "10ca", "address":'
            ' "0000:25:00.5", "managed": "yes" }',
        )
        checked = self.json("config", "check", status=1)
        (found,) = [one for one in checked if "managed" in one["message"]]
        self.assertEqual("warning", found["severity"])
        self.assertIn("nova.conf:7:15", found["message"])
        self.assertTrue(found["location"].startswith("nova.conf:8:"))
        self.ok("device", "sync")
        self.ok("inventory", "report")
        self.assertEqual(
            [False, True],
            [one["managed"] for one in self.json("device", "list")],
        )


class FamilyTest(cli_case.CliTestCase):
    """A PF and its VFs, both tracked, exclude each other as in Nova."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        # Placement has no devices of a physical network: it could have the
        # PF or its VFs.
        self.configure(
            'device_spec = { "address": "0000:25:00.0",'
            ' "physical_network": "physnet0" }',
            'alias = { "name": "vf", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
            'alias = { "name": "pf", "vendor_id": "8086",'
            ' "product_id": "10c9", "device_type": "type-PF" }',
        )
        self.ok("device", "sync")

    def statuses(self) -> list[str]:
        return [one["status"] for one in self.json("device", "list")]

    def test_a_vf_in_use_keeps_its_pf_from_everybody(self) -> None:
        self.ok(*CLAIM, "vf:1")
        self.assertEqual(
            ["unavailable", "available", "allocated"], self.statuses()
        )
        self.assertIn(
            "alias 'pf': 1 asked for, and 0 can be given",
            self.refuses(
                "claim", "create", "--instance", cli_case.TWO, "--alias=pf:1"
            ),
        )
        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual(["available"] * 3, self.statuses())

    def test_a_pf_in_use_keeps_its_vfs_from_everybody(self) -> None:
        vfs = pathlib.Path("host/sys/bus/pci/devices/0000:25:00.0")
        links = {path: path.readlink() for path in vfs.glob("virtfn*")}
        for path in links:
            path.unlink()
        # As it is a whole one until somebody makes VFs of it.
        self.ok(*CLAIM, "pf:1")
        for path, target in links.items():
            path.symlink_to(target)
        self.assertEqual(
            ["allocated", "unavailable", "unavailable"], self.statuses()
        )
        self.assertIn(
            "alias 'vf': 1 asked for, and 0 can be given",
            self.refuses(
                "claim", "create", "--instance", cli_case.TWO, "--alias=vf:1"
            ),
        )
        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual(["available"] * 3, self.statuses())


class WaitingTest(cli_case.CliTestCase):
    """What changes under a device in use waits until it is freed."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        self.tag("no")
        self.ok(*CLAIM, "a:1")

    def tag(self, managed: str) -> None:
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
            f' "managed": "{managed}" }}',
            'alias = { "name": "a", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )

    def devices(self) -> dict[str, tuple[str, bool, object]]:
        return {
            one["address"]: (one["status"], one["managed"], one["pending"])
            for one in self.json("device", "list")
        }

    def test_a_changed_tag_waits_until_the_device_is_freed(self) -> None:
        self.tag("yes")
        self.assertEqual(
            {"updated": 2},
            {
                name: count
                for name, count in self.json("device", "sync").items()
                if count
            },
        )
        listed = self.devices()
        status, managed, pending = listed["0000:25:00.5"]
        self.assertEqual(("allocated", False), (status, managed))
        assert isinstance(pending, dict)
        self.assertIs(True, pending["extra_info"]["managed"])
        self.assertEqual(("available", True, None), listed["0000:25:00.4"])
        shown = self.ok("device", "show", "0000:25:00.5").out
        self.assertRegex(shown, r"pending +\| .*managed=yes")
        self.assertIn(
            'managed="no"',
            self.ok("guest", "xml", "--instance", cli_case.ONE).out,
        )
        # Nothing more is to be done about it.
        self.assertEqual(2, self.json("device", "sync")["unchanged"])

        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual(
            {("available", True, None)}, set(self.devices().values())
        )

    def test_a_device_that_vanished_in_use_is_kept_and_reported(self) -> None:
        check_host.build(self.folder / "smaller", check_host.card(vfs=1))
        self.options[1] = "--host-root=smaller"
        for _ in range(2):
            done = self.ok("device", "sync", "-f", "json", status=1)
            self.assertEqual(1, done.json["kept"])
            self.assertIn("kept while in use: 0000:25:00.5", done.err)
        self.assertEqual(
            ("allocated", False, {}), self.devices()["0000:25:00.5"]
        )
        self.assertIn(
            "this host has no such function",
            self.refuses("guest", "xml", "--instance", cli_case.ONE),
        )
        self.ok("inventory", "report")
        self.assertEqual(
            {"CUSTOM_PCI_8086_10CA": 1},
            self.published()["compute-1_0000:25:00.0"]["used"],
        )
        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual(["0000:25:00.4"], list(self.devices()))
        self.ok("device", "sync")
        self.ok("inventory", "report")
        self.assertEqual(
            {"CUSTOM_PCI_8086_10CA": 1},
            self.published()["compute-1_0000:25:00.0"]["total"],
        )
