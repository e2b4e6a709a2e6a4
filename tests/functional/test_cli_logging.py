# SPDX-License-Identifier: Apache-2.0
"""What is logged: each thing that is done, and what was seen if one asks."""

import io
import json
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

    def test_a_log_file_that_can_not_be_written_is_one_line(self) -> None:
        path = f"{self.folder}/there/is/none"
        self.assertEqual(
            (
                2,
                "",
                (
                    f"error: --log-file {path}: can't be written: No such"
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
