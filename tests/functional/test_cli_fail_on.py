# SPDX-License-Identifier: Apache-2.0
"""--fail-on means one thing in each command, and changes only the status."""

import pathlib

from nova_vfio_variant.cli import status
from tests.functional import check_host, cli_case

#: Of each command what it comes to on a host that nothing was done for.
STATUSES = {
    "host list": 0,
    "config check": 1,
    "config explain 0000:25:00.0": 1,
    "device sync --dry-run": 1,
    "inventory diff": 1,
    "inventory report --dry-run": 1,
    "device show 0000:ff:00.0": 2,
    "claim create --instance " + cli_case.ONE + " --alias none:1": 2,
}


class FailOnTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        self.configure(
            'device_spec = { "product_id": "10ca", "managed": "no" }',
            'device_spec = { "address": "0000:25:00.5", "managed": "yes" }',
        )

    def test_warnings_fail_unless_one_says_otherwise(self) -> None:
        for words, expected in STATUSES.items():
            plain = self.ok(*words.split(), status=expected)
            same = self.ok(
                *words.split(), "--fail-on", "warning", status=expected
            )
            self.assertEqual((plain.out, plain.err), (same.out, same.err))

    def test_errors_alone_fail_and_the_same_is_printed(self) -> None:
        for words, expected in STATUSES.items():
            plain = self.run_cli(*words.split())
            done = self.ok(
                *("--fail-on=error", *words.split()),
                status=0 if expected == 1 else expected,
            )
            self.assertEqual((plain.out, plain.err), (done.out, done.err))

    def test_never_leaves_only_what_is_typed_wrongly(self) -> None:
        for words in STATUSES:
            self.ok(*words.split(), "--fail-on=never")
        pathlib.Path("nova.conf").unlink()
        self.ok("config", "check", "--fail-on=never")
        for words in ("host frobnicate", "host list --bogus", "host show"):
            self.ok(*words.split(), "--fail-on=never", status=2)

    def test_what_it_can_be_is_said(self) -> None:
        said = self.fails("config", "check", "--fail-on", "info")
        self.assertIn("argument --fail-on: invalid choice: 'info'", said)
        for word in ("warning", "error", "never"):
            self.assertIn(word, said)

    def test_the_checks_of_an_upgrade_take_it_too(self) -> None:
        pathlib.Path("nova.conf").write_text(
            "[DEFAULT]\nhost = n1\n[pci]\npassthrough_whitelist ="
            ' { "product_id": "10ca" }\n'
        )
        for word, expected in (("warning", 1), ("error", 0), ("never", 0)):
            words = ["--fail-on", word, "upgrade", "check", "--json"]
            self.assertEqual(
                expected, status.main([*self.options, *words]), word
            )
