# SPDX-License-Identifier: Apache-2.0
"""Every kind of finding, from the operator's file to text and JSON.

The expected outputs stand in ``golden/check``. After a wanted change write
them anew with ``NOVA_VFIO_UPDATE_GOLDEN=1`` and read the difference.
"""

import functools
import json
import os
import pathlib

from nova_vfio_variant.check import catalogue, render
from nova_vfio_variant.pci import flavor_codes
from tests import base
from tests.functional import check_cases
from tests.functional.check_case import Checked

GOLDEN = pathlib.Path(__file__).parent / "golden" / "check"
UPDATE = "NOVA_VFIO_UPDATE_GOLDEN"


class EveryFinding(Checked):
    """One test a case; see below."""

    def matches(self, name: str, case: check_cases.Case) -> None:
        """The case has its finding, and both outputs are as expected."""
        found = self.check(case)
        wanted = catalogue.everything()[name.partition("-")[0]]
        self.assertIn(wanted.id, [finding.code.id for finding in found])
        self.assertTrue(all(finding.hint for finding in found))
        data = [render.data(finding) for finding in found]
        for suffix, output in (
            ("txt", render.text(found)),
            ("json", json.dumps(data, indent=2) + "\n"),
        ):
            golden = GOLDEN / f"{name}.{suffix}"
            if os.environ.get(UPDATE):
                golden.write_text(output)
            self.assertEqual(golden.read_text(), output)


for _name, _case in check_cases.CASES.items():
    setattr(
        EveryFinding,
        f"test_{_name}",
        functools.partialmethod(EveryFinding.matches, _name, _case),
    )


class NoFinding(Checked):
    """One test a case in which nothing is to be said."""

    def is_quiet(self, case: check_cases.Case) -> None:
        self.assertEqual((), self.check(case))


for _name, _case in check_cases.QUIET.items():
    setattr(
        NoFinding,
        f"test_nothing_is_said_where_{_name}",
        functools.partialmethod(NoFinding.is_quiet, _case),
    )


class Golden(base.TestCase):
    def test_every_kind_of_finding_has_a_case(self) -> None:
        have = {name.partition("-")[0] for name in check_cases.CASES}
        kinds = {
            name
            for name, code in catalogue.everything().items()
            # No configuration breaks a rule; a unit test plants one.
            # Those of flavors, and of a claim's request, stand in no
            # configuration.
            if code.id < "VFIO500"
            and name not in ("RULE_BROKE", "REQUEST_VALUE")
            and name not in vars(flavor_codes)
        }
        self.assertEqual(set(), kinds - have)

    def test_no_expected_output_is_left_over(self) -> None:
        self.assertEqual(
            {
                f"{name}.{kind}"
                for name in check_cases.CASES
                for kind in ("txt", "json")
            },
            {path.name for path in GOLDEN.iterdir()},
        )

    def test_ids_are_unique_and_tell_their_chapter(self) -> None:
        every = catalogue.everything()
        ids = [code.id for code in every.values()]
        self.assertEqual(len(ids), len(set(ids)))
        for code in every.values():
            self.assertRegex(code.id, "^VFIO[1-5][0-9][0-9]$")
            for text in (code.title, code.cause, code.example, code.mend):
                self.assertTrue(text)
