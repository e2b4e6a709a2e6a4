# SPDX-License-Identifier: Apache-2.0
"""Devices and specs, small enough to read in a test."""

import json
import typing as ty

from nova_vfio_variant import source
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.pci.spec import DeviceSpec
from nova_vfio_variant.tracker.device import Device

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


def at(text: str) -> PciAddress:
    return PciAddress.parse(text)


def pf(address: str = "0000:05:00.0", **fields: ty.Any) -> Device:
    return _device(address, "type-PF", None, fields)


def vf(
    address: str, parent: str | None = "0000:05:00.0", **fields: ty.Any
) -> Device:
    return _device(address, "type-VF", parent, fields)


def pci(address: str, **fields: ty.Any) -> Device:
    return _device(address, "type-PCI", None, fields)


def _device(
    address: str, dev_type: str, parent: str | None, fields: dict[str, ty.Any]
) -> Device:
    values: dict[str, ty.Any] = {
        "vendor_id": "8086",
        "product_id": "10ca" if parent else "10c9",
        "numa_node": 0,
        "resource_class": "CUSTOM_NIC",
        "extra_info": {"managed": "true", "iommu_group": "7"},
        **fields,
    }
    return Device(
        address=at(address),
        dev_type=dev_type,
        parent_addr=at(parent) if parent else None,
        **values,
    )


def spec(index: int = 0, **entry: ty.Any) -> DeviceSpec:
    """A spec with ids and tags, but without an address."""
    text = json.dumps(entry)
    tags = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in entry.items()
        if name not in {"vendor_id", "product_id", "resource_class", "traits"}
    }
    entry["traits"] = tuple(entry.get("traits", ()))
    return DeviceSpec(
        index,
        source.SourceText.of(text),
        0,
        len(text),
        {},
        tags=tags,
        **{
            name: value
            for name, value in entry.items()
            if name in DeviceSpec.__dataclass_fields__
        },
    )
