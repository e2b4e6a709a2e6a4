# SPDX-License-Identifier: Apache-2.0
"""Trying again what came to nothing because somebody else wrote meanwhile."""

from __future__ import annotations

import logging
import typing as ty

from nova_vfio_variant import exception

if ty.TYPE_CHECKING:
    import tenacity

_LOG = logging.getLogger(__name__)

#: How often a piece of work is begun when generations move under it.
ATTEMPTS = 5
#: Seconds between two attempts, at most.
_PAUSE = 0.5


def _tell_retry(state: tenacity.RetryCallState) -> None:
    why = state.outcome.exception() if state.outcome is not None else None
    _LOG.info("attempt %d: %s; trying again", state.attempt_number, why)


def retrying() -> tenacity.Retrying:
    """Calls a function again while generations move, and nothing else."""
    import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(exception.PlacementConflict),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random(0, _PAUSE),
        before_sleep=_tell_retry,
        reraise=True,
    )
