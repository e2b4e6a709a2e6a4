# SPDX-License-Identifier: Apache-2.0
"""The Cloud Hypervisor arguments that give devices to a guest."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.guest import devices

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address


def arguments(
    passed: ty.Iterable[devices.Passed],
    vgpus: ty.Container[pci_address.PciAddress] = (),
) -> list[str]:
    """``--device`` with a value for each device (``docs/vfio.md``).

    :param vgpus: the VFs that have a vendor's vGPU folder, which no guest of
        it can use (its issue 7572)
    :raises ClaimError: it has no such devices
    """
    words = ["--device"]
    for device in passed:
        if (what := _foreign(device, vgpus)) is not None:
            raise exception.ClaimError(
                f"Cloud Hypervisor takes no {what} device,"
                f" as {devices.name(device)} is",
                "'nova-vfio guest xml' and 'guest qemu' have it",
            )
        words.append(
            f"path={devices.folder(device)}/,id={devices.guest_id(device)}"
        )
    return words


def _foreign(
    device: devices.Passed, vgpus: ty.Container[pci_address.PciAddress]
) -> str | None:
    """What a device is that it can't give to a guest; None if it can."""
    if isinstance(device, devices.Mediated):
        return None if devices.is_pci(device) else device.model
    return "vendor's vGPU" if device.address in vgpus else None
