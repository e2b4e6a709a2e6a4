# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio capabilities``: what this host can give to guests."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant.cli import base
from nova_vfio_variant.node import capabilities
from nova_vfio_variant.pci import class_words

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import mdev_types

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
    the vGPUs that cards can make, and the mediated devices, of which what
    several parents have isn't added up. And of the host its IOMMU, VFIO's
    module and huge pages. Status 1 if the host has no IOMMU or no VFIO.
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
        rows += [
            _of_mdevs(type_id, some)
            for type_id, some in capabilities.mdev_types(self.context).items()
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


def _of_mdevs(
    type_id: str, parents: ty.Sequence[mdev_types.Offered]
) -> base.Row:
    whys = dict.fromkeys(one.why for one in parents if one.why is not None)
    is_any = any(one.available != 0 for one in parents)
    return (
        "mdev_type",
        type_id,
        True,
        sum(one.existing for one in parents),
        parents[0].available if len(parents) == 1 else None,
        [
            {
                "address": one.parent.name,
                "available": one.available,
                "why_not": one.why,
            }
            for one in parents
        ],
        None if is_any else "; ".join(whys) or "no parent has room",
    )
