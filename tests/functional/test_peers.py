# SPDX-License-Identifier: Apache-2.0
"""The page of what others do names what is there."""

import functools
import importlib.util
import pathlib
import pkgutil
import typing as ty
import unittest

from nova_vfio_variant.cli import main
from tests import base

_FILE = pathlib.Path(__file__).parents[2] / "doc/ext/peers.py"


@functools.cache
def _rows() -> tuple[ty.Any, ...]:
    spec = importlib.util.spec_from_file_location("peers", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(row for rows in module.TABLES.values() for row in rows)


class PeersTest(base.TestCase):
    def test_each_operation_is_done_here_or_has_a_reason(self) -> None:
        self.assertGreater(len(_rows()), 40)
        for row in _rows():
            is_here = bool(row.command or row.call)
            self.assertEqual(is_here, bool(row.test), row.what)
            self.assertTrue(is_here or row.why, row.what)

    def test_each_command_takes_what_is_named(self) -> None:
        app = main.App()
        for row in _rows():
            name, _, option = row.command.partition(" --")
            if not name:
                continue
            self.assertIn(name, main.COMMANDS, row.what)
            command = app.command_manager.find_command(name.split())[0]
            taken = command(app, None).get_parser(name).format_help()
            self.assertIn(f"--{option}", taken, row.what)

    def test_each_call_is_there(self) -> None:
        for row in _rows():
            if row.call:
                pkgutil.resolve_name(f"nova_vfio_variant.{row.call}")

    def test_each_test_is_there(self) -> None:
        loader = unittest.TestLoader()
        for row in _rows():
            if row.test:
                found = loader.loadTestsFromName(f"tests.{row.test}")
                self.assertEqual(1, found.countTestCases(), row.what)
        self.assertEqual([], loader.errors)
