# SPDX-License-Identifier: Apache-2.0
"""What is logged: each thing that is done, and what was seen if one asks."""

import io
import json
import logging
import pathlib
import re

import fixtures

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.act import lock
from tests import base, sample_hosts
from tests.functional import cli_case

PF = "0000:21:00.0"
FOUR = f'host_spec = {{"address": "{PF}", "num_vfs": 4}}\n'
#: oslo.log's form: time, process, level, logger, request id, message.
_LINE = re.compile(
    r"\d{4}-\d\d-\d\d [\d:.]+ \d+ (?P<level>[A-Z]+)"
    r" (?P<logger>[\w.]+) \[[^]]*\] (?P<message>.*)"
)
_OURS = "nova_vfio_variant."


def lines(text: str) -> list[tuple[str, str]]:
    """Level and message of each line that we logged."""
    found = map(_LINE.match, text.splitlines())
    return [
        (one["level"], re.sub(r" \S+/functional/.*", "", one["message"]))
        for one in found
        if one is not None and one["logger"].startswith(_OURS)
    ]


class LoggingTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(cli_case.RestoredLogging())
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = sample_hosts.with_igb(self.folder / "host")
        (self.folder / "nova.conf").write_text(f"[vfio]\n{FOUR}")
        plugged = self.host.plugged_in()
        plugged.__enter__()
        self.addCleanup(plugged.__exit__, None, None, None)

    def run_command(self, *words: str) -> tuple[int, str, str]:
        """Run it in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            fixtures.MonkeyPatch("sys.stdout", out),
            fixtures.MonkeyPatch("sys.stderr", err),
        ):
            try:
                status = main.main(
                    [
                        f"--config-file={self.folder}/nova.conf",
                        f"--host-root={self.host.root}",
                        f"--state-path={self.folder}/state",
                        *words,
                    ]
                )
            except SystemExit as ended:
                status = int(ended.code or 0)
        return status, out.getvalue(), err.getvalue()

    def test_nothing_is_logged_unless_one_asks(self) -> None:
        _, _, said = self.run_command("host", "apply")
        self.assertEqual([], lines(said))

    def test_each_step_is_a_line_and_nothing_is_in_the_json(self) -> None:
        status, out, said = self.run_command(
            "-v", "host", "apply", "-f", "json"
        )
        self.assertEqual(0, status, said)
        self.assertEqual([("INFO", f"{PF} set-numvfs 4: done")], lines(said))
        self.assertEqual(1, len(json.loads(out)))

    def test_what_was_seen_is_told_only_with_two(self) -> None:
        _, _, said = self.run_command("-v", "host", "plan")
        self.assertEqual([], lines(said))
        _, _, said = self.run_command("-vv", "host", "plan")
        told = [text for level, text in lines(said) if level == "DEBUG"]
        self.assertRegex("\n".join(told), r"(?m)^\d+ functions seen, 0 facts")

    def test_a_lock_that_is_waited_for_is_a_line(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.act.actor.LOCK_TIMEOUT", 0.2
            )
        )
        seen = self.host.root / f"sys/bus/pci/devices/{PF}/iommu_group"
        group = f"group-{seen.readlink().name}"
        with lock.hold(self.host.root, [group], 0):
            status, _, said = self.run_command("-v", "host", "apply")
        self.assertEqual(2, status)
        where = self.host.root / lock.FOLDER / group
        self.assertEqual(
            [("INFO", f"waiting for the lock {where}")], lines(said)
        )

    def test_a_log_file_has_what_standard_error_has(self) -> None:
        path = self.folder / "our.log"
        _, _, said = self.run_command(
            "-v", f"--log-file={path}", "host", "apply"
        )
        self.assertEqual(
            [("INFO", f"{PF} set-numvfs 4: done")], lines(path.read_text())
        )
        self.assertEqual(lines(path.read_text()), lines(said))

    def configured(self, text: str) -> pathlib.Path:
        """A configuration of logging, with this as its handler's."""
        path = self.folder / "logging.conf"
        path.write_text(
            "[loggers]\nkeys = root\n[handlers]\nkeys = one\n"
            "[formatters]\nkeys = plain\n"
            "[formatter_plain]\nformat = %(levelname)s|%(message)s\n"
            "[logger_root]\nlevel = INFO\nhandlers = one\n"
            f"[handler_one]\nformatter = plain\n{text}\n"
        )
        path.chmod(0o644)
        return path

    def test_a_file_of_logging_config_says_what_goes_where(self) -> None:
        log = self.folder / "theirs.log"
        path = self.configured(f"class = FileHandler\nargs = ({str(log)!r},)")
        ours = self.folder / "ours.log"
        status, out, said = self.run_command(
            *("-v", f"--log-config-append={path}", f"--log-file={ours}"),
            *("host", "apply", "-f", "json"),
        )
        self.assertEqual(0, status, said)
        self.assertEqual(1, len(json.loads(out)))
        self.assertEqual([], lines(said))
        self.assertIn(f"INFO|{PF} set-numvfs 4: done\n", log.read_text())
        self.assertIn(f"{PF} set-numvfs 4: done", ours.read_text())

    def test_what_it_logs_commands_no_terminal(self) -> None:
        log = self.folder / "theirs.log"
        path = self.configured(f"class = FileHandler\nargs = ({str(log)!r},)")
        main.set_up_logging("nova-vfio", log_config=str(path))
        logging.getLogger("any").warning("a\x1b[2Jb\nc")
        self.assertIn("WARNING|a\\x1b[2Jb\\nc\n", log.read_text())

    def test_a_configuration_of_logging_that_is_none_is_one_line(self) -> None:
        strange = self.configured("class = FileHandler\nargs = (1 / 0,)")
        stranger = self.folder / "stranger.conf"
        stranger.write_text(strange.read_text())
        stranger.chmod(0o666)
        for path, why in (
            (self.folder / "none.conf", "can't be read: No such file"),
            (self.folder / "nova.conf", "is no configuration of logging"),
            (strange, "ZeroDivisionError: division by zero"),
            (stranger, "may be written by others"),
        ):
            status, out, said = self.run_command(
                "--log-config-append", str(path), "host", "list"
            )
            self.assertEqual((2, ""), (status, out))
            self.assertTrue(said.startswith(f"error: {path}: "), said)
            self.assertIn(why, said)
            self.assertEqual(2, len(said.splitlines()), said)

    def test_a_log_that_fills_its_disk_is_said_once(self) -> None:
        path = self.configured("class = FileHandler\nargs = ('/dev/full',)")
        status, out, said = self.run_command(
            *("-v", f"--log-config-append={path}"),
            *("host", "apply", "-f", "json"),
        )
        self.assertEqual((0, 1), (status, len(json.loads(out))))
        self.assertEqual(1, said.count("No space left on device"), said)
        self.assertIn("warning: not all could be logged: ", said)
        self.assertNotIn("Traceback", said)

    def test_a_log_file_that_can_not_be_written_is_one_line(self) -> None:
        path = f"{self.folder}/there/is/none"
        self.assertEqual(
            (
                2,
                "",
                (
                    f"error: {path}: can't be written: No such"
                    " file or directory\n"
                    "hint: nova-vfio --help shows all options\n"
                ),
            ),
            self.run_command("--log-file", path, "host", "list"),
        )


class WritingTest(cli_case.CliTestCase):
    def test_each_request_that_writes_is_a_line(self) -> None:
        self.configure()
        self.options.append("-v")
        self.host()
        done = self.run_cli("inventory", "report")
        self.assertEqual(0, done.status, str(done))
        told = lines(done.err)
        self.assertIn(
            "Placement: PUT /resource_providers",
            "\n".join(text for _, text in told).replace("POST", "PUT"),
        )
        self.assertNotIn("GET", str(told))
