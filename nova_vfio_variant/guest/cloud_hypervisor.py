# SPDX-License-Identifier: Apache-2.0
"""The Cloud Hypervisor arguments that give devices to a guest."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.guest import devices


def arguments(passed: ty.Iterable[devices.Passed]) -> list[str]:
    """``--device`` with a value for each device (``docs/vfio.md``).

    :raises ClaimError: it has no such devices
    """
    words = ["--device"]
    for device in passed:
        if isinstance(device, devices.Mediated) and device.model != "vfio-pci":
            raise exception.ClaimError(
                f"Cloud Hypervisor takes no {device.model} device,"
                f" as {device.uuid} is",
                "'nova-vfio guest xml' and 'guest qemu' have it",
            )
        words.append(
            f"path={devices.folder(device)}/,id={devices.guest_id(device)}"
        )
    return words
