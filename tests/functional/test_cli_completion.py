# SPDX-License-Identifier: Apache-2.0
"""Completion, as a zsh on a terminal does it."""

import os
import pathlib
import pty
import select
import subprocess
import time

import fixtures

from tests import base
from tests.functional import cli_case

_TYPED = {
    "inv\t\n": "inventory",
    "inventory sh\t\n": "inventory show",
    "host sn\t\n": "host snapshot",
    "--config-file a.conf -q claim del\t\n": (
        "--config-file a.conf -q claim delete"
    ),
    "config check --off\t\n": "config check --offline",
    "explain --sort-d\t\n": "explain --sort-descending",
    "host snapshot one-f\t\n": "host snapshot one-file.tar.gz",
}


class ZshTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (self.folder / "one-file.tar.gz").touch()
        done = cli_case.program("complete", "--shell", "zsh")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        (self.folder / "_nova-vfio").write_text(done.stdout)

    def typed(self, set_up: str) -> dict[str, str]:
        """What becomes of each line that is typed."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            words = ["zsh", "-f", "-i"]
            os.execvpe("zsh", words, {**os.environ, "TERM": "dumb"})
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.close, terminal)
        os.write(
            terminal,
            (
                f'{set_up}\nnova-vfio() {{ print -r -- "<<$*>>" }}\n'
                "print -r -- '<<'ready'>>'\n"
            ).encode(),
        )
        self.answer(terminal, "<<ready>>")
        found = {}
        for line in _TYPED:
            os.write(terminal, f"nova-vfio {line}".encode())
            found[line] = self.answer(terminal, ">>")
        os.write(terminal, b"exit\n")
        return found

    def answer(self, terminal: int, end: str) -> str:
        """What it prints between the marks."""
        told = ""
        until = time.monotonic() + 60
        while end not in told.replace('"<<$*>>"', ""):
            left = max(until - time.monotonic(), 0)
            ready, _, _ = select.select([terminal], [], [], left)
            self.assertTrue(ready, told)
            told += os.read(terminal, 4096).decode()
        return told.rpartition("<<")[2].partition(">>")[0].strip()

    def test_commands_options_and_files_are_completed(self) -> None:
        script = "source ./_nova-vfio"
        found = self.typed(f"autoload -U compinit; compinit -u -D; {script}")
        self.assertEqual(_TYPED, found)

    def test_the_script_may_stand_in_a_folder_of_functions(self) -> None:
        found = self.typed(
            "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D"
        )
        self.assertEqual(_TYPED, found)

    def test_it_is_a_script_that_zsh_reads(self) -> None:
        read = subprocess.run(
            ["zsh", "-n", str(self.folder / "_nova-vfio")],
            text=True,
            capture_output=True,
            check=True,
        )
        self.assertEqual("", read.stderr)
