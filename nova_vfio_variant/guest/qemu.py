# SPDX-License-Identifier: Apache-2.0
"""The QEMU arguments that give a device to a guest."""

from __future__ import annotations

from nova_vfio_variant.tracker import device as tracked

_LARGEST_SHORT_DOMAIN = 0xFFFF


def arguments(device: tracked.Device) -> list[str]:
    """``-device vfio-pci,…`` for one device.

    The id is made of the address, so that it stays the same from start to
    start. A domain of more than four digits, as VMD's, is named by its folder
    in sysfs, since not every QEMU takes it in ``host=``.
    """
    name = "hostdev-" + str(device.address).replace(":", "-").replace(".", "-")
    where = (
        f"host={device.address}"
        if device.address.domain <= _LARGEST_SHORT_DOMAIN
        else f"sysfsdev=/sys/bus/pci/devices/{device.address}"
    )
    return ["-device", f"vfio-pci,{where},id={name}"]
