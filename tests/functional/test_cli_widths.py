# SPDX-License-Identifier: Apache-2.0
"""What stands in a table or a finding fits a terminal."""

import csv
import os
import pathlib
import subprocess
import sys

import fixtures

from tests.functional import check_host, cli_case

PF = "0000:25:00.0"
VF = "0000:25:00.4"
LONG = "x" * 30
TABLES = (
    "host list",
    f"host show {VF}",
    "config check -f table",
    f"config explain {VF}",
    "device list",
    f"device show {VF}",
    "claim list",
    "inventory show",
    "inventory diff",
    "inventory report --dry-run",
    f"explain {VF}",
)
#: Columns that a table leaves out without --long.
LEFT_OUT = {
    "host list": ("vendor_id", "iommu_group"),
    "device list": ("extra_info", "traits"),
    "inventory show": ("traits", "parent"),
    f"config explain {VF}": ("spec",),
}


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


class WidthsTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("CLIFF_FIT_WIDTH", "CLIFF_MAX_TERM_WIDTH", "COLUMNS"):
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.host(*check_host.card(vfs=3))
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
            f' "managed": "no", "traits": "CUSTOM_{LONG}, CUSTOM_FAST" }}',
            'device_spec = { "address": "0000:25:00.5", "managed": "yes" }',
            f'alias = {{ "name": "vf_{LONG}", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        pathlib.Path("nova.conf").write_text(
            pathlib.Path("nova.conf").read_text().replace("compute-1", LONG)
        )
        self.ok(
            *("claim", "create", "--instance", cli_case.ONE),
            *("--alias", f"vf_{LONG}:1"),
        )

    def test_tables_fit_120_columns(self) -> None:
        for words in TABLES:
            out = self.run_cli(*words.split()).out
            self.assertLessEqual(widest(out or "-"), 120, f"{words}\n{out}")

    def test_they_fit_what_one_says(self) -> None:
        for words in TABLES:
            for more in (("--max-width", "100"), ("--fit-width",)):
                self.useFixture(fixtures.EnvironmentVariable("COLUMNS", "100"))
                out = self.run_cli(*words.split(), *more).out
                self.assertLessEqual(
                    widest(out or "-"), 100, f"{words}\n{out}"
                )

    def test_fit_width_is_80_where_there_is_no_terminal(self) -> None:
        for words in ("host list", "inventory show", f"host show {VF}"):
            out = self.ok(*words.split(), "--fit-width").out
            self.assertLessEqual(widest(out), 80, out)

    def test_the_variable_means_the_same_as_the_option(self) -> None:
        words = f"host show {VF}".split()
        wanted = self.ok(*words, "--fit-width").out
        for name, value in (
            ("CLIFF_FIT_WIDTH", "1"),
            ("CLIFF_MAX_TERM_WIDTH", "80"),
        ):
            with fixtures.EnvironmentVariable(name, value):
                self.assertEqual(wanted, self.ok(*words).out)
            with fixtures.EnvironmentVariable(name, "wide"):
                self.assertIn(
                    f"error: {name}: 'wide' is no number",
                    self.fails(*words),
                )

    def test_long_shows_what_a_table_leaves_out(self) -> None:
        for words, names in LEFT_OUT.items():
            brief = self.ok(*words.split()).out.splitlines()[1]
            whole = self.ok(*words.split(), "--long").out.splitlines()[1]
            with_json = self.json(*words.split())[0]
            for name in names:
                self.assertNotIn(f" {name} ", brief)
                self.assertIn(f" {name} ", whole)
                self.assertIn(name, with_json)
            read = self.ok(*words.split(), "-f", "csv").out.splitlines()
            self.assertEqual([*with_json], next(csv.reader(read)))

    def test_a_column_that_is_named_is_shown_and_sorted_by_any(self) -> None:
        out = self.ok("host", "list", "-c", "iommu_group", "-f", "value").out
        self.assertEqual(len(self.json("host", "list")), len(out.splitlines()))
        out = self.ok(
            *("host", "list", "-c", "address", "-f", "value"),
            *("--sort-column", "iommu_group", "--sort-descending"),
        ).out
        groups = [
            (one["iommu_group"], one["address"])
            for one in self.json("host", "list")
        ]
        self.assertEqual(
            [at for _, at in sorted(groups, key=lambda one: -one[0])],
            out.split(),
        )

    def test_an_empty_table_is_printed_if_one_asks(self) -> None:
        words = ("host", "list", "--class", "gpu")
        self.assertEqual("", self.ok(*words).out)
        self.assertIn("| address |", self.ok(*words, "--print-empty").out)

    def test_findings_wrap_on_a_terminal_and_stay_lines_in_a_pipe(
        self,
    ) -> None:
        piped = self.run_cli("config", "check").out
        for more in (("--fit-width",), ("--max-width=80",)):
            out = self.run_cli("config", "check", *more).out
            self.assertLessEqual(widest(out), 80, out)
            self.assertNotEqual(piped, out)
            said = " ".join(out.split())
            for found in self.json("config", "check", status=1):
                self.assertIn(found["message"], said)
                self.assertIn(" ".join(found["hint"].split()), said)
        self.assertGreater(widest(piped), 80)

    def in_a_terminal(self, columns: int, *words: str) -> str:
        """What a command prints to a terminal of so many columns."""
        command = [cli_case.PROGRAM, *self.options, "-q", *words]
        ran = subprocess.run(
            [
                *(sys.executable, "-c", _IN_A_TERMINAL),
                *(str(columns), *map(str, command)),
            ],
            text=True,
            capture_output=True,
            timeout=60,
            check=True,
            env={**os.environ},
        )
        return ran.stdout

    def test_a_terminal_s_own_width_counts(self) -> None:
        out = self.in_a_terminal(70, "host", "show", VF)
        self.assertEqual(70, widest(out), out)

    def test_what_fits_no_terminal_keeps_its_words_whole(self) -> None:
        out = self.in_a_terminal(80, "host", "list", "--long")
        self.assertGreater(widest(out), 80)
        self.assertIn(f"| {VF} |", out)


_IN_A_TERMINAL = """
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    size = struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0)
    fcntl.ioctl(0, termios.TIOCSWINSZ, size)
    os.execv(sys.argv[2], sys.argv[2:])
while True:
    try:
        told = os.read(terminal, 65536)
    except OSError:
        break
    if not told:
        break
    sys.stdout.write(told.decode().replace("\\r", ""))
os.waitpid(pid, 0)
"""
