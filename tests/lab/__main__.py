# SPDX-License-Identifier: Apache-2.0
"""Runs the lab's tests in its guest: ``python -m tests.lab [STESTR-ARGS]``."""

import sys

from tests.lab import boot

#: Seconds for the whole guest, most of them for the domain inside of it.
_DEADLINE = 600


def main() -> int:
    """Boots the guest with all devices and runs stestr in it."""
    outcome = boot.run(
        [
            *(sys.executable, "-m", "stestr"),
            *("--test-path", "./tests/lab/smoke"),
            *("run", "--serial", *sys.argv[1:]),
        ],
        deadline=_DEADLINE,
    )
    boot.report(outcome)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
