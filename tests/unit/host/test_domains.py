# SPDX-License-Identifier: Apache-2.0
"""Descriptions of guests are read, and nothing that they lead to."""

import pathlib

import fixtures

from nova_vfio_variant.host.observe import domains
from tests import base


class DomainTest(base.TestCase):
    def test_no_file_is_read_and_nothing_is_blown_up(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        secret = pathlib.Path(folder, "secret")
        secret.write_text("root's own")
        tens = "".join(
            f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 30)
        )
        for entities, name in (
            (f'<!ENTITY s SYSTEM "file://{secret}">', "s"),
            (f'<!ENTITY a0 "ten"> {tens}', "a29"),
        ):
            text = (
                f"<!DOCTYPE domain [{entities}]>"
                f"<domain><name>&{name};</name></domain>"
            )
            found = [
                domain.findtext("name") for domain in domains._domains(text)
            ]
            self.assertIn(found, ([], [""], [None]))
