# SPDX-License-Identifier: Apache-2.0
"""A scan beside a bare loop that makes the same calls and nothing else.

The calls of one scan are written down with their arguments, those that fail
too, and then made again in a plain loop, whose results nobody looks at.
"""

import collections.abc
import contextlib
import os
import pathlib
import tempfile
import time
import typing as ty
import unittest.mock

from benchmarks import table
from nova_vfio_variant.host.observe import host_scan, scanner
from nova_vfio_variant.host.tree import opening, recorded

_HOST = "etc/nova-vfio/hosts/four-nvme-480-vfs.tar.gz"
_CALLS = ("open", "read", "close", "readlink", "listdir", "stat")

Call = tuple[
    collections.abc.Callable[..., object],
    tuple[ty.Any, ...],
    dict[str, ty.Any],
]


def written_down(
    work: collections.abc.Callable[[], object],
) -> tuple[list[Call], list[object]]:
    """Every call of ``work`` to the file system, and what each gave."""
    calls: list[Call] = []
    results: list[object] = []

    def spy(name: str) -> collections.abc.Callable[..., object]:
        real = getattr(os, name)

        def call(*args: ty.Any, **kwargs: ty.Any) -> object:
            calls.append((real, args, kwargs))
            results.append(None)
            results[-1] = real(*args, **kwargs)
            return results[-1]

        return call

    with contextlib.ExitStack() as stack:
        for name in _CALLS:
            stack.enter_context(
                unittest.mock.patch.object(os, name, spy(name))
            )
        work()
    return calls, results


def again(calls: list[Call]) -> None:
    """The bare loop. File descriptors are the same numbers each time."""
    for call, args, kwargs in calls:
        try:  # noqa: SIM105 - suppress() is slower, which would flatter us
            call(*args, **kwargs)
        except OSError:
            pass


def proven(calls: list[Call], results: list[object]) -> None:
    """Fail unless the same calls still give the same results."""
    for (call, args, kwargs), result in zip(calls, results, strict=True):
        try:
            given = call(*args, **kwargs)
        except OSError:
            given = None
        if given != result:
            raise AssertionError(f"{call} {args} gave {given}, not {result}")


def rows() -> collections.abc.Iterator[table.Row]:
    source = pathlib.Path(__file__).parents[1] / _HOST
    with tempfile.TemporaryDirectory() as folder:
        recorded.unpack(source, folder)

        def ours() -> host_scan.HostScan:
            return scanner.scan(opening.open_tree(folder))

        size = len(ours().functions)
        calls, results = written_down(ours)
        proven(calls, results)
        mine, bare = table.medians(
            ours, lambda: again(calls), repeat=41, clock=time.process_time
        )
        yield table.Row(
            f"scan ({len(calls):,} calls)",
            size,
            mine,
            "bare loop",
            bare,
            at_most=1.5,
        )
