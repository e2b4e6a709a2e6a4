# SPDX-License-Identifier: Apache-2.0
"""Each intended difference is told where it applies, or can't be."""

from nova_vfio_variant.check import catalogue, deviations
from tests import base


class Table(base.TestCase):
    def test_each_row_has_a_finding_or_a_reason_why_none(self) -> None:
        for row in deviations.TABLE:
            self.assertNotEqual(bool(row.findings), bool(row.silent), row.id)

    def test_what_is_said_is_said_by_config_check(self) -> None:
        every = catalogue.everything().values()
        for row in deviations.TABLE:
            for code in row.findings:
                self.assertIn(code, every)
                self.assertLess(code.id, "VFIO500", row.id)
