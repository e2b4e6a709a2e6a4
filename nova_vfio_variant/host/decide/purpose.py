# SPDX-License-Identifier: Apache-2.0
"""What a function is wanted for."""

from __future__ import annotations

import dataclasses
import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function as observed


@dataclasses.dataclass(frozen=True, slots=True)
class Purpose:
    """What a function is wanted for.

    :param managed: what its ``<hostdev>`` will say; None where nothing is
        declared, so that either would do
    :param instance_uuid: the instance that is to have it; None for any that
        has nothing yet
    :param is_port: it goes to a port of Neutron's (``physical_network``),
        which takes vDPA devices too
    :param companions: members of its IOMMU group that ``host_spec`` lets
        ``host apply`` unbind
    :param mates: members of its IOMMU group that may go to the same guest,
        and that libvirt, or ``host apply``, puts on a VFIO driver
    :param driver: for ``host apply``, the VFIO driver that it is to go to; a
        claim on it is no obstacle then where it is on none yet, and what
        becomes of its VFs and its companions is the plan's to say
    :param vgpu_type: the id of the vGPU type that it is to have; None where
        it is wanted as it is
    """

    managed: bool | None = None
    instance_uuid: str | None = None
    is_port: bool = False
    companions: ty.Collection[pci_address.PciAddress] = ()
    mates: ty.Collection[pci_address.PciAddress] = ()
    driver: str | None = None
    vgpu_type: str | None = None

    def moves(self, function: observed.PciFunction) -> bool:
        """Whether a function has to leave what it is on now."""
        return self.driver is None or self.driver != function.driver


ANYBODY: ty.Final = Purpose()
