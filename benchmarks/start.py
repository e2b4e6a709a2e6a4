# SPDX-License-Identifier: Apache-2.0
"""How long ``nova-vfio --version`` takes, beside ``openstack --version``.

Both programs stand beside the interpreter that runs this.
"""

import collections.abc
import functools
import pathlib
import subprocess
import sys

from benchmarks import table

_REPEAT = 15


def rows() -> collections.abc.Iterator[table.Row]:
    ours, theirs = table.medians(
        functools.partial(_version, "nova-vfio"),
        functools.partial(_version, "openstack"),
        repeat=_REPEAT,
    )
    yield table.Row(
        "nova-vfio --version",
        1,
        ours,
        "openstack --version",
        theirs,
        times_faster=3,
    )


def _version(program: str) -> None:
    subprocess.run(
        [pathlib.Path(sys.executable).with_name(program), "--version"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
