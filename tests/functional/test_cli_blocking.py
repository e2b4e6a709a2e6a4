# SPDX-License-Identifier: Apache-2.0
"""Errors stop every command that writes, before it does; warnings never do."""

import functools
import pathlib

import fixtures

from nova_vfio_variant import finding
from nova_vfio_variant.check import catalogue
from nova_vfio_variant.check import codes as check_codes
from tests.functional import check_cases, check_host, cli_case

WRITERS = (
    ("device", "sync"),
    ("inventory", "report"),
    ("claim", "create", "--instance", cli_case.ONE, "--alias", "a:1"),
)


class EveryFinding(cli_case.CliTestCase):
    """One test a case of ``check_cases``; see below."""

    def take(self, case: check_cases.Case) -> None:
        """Write the case's files and host."""
        for name, value in case.environment.items():
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        if case.conf is not None:
            data = case.conf
            pathlib.Path("nova.conf").write_bytes(
                data if isinstance(data, bytes) else data.encode()
            )
        check_host.build(
            pathlib.Path("host"), case.functions or (), case.files, case.links
        )
        if not case.named:
            del self.options[0]

    def stops(self, case: check_cases.Case) -> None:
        self.take(case)
        for words in WRITERS:
            done = self.ok(*words, status=2)
            self.assertEqual("", done.out)
            self.assertRegex(done.err, r"^error: the configuration ")
            self.assertFalse(self.state.exists())
        self.ok("config", "check", status=2)

    def goes_on(self, case: check_cases.Case) -> None:
        self.take(case)
        unread = "sys/bus/pci/devices/0000:25:00.5" in case.links
        self.ok("device", "sync", status=int(unread))
        self.assertTrue((self.state / "nova-vfio.sqlite").exists())

    def stops_preparation(self, case: check_cases.Case) -> None:
        self.stops(case)
        for word in ("plan", "apply"):
            done = self.ok("host", word, status=2)
            self.assertIn("nova.conf:", done.err)


for _name, _case in check_cases.CASES.items():
    if _case.orphans or _case.unseen:
        continue  # no file and no host gives these
    _code = catalogue.everything()[_name.partition("-")[0]]
    if _code is check_codes.REPORT_SWITCHED_OFF:
        continue  # Placement alone shows it, to those that publish
    if _code.severity is not finding.Severity.ERROR:
        _what = EveryFinding.goes_on
    elif _code.id < "VFIO500":
        _what = EveryFinding.stops
    else:
        _what = EveryFinding.stops_preparation
    setattr(
        EveryFinding,
        f"test_{_name}_{_what.__name__}",
        functools.partialmethod(_what, _case),
    )
