# SPDX-License-Identifier: Apache-2.0
"""The hostile run knows all commands and all tables that there are."""

import pathlib

import fixtures

from nova_vfio_variant.cli import main
from nova_vfio_variant.tracker import models
from tests import base
from tests.hostile import nodes

#: Where it is added.
_WORDS = "add its words to tests/functional/old_stores/commands.py: "
_ROW = "add a row of it to ROWS of tests/hostile/nodes.py: "


class KnownTest(base.TestCase):
    def test_each_command_is_run_on_what_nobody_should_write(self) -> None:
        missing = sorted(set(main.COMMANDS) - set(nodes.WORDS))
        self.assertEqual([], [f"{_WORDS}{name}" for name in missing])
        self.assertEqual(set(), set(nodes.WORDS) - set(main.COMMANDS))

    def test_each_table_of_the_store_has_a_row_to_be_damaged(self) -> None:
        self.assertEqual(set(), set(nodes.ROWS) - set(models.METADATA.tables))
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        filled = nodes.filled(folder / "store")
        missing = sorted(name for name, rows in filled.items() if not rows)
        self.assertEqual([], [f"{_ROW}{name}" for name in missing])
