# SPDX-License-Identifier: Apache-2.0
"""The one lock that every writer holds, over store and Placement alike.

Twenty processes that write to an SQLite Placement without it get "database is
locked" as status 500; with it each waits some milliseconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pathlib
import threading
import time
import typing as ty

from nova_vfio_variant import exception, lock_file, own_files
from nova_vfio_variant.tracker import sqlite

_LOG = logging.getLogger(__name__)

NAME = "nova-vfio.lock"

#: Which thread of this process goes first. The kernel's lock is the process's,
#: and is lost when any descriptor of its file is closed: so there is one
#: descriptor at a time.
_threads: dict[pathlib.Path, threading.Lock] = {}
_guard = threading.Lock()
# A child has the memory of its parent, but not its lock.
os.register_at_fork(after_in_child=_threads.clear)


@contextlib.contextmanager
def state_lock(
    state_path: own_files.Given, timeout: float
) -> ty.Iterator[None]:
    """Hold the lock of a state path; nobody takes it twice.

    The kernel frees it when the process ends, however it ends.

    :param state_path: a folder; made if it isn't there
    :param timeout: how long to wait for another process, in seconds
    :raises LockTimeout: another holds it; the message says who
    :raises StoreError: the folder can't be made or written, or may be a
        stranger's
    """
    place = own_files.place(state_path)
    path = place.path.absolute() / NAME
    deadline = time.monotonic() + timeout
    with _guard:
        mine = _threads.setdefault(path, threading.Lock())
    taken = mine.acquire(blocking=False)
    if not taken and timeout > 0:
        _LOG.info("waiting for the lock %s, which this process has", path)
        taken = mine.acquire(timeout=timeout)
    if not taken:
        # Not read from the file: to close it again would give up the lock.
        raise _timeout(path, timeout, "this process")
    try:
        with _process_lock(place, path, timeout, deadline):
            yield
    finally:
        mine.release()


@contextlib.contextmanager
def _process_lock(
    place: own_files.Place,
    path: pathlib.Path,
    timeout: float,
    deadline: float,
) -> ty.Iterator[None]:
    try:
        with own_files.opened(place, make=True) as folder:
            fd = lock_file.take(
                folder,
                NAME,
                lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
                deadline,
            )
    except lock_file.Held as error:
        raise _timeout(path, timeout, str(error)) from None
    except OSError as error:
        raise sqlite.unwritable(path.parent, error) from None
    try:
        lock_file.note(fd, lock_file.ourselves())
        yield
    finally:
        os.close(fd)


def _timeout(
    path: pathlib.Path, timeout: float, who: str
) -> exception.LockTimeout:
    return exception.LockTimeout(
        f"{who} still holds the lock {path} after {timeout:g} seconds",
        "wait for it to end, or see what it is waiting for",
    )
