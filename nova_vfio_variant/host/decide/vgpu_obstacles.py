# SPDX-License-Identifier: Apache-2.0
"""What a vendor's vGPU folder means for giving a function away. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, obstacles
from nova_vfio_variant.host.decide import purpose as purposes
from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.pci import function as observed


def of_vgpu(
    function: observed.PciFunction,
    vendor: vendor_vgpu.VendorVgpu | None,
    purpose: purposes.Purpose,
) -> ty.Iterator[finding.Finding]:
    """What a function is good for as a vGPU.

    :param vendor: what its vendor's folder says; None if it has none
    """
    if vendor is None:
        yield _other_type(function, "it has no vendor's vGPU folder")
        return
    wanted = purpose.vgpu_type
    if vendor.current is None:
        yield obstacles.not_known(
            function.address, "its current_vgpu_type could not be read"
        )
    elif vendor.current == vendor_vgpu.NONE:
        yield _untyped(function, vendor, wanted)
    elif wanted not in (None, vendor.current):
        yield _other_type(function, f"it has vGPU type {vendor.current}")
    elif not function.vfio:
        yield no_vfio_dev(function)
    if purpose.managed and (
        wanted is not None
        or (function.vfio and vendor.current not in (None, vendor_vgpu.NONE))
    ):
        yield finding.Finding(
            codes.VENDOR_REBIND,
            f"managed is yes: libvirt would take it from {function.driver},"
            " and it would take no guest any more",
            subject=str(function.address),
        )


def no_vfio_dev(function: observed.PciFunction) -> finding.Finding:
    """Its driver doesn't serve VFIO, whatever it is called."""
    return finding.Finding(
        codes.NO_VFIO_DEV,
        f"its driver {function.driver or 'is missing, and'} shows no"
        " vfio-dev/, by which libvirt knows a VFIO driver",
        subject=str(function.address),
    )


def _untyped(
    function: observed.PciFunction,
    vendor: vendor_vgpu.VendorVgpu,
    wanted: str | None,
) -> finding.Finding:
    full = ", and its card has room for none" if vendor.is_full else ""
    if wanted is None:
        return finding.Finding(
            codes.NO_VGPU_TYPE,
            f"it has no vGPU type{full}",
            subject=str(function.address),
        )
    if vendor.creatable is None:
        return obstacles.not_known(
            function.address, "its creatable_vgpu_types could not be read"
        )
    if wanted not in vendor.creatable:
        return _other_type(
            function, full.removeprefix(", and ") or "it is offered others"
        )
    return finding.Finding(
        codes.VGPU_TYPE_TO_SET,
        f"it has no vGPU type, and can be given {wanted}",
        subject=str(function.address),
    )


def _other_type(function: observed.PciFunction, why: str) -> finding.Finding:
    return finding.Finding(
        codes.OTHER_VGPU_TYPE,
        f"it can't be given the vGPU type that is asked for: {why}",
        subject=str(function.address),
    )
