# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on a fake host, because a test says so."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
import typing as ty

from nova_vfio_variant.testing.fake_kernel import files as fake_files


class Crashed(BaseException):
    """The process is to be taken for killed: nothing that follows ran."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong at one of the writes.

    :param number: at which; the first after the fault was set is 1
    :param errno: the write fails with this
    :param hang: seconds for which it does nothing at all, before it is done
    :param vanish: address of a function that is pulled out before it
    :param crash: ``writer`` or ``both``: kill the process that writes, or its
        parent too; ``raise``: raise :class:`Crashed`
    :param after: crash once the write is done, not before
    """

    number: int
    errno: int = 0
    hang: float = 0.0
    vanish: str = ""
    crash: ty.Literal["", "writer", "both", "raise"] = ""
    after: bool = False


def strike(fault: Fault, vanish: ty.Callable[[str], None]) -> None:
    """Let happen what happens before the write.

    :param vanish: pulls a function out
    :raises OSError: the write fails
    """
    if fault.hang:
        time.sleep(fault.hang)
    if fault.vanish:
        vanish(fault.vanish)
    if fault.crash and not fault.after:
        crash(fault)
    if fault.errno:
        raise fake_files.error(fault.errno)


def crash(fault: Fault) -> None:
    """Let the process end here.

    :raises Crashed: it is only to be taken for killed
    """
    if fault.crash == "raise":
        raise Crashed
    if fault.crash == "both":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
