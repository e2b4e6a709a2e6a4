# SPDX-License-Identifier: Apache-2.0
"""What stands in a host, a file or an argument commands no terminal."""

import contextlib
import csv
import io
import logging
import pathlib
import shlex
import subprocess

import yaml  # type: ignore[import-untyped] # stubs are no need of ours

from nova_vfio_variant.cli import main, status
from tests.functional import check_host, cli_case

_VF = "0000:25:00.4"
#: It clears the screen, forges a line, turns the text and ends the string.
_ODD = "\x1b[2J\x9b\u202e\u2028\x7f"
_SAID = r"\x1b[2J\x9b\u202e\u2028\x7f"
_DRIVER = f"{_ODD}\nerror: forged"


class ShownTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.name = f"Card {_ODD}"
        self.build(self.name)

    def build(self, name: str, driver: str = _DRIVER) -> None:
        """A host whose VF has this name and this driver."""
        card = check_host.card(vfs=1, driver=driver)
        check_host.build(
            pathlib.Path("host"),
            card,
            {
                "usr/share/misc/pci.ids": (
                    f"8086  Intel Corporation\n\t10ca  {name}\n"
                )
            },
        )
        self.configure()

    def assert_harmless(self, text: str) -> None:
        odd = {sign for sign in text if not sign.isprintable()}
        self.assertLessEqual(odd, {"\n"}, text)

    def test_no_format_prints_control_characters(self) -> None:
        for words, formats in (
            (("host", "list"), ("table", "value", "csv", "json", "yaml")),
            (
                ("host", "show", _VF),
                ("table", "value", "shell", "json", "yaml"),
            ),
        ):
            for form in formats:
                done = self.ok(*words, "-f", form)
                self.assert_harmless(done.out.replace("\r\n", "\n"))
                self.assert_harmless(done.err)
                if form in {"table", "value"}:
                    self.assertIn(f"Card {_SAID}", done.out)
                    self.assertIn(rf"{_SAID}\nerror: forged", done.out)

    def test_json_and_yaml_keep_the_data(self) -> None:
        for words in (("host", "list"), ("host", "show", _VF)):
            for form in ("json", "yaml"):
                # JSON as cliff writes it is YAML.
                found = yaml.safe_load(self.ok(*words, "-f", form).out)
                row = found[-1] if isinstance(found, list) else found
                self.assertIn(self.name, row.values())
                self.assertEqual(_DRIVER, row["driver"])

    def test_a_shell_gets_the_text_and_runs_none_of_it(self) -> None:
        sign = '$(touch ran) `touch ran` "; touch ran; \\" \\'
        self.configure()
        pathlib.Path("host/usr/share/misc/pci.ids").write_text(
            f"8086  Intel Corporation\n\t10ca  {sign}\n"
        )
        out = self.ok("host", "show", _VF, "-f", "shell").out
        for shell in ("sh", "bash"):
            read = subprocess.run(
                [shell, "-c", f'eval {shlex.quote(out)}; printf %s "$name"'],
                text=True,
                capture_output=True,
                check=True,
            )
            self.assertEqual(("", sign), (read.stderr, read.stdout))
        self.assertFalse(pathlib.Path("ran").exists())

    def test_errors_and_what_is_said_beside_are_lines(self) -> None:
        for words in (
            ("--host-root", _DRIVER, "host", "list"),
            ("--config-file", _DRIVER, "config", "check"),
            ("host", "show", _DRIVER),
            ("host", "list", "--class", _DRIVER),
            ("host", "list", f"--{_DRIVER}"),
            ("host", "list", "-c", _DRIVER),
            (_DRIVER,),
            (f"--{_DRIVER}",),
            ("host", "snapshot", f"{_DRIVER}/none"),
            ("--log-file", f"none/{_DRIVER}", "host", "list"),
            ("--debug", "--host-root", _DRIVER, "host", "list"),
        ):
            err = io.StringIO()
            with (
                contextlib.redirect_stdout(io.StringIO()) as out,
                contextlib.redirect_stderr(err),
            ):
                try:
                    ended = main.main([*self.options, *words])
                except SystemExit as end:
                    ended = int(end.code or 0)
            said = err.getvalue()
            self.assertEqual(2, ended, f"{words}: {said}")
            self.assert_harmless(said + out.getvalue())
            self.assertNotIn("\nerror: forged", said)

    def test_files_that_are_written_are_named_harmlessly(self) -> None:
        self.configure('device_spec = { "address": "0000:25:00.4" }')
        self.ok("device", "sync", status=0)
        out = self.run_cli(
            "guest", "xml", "--address", _VF, "--output-dir", _DRIVER[:-14]
        ).out
        self.assertIn(_SAID, out)
        out += self.ok("host", "snapshot", f"{_ODD}.tar.gz").out
        out += self.ok("config", "suggest").out
        self.assert_harmless(out)

    def test_what_is_logged_is_a_line(self) -> None:
        path = self.folder / "our.log"
        with contextlib.redirect_stderr(io.StringIO()) as err:
            main.set_up_logging("nova-vfio", log_file=str(path))
            logger = logging.getLogger("nova_vfio_variant.sample")
            logger.warning("%s: 100%%", _DRIVER)
            try:
                raise ValueError(_DRIVER)
            except ValueError:
                logger.exception("with its place")
        for text in (err.getvalue(), path.read_text()):
            self.assert_harmless(text)
            self.assertIn(rf"{_SAID}\nerror: forged: 100%", text)
            self.assertIn("Traceback", text)

    def test_upgrade_check_too(self) -> None:
        for words in ((), ("--json",)):
            with (
                contextlib.redirect_stdout(io.StringIO()) as out,
                contextlib.redirect_stderr(io.StringIO()) as err,
            ):
                status.main(
                    [
                        f"--config-file={_ODD}",
                        f"--host-root={_DRIVER}",
                        "--state-path=state",
                        "upgrade",
                        "check",
                        *words,
                    ]
                )
            self.assertIn("Placement" if not words else "{", out.getvalue())
            self.assert_harmless(out.getvalue() + err.getvalue())

    def test_a_shell_gets_no_prefix_that_it_runs(self) -> None:
        for prefix in ("$(touch ran);", "a b", "\x1b[2J", "a-b", "1"):
            done = self.ok(
                *("host", "show", _VF, "-f", "shell"),
                f"--prefix={prefix}",
                status=2,
            )
            self.assertEqual("", done.out)
            self.assertIn("is no beginning of a variable", done.err)
            self.assert_harmless(done.err)
        out = self.ok("host", "show", _VF, "-f", "shell", "--prefix=a_1").out
        self.assertIn(f'a_1address="{_VF}"\n', out)

    def test_a_spreadsheet_runs_no_cell(self) -> None:
        for text, cell in (
            ("=1+1", "'=1+1"),
            ("+1 more", "'+1 more"),
            ("-x", "'-x"),
            ("@SUM(1)", "'@SUM(1)"),
            ("--1", "'--1"),
            ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
            # What is only a number is no formula.
            ("-1", "-1"),
            ("+1.5", "+1.5"),
            ("A=1", "A=1"),
        ):
            pathlib.Path("host/usr/share/misc/pci.ids").write_text(
                f"8086  Intel Corporation\n\t10ca  {text}\n"
            )
            out = self.ok("host", "list", "-f", "csv").out
            rows = csv.DictReader(io.StringIO(out), escapechar="\\")
            self.assertEqual(cell, [*rows][-1]["name"])

    def test_only_a_spreadsheet_needs_the_apostrophe(self) -> None:
        pathlib.Path("host/usr/share/misc/pci.ids").write_text(
            "8086  Intel Corporation\n\t10ca  =1\n"
        )
        for form in ("table", "value", "json"):
            out = self.ok("host", "list", "-c", "name", "-f", form).out
            self.assertIn("=1", out)
            self.assertNotIn("'", out)
