# SPDX-License-Identifier: Apache-2.0
"""Answer questions for Nova: one JSON request a line, one JSON answer a line.

A request is ``{"op": NAME, "args": {...}}``; a list of requests is answered
by a list. An answer is ``{"ok": VALUE}``, or, when Nova refuses,
``{"error": CLASS, "message": TEXT}``, with ``"uncaught": true`` beside it if
the error is not one of Nova's own, so that a service would die of it.

``python -m tests.conformance.oracle``, from the top of this repository.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.conformance.oracle import (
    guests,
    mdevs,
    states,
    text,
    tracking,
    world,
)

OPS: dict[str, Callable[..., Any]] = {
    "config": text.config,
    "match": text.match,
    "alias": text.alias,
    "flavor": text.flavor,
    "extra_specs": text.extra_specs,
    "resource_class": text.resource_class,
    "traits": text.traits,
    "track": tracking.track,
    "states": states.states,
    "hostdev": guests.hostdev,
    "mdev": guests.mdev,
    "mdevs": mdevs.mdevs,
    "migrate": guests.migrate,
    "looks": guests.looks,
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what one request asks."""
    return world.answer(OPS[request["op"]], **request["args"])


def main() -> None:
    """Answer until the input ends."""
    # What Nova or a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, list):
            told: Any = [answer(request) for request in asked]
        else:
            told = answer(asked)
        answers.write(json.dumps(told, default=sorted) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
