# SPDX-License-Identifier: Apache-2.0
"""A node that lives long, as a manager of virtual machines has one."""

import pathlib
import runpy
import subprocess
import sys

from nova_vfio_variant import exception
from nova_vfio_variant.node import claim_guard, node
from tests import base
from tests.functional import check_host, cli_case, schema_case

ONE = cli_case.ONE

_PAGE = pathlib.Path(__file__).parents[2] / "doc/source/user/managers.rst"


class NodeTest(base.TestCase):
    def test_it_does_what_its_page_says(self) -> None:
        """In a process of its own, as the page runs an embedded Placement."""
        done = subprocess.run(
            [sys.executable, "-m", "doctest", "-v", str(_PAGE)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout)
        self.assertRegex(done.stdout, r"\n4\d passed")


class GuardTest(schema_case.SchemaCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(0x21, vfs=4))
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        self.node = node.Node(["nova.conf"], [], "host", str(self.state))

    def owned(self) -> int:
        return len(self.node.devices.claims())

    def test_a_claim_goes_where_its_block_fails(self) -> None:
        with (
            self.assertRaisesRegex(ZeroDivisionError, ""),
            self.node.guarded_claim(ONE, "nic:2") as guard,
        ):
            self.assertEqual(2, len(guard.claims[0].addresses))
            raise ZeroDivisionError
        self.assertEqual(0, self.owned())
        self.assertEqual({}, self.allocations(ONE))

    def test_it_stays_where_its_block_ends_or_is_disarmed(self) -> None:
        with self.node.guarded_claim(ONE, "nic:1"):
            pass
        self.assertEqual(1, self.owned())
        for end in (
            claim_guard.ClaimGuard.disarm,
            claim_guard.ClaimGuard.started,
        ):
            with (
                self.assertRaisesRegex(ZeroDivisionError, ""),
                self.node.guarded_claim(ONE, "nic:1") as guard,
            ):
                end(guard)
                raise ZeroDivisionError
            self.assertEqual(1, self.owned())

    def test_one_of_before_is_taken_over(self) -> None:
        with self.node.guarded_claim(ONE, "nic:1") as before:
            pass
        with (
            self.assertRaisesRegex(ZeroDivisionError, ""),
            self.node.adopted_claim(ONE, before.assignment) as guard,
        ):
            self.assertEqual(before.claims, guard.claims)
            raise ZeroDivisionError
        self.assertEqual(0, self.owned())
        with (
            self.assertRaisesRegex(exception.ClaimError, "claimed nothing"),
            self.node.adopted_claim(ONE, before.assignment),
        ):
            self.fail("it is gone")

    def test_the_example_runs_a_guest_and_gives_back(self) -> None:
        seen = pathlib.Path("seen")
        guest = f'echo "$@" > {seen}; exit 7'
        example = runpy.run_path(str(_PAGE.with_name("manager.py")))
        status = example["run"](
            self.node, ONE, "nic:2", ["sh", "-c", guest, "guest"]
        )
        self.assertEqual(7, status)
        self.assertEqual(2, seen.read_text().count("vfio-pci,host=0000:21:"))
        self.assertEqual(0, self.owned())
