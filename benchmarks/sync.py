# SPDX-License-Identifier: Apache-2.0
"""Tracking: a sync that finds nothing new, and a claim, beside Nova's.

Both sides begin with a finished scan and with what they tracked before. Nova
keeps that in memory only, so our way is measured twice: in memory, and with
the store opened, read and closed each time.
"""

import collections.abc
import gc
import statistics
import tempfile
import time
import tracemalloc
import typing as ty
import uuid

from benchmarks import nova, our_side, table, workload
from nova_vfio_variant.pci import pools
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import family, store, sync

_CLAIM = 64
_REPEAT = 15
#: The size that goals are set for, and the one that shows the growth.
_USUAL, _LARGE = 4096, 13000

Rows = collections.abc.Iterator[table.Row]


def rows() -> Rows:
    peer = nova.seconds()
    ours = {}
    for size in nova.SIZES:
        again = _Again(size)
        with tempfile.TemporaryDirectory() as folder:
            again.begin(folder)
            ours[size] = table.medians(
                again.in_memory, again.with_store, repeat=_REPEAT
            )
        goals = (500, 150) if size == _USUAL else (None, None)
        for name, mine, goal in zip(
            ("in memory", "with the store"), ours[size], goals, strict=True
        ):
            yield table.Row(
                f"sync, nothing changed, {name}",
                size,
                mine,
                nova.NAME,
                peer["sync_unchanged"][size],
                times_faster=goal,
            )
        yield table.Row(
            "sync, peak memory a device",
            size,
            again.peak() / size,
            "limit",
            4096,
            at_most=1,
            unit="bytes",
        )
    for place, name in enumerate(("in memory", "with the store")):
        yield table.Row(
            f"sync, growth, {name}",
            _LARGE,
            ours[_LARGE][place],
            f"4 x {_USUAL:,}",
            4 * ours[_USUAL][place],
            at_most=1,
        )
    for size in nova.SIZES:
        yield from _claims(size, peer["claim_64"][size])


class _Again:
    """A sync of a host on which nothing changed."""

    def __init__(self, size: int) -> None:
        self._functions = our_side.functions(size)
        self._specs = our_side.specs(workload.ALL_VFS)
        self._recorded = self._desired()
        self._folder = ""

    def begin(self, folder: str) -> None:
        self._folder = folder
        with store.Store.open(folder) as opened:
            opened.apply(sync.decide((), self._desired()))

    def in_memory(self) -> None:
        plan = sync.decide(self._recorded, self._desired())
        assert not plan
        assert len(plan.unchanged) == len(self._recorded)

    def with_store(self) -> None:
        with store.Store.open(self._folder) as opened:
            plan = sync.decide(opened.recorded(), self._desired())
            assert not plan
            assert len(plan.unchanged) == len(self._recorded)
            opened.apply(plan)

    def peak(self) -> int:
        """Bytes above the start, at the worst moment."""
        with tempfile.TemporaryDirectory() as folder:
            self.begin(folder)
            self.with_store()
            gc.collect()
            tracemalloc.start()
            begun, _ = tracemalloc.get_traced_memory()
            self.with_store()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return peak - begun

    def _desired(self) -> tracked.Devices:
        return sync.desired(self._specs, self._functions)


def _claims(size: int, theirs: float) -> Rows:
    devices = tuple(
        sync.desired(
            our_side.specs(workload.ALL_VFS), our_side.functions(size)
        )
    )
    request = our_side.request(_CLAIM)
    instance = str(uuid.uuid4())

    def prepared() -> ty.Callable[[], None]:
        free, families = pools.Pools.of(devices), family.Families(devices)

        def claim() -> None:
            for one, taken in free.consume([request]):
                for device in taken:
                    families.claim(
                        device.address, instance, instance, one.alias_name
                    )

        return claim

    yield table.Row(
        f"claim {_CLAIM}, in memory",
        size,
        _median(prepared),
        nova.NAME,
        theirs,
        times_faster=20 if size == _USUAL else None,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        store.Store.open(folder) as opened,
    ):
        opened.apply(sync.decide((), devices))

        def durable() -> ty.Callable[[], None]:
            opened.free(instance)
            taken = pools.Pools.of(devices).consume([request])

            def claim() -> None:
                opened.claim(instance, taken)

            return claim

        yield table.Row(
            f"claim {_CLAIM}, on disk in one transaction",
            size,
            _median(durable),
            f"{nova.NAME}, in memory",
            theirs,
        )


def _median(prepared: ty.Callable[[], ty.Callable[[], None]]) -> float:
    """Seconds of the work that each preparation, untimed, gives."""
    seen = []
    for _ in range(_REPEAT):
        work = prepared()
        gc.collect()
        begun = time.perf_counter()
        work()
        seen.append(time.perf_counter() - begun)
    return statistics.median(seen)
