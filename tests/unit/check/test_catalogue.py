# SPDX-License-Identifier: Apache-2.0
"""The ids of findings, by which operators silence and count."""

import collections

from nova_vfio_variant.check import catalogue
from tests import base


class CatalogueTest(base.TestCase):
    def test_each_id_is_of_one_kind_of_finding(self) -> None:
        ids = collections.Counter(
            code.id for code in catalogue.everything().values()
        )
        self.assertEqual([], [each for each, n in ids.items() if n > 1])
