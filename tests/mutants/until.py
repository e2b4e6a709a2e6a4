# SPDX-License-Identifier: Apache-2.0
"""Runs tests until one fails: ``python -m tests.mutants.until < CHOSEN``.

CHOSEN is JSON: a test's module, its id and its deadline in seconds, each. The
id of each test is printed before it runs, so that who ended this process, or
kept it, is known. The exit status is 1 if one failed.
"""

import json
import os
import resource
import signal
import sys
import unittest

import hypothesis

from tests import base
from tests.mutants import tests

#: Bytes: a loop that never ends may fill a list meanwhile.
_MEMORY = 4 << 30


def main() -> int:
    chosen: list[tuple[str, str, float]] = json.load(sys.stdin)
    progress = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.dup2(sink, sys.stderr.fileno())
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    hypothesis.settings.register_profile(
        "once", base.PROPERTIES, derandomize=True
    )
    hypothesis.settings.load_profile("once")
    loaded: dict[str, dict[str, unittest.TestCase]] = {}
    for module, name, seconds in chosen:
        print(name, file=progress)
        # Whoever hangs is ended by the signal.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        if module not in loaded:
            loaded[module] = tests.load(module)
        outcome = unittest.TestResult()
        loaded[module][name].run(outcome)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not outcome.wasSuccessful():
            return 1
    return 0


if __name__ == "__main__":
    # Threads that a mistake keeps alive are left.
    os._exit(main())
