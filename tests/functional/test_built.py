# SPDX-License-Identifier: Apache-2.0
"""What is built from a clone, from a source distribution and from an archive."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

from tests import base

ROOT = pathlib.Path(__file__).parents[2]
#: Files that say how to build: as they are here, committed or not.
HOW = ("setup.py", "setup.cfg", "pyproject.toml", "requirements.txt")


class BuiltTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.home = pathlib.Path(os.environ["HOME"])
        self.clone = self.home / "clone"
        self.git("clone", "-q", "--no-tags", str(ROOT), str(self.clone))
        for name in HOW:
            shutil.copy(ROOT / name, self.clone / name)

    def git(self, *words: str) -> None:
        """Run git, whoever owns the repository."""
        subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}/.git", *words], check=True
        )

    def build(
        self, what: str, where: pathlib.Path, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """As pip calls it, with the libraries that are installed here."""
        self.out = self.home / f"{where.name}-{what}"
        self.out.mkdir()
        program = f"import sys; from pbr import build as b; b.build_{what}(*sys.argv[1:])"
        return subprocess.run(
            [sys.executable, "-c", program, self.out],
            cwd=where,
            capture_output=True,
            check=False,
            text=True,
            env=os.environ | more,
        )

    def built(self, what: str, where: pathlib.Path) -> pathlib.Path:
        """What is built there."""
        done = self.build(what, where)
        self.assertEqual(0, done.returncode, done.stderr)
        (made,) = self.out.iterdir()
        return made

    def test_a_source_distribution_makes_the_wheel_of_its_clone(self) -> None:
        with tarfile.open(self.built("sdist", self.clone)) as archive:
            archive.extractall(self.home / "unpacked", filter="data")
        (unpacked,) = (self.home / "unpacked").iterdir()
        of_archive = self.built("wheel", unpacked)
        self.git("-C", str(self.clone), "clean", "-qxfd")
        of_clone = self.built("wheel", self.clone)
        self.assertIn("-1.0.0.dev", of_clone.name)
        self.assertEqual(of_clone.name, of_archive.name)
        self.assertEqual(contents(of_clone), contents(of_archive))

    def test_what_is_no_clone_says_what_to_do(self) -> None:
        shutil.rmtree(self.clone / ".git")
        done = self.build("sdist", self.clone)
        error, hint = done.stderr.splitlines()[-2:]
        self.assertEqual(1, done.returncode)
        self.assertEqual(
            "error: the version is not known: this is neither a clone nor a"
            " source distribution",
            error,
        )
        self.assertIn("PBR_VERSION=1.0.0 pip install .", hint)
        shutil.rmtree(self.out)
        done = self.build("sdist", self.clone, PBR_VERSION="1.0.0")
        self.assertEqual(0, done.returncode, done.stderr)


def contents(wheel: pathlib.Path) -> dict[str, bytes]:
    """What is in a wheel, by name."""
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
