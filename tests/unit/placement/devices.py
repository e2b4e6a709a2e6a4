# SPDX-License-Identifier: Apache-2.0
"""Tracked devices as plain values."""

import typing as ty

from nova_vfio_variant.pci import address
from nova_vfio_variant.tracker import device

PF = "0000:25:00.0"


def make(
    where: str,
    parent: str | None = PF,
    resource_class: str = "CUSTOM_A16_16A",
    **others: ty.Any,
) -> device.Device:
    return device.Device(
        address.PciAddress.parse(where),
        "10de",
        "25b6",
        others.pop("dev_type", "type-VF" if parent else "type-PF"),
        None,
        address.PciAddress.parse(parent) if parent else None,
        resource_class,
        **others,
    )
