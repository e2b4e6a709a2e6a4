# SPDX-License-Identifier: Apache-2.0
"""Standard output and standard error, whatever became of them.

A caller may have closed them, or sent them where nothing fits any more. What
opens the next file would get the number of one that is closed, and what is
said there would stand in that file; so there is always something behind it.
"""

from __future__ import annotations

import io
import os
import select
import sys
import typing as ty


class _Output(io.FileIO):
    """What ends the program where nothing can be written to it.

    Not by an error: argparse and cliff would take it, and go on or log it.

    :param status: the program's exit status then
    """

    def __init__(self, fd: int, status: int) -> None:
        super().__init__(fd, "wb", closefd=False)
        self._status = status
        self._is_lost = False

    def write(self, data: ty.Any, /) -> int:
        if self._is_lost:
            return memoryview(data).nbytes
        try:
            # None of a pipe that is full, if whoever reads it wants no waits.
            while not (written := super().write(data)):
                select.select([], [self], [])
        except BrokenPipeError:
            raise
        except OSError as error:
            # What is buffered is written at the end, too.
            self._is_lost = True
            sys.stderr.write(
                "error: standard output can't be written:"
                f" {error.strerror or error}\n"
            )
            raise SystemExit(self._status) from error
        return written


class _Aside(io.FileIO):
    """What is said beside the result: where it can't be, it is left out."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "wb", closefd=False)

    def write(self, data: ty.Any, /) -> int:
        whole = memoryview(data).nbytes
        try:
            return super().write(data) or whole
        except OSError:
            return whole


def run(program: ty.Callable[[], int], status: int = 2) -> int:
    """Run a program, and have all written that it prints.

    Whoever read enough of our output ends it quietly.

    :param program: gives the exit status, or raises SystemExit with it
    :param status: that says that the output can't be written
    :returns: the exit status
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest number.
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Aside(2), sys.stderr)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, status), sys.stdout)
    try:
        try:
            return program()
        finally:
            # A pager that was left closed it.
            if not sys.stdout.closed:
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _text(raw: io.FileIO, before: ty.TextIO | None) -> io.TextIOWrapper:
    """A stream that writes text as Python's own would.

    What a terminal can't encode is shown all the same.

    :param before: Python's own; None if it was closed
    """
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors="backslashreplace",
        newline="\n",
        line_buffering=raw.fileno() == 2 or raw.isatty(),
        write_through=isinstance(before, io.TextIOWrapper)
        and before.write_through,
    )
