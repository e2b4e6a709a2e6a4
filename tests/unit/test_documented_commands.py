# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells to type, and to copy, is there."""

import collections
import configparser
import contextlib
import io
import re

from nova_vfio_variant.cli import main, status
from tests import base, pages

_INLINE = re.compile(r"``nova-vfio(-status)?\s+([^`]+)``")
_BLOCK = re.compile(
    r"^ +(?:\$ |.*-a \")?(?:\S*/)?nova-vfio(-status)? (.+?)(?= *[|#&>\"\\\n])",
    re.MULTILINE,
)
_TABLE = "doc/source/user/with-and-without-nova.rst"
_LITERAL = re.compile(r"``([a-z]+(?: [a-z-]+)?)(?: --[^`]+)?``")
_PIP = re.compile(r"^ +(?:[A-Z_]+=\S+ )?(\S*/)?pip (install .*)$")
_SHARED = re.compile(r"share/nova-vfio/(\S+\.(?:service|conf))")


class DocumentedCommandsTest(base.TestCase):
    def mistake_of_status(self, typed: str) -> str | None:
        """What is wrong with what stands behind ``nova-vfio-status``."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                status.parser().parse_args(typed.split())
        except SystemExit:
            return said.getvalue()
        return None

    def mistake(self, typed: str) -> str | None:
        """What is wrong with what stands behind ``nova-vfio``."""
        if typed == "--version":
            return None
        app = main.App()
        _, words = app.parser.parse_known_args(typed.split())
        if not words or words[0] == "COMMAND":
            return None
        try:
            command, name, rest = app.command_manager.find_command(words)
        except ValueError:
            return f"there is no command {' '.join(words)!r}"
        known = command(app, None).get_parser(name)._option_string_actions
        for word in rest:
            if word.startswith("-") and word.partition("=")[0] not in known:
                return f"{name} has no option {word}"
        return None

    def test_each_command_and_option_exists(self) -> None:
        wrong, seen = [], collections.Counter[str]()
        for path in pages.paths():
            text = f"{path.read_text()}\n"
            for which, typed in (
                *_INLINE.findall(text),
                *_BLOCK.findall(text),
            ):
                seen[which] += 1
                look = self.mistake_of_status if which else self.mistake
                mistake = look(" ".join(typed.split()))
                if mistake is not None:
                    wrong.append(f"{pages.name(path)}: {mistake}")
        self.assertEqual([], wrong)
        self.assertGreater(seen[""], 50)
        self.assertGreater(seen["-status"], 2)

    def test_the_table_of_commands_has_each_and_no_other(self) -> None:
        text = (pages.CHECKOUT / _TABLE).read_text()
        rows = text.partition("list-table::")[2].partition("\n\nBeside")[0]
        named = _LITERAL.findall(rows)
        self.assertEqual(set(main.COMMANDS), set(named))

    def test_a_page_about_a_task_names_each_command(self) -> None:
        """Beside the table and the reference, which have all of them."""
        told = "\n".join(
            " ".join(path.read_text().split())
            for path in pages.paths()
            if path.parent.name in {"user", "admin"}
            and pages.name(path) != _TABLE
        )
        for name in main.COMMANDS:
            self.assertRegex(told, rf"[ `]{name}\b", name)

    def test_each_file_that_is_copied_is_shipped(self) -> None:
        read = configparser.ConfigParser()
        read.read(pages.CHECKOUT / "setup.cfg")
        shipped = {
            into.removeprefix("share/nova-vfio/"): source.removesuffix("/*")
            for into, _, source in (
                line.partition(" = ")
                for line in read["files"]["data_files"].split("\n")
                if line
            )
        }
        named = {
            file
            for path in pages.paths()
            for file in _SHARED.findall(path.read_text())
        }
        self.assertGreater(len(named), 1)
        for path in named:
            folder, _, rest = path.partition("/")
            self.assertTrue(
                (pages.CHECKOUT / shipped[folder] / rest).is_file(), path
            )

    def test_pip_and_the_files_that_it_is_given_are_there(self) -> None:
        """No pip of the system's, and nothing that a clone lacks."""
        seen = 0
        for path in pages.paths():
            for line in path.read_text().splitlines():
                found = _PIP.match(line)
                if found is None:
                    continue
                seen += 1
                folder, words = found.groups()
                where = f"{pages.name(path)}: {line.strip()}"
                self.assertTrue(folder, where)
                for file in re.findall(r"-[cr] (\S+)", words):
                    self.assertTrue((pages.CHECKOUT / file).is_file(), where)
        self.assertGreater(seen, 3)

    def test_what_is_copied_is_copied_from_where_it_was_installed(
        self,
    ) -> None:
        for path in pages.paths():
            self.assertEqual(
                [],
                re.findall(
                    r"^ +cp (?:-\S+ )*(?!/)\S+", path.read_text(), re.MULTILINE
                ),
                pages.name(path),
            )
