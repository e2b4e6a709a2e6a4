# SPDX-License-Identifier: Apache-2.0
"""Waiting until guests have let go."""

from __future__ import annotations

import time
import typing as ty

#: How often, in seconds, it is looked.
_POLL: ty.Final = 0.5

Found = ty.TypeVar("Found", bound=ty.Sized)


def while_any(look: ty.Callable[[], Found], seconds: float) -> Found:
    """Look again while there is anything, or for so long.

    :returns: what was there last
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        left = deadline - time.monotonic()
        if not found or left <= 0:
            return found
        time.sleep(min(_POLL, left))
