# SPDX-License-Identifier: Apache-2.0
"""Devices for one time are reset before somebody else gets them."""

import pathlib

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case

AT = "0000:43:00.0"
MINE = ("claim", "create", "--instance", cli_case.ONE, "--alias", "once:1")


class ScrubTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("vfio-pci", vfio=True)
        self.fake.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
        self.fake.add(AT, "1af4:1041", driver="vfio-pci")
        self.enterContext(self.fake.plugged_in())
        self.configure(
            f'device_spec = {{ "address": "{AT}", "managed": "no",'
            ' "resource_class": "ONCE", "one_time_use": "yes" }',
            'alias = { "name": "once", "resource_class": "ONCE" }',
            tail="[vfio]\nplacement = embedded\n",
        )

    def use(self) -> None:
        """An instance has it, and gives it back."""
        self.ok(*MINE)
        self.ok("claim", "delete", "--instance", cli_case.ONE)

    def test_it_is_given_again_once_it_was_reset(self) -> None:
        self.use()
        self.fails(*MINE)
        (row,) = self.json("device", "scrub", AT, "--dry-run", status=1)
        self.assertEqual("planned", row["state"])
        self.fails(*MINE)
        (row,) = self.json("device", "scrub", AT)
        self.assertEqual(("reset flr", "done"), (row["action"], row["state"]))
        self.assertIn(f"{AT}/reset b'1'", self.fake.written[-1])
        self.assertEqual(
            "ready", self.json("device", "show", AT)["assignable"]
        )
        self.use()

    def test_one_that_does_not_reset_stays_reserved(self) -> None:
        self.use()
        self.fake.fault(1, errno=25)
        self.ok("device", "scrub", AT, status=2)
        self.fails(*MINE)
        self.ok("device", "scrub", AT)
        self.use()

    def test_reconcile_says_so_and_it_stays_reserved_until_then(self) -> None:
        self.use()
        for _ in range(2):
            (row,) = self.json("reconcile", status=1)
            self.assertEqual(
                (AT, "device for one time that was used", "leave", "left"),
                tuple(
                    row[name]
                    for name in ("subject", "what", "action", "state")
                ),
            )
            self.assertIn(f"nova-vfio device scrub {AT}", row["reason"])
            self.assertEqual(1, self.reserved())
            self.ok("device", "sync")
            self.ok("inventory", "report")
        self.ok("device", "scrub", AT)
        self.assertEqual(0, self.reserved())
        self.assertEqual([], self.json("reconcile"))

    def reserved(self) -> int:
        """How many units of it are reserved in Placement."""
        listed = self.placement.find(f"compute-1_{AT}")
        assert listed is not None
        _, inventories = self.placement.inventories(listed.uuid)
        return int(inventories["CUSTOM_ONCE"]["reserved"])

    def test_without_placement_the_store_alone_keeps_it(self) -> None:
        path = pathlib.Path("nova.conf")
        path.write_text(path.read_text().replace("= embedded", "= none"))
        self.use()
        mend = f"nova-vfio device scrub {AT}"
        for said in (self.fails(*MINE), self.run_cli("explain", AT).out):
            self.assertIn("VFIO539", said)
            self.assertIn(mend, said)
            self.assertNotIn("reserved", said)
        (row,) = self.json("reconcile", status=1)
        self.assertTrue(row["reason"].endswith(mend), row)
        self.assertNotIn("reserved", row["reason"])
        self.fake.fault(1, errno=25)
        self.ok(*mend.split()[1:], status=2)
        self.fails(*MINE)
        self.ok(*mend.split()[1:])
        self.assertEqual([], self.json("reconcile"))
        self.use()

    def test_what_is_not_reserved_is_left_alone(self) -> None:
        self.assertIn("is not reserved", self.fails("device", "scrub", AT))
        self.ok(*MINE)
        self.assertIn("is not reserved", self.refuses("device", "scrub", AT))

    def test_an_operators_own_reserve_is_lifted_alike(self) -> None:
        self.ok("inventory", "report")
        self.reserve(f"compute-1_{AT}", 1)
        self.ok("device", "scrub", AT)
        self.ok(*MINE)
