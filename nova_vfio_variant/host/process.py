# SPDX-License-Identifier: Apache-2.0
"""What may block in the kernel for ever is done by a process of its own.

A write to sysfs that blocks can't be interrupted, SIGKILL included: its
process stays until whoever holds the device lets go. So such a process has a
deadline, and nobody waits for it any longer than that. It keeps nothing of
ours open but the lock of its IOMMU group, and hands that on to the programs
that it runs: the lock stays taken as long as the kernel, or a program, is busy
there, which is the truth.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import time
import typing as ty

from nova_vfio_variant import exception

_CHUNK = 65536
#: What programs get to see: where others of the host are, and that what they
#: say is to be English.
_ENVIRONMENT: ty.Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
}
#: Seconds between two calls of what is called while a helper works.
INTERVAL = 5.0
#: Is called now and then while somebody waits for a helper.
Meanwhile = ty.Callable[[], None]


class Hung(exception.HostStepHung):
    """The helper did not end before its deadline.

    :param pid: the process that is left behind; None where nobody knows
        whether one is
    """

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


def _ignore() -> None:
    """Nobody wants to know."""


def run(
    work: ty.Callable[[], str],
    deadline: float,
    keep: ty.Collection[int] = (),
    meanwhile: Meanwhile = _ignore,
) -> str:
    """Do something in a child process.

    :param work: what to do; it gives back what it saw
    :param deadline: seconds it may take
    :param keep: file descriptors that the child keeps open: locks
    :param meanwhile: is called every :data:`INTERVAL` until it has ended
    :returns: what ``work`` gave back
    :raises OSError: ``work`` raised it, with the same errno
    :raises Hung: it took too long; the child is left alone
    :raises HostStepFailed: the child died, or ``work`` raised anything else
    """
    end = time.monotonic() + deadline
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        _child(work, writer, {writer, *keep})
    os.close(writer)
    try:
        said = _hear(reader, end, meanwhile)
    except OSError as error:
        # Not the write's own: what becomes of that isn't known.
        raise Hung(f"it can't be heard any more: {error}", pid) from error
    finally:
        os.close(reader)
    if said is None:
        raise Hung(f"it did not end in {deadline:g} seconds", pid)
    # It has said its last word, and ends at once.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    return _understood(said)


def program(words: ty.Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program, from a helper, that keeps what the helper keeps.

    Its environment is always the same, and none of whoever calls us.

    Who kills the helper alone doesn't end the program. So it has the lock, and
    the pipe too: it isn't over for the command before it is over.

    :param words: the program, by its whole path, and its arguments
    :returns: how it ended, and all that it said as its ``stdout``
    :raises OSError: it can't be started
    """
    return subprocess.run(
        words,
        check=False,
        close_fds=False,
        cwd="/",
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _hear(reader: int, end: float, meanwhile: Meanwhile) -> bytes | None:
    """All that the child says; None if it doesn't come to an end."""
    said = b""
    # Not select(2), which knows no descriptor above 1023.
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while True:
        left = max(end - time.monotonic(), 0)
        if not poll.poll(min(left, INTERVAL) * 1000):
            if left <= INTERVAL:
                return None
            # What is left of the helper counts, not who listens to us.
            with contextlib.suppress(OSError):
                meanwhile()
            continue
        some = os.read(reader, _CHUNK)
        if not some:
            return said
        said += some


def _understood(said: bytes) -> str:
    try:
        kind, number, text = json.loads(said)
    except ValueError:
        raise exception.HostStepFailed(
            "the helper process was killed"
        ) from None
    if kind == "os":
        raise OSError(number, text or os.strerror(number))
    if kind == "error":
        raise exception.HostStepFailed(text)
    return str(text)


def _child(
    work: ty.Callable[[], str], writer: int, keep: ty.Collection[int]
) -> ty.NoReturn:
    """The child's whole life; nothing of the parent's is run at its end."""
    try:
        # No terminal, pipe or database of the parent's stays open with it.
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _close_all_but(keep)
        for kept in keep:
            os.set_inheritable(kept, True)
        try:
            answer = ["ok", 0, work()]
        except OSError as error:
            answer = ["os", error.errno or errno.EIO, error.strerror or ""]
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = ["error", 0, str(error) or type(error).__name__]
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)


def _close_all_but(keep: ty.Collection[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        if number not in keep:
            os.dup2(null, number)
    first = 3
    for number in sorted(fd for fd in keep if fd > 2):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
