# SPDX-License-Identifier: Apache-2.0
"""Forked processes, and what they found."""

import multiprocessing
import os
import signal
import traceback
import typing as ty
from multiprocessing import connection

FORK = multiprocessing.get_context("fork")


def _child(
    answer: connection.Connection,
    work: ty.Callable[..., ty.Any],
    *args: ty.Any,
) -> None:
    try:
        answer.send(work(*args))
    except BaseException:  # noqa: BLE001 - the parent shows it
        answer.send(AssertionError(traceback.format_exc()))


class Child:
    """A forked process, and what it found."""

    def __init__(self, work: ty.Callable[..., ty.Any], *args: ty.Any) -> None:
        self._answer, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=_child, args=(theirs, work, *args))
        self.process.start()
        theirs.close()

    def result(self) -> ty.Any:
        found = self._answer.recv()
        self.process.join()
        if isinstance(found, AssertionError):
            raise found
        return found

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self._answer.close()
