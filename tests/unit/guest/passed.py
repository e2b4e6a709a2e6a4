# SPDX-License-Identifier: Apache-2.0
"""Devices for guests."""

from nova_vfio_variant.guest import devices
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.tracker.device import Device

MDEV = "1d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"


def function(address: str) -> Device:
    """A VF of a card."""
    return Device(
        PciAddress.parse(address),
        *("10de", "25b6", "type-VF", None, None, "CUSTOM_A16_16A"),
    )


def mediated(model: str = "vfio-pci") -> devices.Mediated:
    """A mediated device."""
    return devices.Mediated(MDEV, model)
