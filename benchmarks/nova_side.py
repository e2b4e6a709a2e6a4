# SPDX-License-Identifier: Apache-2.0
"""What the real Nova takes for the work of :mod:`benchmarks.workload`.

Run from the top of the repository by the interpreter that has Nova in it,
whose path ``python -m tests.conformance.interpreter`` prints::

    NOVA_PYTHON -m benchmarks.nova_side 512 4096 13000

Prints one JSON object::

    {"nova": "34.0.0", "python": "3.11.7",
     "seconds": {"match_glob": {"4096": 0.39}, ...},
     "runs": {"match_glob": {"4096": 5}, ...}}

``seconds`` holds medians. A piece of work is repeated ``--repeat`` times, or
until it has taken ten seconds: Nova's re-sync of 13,000 devices takes more
than a minute each time.
"""

import argparse
import gc
import importlib.metadata
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

from nova import objects
from nova.compute import pci_placement_translator, provider_tree
from nova.pci import whitelist
from oslo_utils import uuidutils

from benchmarks import workload
from tests.conformance.oracle import tracking, world

_ENOUGH = 10.0
_INSTANCE = uuidutils.generate_uuid()
_CELLS = [{"id": 0, "socket": 0}, {"id": 1, "socket": 1}]

Times = dict[str, list[float]]


def measure(
    work: Callable[[], Any],
    repeat: int,
    after: Callable[[], Any] | None = None,
) -> list[float]:
    """Time ``work`` again and again; ``after`` undoes it, untimed."""
    times: list[float] = []
    while len(times) < repeat and sum(times) < _ENOUGH:
        gc.collect()
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
        if after is not None:
            after()
    return times


def matching(host: world.Host, repeat: int) -> Times:
    """Match every VF with 64 specs of each kind."""
    world.SYSFS.show(host)
    vfs = world.reported(workload.vfs_of(host))
    times = {}
    for kind, values in workload.specs().items():
        parsed = whitelist.Whitelist(values)

        def match(parsed: Any = parsed) -> None:
            for vf in vfs:
                parsed.device_assignable(vf)

        times[f"match_{kind}"] = measure(match, repeat)
    return times


def tracked(host: world.Host) -> tracking.Compute:
    """Return a compute node that tracks the VFs of ``host``."""
    compute = tracking.Compute(workload.ALL_VFS, True, _CELLS)
    compute.sync(host)
    return compute


def syncing(host: world.Host, repeat: int) -> Times:
    """Sync all VFs for the first time, and then again, unchanged."""
    seen = world.reported_text(host)
    computes: list[tracking.Compute] = []

    def first() -> None:
        computes[:] = [tracking.Compute(workload.ALL_VFS, True, _CELLS)]
        computes[0].tracker.update_devices_from_hypervisor_resources(seen)

    times = {"sync_first": measure(first, repeat)}
    again = tracked(host).tracker
    times["sync_unchanged"] = measure(
        lambda: again.update_devices_from_hypervisor_resources(seen), repeat
    )
    return times


def claiming(host: world.Host, repeat: int) -> Times:
    """Ask whether a request fits, and claim 64 devices."""
    tracker = tracked(host).tracker
    few, many = _request(4), _request(64)
    instance = {"uuid": _INSTANCE, "pci_devices": []}
    return {
        "fits": measure(
            lambda: tracker.stats.support_requests([few], None), repeat
        ),
        "claim_64": measure(
            lambda: tracker.claim_instance(
                None,
                objects.InstancePCIRequests(
                    instance_uuid=_INSTANCE, requests=[many]
                ),
                None,
            ),
            repeat,
            after=lambda: tracker.free_instance(None, instance),
        ),
    }


def publishing(host: world.Host, repeat: int) -> Times:
    """Make the provider tree from nothing."""
    tracker = tracked(host).tracker

    def publish() -> None:
        tree = provider_tree.ProviderTree()
        tree.new_root(tracking.NODE, uuidutils.generate_uuid())
        pci_placement_translator.update_provider_tree_for_pci(
            tree, tracking.NODE, tracker, {}, []
        )

    return {"provider_tree": measure(publish, repeat)}


def _request(count: int) -> Any:
    return objects.InstancePCIRequest(
        count=count,
        spec=[
            {
                "vendor_id": workload.VENDOR_ID,
                "product_id": workload.VF_PRODUCT_ID,
            }
        ],
        alias_name="vf",
        request_id=uuidutils.generate_uuid(),
    )


def main() -> None:
    """Measure all of it for each size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, default=[4096])
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, dict[int, float]] = {}
    runs: dict[str, dict[int, int]] = {}
    for size in options.sizes:
        host = workload.host(size)
        for work in (matching, syncing, claiming, publishing):
            for name, times in work(host, options.repeat).items():
                seconds.setdefault(name, {})[size] = statistics.median(times)
                runs.setdefault(name, {})[size] = len(times)
    print(
        json.dumps(
            {
                "nova": importlib.metadata.version("nova"),
                "python": platform.python_version(),
                "seconds": seconds,
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    main()
