# SPDX-License-Identifier: Apache-2.0
"""What is said of a stranger's things can be pasted by root."""

import os
import pathlib

from nova_vfio_variant import trust
from tests import base


class MendTest(base.TestCase):
    def test_nothing_of_the_system_is_to_be_removed(self) -> None:
        for path in ("/dev/null", "/dev/stdin", "/proc/1/exe", "/sys/x"):
            error = trust.a_stranger(pathlib.Path(path), "a device")
            self.assertEqual("name a file elsewhere", error.mend)
        error = trust.a_stranger(pathlib.Path("/var/lib/x"), "a FIFO or pipe")
        self.assertIn("rm /var/lib/x", error.mend)

    def test_what_all_write_in_stays_so(self) -> None:
        for path in map(pathlib.Path, ("/tmp", "/var/tmp")):
            error = self.assertRaises(
                trust.NotOurs,
                trust.expect_ours,
                path,
                os.stat_result((0o41777, *path.stat()[1:])),
                "the folder",
                None,
            )
            self.assertNotIn("chmod", error.mend)
