# SPDX-License-Identifier: Apache-2.0
"""What a vendor's vGPU folder means for giving a function away. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, obstacles, vgpu_capacity
from nova_vfio_variant.host.decide import purpose as purposes
from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_mode
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan, vgpu_card

#: Who makes cards that take vGPUs once a vGPU manager is loaded, and the base
#: class of displays.
_NVIDIA: ty.Final = "10de"
#: Of how many VFs a mend speaks.
_SHOWN: ty.Final = 3


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


def no_folder(
    scan: host_scan.HostScan, function: observed.PciFunction
) -> finding.Finding:
    """That a function can be given no type, and why."""
    vfs = [
        vf.address
        for vf in scan.functions
        if vf.has_vgpu_folder and vf.physfn == function.address
    ]
    hint = None
    if vfs:
        message = "it is a card's PF, and types are given to its VFs"
        hint = f"name a VF, such as {vfs[0]}"
    else:
        message = f"it takes no vGPUs: {why_none(scan, function)}"
    return finding.Finding(
        codes.NO_VGPU_FOLDER,
        message,
        subject=str(function.address),
        hint=hint,
    )


def why_none(scan: host_scan.HostScan, function: observed.PciFunction) -> str:
    """Why neither a function nor its VFs have a vendor's folder."""
    card = scan.get(vgpu_mode.card_of(function)) or function
    if (
        card.vendor_id != _NVIDIA
        or not card.is_display
        or not card.sriov_totalvfs
    ):
        return "it has no vendor's folder of vGPU types"
    if not card.sriov_numvfs:
        return "its VFs aren't made"
    if function.physfn is not None and function.driver != card.driver:
        return (
            f"it is on {function.driver or 'no driver'}, and not on its"
            " vendor's"
        )
    return "the vGPU manager isn't loaded"


def not_on_offer(
    card: vgpu_card.Card, vf: pci_address.PciAddress, type_id: str
) -> finding.Finding:
    """Why a VF can't be given a type that its card is known to have."""
    seen = card.vfs[vf]
    capacity = vgpu_capacity.of_type(card, type_id)
    name = capacity.vgpu_type.name
    said = f"it is not offered {f'{name} ({type_id})' if name else type_id}"
    if seen.garbled is not None:
        number, line = seen.garbled
        said += f": line {number} of its creatable_vgpu_types is {line!r}"
    elif seen.types is None:
        said += ": its creatable_vgpu_types can't be read"
    elif capacity.why is not None:
        said += f": {capacity.why}"
    elif not seen.types:
        said += ": its list is empty, and that of another VF has it"
    else:
        said += ": another VF is"
    return finding.Finding(
        codes.VGPU_NOT_ON_OFFER,
        said,
        subject=str(vf),
        hint=_instead(card, seen, capacity.why),
    )


def _instead(
    card: vgpu_card.Card,
    seen: vendor_vgpu.VendorVgpu,
    why: vgpu_capacity.Why | None,
) -> str:
    """What a VF is offered instead, or what makes room."""
    names = [f"{found.name} ({found.id})" for found in seen.types or ()]
    if names:
        more = len(names) - _SHOWN
        told = ", ".join(names[:_SHOWN])
        return f"it is offered {told}{f' and {more} more' * (more > 0)}"
    if why is vgpu_capacity.Why.NO_GPU_INSTANCE:
        return (
            "make a GPU instance, or end MIG mode: nvidia-smi mig -lgip -i"
            f" {card.address}"
        )
    taken = [
        address
        for address, vf in card.vfs.items()
        if vf.current not in (None, vendor_vgpu.NONE)
        and address not in card.closed
    ]
    if taken and why is not None:
        return f"free what is in the way: {frees(taken)}"
    return f"'nova-vfio vgpu types {card.address}' shows what it has"


def frees(vfs: ty.Iterable[pci_address.PciAddress]) -> str:
    """The commands that free VFs, of the first few."""
    commands = [f"nova-vfio vgpu set {vf} none" for vf in sorted(vfs)]
    more = len(commands) - _SHOWN
    told = "; ".join(commands[:_SHOWN])
    return f"{told}{f'; and {more} more' * (more > 0)}"
