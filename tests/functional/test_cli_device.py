# SPDX-License-Identifier: Apache-2.0
"""What ``device list`` says beside its rows, and of those that wait."""

import pathlib
import re
import shutil

from nova_vfio_variant.host.tree import paths
from tests.functional import check_host, cli_case
from tests.functional.card_conf import ALIAS, SPEC, VF


class DeviceListTest(cli_case.CliTestCase):
    def test_a_device_that_goes_when_it_is_freed_says_so(self) -> None:
        self.host(*check_host.card(vfs=1))
        self.configure(SPEC, ALIAS)
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:1")
        columns = ("-c", "address", "-c", "pending")
        said = self.ok("device", "list", *columns).out
        self.assertNotIn("removed", said)
        pathlib.Path("host", paths.DEVICES, VF).unlink()
        shutil.rmtree("host/sys/devices/pci0000:00/" + VF)
        self.ok("device", "sync", status=1)
        for words in (("device", "list", *columns), ("device", "show", VF)):
            self.assertRegex(self.ok(*words).out, r"\| removed when freed +\|")
        listed = self.json("device", "list")
        self.assertEqual([{}], [one["pending"] for one in listed])
        self.assertEqual({}, self.json("device", "show", VF)["pending"])

    def test_only_what_is_listed_has_a_note(self) -> None:
        self.host(*check_host.card(vfs=1))
        self.configure('device_spec = { "mangaed": "no" }')
        self.assertNotIn(
            "nothing is tracked yet", self.fails("device", "list")
        )
        self.configure(SPEC)
        done = self.ok("device", "list")
        self.assertTrue(done.err.startswith("nothing is tracked yet: "))


class AllowTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=1))
        self.configure(SPEC)

    def allow(self, *words: str) -> tuple[str, ...]:
        return "device", "allow", VF, *words

    def allowed(self) -> dict[str, str]:
        shown: dict[str, str] = self.json("device", "show", VF)["allowed"]
        return shown

    def test_each_time_is_a_line_of_the_log(self) -> None:
        self.options.append("-v")
        words = (
            self.allow("--code", "VFIO512", "--reason", "idle"),
            self.allow("--code", "VFIO511", "--reason", "quirk"),
            ("device", "disallow", VF, "--code", "VFIO512"),
            ("device", "disallow", VF, "--code", "VFIO512"),
            ("device", "disallow", VF),
        )
        said = "".join(self.run_cli(*line).err for line in words)
        self.assertEqual(
            [
                "VFIO512 allowed",
                "VFIO511 allowed",
                "VFIO512 no longer allowed",
                "all no longer allowed",
            ],
            re.findall(f"device {VF}: (.*)", said),
        )

    def test_it_is_shown_until_it_is_taken_back(self) -> None:
        self.assertEqual({}, self.allowed())
        self.ok(*self.allow("--code", "VFIO512", "--reason", "idle"))
        self.ok(*self.allow("--code", "VFIO511", "--reason", "quirk"))
        self.assertEqual(
            {"VFIO512": "idle", "VFIO511": "quirk"}, self.allowed()
        )
        self.assertIn(
            "VFIO511=quirk, VFIO512=idle", self.ok("device", "show", VF).out
        )
        disallow = ("device", "disallow", VF)
        self.ok(*disallow, "--code", "VFIO512")
        self.assertEqual({"VFIO511": "quirk"}, self.allowed())
        self.ok(*disallow)
        self.assertEqual({}, self.allowed())
        said = self.ok(*disallow, status=1).err
        self.assertIn(f"no such obstacle of {VF} was allowed", said)

    def test_it_is_not_for_another_card_at_the_address(self) -> None:
        self.ok(*self.allow("--code", "VFIO512", "--reason", "idle"))
        shutil.rmtree("host")
        self.host(*check_host.card(vfs=1, vf_ids="15b3:101e"))
        self.assertEqual({}, self.allowed())

    def test_what_means_nothing_is_refused(self) -> None:
        for words in (
            ("--code", "VFIO999", "--reason", "idle"),
            ("--code", "VFIO101", "--reason", "idle"),
            ("--code", "VFIO512", "--reason", " "),
            ("--code", "VFIO512", "--reason", "a\nb"),
            ("--code", "VFIO512"),
            ("--reason", "idle"),
        ):
            self.ok(*self.allow(*words), status=2)
        self.fails(
            "device",
            "allow",
            "0000:99:00.0",
            "--code=VFIO512",
            "--reason=idle",
        )
        self.assertFalse(self.state.exists())
        self.ok("device", "disallow", VF, status=1)
        self.assertFalse(self.state.exists())
