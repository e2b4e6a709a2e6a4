# SPDX-License-Identifier: Apache-2.0
"""A lock for each IOMMU group: one writer at a time.

Unlike the lock of the state path, these are handed on to helper processes
(flock(2): all copies of the descriptor have one lock). A group whose helper
is stuck in the kernel stays locked until the kernel lets go of it, also when
the command that started it was killed. A helper that another process starts
for the command, with privileges, can't be handed a descriptor; it takes a
second lock, ``NAME.busy``, which who holds the first one waits for.
"""

import contextlib
import fcntl
import os
import pathlib
import shlex
import sys
import time
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import function

FOLDER: ty.Final = "host-locks"
_PAUSE = 0.05
_BUSY = ".busy"


def key(found: function.PciFunction) -> str:
    """The name of a function's lock: its group's, or its own."""
    if found.iommu_group is None:
        return f"function-{found.address}"
    return f"group-{found.iommu_group}"


@contextlib.contextmanager
def hold(
    state_path: str | pathlib.Path, keys: ty.Iterable[str], timeout: float
) -> ty.Iterator[tuple[int, ...]]:
    """Hold some locks, taken in the order of their names.

    :param state_path: a folder; made if it isn't there
    :param keys: as :func:`key` gives them
    :param timeout: seconds to wait for others
    :returns: descriptors, for the helpers to keep open
    :raises LockTimeout: another process has one; the message says which
    :raises HostError: the folder can't be made or written
    """
    deadline = time.monotonic() + timeout
    folder = pathlib.Path(state_path) / FOLDER
    with contextlib.ExitStack() as stack:
        held = []
        for name in sorted(set(keys)):
            fd = _opened(folder, name)
            stack.callback(os.close, fd)
            _take(fd, folder / name, deadline, timeout)
            held.append(fd)
            # A helper of whoever had it before may still be at work.
            busy = _opened(folder, f"{name}{_BUSY}")
            try:
                _wait(busy, folder / name, deadline, timeout)
            finally:
                os.close(busy)
        yield tuple(held)


@contextlib.contextmanager
def adopt(paths: ty.Iterable[str], owner: int) -> ty.Iterator[tuple[int, ...]]:
    """Take the second locks, for a helper that works for another process.

    :param paths: files of the first locks
    :param owner: the process that holds them
    :returns: descriptors, for the helper to keep open
    :raises HostStepFailed: it holds them no longer
    :raises OSError: they can't be opened, or somebody is busy with them
    """
    with contextlib.ExitStack() as stack:
        held = []
        for path in sorted(paths):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            busy = os.open(f"{path}{_BUSY}", flags)
            stack.callback(os.close, busy)
            fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            first = os.open(path, flags)
            try:
                _check_owner(first, path, owner)
            finally:
                os.close(first)
            held.append(busy)
        yield tuple(held)


def _check_owner(fd: int, path: str, owner: int) -> None:
    """Whether a process holds a lock.

    :raises HostStepFailed: it doesn't
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        if os.pread(fd, 4096, 0).split(b" ")[0] == b"%d" % owner:
            return
    raise exception.HostStepFailed(
        f"process {owner} no longer holds the lock {path}"
    )


def _opened(folder: pathlib.Path, name: str) -> int:
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        return os.open(
            folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise exception.HostError(
            f"the locks in {folder} can't be used: {error.strerror}"
        ) from error


def _take(
    fd: int, path: pathlib.Path, deadline: float, timeout: float
) -> None:
    _wait(fd, path, deadline, timeout)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()} {shlex.join(sys.argv)}\n".encode(), 0)


def _wait(
    fd: int, path: pathlib.Path, deadline: float, timeout: float
) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _timeout(fd, path, timeout) from None
            time.sleep(_PAUSE)
        else:
            return


def _timeout(
    fd: int, path: pathlib.Path, timeout: float
) -> exception.LockTimeout:
    who = "another process"
    pid, _, command = (
        os.pread(fd, 4096, 0).decode("utf-8", "replace").strip().partition(" ")
    )
    if pid:
        who = f"process {pid} ({command}), or a write of its to the host,"
    return exception.LockTimeout(
        f"{who} still holds the lock {path} after {timeout:g} seconds",
        "a write that hangs ends when whoever has the device open lets go",
    )
