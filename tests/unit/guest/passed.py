# SPDX-License-Identifier: Apache-2.0
"""Devices for guests, and machines that have them."""

import dataclasses
import pathlib

from nova_vfio_variant.guest import devices, machine
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


_PATH = pathlib.Path
MAC = "52:54:00:12:34:56"
SMALL = machine.Machine(
    MDEV, 2048, 2, machine.Accelerator.KVM, _PATH("/run/g/qmp")
)
FULL = dataclasses.replace(
    SMALL,
    serial=_PATH("/run/g/serial.log"),
    kernel=machine.Kernel(
        _PATH("/boot/vmlinuz"), "console=ttyS0, quiet", _PATH("/boot/initrd")
    ),
    disk=machine.Disk(_PATH("/var/a,b.img"), machine.Format.RAW),
    root=_PATH("/run/g/fs"),
    net=machine.Tap(MAC, "tap0"),
    cid=7,
    passed=(function("0000:25:00.4"), mediated()),
    iommufd=True,
)
