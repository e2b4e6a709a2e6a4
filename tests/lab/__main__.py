# SPDX-License-Identifier: Apache-2.0
"""Runs the lab's tests in its guests: ``python -m tests.lab [WORD...]``.

A WORD picks the tests that have it in their names.
"""

import compileall
import sys

from tests.lab import boot, inside

#: The guests by their first process: the devices that each has, and seconds
#: for the whole guest. The first took 1,510 where six others wanted the two CPUs.
_GUESTS = {"sh": ("full", 2100), "systemd": ("small", 600)}


def main() -> int:
    """Boots the guests one after the other and runs the tests in them."""
    words = sys.argv[1:]
    # To compile takes the guests longer than all else at a program's start.
    compileall.compile_dir(boot.CHECKOUT / "nova_vfio_variant", quiet=1)
    ended = []
    for init, (devices, deadline) in _GUESTS.items():
        if words and not inside.chosen(init, words):
            continue
        outcome = boot.run(
            [
                *("env", "NOVA_VFIO_LAB_GUEST=1"),
                *(sys.executable, "-m", "tests.lab.inside", init, *words),
            ],
            devices=devices,
            init=init,
            deadline=deadline,
            out=boot.default_lab() / f"out-{init}",
        )
        boot.report(outcome)
        ended.append(outcome.status)
    return max(ended, default=2)


if __name__ == "__main__":
    sys.exit(main())
