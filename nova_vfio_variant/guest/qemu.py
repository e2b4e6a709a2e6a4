# SPDX-License-Identifier: Apache-2.0
"""The QEMU arguments that give a device to a guest."""

from __future__ import annotations

from nova_vfio_variant.guest import devices

_LARGEST_SHORT_DOMAIN = 0xFFFF


def arguments(
    device: devices.Passed, console: devices.Console = devices.Console.NONE
) -> list[str]:
    """``-device vfio-pci,…`` for one device.

    The id is made of the address, or the UUID, so that it stays the same from
    start to start. A domain of more than four digits, as VMD's, is named by
    its folder in sysfs, since not every QEMU takes it in ``host=``; so is a
    mediated device. Only ``vfio-pci-nohotplug`` has ``ramfb``
    (``hw/vfio/pci.c``).
    """
    driver, where = "vfio-pci", f"sysfsdev={devices.folder(device)}"
    if isinstance(device, devices.Mediated):
        driver = device.model
    elif device.address.domain <= _LARGEST_SHORT_DOMAIN:
        where = f"host={device.address}"
    if console is devices.Console.RAMFB:
        driver += "-nohotplug"
    words = [driver, where, f"id={devices.guest_id(device)}"]
    words += [f"{shown}=on" for shown in console.value]
    return ["-device", ",".join(words)]
