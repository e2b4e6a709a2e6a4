# SPDX-License-Identifier: Apache-2.0
"""A claim through the library, beside the requests to Placement in it.

CPU time: the store is written and the embedded Placement answers in this
process. A process has one embedded Placement, so each size has its own.
"""

import collections.abc
import functools
import json
import multiprocessing
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
import typing as ty
import unittest.mock
import uuid

from benchmarks import table
from nova_vfio_variant.node import node
from nova_vfio_variant.placement import client, embedded, rest
from nova_vfio_variant.tracker import lock
from tests.functional import check_host

#: Devices and the PFs that they are VFs of.
_PFS: ty.Final = {56: 4, 256: 4, 4096: 64}
_REPEAT: ty.Final = 15
#: How many claim at the same time, and how often each.
_CROWD: ty.Final = 20
_OFTEN: ty.Final = 5
#: Seconds to wait for the lock, or for all others.
_PATIENCE: ty.Final = 600.0
_ROOT: ty.Final = "here"
_CONF: ty.Final = f"""
[pci]
device_spec = {{"vendor_id": "8086", "product_id": "10ca"}}
alias = {{"name": "nic", "vendor_id": "8086", "product_id": "10ca"}}
[vfio]
placement = embedded
provider_root = {_ROOT}
"""


def rows() -> collections.abc.Iterator[table.Row]:
    small, crowded, large = _PFS
    costs = {size: _apart(size) for size in (small, large)}
    for size, (whole, requests) in costs.items():
        yield table.Row(
            "claim, CPU time",
            size,
            whole,
            "its requests to Placement",
            requests,
            at_most=2,
        )
    yield table.Row(
        "claim, growth",
        large,
        costs[large][0],
        f"of {small} devices",
        costs[small][0],
        at_most=1.5,
    )
    claims, puts = (
        _crowded(crowded, kind) for kind in ("claim", "PUT /allocations")
    )
    yield table.Row(
        f"claim, {_CROWD} processes at once",
        crowded,
        claims,
        "as many that send its PUT /allocations, under the same lock",
        puts,
        at_most=4,
    )


def _crowded(size: int, kind: str) -> float:
    """Seconds that one of them takes, while as many others do the same.

    :param kind: ``claim``, or what else they do
    """
    apart = multiprocessing.get_context("forkserver")
    # What they import is imported once; each starts its own Placement.
    apart.set_forkserver_preload([__name__, "placement.deploy"])
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        _build(place, size)
        # It has a Placement of its own, which no other process may inherit.
        first = apart.Process(target=_report, args=(place,))
        first.start()
        first.join()
        begin = apart.Barrier(_CROWD + 1)
        crowd = [
            apart.Process(target=_one_of_many, args=(place, kind, begin))
            for _ in range(_CROWD)
        ]
        for one in crowd:
            one.start()
        begin.wait(_PATIENCE)
        begun = time.monotonic()
        for one in crowd:
            one.join()
        took = time.monotonic() - begun
        if any(one.exitcode for one in (first, *crowd)):
            raise RuntimeError(f"{kind}: one of {_CROWD} processes failed")
        return took / (_CROWD * _OFTEN)


def _report(place: pathlib.Path) -> None:
    _node(place).reporting.report()


def _one_of_many(place: pathlib.Path, kind: str, begin: ty.Any) -> None:
    """Be ready, wait for all others, then do it some times."""
    on = _node(place)
    if kind == "claim":
        todo: collections.abc.Callable[[], object] = functools.partial(
            _claimed, on
        )
    else:
        todo = _put(place)
    # The first one starts Placement.
    todo()
    begin.wait(_PATIENCE)
    for _ in range(_OFTEN):
        todo()


def _claimed(on: node.Node) -> None:
    on.claims.claim(str(uuid.uuid4()), "nic:1")


def _put(place: pathlib.Path) -> collections.abc.Callable[[], None]:
    """What sends the last request of a claim, for any of the cards."""
    with lock.state_lock(place / "state", _PATIENCE):
        placement = embedded.connect(place / "state")
        root = placement.find(_ROOT)
        assert root is not None
        cards = [
            (one.uuid, *placement.inventories(one.uuid)[1])
            for one in placement.tree(root.uuid)
            if one.parent_uuid is not None
        ]

    def put() -> None:
        at, resource_class = random.choice(cards)
        with lock.state_lock(place / "state", _PATIENCE):
            placement.put_allocations(
                str(uuid.uuid4()),
                client.Allocations({at: {resource_class: 1}}),
            )

    return put


def _node(place: pathlib.Path) -> node.Node:
    return node.Node(
        [str(place / "nova.conf")],
        [],
        str(place / "host"),
        str(place / "state"),
    )


def _apart(size: int) -> tuple[float, float]:
    """The same as :func:`_measured`, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.claims", str(size)],
        check=True,
        stdout=subprocess.PIPE,
        cwd=pathlib.Path(__file__).parents[1],
        env=os.environ,
    )
    whole, requests = json.loads(done.stdout.splitlines()[-1])
    return whole, requests


def _measured(size: int) -> tuple[float, float]:
    """CPU seconds of a claim, and of its requests: the medians."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        _build(place, size)
        on = _node(place)
        on.reporting.report()
        asked = [0.0]
        real = rest.Rest._send

        def send(*args: ty.Any) -> ty.Any:
            begun = time.process_time()
            try:
                return real(*args)
            finally:
                asked[-1] += time.process_time() - begun

        whole = []
        with unittest.mock.patch.object(rest.Rest, "_send", send):
            for _ in range(_REPEAT + 1):
                asked.append(0.0)
                begun = time.process_time()
                on.claims.claim(str(uuid.uuid4()), "nic:1")
                whole.append(time.process_time() - begun)
        # The first one starts Placement.
        return statistics.median(whole[1:]), statistics.median(asked[2:])


def _build(place: pathlib.Path, size: int) -> None:
    pfs = _PFS[size]
    made = [
        function
        for number in range(pfs)
        for function in check_host.card(
            0x10 + number, vfs=size // pfs, total=size // pfs
        )
    ]
    check_host.build(
        place / "host",
        made,
        links={
            f"sys/kernel/iommu_groups/{group}/devices/{one.address}": (
                f"../../../../devices/pci0000:00/{one.address}"
            )
            for group, one in enumerate(made)
        },
    )
    (place / "nova.conf").write_text(_CONF)


if __name__ == "__main__":
    print(json.dumps(_measured(int(sys.argv[1]))))
