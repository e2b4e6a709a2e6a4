# SPDX-License-Identifier: Apache-2.0
"""Runs the lab's tests in its guest: ``python -m tests.lab [WORD...]``.

A WORD picks the tests that have it in their names.
"""

import sys

from tests.lab import boot

#: Seconds for the whole guest, three times what it takes beside other work.
_DEADLINE = 1800


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
