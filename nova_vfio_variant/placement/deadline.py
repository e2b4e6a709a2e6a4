# SPDX-License-Identifier: Apache-2.0
"""When a request has to be answered, with all that is asked on the way.

For one request keystoneauth may ask many: for a token, for a list of
versions, and again wherever it is sent on to. Each has a timeout, and all of
them together have none.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
import typing as ty

_ends: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    "_ends", default=None
)


@contextlib.contextmanager
def within(seconds: float | None) -> ty.Iterator[None]:
    """What is asked meanwhile has so long, all in all.

    :param seconds: None for as long as it takes
    """
    # What is wrong with one that is negative is said by who sends.
    ends = time.monotonic() + seconds if seconds and seconds > 0 else None
    before = _ends.set(ends)
    try:
        yield
    finally:
        _ends.reset(before)


def left() -> float | None:
    """The seconds that are left, not below zero; None for no end."""
    ends = _ends.get()
    return None if ends is None else max(ends - time.monotonic(), 0)
