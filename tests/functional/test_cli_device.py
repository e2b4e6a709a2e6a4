# SPDX-License-Identifier: Apache-2.0
"""What ``device list`` says beside its rows, and of those that wait."""

import shutil

from tests.functional import check_host, cli_case
from tests.functional.test_cli_unread import DEVICES, NIC, SPEC, VF


class DeviceListTest(cli_case.CliTestCase):
    def test_a_device_that_goes_when_it_is_freed_says_so(self) -> None:
        self.host(*check_host.card(vfs=1))
        self.configure(SPEC, NIC)
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:1")
        columns = ("-c", "address", "-c", "pending")
        said = self.ok("device", "list", *columns).out
        self.assertNotIn("removed", said)
        (DEVICES / VF).unlink()
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
