# SPDX-License-Identifier: Apache-2.0
"""Many processes that claim one unit each from one embedded Placement.

Run as a program with a state path, the number of units and the number of
processes; prints how many got one and why the others didn't, as JSON. It is
a process of its own, for a process has one embedded Placement, and forks
before it has any.
"""

import collections
import json
import multiprocessing
import sys
import uuid

from nova_vfio_variant import exception
from nova_vfio_variant.placement import (
    allocations,
    embedded,
    provider,
    report,
)
from nova_vfio_variant.tracker import lock, store

NAME = "host_0000:25:00.0"
CLASS = "CUSTOM_A16_16A"


def claim(
    state_path: str, units: int, answers: "multiprocessing.Queue[str]"
) -> None:
    """Claim one of so many units; say how it went."""
    desired = provider.Provider(
        NAME, "host", {CLASS: provider.Inventory(units, units)}, ()
    )
    try:
        with (
            lock.state_lock(state_path, timeout=300),
            store.Store.open(state_path) as opened,
        ):
            client = embedded.connect(state_path)
            known = opened.provider_memory
            ask = report.ReportRequest("host", (desired,), embedded=True)
            report.report(client, ask, known)
            allocations.put(
                client, known, str(uuid.uuid4()), {NAME: {CLASS: 1}}
            )
        answers.put("claimed")
    except exception.VfioVariantError as error:
        answers.put(type(error).__name__)


def main() -> None:
    """Let all of them claim at once."""
    state_path, units, processes = sys.argv[1:]
    forking = multiprocessing.get_context("fork")
    answers = forking.Queue()
    claimants = [
        forking.Process(target=claim, args=(state_path, int(units), answers))
        for _ in range(int(processes))
    ]
    for one in claimants:
        one.start()
    told = [answers.get(timeout=300) for _ in claimants]
    for one in claimants:
        one.join()
    print(json.dumps(collections.Counter(told)))


if __name__ == "__main__":
    main()
