# SPDX-License-Identifier: Apache-2.0
"""What systemd-analyze says of nova-vfio-host.service, and what we say to it."""

import json
import pathlib
import re
import shutil
import subprocess
import typing as ty

import fixtures

from tests import base

_FOLDER = pathlib.Path(__file__).parents[2] / "etc/systemd"
_UNIT = "nova-vfio-host.service"
_OVERALL = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")


class ExposureTest(base.TestCase):
    """Rated from its file: systemd needs not run here."""

    def setUp(self) -> None:
        super().setUp()
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze isn't installed here")
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.unit = folder / _UNIT
        shutil.copy(_FOLDER / _UNIT, self.unit)

    def analyzed(self, *options: str) -> str:
        """What it says of the unit, and of the drop-ins beside it."""
        done = subprocess.run(
            [
                *("systemd-analyze", "security", "--offline=true"),
                *("--no-pager", *options, str(self.unit)),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def exposure(self) -> float:
        """Its overall level: 0 is bounded, 10 is open."""
        found = _OVERALL.search(self.analyzed())
        assert found is not None
        return float(found[1])

    def test_as_shipped(self) -> None:
        self.assertLessEqual(self.exposure(), 3.6)

    def test_without_a_network(self) -> None:
        drop_ins = f"{_UNIT}.d"
        shutil.copytree(_FOLDER / drop_ins, self.unit.parent / drop_ins)
        self.assertLessEqual(self.exposure(), 3.0)

    def test_what_stays_open_is_said_to_be_needed(self) -> None:
        comments = " ".join(
            line.lstrip("# ")
            for line in self.unit.read_text().splitlines()
            if line.startswith("#")
        )
        rows: list[dict[str, ty.Any]] = json.loads(
            self.analyzed("--json=short")
        )
        for row in rows:
            if row["set"] is not False:
                continue
            # User=/DynamicUser=, RestrictAddressFamilies=~AF_(INET|INET6)
            option, _, values = row["name"].partition("=")
            named = [f"{option}="]
            if values.startswith("~"):
                prefix, _, names = values[1:].rstrip(")").rpartition("(")
                named = [prefix + name.strip("*") for name in names.split("|")]
            self.assertTrue(
                any(name in comments for name in named), row["name"]
            )
