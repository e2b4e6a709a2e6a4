# SPDX-License-Identifier: Apache-2.0
"""What fails says so to programs, too: an object with ``-f json``."""

import argparse
import json
import pathlib
import shlex
import typing as ty

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.decide import mdev_codes
from tests.functional import cli_case, mdev_case

KEYS: ty.Final = ["error", "code", "hint", "findings"]


class EveryCommandTest(cli_case.CliTestCase):
    """Each command that has formats, on a host that isn't there.

    What looks at none fails for a column that isn't there.
    """

    def setUp(self) -> None:
        super().setUp()
        self.configure()
        pathlib.Path("cards.json").write_text("[")

    def commands(self) -> dict[str, list[str]]:
        """Those with formats: the words of their examples."""
        app = main.App()
        found = {}
        for name in main.COMMANDS:
            factory: ty.Any = app.command_manager.find_command(name.split())[0]
            command = factory(app, argparse.Namespace())
            options = command.get_parser(name)._option_string_actions
            if "--column" in options:
                words = shlex.split(factory.example)
                found[name] = [
                    word for word in words if word not in ("-f", "json")
                ]
        return found

    def test_it_is_one_object_behind_the_text(self) -> None:
        commands = self.commands()
        self.assertGreater(len(commands), 25)
        for words in commands.values():
            for form in ("json", "yaml", "table"):
                done = self.run_cli(*words, "-f", form, "-c", "none")
                self.assertEqual(2, done.status, str(done))
                self.assertEqual("", done.out, str(done))
                *lines, last = done.err.splitlines()
                if form != "json":
                    self.assertNotIn("{", last, str(done))
                    continue
                told = json.loads(last)
                self.assertEqual(KEYS, [*told], str(done))
                self.assertRegex(told["code"], "^(VFIO[0-9]{3}|[a-z_]+)$")
                self.assertIn(f"error: {told['error']}", lines)

    def test_so_it_is_where_there_are_no_columns(self) -> None:
        for tool in ("qemu", "cloud-hypervisor"):
            done = self.run_cli(
                *("guest", tool, "--address", "0000:99:00.0", "-f", "json")
            )
            self.assertEqual((2, ""), (done.status, done.out), str(done))
            told = json.loads(done.err.splitlines()[-1])
            self.assertEqual(KEYS, [*told], str(done))


class RefusedTest(mdev_case.MdevCase):
    def test_a_refusal_has_its_code_and_no_empty_list(self) -> None:
        full = mdev_codes.MDEV_FULL
        for _ in range(4):
            self.make()
        for more in ([], ["--dry-run"]):
            done = self.ok(
                *("mdev", "create", "nvidia-35", *more, "-f", "json"), status=2
            )
            self.assertEqual("", done.out, str(done))
            told = json.loads(done.err.splitlines()[-1])
            self.assertEqual(
                (full.id, full.mend), (told["code"], told["hint"])
            )
            (found,) = told["findings"]
            self.assertEqual(full.id, found["code"])
            self.assertIn("no room for another nvidia-35", found["message"])

    def test_what_is_planned_is_a_list_and_what_is_refused_an_object(
        self,
    ) -> None:
        self.configure(
            tail='[vfio]\nhost_spec = { "address": "0000:06:00.0",'
            ' "driver": "vfio-pci" }\n'
        )
        for words in (("host", "plan"), ("host", "apply")):
            done = self.ok(*words, "-f", "json", status=2)
            self.assertEqual("", done.out, str(done))
            told = json.loads(done.err.splitlines()[-1])
            self.assertRegex(told["code"], "VFIO[0-9]{3}")
