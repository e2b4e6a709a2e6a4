# SPDX-License-Identifier: Apache-2.0
"""The processes of a fake host: what ``/proc`` shows of them."""

from __future__ import annotations

import os
import pathlib
import shutil
import typing as ty

from nova_vfio_variant.testing.fake_kernel import files as fake_files

#: The first id that is given out; those below are there from the start.
_FIRST = 100


def start(
    root: pathlib.Path,
    command: str,
    paths: ty.Iterable[str],
    words: ty.Iterable[str] = (),
) -> int:
    """Start a process that has files open.

    :param paths: of the files, as ``/proc/PID/fd`` has them
    :param words: its command line, if it has one
    :returns: its id
    """
    folder = root / "proc"
    taken = [int(name) for name in os.listdir(folder) if name.isdigit()]
    pid = _FIRST + fake_files.lowest_free(
        str(pid - _FIRST) for pid in taken if pid >= _FIRST
    )
    place = folder / str(pid)
    (place / "fd").mkdir(parents=True)
    (place / "mountinfo").write_text("")
    (place / "comm").write_text(f"{command}\n")
    (place / "cmdline").write_text("".join(f"{word}\0" for word in words))
    for number, path in enumerate(paths, start=3):
        (place / "fd" / str(number)).symlink_to(path)
    return pid


def end(root: pathlib.Path, pid: int) -> None:
    """End one."""
    shutil.rmtree(root / "proc" / str(pid))
