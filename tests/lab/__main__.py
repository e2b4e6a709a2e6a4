# SPDX-License-Identifier: Apache-2.0
"""Runs the lab's tests in its guest: ``python -m tests.lab [WORD...]``.

A WORD picks the tests that have it in their names.
"""

import sys

from tests.lab import boot

#: Seconds for the whole guest, which takes 1000 beside other work on two CPUs.
_DEADLINE = 2100


def main() -> int:
    """Boots the guest with all devices and runs the tests in it."""
    outcome = boot.run(
        [
            *("env", "NOVA_VFIO_LAB_GUEST=1"),
            *(sys.executable, "-m", "tests.lab.inside", *sys.argv[1:]),
        ],
        deadline=_DEADLINE,
    )
    boot.report(outcome)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
