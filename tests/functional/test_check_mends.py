# SPDX-License-Identifier: Apache-2.0
"""What a hint tells to write passes the check when it is written."""

import functools
import pathlib

from nova_vfio_variant import exception, finding
from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.check import engine
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.observe import host_scan
from tests.functional import check_case, check_cases, check_host, hints


class Pasted(check_case.Checked):
    """One test a case; see below."""

    def passes(self, case: check_cases.Case) -> None:
        assert isinstance(case.conf, str)
        scan = None
        if case.functions is not None:
            scan = check_host.build(
                pathlib.Path("host"), case.functions, case.files, case.links
            )
        given, before = self.asked(case.conf, case, scan)
        for problem in before:
            for kind, text in hints.offered(problem.hint or ""):
                conf = hints.written_into(
                    case.conf, given, problem, kind, text
                )
                if conf is None:
                    continue
                _, after = self.asked(conf, case, scan)
                said = f"{problem.code.id}: {text}\n{[str(x) for x in after]}"
                self.assertFalse(
                    any(
                        (x.code, x.message) == (problem.code, problem.message)
                        for x in after
                    ),
                    said,
                )
                known = {x.code for x in before}
                if "host_spec" in text:
                    # It is declared then, and host apply is yet to follow.
                    known.add(check_codes.NOT_AS_DECLARED)
                worse = [
                    x
                    for x in after
                    if x.code not in known
                    and x.severity >= finding.Severity.WARNING
                ]
                self.assertEqual([], worse, said)

    def asked(
        self,
        conf: str,
        case: check_cases.Case,
        scan: host_scan.HostScan | None,
    ) -> tuple[facts.CheckInput, tuple[finding.Finding, ...]]:
        pathlib.Path("nova.conf").write_text(conf)
        try:
            given = self.given(case, scan)
            return given, engine.check(given)
        except exception.ConfigError as error:
            return facts.CheckInput(), error.findings


class Offered(check_case.Checked):
    def test_pieces_are_seen_in_hints(self) -> None:
        for hint, kinds in (
            ('Write "10de".', ["value"]),
            ("Did you mean 'managed'?", ["value"]),
            ("Did you mean [pci] alias?", ["moved pci"]),
            ('If it is meant, write "product_id": "10ca".', ["key"]),
            ("Add report_in_placement = true to [pci]; no.", ["option pci"]),
            ('Add device_spec = { "address": "*" }', ["option"]),
            (
                'In its place write, for A { "a": "b" }; or, for B [{ }].',
                ["entry", "entry"],
            ),
            ("Remove one of them.", []),
        ):
            self.assertEqual(kinds, [kind for kind, _ in hints.offered(hint)])


for _name, _case in check_cases.CASES.items():
    if isinstance(_case.conf, str) and not _case.environment:
        setattr(
            Pasted,
            f"test_{_name}",
            functools.partialmethod(Pasted.passes, _case),
        )
