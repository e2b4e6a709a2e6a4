# SPDX-License-Identifier: Apache-2.0
"""A claim through the library, beside the requests to Placement in it.

CPU time: the store is written and the embedded Placement answers in this
process. A process has one embedded Placement, so each size has its own.
"""

import collections.abc
import json
import os
import pathlib
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
from nova_vfio_variant.placement import rest
from tests.functional import check_host

#: Devices and the PFs that they are VFs of.
_SIZES: ty.Final = {56: 4, 4096: 64}
_REPEAT: ty.Final = 15
_CONF: ty.Final = """
[pci]
device_spec = {"vendor_id": "8086", "product_id": "10ca"}
alias = {"name": "nic", "vendor_id": "8086", "product_id": "10ca"}
[vfio]
placement = embedded
"""


def rows() -> collections.abc.Iterator[table.Row]:
    costs = {size: _apart(size) for size in _SIZES}
    for size, (whole, requests) in costs.items():
        yield table.Row(
            "claim, CPU time",
            size,
            whole,
            "its requests to Placement",
            requests,
            at_most=2,
        )
    small, large = _SIZES
    yield table.Row(
        "claim, growth",
        large,
        costs[large][0],
        f"of {small} devices",
        costs[small][0],
        at_most=1.5,
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
        on = node.Node(
            [str(place / "nova.conf")],
            [],
            str(place / "host"),
            str(place / "state"),
        )
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
    pfs = _SIZES[size]
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
