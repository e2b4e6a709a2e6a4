# SPDX-License-Identifier: Apache-2.0
"""Small hosts on which something wrong was said, and what is right."""

import pathlib
import tempfile

from nova_vfio_variant import exception, finding
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.node import checking
from nova_vfio_variant.node.context import Context
from tests import base
from tests.functional import hints

CASES = pathlib.Path(__file__).parent / "cases"


class Cases(base.TestCase):
    """One test a case, whose folder has its host and its configuration."""

    def check(
        self, case: str, conf: str = "nova.conf"
    ) -> dict[str, finding.Finding]:
        """What is found of one file, by code."""
        node = Context(
            config_files=[str(CASES / case / conf)],
            host_root=str(CASES / case / "host.tar.gz"),
            state_path=str(self.state),
        )
        return {
            problem.code.id: problem
            for problem in checking.Checking(node).check()
        }

    def setUp(self) -> None:
        super().setUp()
        self.state = pathlib.Path(tempfile.mkdtemp()) / "state"

    def hint(self, case: str, code: str, conf: str = "nova.conf") -> str:
        """What is to be done about one finding."""
        return str(self.check(case, conf)[code].hint)

    def test_alias_list_hint(self) -> None:
        for conf, code in (
            ("nova.conf", "VFIO110"),
            ("hint-followed.conf", "VFIO117"),
        ):
            self.assertEqual(
                "Give each alias an option of its own.",
                self.hint("alias-list-hint", code, conf),
            )

    def test_filters(self) -> None:
        found = self.check("filters")["VFIO228"]
        self.assertIs(finding.Severity.WARNING, found.severity)
        self.assertIn(
            "ServerGroupAffinityFilter,PciPassthroughFilter", str(found.hint)
        )
        typo = self.check("filters", "typo.conf")
        self.assertIn(
            "Did you mean PciPassthroughFilter?", str(typo["VFIO228"].hint)
        )
        self.assertIn("is read by nobody", typo["VFIO140"].message)
        self.assertNotIn("VFIO228", self.check("filters", "alone.conf"))

    def test_pci_in_placement_astray(self) -> None:
        case = "pci-in-placement-astray"
        self.assertEqual(
            "Did you mean [filter_scheduler] pci_in_placement?",
            self.hint(case, "VFIO140"),
        )
        found = self.check(case, "unpublished.conf")
        self.assertEqual({"VFIO229", "VFIO230"}, set(found))
        self.assertIn("CUSTOM_NICVF", found["VFIO229"].message)
        self.assertIn("report_in_placement", str(found["VFIO229"].hint))
        self.assertIn("nova-scheduler", found["VFIO230"].message)

    def test_pf_only_entry(self) -> None:
        found = self.check("pf-only-entry")
        self.assertIn("4 VFs 15b3:101e", found["VFIO227"].message)
        self.assertIn('"product_id": "101e"', str(found["VFIO227"].hint))
        alias = self.check("pf-only-entry", "alias.conf")["VFIO220"]
        assert alias.location is not None
        self.assertIn("this host has 4 VFs 15b3:101e", alias.message)
        self.assertIn("no device_spec names them", alias.message)
        self.assertEqual(4, alias.location.line)

    def test_remote_managed_pf_address(self) -> None:
        (found,) = self.check("remote-managed-pf-address").values()
        self.assertEqual("VFIO288", found.code.id)
        self.assertIs(finding.Severity.ERROR, found.severity)
        self.assertIn("does not start", found.message)
        self.assertNotIn('"address"', str(found.hint))

    def test_same_ids_hint(self) -> None:
        hint = self.hint("same-ids-hint", "VFIO281", "before.conf")
        at = '"domain": "0000", "bus": "41", "slot":'
        for place in (
            f'{at} "00", "function": "[4-7]"',
            f'{at} "01", "function": "[0-7]"',
            f'{at} "02", "function": "[0-3]"',
            f'{at} "00", "function": "[0]"',
        ):
            self.assertIn(f'"address": {{{place}}}', hint)
        self.assertIn(
            "for 2 of the 16 VFs",
            self.hint("same-ids-hint", "VFIO281", "hint-pf.conf"),
        )

    def test_what_their_hints_tell_to_write_mends_them(self) -> None:
        pasted = set()
        for case in (
            "filters",
            "pci-in-placement-astray",
            "pf-only-entry",
            "remote-managed-pf-address",
            "same-ids-hint",
        ):
            for conf in sorted((CASES / case).glob("*.conf")):
                text = conf.read_text()
                given, before = self.asked(case, text)
                for problem in before:
                    for kind, piece in hints.offered(str(problem.hint)):
                        new = hints.written_into(
                            text, given, problem, kind, piece
                        )
                        assert new is not None, (case, piece)
                        pasted.add(problem.code.id)
                        _, after = self.asked(case, new)
                        self.assertNotIn(
                            (problem.code, problem.message),
                            [(x.code, x.message) for x in after],
                        )
                        self.assertNotIn(
                            finding.Severity.ERROR, [x.severity for x in after]
                        )
        self.assertLessEqual(
            {"VFIO140", "VFIO220", "VFIO227", "VFIO228", "VFIO229"}
            | {"VFIO281", "VFIO288"},
            pasted,
        )

    def asked(
        self, case: str, text: str
    ) -> tuple[facts.CheckInput, tuple[finding.Finding, ...]]:
        """What is found of a text on the host of a case."""
        conf = self.state.parent / "nova.conf"
        conf.write_text(text)
        node = Context(
            config_files=[str(conf)],
            host_root=str(CASES / case / "host.tar.gz"),
            state_path=str(self.state),
        )
        found = checking.Checking(node).check()
        try:
            return node.given(), found
        except exception.ConfigError:
            return facts.CheckInput(), found
