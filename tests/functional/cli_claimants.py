# SPDX-License-Identifier: Apache-2.0
"""Many processes that run ``nova-vfio claim create`` at once.

Run as a program with the number of processes and the global options; prints
each one's status, output and errors as JSON. It forks before it has opened
anything, so that each process imports nothing anew.
"""

import contextlib
import importlib
import io
import json
import multiprocessing
import sys
import uuid

from nova_vfio_variant.cli import main

ALIAS = "vf:1"
#: What a claim imports; each process would, when it needs it.
NEEDED = (
    "alembic.command",
    "nova_vfio_variant.cli.claim",
    "nova_vfio_variant.host.observe.scanner",
    "nova_vfio_variant.placement.embedded",
    "nova_vfio_variant.node.inventory",
    "nova_vfio_variant.tracker.store",
    "openstack.connection",
    "placement.deploy",
)


def claim(
    options: list[str],
    start: "multiprocessing.synchronize.Barrier",
    answers: "multiprocessing.Queue[tuple[int, str, str]]",
) -> None:
    """Claim one device for an instance of our own."""
    out, err = io.StringIO(), io.StringIO()
    start.wait()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main.main(
            [
                *options,
                *("claim", "create", "-f", "json", "--alias", ALIAS),
                *("--instance", str(uuid.uuid4())),
            ]
        )
    answers.put((status, out.getvalue(), err.getvalue()))


def run() -> None:
    """Let all of them claim at once."""
    for name in NEEDED:
        importlib.import_module(name)
    forking = multiprocessing.get_context("fork")
    answers = forking.Queue()
    start = forking.Barrier(int(sys.argv[1]))
    claimants = [
        forking.Process(target=claim, args=(sys.argv[2:], start, answers))
        for _ in range(int(sys.argv[1]))
    ]
    for one in claimants:
        one.start()
    told = [answers.get(timeout=300) for _ in claimants]
    for one in claimants:
        one.join()
    print(json.dumps(told))


if __name__ == "__main__":
    run()
