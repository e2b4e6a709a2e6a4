# SPDX-License-Identifier: Apache-2.0
"""A node that lives long, as a manager of virtual machines has one."""

import pathlib
import subprocess
import sys

from tests import base

_PAGE = pathlib.Path(__file__).parents[2] / "doc/source/user/managers.rst"


class NodeTest(base.TestCase):
    def test_it_does_what_its_page_says(self) -> None:
        """In a process of its own, as the page runs an embedded Placement."""
        done = subprocess.run(
            [sys.executable, "-m", "doctest", "-v", str(_PAGE)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout)
        self.assertRegex(done.stdout, r"\n3\d passed")
