# SPDX-License-Identifier: Apache-2.0
"""Whether a request fits on a host with 64 pools, beside Nova's.

Both begin with pools that are made already. Nova asks this for each set of
providers that Placement offers.
"""

import collections.abc
import functools

from benchmarks import nova, our_side, table, workload
from nova_vfio_variant.pci import pools
from nova_vfio_variant.tracker import sync

_GOAL_AT = 4096


def rows() -> collections.abc.Iterator[table.Row]:
    request = our_side.request(4)
    for size, theirs in nova.seconds()["fits"].items():
        free = pools.Pools.of(
            sync.desired(
                our_side.specs(workload.ALL_VFS), our_side.functions(size)
            )
        )
        if len(free.pools) != workload.PFS or not free.fits([request]):
            raise AssertionError(f"{len(free.pools)} pools")
        (ours,) = table.medians(functools.partial(free.fits, [request]))
        yield table.Row(
            f"does a request fit, {workload.PFS} pools",
            size,
            ours,
            nova.NAME,
            theirs,
            times_faster=200 if size == _GOAL_AT else None,
        )
