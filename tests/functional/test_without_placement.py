# SPDX-License-Identifier: Apache-2.0
"""What works, and what is said, where openstack-placement isn't installed."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

from tests import base
from tests.functional import check_host, cli_case

ROOT = pathlib.Path(__file__).parents[2]
#: The program in an interpreter to which Placement's code isn't there.
WITHOUT = (
    "import sys; sys.modules['placement'] = None;"
    " from nova_vfio_variant.cli import main; sys.exit(main.main())"
)
MISSING = (
    "error: the embedded Placement needs the package openstack-placement,"
    " which is not installed\nhint: {} -m pip install"
    " 'nova-vfio-variant[embedded]'\n"
)


class WithoutPlacementTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(check_host.Function("0000:43:00.0", "1af4:1041"))
        self.configure(
            'device_spec = { "address": "0000:43:00.0" }',
            'alias = { "name": "nic", "vendor_id": "1af4",'
            ' "product_id": "1041" }',
        )

    def without(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command where Placement's code isn't there."""
        return subprocess.run(
            [sys.executable, "-c", WITHOUT, *self.options, *words],
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def assert_missing(self, *words: str) -> None:
        done = self.without(*words)
        self.assertEqual(
            (2, "", MISSING.format(shlex.quote(sys.executable))),
            (done.returncode, done.stdout, done.stderr),
        )

    def test_what_needs_it_says_so_and_how_to_get_it(self) -> None:
        self.ok("device", "sync")
        before = self.recorded()
        self.assert_missing("inventory", "report")
        self.assert_missing(*claim())
        self.assert_recorded(before)
        self.ok("inventory", "report")
        self.ok(*claim())
        before = self.recorded()
        self.assert_missing("inventory", "diff")
        self.assert_recorded(before)
        self.assert_missing("claim", "delete", cli_case.ONE)
        (kept,) = self.json("claim", "list")
        self.assertEqual("releasing", kept["status"])

    def test_what_does_not_need_it_works(self) -> None:
        for words in (
            ("host", "list"),
            ("config", "check"),
            ("device", "sync"),
            ("device", "list"),
            ("inventory", "show"),
            ("claim", "list"),
        ):
            done = self.without(*words)
            self.assertEqual(0, done.returncode, done.stderr)


def claim() -> tuple[str, ...]:
    return "claim", "create", "--instance", cli_case.ONE, "--alias", "nic:1"


class ExtraTest(base.TestCase):
    def test_the_hint_names_an_extra_that_brings_it(self) -> None:
        extra = (ROOT / "setup.cfg").read_text().partition("[extras]")[2]
        self.assertTrue(
            re.search(r"\nembedded =\n +openstack-placement", extra)
        )
