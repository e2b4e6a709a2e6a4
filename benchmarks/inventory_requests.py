# SPDX-License-Identifier: Apache-2.0
"""How many requests a report takes when nothing, or little, has changed.

Counted where they reach a real Placement, the look at its versions among
them.
"""

import collections.abc
import pathlib
import tempfile
import typing as ty
import uuid

from benchmarks import table
from nova_vfio_variant.placement import (
    client,
    embedded,
    provider,
    report,
)
from nova_vfio_variant.testing import placement as fixture

SIZES = (1, 64, 256)
_MOVED = 8
_CLASS = "CUSTOM_PCI_8086_10CA"


class Counted:
    """A WSGI application that notes the methods of its requests."""

    def __init__(self, application: ty.Any) -> None:
        self._application = application
        self.methods: list[str] = []

    def __call__(self, environ: ty.Any, start_response: ty.Any) -> ty.Any:
        self.methods.append(environ["REQUEST_METHOD"])
        return self._application(environ, start_response)


def desired(size: int) -> report.ReportRequest:
    """A tree of its own for each size."""
    root = f"host-{size}"
    providers = [
        provider.Provider(
            f"{root}_{number >> 8:04X}:{number & 0xFF:02X}:00.0",
            root,
            {_CLASS: provider.Inventory(8, 8)},
            ("COMPUTE_MANAGED_PCI_DEVICE",),
        )
        for number in range(size)
    ]
    return report.ReportRequest(root, providers, embedded=True)


def measured(
    folder: str,
    ask: report.ReportRequest,
    known: fixture.Memory,
    counted: Counted,
) -> list[str]:
    """The methods of one report by a new client."""
    fresh = embedded.connect(folder)
    counted.methods.clear()
    report.report(fresh, ask, known)
    return list(counted.methods)


def rows() -> collections.abc.Iterator[table.Row]:
    with tempfile.TemporaryDirectory() as folder:
        counted = Counted(embedded.application(folder))
        embedded._application = counted
        for size in SIZES:
            yield from of_size(folder, size, counted)
        pathlib.Path(embedded.database(folder)).unlink()


def of_size(
    folder: str, size: int, counted: Counted
) -> collections.abc.Iterator[table.Row]:
    ask, known = desired(size), fixture.Memory()
    first = measured(folder, ask, known, counted)
    yield table.Row(
        "first report", size, len(first), "provider", size, unit="requests"
    )
    again = measured(folder, ask, known, counted)
    yield table.Row(
        "report, nothing changed",
        size,
        len(again),
        "limit",
        3,
        at_most=1,
        unit="requests",
    )
    yield table.Row(
        "report, nothing changed",
        size,
        len(again) - again.count("GET"),
        "limit",
        1,
        at_most=0,
        unit="writes",
    )
    moved = min(_MOVED, size)
    for one in ask.desired[:moved]:
        listed = embedded.connect(folder).find(one.name)
        assert listed is not None
        embedded.connect(folder).put_allocations(
            str(uuid.uuid4()),
            client.Allocations({listed.uuid: {_CLASS: 1}}),
        )
    more = measured(folder, ask, known, counted)
    yield table.Row(
        f"report, {moved} generations moved",
        size,
        len(more) - len(again),
        "limit",
        2 * moved,
        at_most=1,
        unit="requests more",
    )
