# SPDX-License-Identifier: Apache-2.0
"""``[vfio] placement = none``: a host without OpenStack."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys

from nova_vfio_variant.cli import status
from nova_vfio_variant.pci import alias
from nova_vfio_variant.tracker import store
from tests.functional import check_host, cli_case, mdev_claims_case
from tests.functional.cli_case import ONE, TWO

ROOT = pathlib.Path(__file__).parents[2]
NONE = "[vfio]\nplacement = none\n"
SPEC = 'device_spec = {{ "vendor_id": "8086", "product_id": "10ca"{} }}'
ALIAS = (
    'alias = { "name": "nic", "vendor_id": "8086", "product_id": "10ca",'
    ' "device_type": "type-VF" }'
)
#: Each of some commands, where no library of OpenStack's services is.
WITHOUT = """
import json, sys
for name in ("placement", "openstack", "keystoneauth1"):
    sys.modules[name] = None
from nova_vfio_variant.cli import main
sys.exit(max(main.main(json.loads(words)) for words in sys.argv[1:]))
"""
LIFE = (
    ("device", "sync"),
    ("inventory", "report"),
    ("claim", "create", "--instance", ONE, "--alias", "nic:1"),
    ("claim", "started", "--instance", ONE),
    ("config", "check"),
    ("reconcile",),
    ("claim", "delete", "--instance", ONE),
)
WHY = "[vfio] placement is none: nothing is published"
MINE = ("--instance", ONE)
NIC = alias.PciRequest("nic", 1, (), "legacy")


class NoneTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(0x21, vfs=2))
        self.configure(SPEC.format(""), ALIAS, tail=NONE)

    def create(self, *words: str) -> list[dict[str, object]]:
        found = self.json("claim", "create", *words, "--alias", "nic:1")
        assert isinstance(found, list)
        return found

    def statuses(self) -> list[str]:
        return [device["status"] for device in self.json("device", "list")]

    def test_a_claim_lives_its_whole_life_in_the_store(self) -> None:
        (made,) = self.create(*MINE)
        self.assertEqual("prepared", made["status"])
        (again,) = self.create(*MINE)
        self.assertEqual(made, again)
        for move, state in (("prepare", "prepared"), ("started", "allocated")):
            (now,) = self.json("claim", move, *MINE)
            self.assertEqual(state, now["status"])
        self.create("--instance", TWO)
        said = self.refuses(
            "claim", "create", "--instance", cli_case.THREE, "--alias=nic:1"
        )
        self.assertIn(f"allocated to instance {ONE}", said)
        self.ok("claim", "release", *MINE)
        self.ok("claim", "delete", "--instance", TWO)
        self.assertEqual(["available", "available"], self.statuses())
        self.assertFalse((self.state / "placement.sqlite").exists())

    def test_no_library_of_openstacks_services_is_needed(self) -> None:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                WITHOUT,
                *(json.dumps([*self.options, *words]) for words in LIFE),
            ],
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        # What lives can't be seen there, which reconcile warns of.
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertIn("freed", done.stdout)

    def test_inventories_say_that_there_are_none_and_what_to_do(self) -> None:
        for command in ("show", "diff"):
            said = self.refuses("inventory", command)
            self.assertIn(f"error: {WHY}\n", said)
            self.assertIn("hint: set [vfio] placement = embedded", said)
        for words in ((), ("--dry-run",)):
            done = self.ok("inventory", "report", *words)
            self.assertEqual("", done.out)
            self.assertIn(f"note: {WHY}\n", done.err)
            self.assertEqual(
                [], self.json("inventory", "report", *words), str(done)
            )
        told = self.json("explain", "0000:21:00.4")
        self.assertIn(WHY, str(told))

    def test_a_report_finishes_what_a_crash_left(self) -> None:
        self.create(*MINE)
        with store.Store.open(str(self.state)) as opened:
            (device,) = (
                one for one in opened.devices() if one.instance_uuid == ONE
            )
            opened.free(ONE)
            opened.claim(ONE, [(NIC, [device])])
        (half,) = self.json("claim", "list")
        self.assertEqual("claimed", half["status"])
        done = self.ok("inventory", "report")
        self.assertIn(f"finished the claim of instance {ONE}", done.err)
        (whole,) = self.json("claim", "list")
        self.assertEqual("prepared", whole["status"])

    def test_a_device_for_one_time_is_not_given_twice(self) -> None:
        check_host.build(
            pathlib.Path("alone"),
            [check_host.Function("0000:31:00.0", "8086:10ca")],
        )
        self.options[1] = "--host-root=alone"
        self.configure(
            SPEC.format(', "one_time_use": "yes"'),
            ALIAS.replace("type-VF", "type-PCI"),
            tail=NONE,
        )
        self.create(*MINE)
        self.ok("claim", "delete", *MINE)
        for _ in range(2):
            said = self.fails(
                "claim", "create", "--instance", TWO, "--alias", "nic:1"
            )
            self.assertIn("VFIO539", said)
            self.assertIn("used once, and given to nobody since", said)
            self.assertNotIn("Placement", said)
            self.ok("inventory", "report")

    def test_an_upgrade_is_checked_without_one(self) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status.main([*self.options, "upgrade", "check"])
        self.assertIn("none is used", out.getvalue())

    def test_claims_are_published_where_one_is_used_later(self) -> None:
        self.create(*MINE)
        self.configure(
            SPEC.format(""), ALIAS, tail="[vfio]\nplacement = embedded\n"
        )
        self.ok("inventory", "report")
        (used,) = self.allocations(ONE).values()
        self.assertEqual({"CUSTOM_PCI_8086_10CA": 1}, used)


class MdevTest(mdev_claims_case.MdevClaimsCase):
    def test_mediated_devices_are_claimed_without_one(self) -> None:
        self.configure(
            mdev_claims_case.SPEC,
            mdev_claims_case.ALIAS,
            tail=NONE + "[devices]\nenabled_mdev_types = nvidia-35\n",
        )
        (made,) = self.json(
            "claim", "create", *MINE, "--vgpu-type", "nvidia-35:2"
        )
        self.assertEqual(made["mdevs"], sorted(self.there()))
        self.ok("inventory", "report")
        self.ok("claim", "delete", *MINE)
        self.assertEqual({}, self.there())
        self.assertFalse((self.state / "placement.sqlite").exists())
