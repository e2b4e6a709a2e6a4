# SPDX-License-Identifier: Apache-2.0
"""What files that are locked have in common, whatever they lock."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import sys


def is_still_there(fd: int, path: pathlib.Path) -> bool:
    """Whether what is locked is what others find at its path.

    Somebody may have removed the file while we waited: those who come after
    us make another one then, and would not wait for us.

    :raises OSError: nobody can say
    """
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def ourselves() -> str:
    """What those who wait for us are told: process id and command."""
    return f"{os.getpid()} {shlex.join(sys.argv)}"


def note(fd: int, holder: str) -> None:
    """Write who holds a lock. It is ours without that, so nothing is raised.

    :param holder: as :func:`ourselves` gives it; those who wait read it
    """
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{holder}\n".encode(errors="replace"), 0)


def told(written: bytes) -> str:
    """Who holds a lock, as a sentence names it.

    :param written: what :func:`note` left in its file, if anything
    """
    pid, _, command = written.decode("utf-8", "replace").strip().partition(" ")
    return f"process {pid} ({command})" if pid else "another process"
