# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on a fake host."""

import dataclasses
import typing as ty


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
