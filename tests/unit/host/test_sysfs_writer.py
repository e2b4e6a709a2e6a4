# SPDX-License-Identifier: Apache-2.0
"""Reading back what was written, while the kernel is still at it."""

import typing as ty

from nova_vfio_variant.host.act import sysfs_writer
from tests import base

PF = "0000:21:00.0"


class _Changing:
    """A PF whose number of VFs, or their links, come later."""

    def __init__(self, *looks: tuple[str | None, int]) -> None:
        self._looks = list(looks)

    def read_text(self, path: str) -> str | None:
        del path
        return self._looks[0][0]

    def listdir(self, path: str) -> list[str]:
        del path
        _, links = self._looks.pop(0)
        return [f"virtfn{number}" for number in range(links)]


class NumvfsTest(base.TestCase):
    def read(self, count: int, *looks: tuple[str | None, int]) -> int | None:
        def never(*_args: object) -> None:
            raise AssertionError

        writer = sysfs_writer.SysfsWriter(
            ty.cast("ty.Any", _Changing(*looks)), never, never
        )
        return writer.numvfs(PF, count)

    def test_links_go_before_the_number_does(self) -> None:
        self.assertEqual(0, self.read(0, ("4", 2), ("4", 0), ("0", 0)))

    def test_or_come_before_it(self) -> None:
        self.assertEqual(4, self.read(4, ("0", 2), ("0", 4), ("4", 4)))

    def test_a_pf_that_is_gone_has_no_number(self) -> None:
        self.assertIsNone(self.read(4, ("0", 2), (None, 0)))
