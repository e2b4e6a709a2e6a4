# SPDX-License-Identifier: Apache-2.0
"""What the real Nova takes, measured once in a run for all who compare."""

import functools
import json
import pathlib
import platform
import subprocess
import sys

from tests.conformance import interpreter

#: How many VFs the hosts have: growth shows between the sizes.
SIZES = (512, 4096, 13000)
#: Whose way it is, for the table.
NAME = f"Nova {interpreter.RELEASE}"


@functools.cache
def seconds() -> dict[str, dict[int, float]]:
    """Median seconds of each work of ``benchmarks.nova_side``, by size.

    :raises RuntimeError: Nova's interpreter is of another version than ours
    """
    print("measuring: Nova (takes some minutes)", file=sys.stderr)
    done = subprocess.run(
        [
            interpreter.nova_python(),
            "-W",
            "ignore",
            "-m",
            "benchmarks.nova_side",
            *map(str, SIZES),
        ],
        cwd=pathlib.Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found = json.loads(done.stdout)
    same = platform.python_version_tuple()[:2]
    if tuple(found["python"].split(".")[:2]) != same:
        raise RuntimeError(
            f"Nova runs on Python {found['python']}, we on {'.'.join(same)}:"
            " that is no comparison"
        )
    return {
        work: {int(size): cost for size, cost in by_size.items()}
        for work, by_size in found["seconds"].items()
    }
