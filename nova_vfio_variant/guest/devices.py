# SPDX-License-Identifier: Apache-2.0
"""What a guest is given, as the makers of its arguments take it."""

from __future__ import annotations

import dataclasses
import enum
import typing as ty

from nova_vfio_variant.tracker import device as tracked

#: What a mediated device can be to a guest: libvirt's ``model``, QEMU's driver
#: and the kernel's ``device_api`` are one word.
MODELS: ty.Final = ("vfio-pci", "vfio-ccw", "vfio-ap")


class Console(enum.Enum):
    """What a guest's console shows of a vGPU, as attributes of its device.

    There is no ``ramfb`` without ``display``: QEMU refuses it.
    """

    NONE = ()
    DISPLAY = ("display",)
    RAMFB = ("display", "ramfb")


@dataclasses.dataclass(frozen=True, slots=True)
class Mediated:
    """A mediated device.

    :param uuid: in lower case
    :param model: one of :data:`MODELS`
    """

    uuid: str
    model: str


Passed = tracked.Device | Mediated


def name(device: Passed) -> str:
    """What it is called on its host: its UUID, or its address."""
    if isinstance(device, Mediated):
        return device.uuid
    return str(device.address)


def folder(device: Passed) -> str:
    """Its folder in sysfs."""
    bus = "mdev" if isinstance(device, Mediated) else "pci"
    return f"/sys/bus/{bus}/devices/{name(device)}"


def is_pci(device: Passed) -> bool:
    """Whether it is a PCI device to the guest."""
    return not isinstance(device, Mediated) or device.model == "vfio-pci"


def word(device: Passed) -> str:
    """Its name, as a part of an id: QEMU takes no colon in one."""
    return name(device).replace(":", "-").replace(".", "-")


def guest_id(device: Passed) -> str:
    """Its name inside the guest's machine, the same from start to start."""
    return f"hostdev-{word(device)}"
