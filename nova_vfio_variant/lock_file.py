# SPDX-License-Identifier: Apache-2.0
"""What files that are locked have in common, whatever they lock.

What oslo.concurrency has for that opens a file by its name, and follows a
link there; here a descriptor is locked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
import time
import typing as ty

from nova_vfio_variant import own_files

_LOG = logging.getLogger(__name__)

_PAUSE = 0.05


class Held(Exception):
    """Another process has it; the message says which."""


def take(
    folder: own_files.Folder,
    name: str,
    lock: ty.Callable[[int], object],
    deadline: float,
) -> int:
    """A descriptor of a file that is locked.

    :param folder: where it is, or made if need be
    :param lock: asks the kernel for it, without waiting
    :param deadline: when not to wait any longer, as :func:`time.monotonic`
        tells it
    :raises Held: another process still had it then
    :raises OSError: it can't be locked
    """
    waits = False
    while True:
        fd = folder.open_or_make(name)
        try:
            while True:
                try:
                    lock(fd)
                except (BlockingIOError, PermissionError) as error:
                    if time.monotonic() >= deadline:
                        raise Held(told(os.pread(fd, 4096, 0))) from error
                else:
                    break
                if not waits:
                    _LOG.info("waiting for the lock %s", folder.path / name)
                waits = True
                time.sleep(_PAUSE)
            if _is_still_there(fd, folder.find(name)):
                return fd
        except BaseException:
            os.close(fd)
            raise
        # One that somebody removed locks nobody else out.
        os.close(fd)


def _is_still_there(fd: int, found: os.stat_result | None) -> bool:
    """Whether what is locked is what others find by its name.

    Somebody may have removed the file while we waited: those who come after
    us make another one then, and would not wait for us.
    """
    return found is not None and os.path.samestat(os.fstat(fd), found)


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
