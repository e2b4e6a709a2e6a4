# SPDX-License-Identifier: Apache-2.0
"""One PCI function as it was observed on a host."""

from __future__ import annotations

import dataclasses
import enum
import typing as ty

from nova_vfio_variant.pci import address as pci_address

#: Base class of bridges, and subclasses (PCI_CLASS_BRIDGE_... in
#: include/linux/pci_ids.h) of what forwards PCI: to another PCI bus, to
#: CardBus, or semi-transparently.
_BRIDGE = 0x06
_HOST_BRIDGE = 0x0600
#: Base class of display controllers: VGA, 3D, and others such.
_DISPLAY = 0x03
_BRIDGES = frozenset({0x0604, 0x0607, 0x0609})
#: A PCI-to-PCI bridge, and a CardBus bridge (PCI_HEADER_TYPE_... in
#: include/uapi/linux/pci_regs.h).
_BRIDGE_HEADERS = frozenset({1, 2})


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
class Identity:
    """Which device it is, for an address alone doesn't say so.

    A card that is added moves the numbers of others. None stands for what
    the host didn't say.

    :param vendor_id: four lower-case hex digits
    :param product_id: likewise
    :param subsystem: ``vendor:device``, likewise
    :param serial_number: where the kernel gives it
    :param physfn: of a VF, the address of its PF, as text
    :param vf_index: of a VF, which of its PF's it is
    """

    vendor_id: str
    product_id: str
    subsystem: str | None = None
    serial_number: str | None = None
    physfn: str | None = None
    vf_index: int | None = None

    @classmethod
    def of_data(cls, data: ty.Mapping[str, ty.Any]) -> Identity:
        """An identity of plain values.

        :raises TypeError: it is none
        """
        for name, value in data.items():
            known: type = int if name == "vf_index" else str
            if not isinstance(value, known | None) or value is True:
                raise TypeError(f"{name} is {value!r}")
        return cls(**data)

    def is_another(self, other: Identity) -> bool:
        """Whether they are surely two devices: both know a fact, and differ.

        A VF is never a function that is none.
        """
        if (self.physfn is None) != (other.physfn is None):
            return True
        return any(
            mine is not None and theirs is not None and mine != theirs
            for mine, theirs in zip(
                dataclasses.astuple(self),
                dataclasses.astuple(other),
                strict=True,
            )
        )

    def may_be(self, seen: PciFunction | None) -> bool:
        """Whether it may be what is seen at its address.

        :param seen: None where nothing is seen there
        """
        return seen is None or not self.is_another(seen.identity)

    def may_have_moved_to(self, other: Identity) -> bool:
        """Whether it may be the same device at another address.

        The PF of a VF moves with it.
        """
        if self.physfn is not None and other.physfn is not None:
            other = dataclasses.replace(other, physfn=self.physfn)
        return not self.is_another(other)

    @property
    def shown(self) -> str:
        """As a sentence names it."""
        parts = [f"{self.vendor_id}:{self.product_id}"]
        if self.subsystem not in (None, "0000:0000"):
            parts.append(f"subsystem {self.subsystem}")
        if self.serial_number is not None:
            parts.append(f"serial number {self.serial_number}")
        if self.physfn is not None:
            number = "" if self.vf_index is None else f" {self.vf_index}"
            parts.append(f"VF{number} of {self.physfn}")
        return ", ".join(parts)


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
    :param subsystem: vendor and device of the subsystem, each four lower-case
        hex digits, with a colon between them
    :param serial_number: of the function (``serial_number``, since Linux
        6.18)
    :param vf_index: of a VF, which of its PF's it is; from 0 on
    :param header_type: layout of its configuration space, read only where
        the class leaves open whether it is a bridge; if it can't be,
        ``config`` is lost
    :param has_vgpu_folder: it has a vendor's folder of vGPU types
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
    subsystem: str | None = None
    serial_number: str | None = None
    vf_index: int | None = None
    header_type: int | None = None
    has_vgpu_folder: bool = False

    @property
    def identity(self) -> Identity:
        """What tells it from another card at the same address."""
        return Identity(
            self.vendor_id,
            self.product_id,
            self.subsystem,
            self.serial_number,
            None if self.physfn is None else str(self.physfn),
            self.vf_index,
        )

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
    def variant_driver(self) -> str | None:
        """The bound driver's name if it is one made for some functions."""
        return None if self.vfio_driver == "vfio-pci" else self.vfio_driver

    @property
    def is_bridge(self) -> bool:
        """Whether it forwards PCI: to what stands behind it.

        Such a one is never passed through and never binds to VFIO. Others
        of its base class (ISA, "other bridge" such as an NVSwitch) are
        functions like any.
        """
        return forwards(self.class_code, self.header_type)

    @property
    def is_host_bridge(self) -> bool:
        """Whether it is the root of a hierarchy, with nothing to give."""
        return is_host_bridge(self.class_code)

    @property
    def is_any_bridge(self) -> bool:
        """Whether it is a bridge of either kind, which no guest is given."""
        return self.is_bridge or self.is_host_bridge

    @property
    def is_display(self) -> bool:
        """Whether its base class is that of GPUs, with a screen or none."""
        return self.class_code >> 16 == _DISPLAY

    @property
    def has_bridge_class(self) -> bool:
        """Whether its base class is that of bridges, of any kind.

        Nobody means such a one by an entry that could mean others as well.
        """
        return self.class_code >> 16 == _BRIDGE


def is_host_bridge(class_code: int) -> bool:
    """Whether a function of this class is the root of a hierarchy."""
    return class_code >> 8 == _HOST_BRIDGE


def forwards(class_code: int, header_type: int | None) -> bool:
    """Whether a function of this class and header forwards PCI.

    :param header_type: None where it isn't known
    """
    return class_code >> 8 in _BRIDGES or header_type in _BRIDGE_HEADERS


def is_open_class(class_code: int) -> bool:
    """Whether the class leaves open if it is a bridge, and the header tells.

    A class of another base is never that of a bridge.
    """
    return (
        class_code >> 16 == _BRIDGE
        and class_code >> 8 not in _BRIDGES
        and not is_host_bridge(class_code)
    )
