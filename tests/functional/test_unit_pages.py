# SPDX-License-Identifier: Apache-2.0
"""What the pages say of the unit, done word for word in a root of its own."""

import configparser
import pathlib
import re
import shutil
import subprocess
import textwrap

import fixtures

from tests import base, pages

_UNIT = "nova-vfio-host.service"
_INSTALL = "install/index"
_ABSOLUTE = re.compile(r"(?<![\w./])/(?=(?:etc|opt|run|usr)/)")
#: What of a page is done: programs of the host itself are not.
_DONE = ("cp", "ln", "mkdir", "systemctl enable")


def _commands(page: str) -> list[str]:
    """What the literal blocks of a page tell to run."""
    text = (pages.CHECKOUT / f"doc/source/{page}.rst").read_text()
    found: list[str] = []
    for block in re.findall(r"::\n\n((?: .*\n|\n(?= ))+)", text):
        found += textwrap.dedent(block).replace("\\\n", "").splitlines()
    return found


class UnitPagesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        # What pip makes.
        venv = self.root / "opt/nova-vfio"
        (venv / "bin").mkdir(parents=True)
        for name in ("nova-vfio", "nova-vfio-status"):
            (venv / "bin" / name).write_text("#!/bin/sh\n")
            (venv / "bin" / name).chmod(0o755)
        shutil.copytree(
            pages.CHECKOUT / "etc/systemd", venv / "share/nova-vfio/systemd"
        )
        for folder in ("etc/systemd/system", "usr/local/bin", "usr/bin"):
            (self.root / folder).mkdir(parents=True)

    def follow(self, page: str) -> None:
        """Do what a page says, below the root."""
        for typed in _commands(page):
            if not typed.startswith(_DONE):
                continue
            command = _ABSOLUTE.sub(f"{self.root}/", typed).replace(
                "systemctl", f"systemctl --root={self.root}"
            )
            done = subprocess.run(
                ["sh", "-c", command],
                check=False,
                capture_output=True,
                text=True,
            )
            self.assertEqual(0, done.returncode, f"{typed}: {done.stderr}")

    def setting(self, path: pathlib.Path, section: str, name: str) -> str:
        read = configparser.RawConfigParser(strict=False, delimiters=("=",))
        read.optionxform = str  # type: ignore[assignment] # as configparser documents it
        read.read(path)
        return read[section][name]

    def assert_it_starts(self) -> None:
        """The unit comes at boot, and systemd finds its program."""
        system = self.root / "etc/systemd/system"
        link = system / f"multi-user.target.wants/{_UNIT}"
        self.assertTrue(link.is_symlink())
        program = self.setting(system / _UNIT, "Service", "ExecStart").split()
        searched = subprocess.run(
            ["systemd-path", "search-binaries-default"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = [
            self.root / folder.strip("/\n") / program[0]
            for folder in searched.split(":")
        ]
        self.assertTrue(any(path.is_file() for path in found), searched)

    def test_the_page_about_units(self) -> None:
        self.follow(_INSTALL)
        self.follow("admin/units")
        self.assert_it_starts()

    def test_the_page_about_kolla(self) -> None:
        self.follow(_INSTALL)
        self.follow("admin/kolla")
        self.assert_it_starts()
        drop_in = self.root / (
            "etc/systemd/system/kolla-nova_compute-container.service.d"
            "/nova-vfio-host.conf"
        )
        self.assertEqual(_UNIT, self.setting(drop_in, "Unit", "Requires"))
