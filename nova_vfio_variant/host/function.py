# SPDX-License-Identifier: Apache-2.0
"""One PCI function as it was observed on a host."""

import dataclasses
import enum

from nova_vfio_variant.pci import address as pci_address


class Kind(enum.StrEnum):
    """What role a function plays in SR-IOV."""

    PF = "PF"
    VF = "VF"
    PCI = "PCI"

    @property
    def dev_type(self) -> str:
        """Nova's word for it (nova.objects.fields.PciDeviceType)."""
        return f"type-{self}"


@dataclasses.dataclass(frozen=True, slots=True)
class PciFunction:
    """A PCI function as the kernel shows it in sysfs.

    None stands for what the host doesn't have or what could not be read;
    ``lost`` tells the two apart.

    :param address: where it sits
    :param vendor_id: four lower-case hex digits
    :param product_id: four lower-case hex digits
    :param class_code: 24 bits: base class, sub-class, interface
    :param driver: the bound driver's name
    :param vfio: a folder ``vfio-dev/`` stands under it, or the driver is
        ``vfio-pci``: the bound driver is a VFIO driver
    :param driver_override: what ``driver_override`` holds; None when unset
    :param iommu_group: number of its IOMMU group
    :param numa_node: None where the kernel says -1
    :param physfn: of a VF, its PF
    :param sriov_totalvfs: VFs that it could have; 0 if it is no PF
    :param sriov_numvfs: VFs that it has; 0 if it is no PF, None if not
        readable
    :param netdevs: names of its network interfaces, sorted
    :param mdev_types: ids of the mdev types that it offers, sorted
    :param modalias: as the kernel prints it
    :param card_serial_number: from the vital product data of the card
    :param lost: names of the files that are there and could not be read
    :param vdpa: a VF that carries a vDPA device
    """

    address: pci_address.PciAddress
    vendor_id: str
    product_id: str
    class_code: int
    driver: str | None = None
    vfio: bool = False
    driver_override: str | None = None
    iommu_group: int | None = None
    numa_node: int | None = None
    physfn: pci_address.PciAddress | None = None
    sriov_totalvfs: int = 0
    sriov_numvfs: int | None = 0
    netdevs: tuple[str, ...] = ()
    mdev_types: tuple[str, ...] = ()
    modalias: str | None = None
    card_serial_number: str | None = None
    lost: frozenset[str] = frozenset()
    vdpa: bool = False

    @property
    def kind(self) -> Kind:
        """PF, VF, or plain PCI."""
        if self.physfn is not None:
            return Kind.VF
        return Kind.PF if self.sriov_totalvfs else Kind.PCI

    @property
    def dev_type(self) -> str:
        """Nova's ``type-PF``, ``type-VF``, ``vdpa`` or ``type-PCI``.

        A VF that carries a vDPA device is no VF to Nova, and no alias can
        ask for it (``nova.virt.libvirt.host.Host._get_pcidev_info``).
        """
        return "vdpa" if self.vdpa else self.kind.dev_type

    @property
    def vfio_driver(self) -> str | None:
        """The bound driver's name if it is a VFIO driver."""
        return self.driver if self.vfio else None

    @property
    def is_bridge(self) -> bool:
        """A bridge is never passed through and never binds to VFIO."""
        return self.class_code >> 16 == 0x06
