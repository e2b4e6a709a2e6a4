# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio capabilities``: what this host can give to guests."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant.cli import base
from nova_vfio_variant.node import capabilities
from nova_vfio_variant.pci import class_words

COLUMNS = (
    "kind",
    "name",
    "supported",
    "count",
    "available",
    "devices",
    "why_not",
)


class Capabilities(base.Lister):
    """Say what this host can give to guests, and what it lacks for that.

    By class, as 'host list --class' has them, the tracked devices: each with
    its name and address, and why a guest could not be given it now. By type
    the vGPUs that cards can make. And of the host its IOMMU, VFIO's module and
    huge pages. Status 1 if the host has no IOMMU or no VFIO.
    """

    brief = ("kind", "name", "supported", "count", "available", "why_not")
    example = "capabilities -f json"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Gather and list."""
        rows: list[base.Row] = []
        for found in capabilities.machine(self.context):
            rows.append(_row("host", found))
            # A host may do without huge pages.
            if found.supported is False and found.available is None:
                self.status = 1
        classes: dict[str, list[capabilities.Device]] = {}
        for device in capabilities.devices(self.context):
            word = "unseen"
            if device.class_code is not None:
                word = class_words.word(device.class_code)
            classes.setdefault(word, []).append(device)
        rows += [
            _of_class(word, some) for word, some in sorted(classes.items())
        ]
        rows += [
            _row("vgpu_type", found)
            for found in capabilities.vgpu_types(self.context)
        ]
        self.tell_of_verdicts()
        return COLUMNS, rows


def _row(kind: str, found: capabilities.Capability) -> base.Row:
    return (
        kind,
        found.name,
        found.supported,
        found.count,
        found.available,
        [{"address": address} for address in found.on],
        found.why_not,
    )


def _of_class(word: str, some: ty.Sequence[capabilities.Device]) -> base.Row:
    free = [device for device in some if device.why_not is None]
    whys = dict.fromkeys(
        device.why_not for device in some if device.why_not is not None
    )
    return (
        "class",
        word,
        True,
        len(some),
        len(free),
        [
            {
                "address": device.address,
                "name": device.name,
                "available": device.why_not is None,
                "why_not": device.why_not,
            }
            for device in some
        ],
        None if free else "; ".join(whys),
    )
