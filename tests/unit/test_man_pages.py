# SPDX-License-Identifier: Apache-2.0
"""The manual pages say what the programs take.

``tox -e docs`` makes them, and compares their whole text.
"""

import argparse
import configparser
import pathlib
import typing as ty

from nova_vfio_variant.cli import main, status
from tests import base

_CHECKOUT = pathlib.Path(__file__).parents[2]


def _page(program: str) -> str:
    """The text of a page, without the marks of its typesetter."""
    text = (_CHECKOUT / f"share/man/man1/{program}.1").read_text()
    return text.replace("\\-", "-").replace("\\(aq", "'").replace("\\", "")


def _options(parser: argparse.ArgumentParser) -> ty.Iterator[str]:
    for action in parser._actions:
        # cliff's directive leaves --help out.
        if (
            action.help != argparse.SUPPRESS
            and "--help" not in action.option_strings
        ):
            yield from (
                name for name in action.option_strings if name[:2] == "--"
            )


class ManPagesTest(base.TestCase):
    def test_each_program_has_a_page(self) -> None:
        read = configparser.ConfigParser()
        read.read(_CHECKOUT / "setup.cfg")
        programs = {
            line.partition(" = ")[0]
            for line in read["entry_points"]["console_scripts"].split("\n")
            if line
        }
        pages = {
            path.stem for path in (_CHECKOUT / "share/man/man1").iterdir()
        }
        self.assertEqual(programs, pages)

    def test_each_command_is_there_with_its_options(self) -> None:
        page = _page("nova-vfio")
        app = main.App()
        for option in _options(app.parser):
            self.assertTrue(option in page, option)
        for name in main.COMMANDS:
            command = app.command_manager.find_command(name.split())[0]
            parser = command(app, None).get_parser(name)
            at = page.find(f"\n.SS {name}\n")
            self.assertGreater(at, 0, name)
            section = page[at : page.find("\n.SS ", at + 1)]
            (first, *_) = (command.__doc__ or "").split("\n")
            self.assertIn(first, section)
            for option in _options(parser):
                self.assertTrue(option in section, f"{name} {option}")

    def test_the_options_of_the_other_program_are_there(self) -> None:
        page = _page("nova-vfio-status")
        for option in _options(status.parser()):
            self.assertTrue(option in page, option)
