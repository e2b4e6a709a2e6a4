# SPDX-License-Identifier: Apache-2.0
"""The one lock that every writer holds, over store and Placement alike.

Twenty processes that write to an SQLite Placement without it get "database is
locked" as status 500; with it each waits some milliseconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import threading
import time
import typing as ty

from nova_vfio_variant import exception, lock_file
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
    state_path: str | pathlib.Path, timeout: float
) -> ty.Iterator[None]:
    """Hold the lock of a state path; nobody takes it twice.

    The kernel frees it when the process ends, however it ends.

    :param state_path: a folder; made if it isn't there
    :param timeout: how long to wait for another process, in seconds
    :raises LockTimeout: another holds it; the message says who
    :raises StoreError: the folder can't be made or written
    """
    path = pathlib.Path(state_path).absolute() / NAME
    deadline = time.monotonic() + timeout
    with _guard:
        mine = _threads.setdefault(path, threading.Lock())
    if not mine.acquire(timeout=max(timeout, 0)):
        # Not read from the file: to close it again would give up the lock.
        raise _timeout(path, timeout, "this process")
    try:
        with _process_lock(path, timeout, deadline):
            yield
    finally:
        mine.release()


@contextlib.contextmanager
def _process_lock(
    path: pathlib.Path, timeout: float, deadline: float
) -> ty.Iterator[None]:
    from oslo_concurrency import lockutils

    try:
        lock = lockutils.external_lock(NAME, lock_path=str(path.parent))
        taken = lock.acquire(blocking=False)
        if not taken:
            _LOG.info("waiting for the lock %s", path)
        taken = taken or _acquired(lock, deadline)
        while taken and not lock_file.is_still_there(
            lock.lockfile.fileno(), path
        ):
            # Somebody removed the file, so that others have another one.
            lock.release()
            taken = _acquired(lock, deadline)
    except OSError as error:
        raise sqlite.unwritable(path.parent, error) from None
    file = lock.lockfile
    if not taken:
        file.close()
        raise _timeout(path, timeout, _holder(path))
    try:
        lock_file.note(file.fileno(), lock_file.ourselves())
        yield
    finally:
        lock.release()


def _acquired(lock: ty.Any, deadline: float) -> bool:
    return bool(
        lock.acquire(
            timeout=max(deadline - time.monotonic(), 0), max_delay=0.05
        )
    )


def _holder(path: pathlib.Path) -> str:
    try:
        return lock_file.told(path.read_bytes())
    except OSError:
        return lock_file.told(b"")


def _timeout(
    path: pathlib.Path, timeout: float, who: str
) -> exception.LockTimeout:
    return exception.LockTimeout(
        f"{who} still holds the lock {path} after {timeout:g} seconds",
        "wait for it to end, or see what it is waiting for",
    )
