# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups: who is in one, and whether a guest may have it.

A group is viable, the kernel says, while nobody but the guest does DMA: each
member has no driver, a VFIO driver, or a driver that leaves the DMA to others
(``iommu_device_use_default_domain()`` in drivers/iommu/iommu.c). What a member
is, a bridge or not, makes no difference.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.observe import vfio
from nova_vfio_variant.pci import function

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan

#: The drivers of PCI functions that set ``driver_managed_dma``
#: (drivers/pci/pcie/portdrv.c, drivers/pci/pci-stub.c); those of VFIO do too.
MANAGED_DMA: ty.Final = frozenset({"pcieport", "pci-stub"})


def members(
    scan: host_scan.HostScan, function: function.PciFunction
) -> tuple[function.PciFunction, ...]:
    """The other members of a function's group, in rising order of address.

    Those that could not be read are missing: ``HostScan.hidden``.
    """
    if function.iommu_group is None:
        return ()
    found = (
        scan.get(address)
        for address in scan.iommu_groups.get(function.iommu_group, ())
        if address != function.address
    )
    return tuple(seen for seen in found if seen is not None)


def leaves_viable(
    scan: host_scan.HostScan, member: function.PciFunction
) -> bool | None:
    """Whether a group with this member, as it is now, can be a guest's.

    :returns: None where its driver can't be known
    """
    if member.vfio:
        return True
    if "driver" in member.lost:
        return None
    if member.driver is None or member.driver in MANAGED_DMA:
        return True
    # Before Linux 6.1 a function on a variant driver shows no vfio-dev/.
    return bool(vfio.is_driver(scan, member.driver))


def in_the_way(
    scan: host_scan.HostScan, function: function.PciFunction
) -> tuple[function.PciFunction, ...]:
    """The other members of its group that keep it from a guest now.

    Those of which it can't be known are among them.
    """
    return tuple(
        seen
        for seen in members(scan, function)
        if not leaves_viable(scan, seen)
    )
