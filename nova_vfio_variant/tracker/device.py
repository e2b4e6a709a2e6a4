# SPDX-License-Identifier: Apache-2.0
"""A tracked device and what is claimed, as values."""

from __future__ import annotations

import collections
import dataclasses
import enum
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function


class Status(enum.StrEnum):
    """Nova's statuses (nova.objects.fields.PciDeviceStatus)."""

    AVAILABLE = "available"
    CLAIMED = "claimed"
    ALLOCATED = "allocated"
    REMOVED = "removed"
    DELETED = "deleted"
    UNAVAILABLE = "unavailable"
    UNCLAIMABLE = "unclaimable"


class ClaimState(enum.StrEnum):
    """The life of a claim, in its order."""

    #: It is on disk; Placement and the host may know of it or not.
    CLAIMED = "claimed"
    #: Placement has it, and what was to be made on the host is made.
    PREPARED = "prepared"
    #: A guest has the devices, as who runs it said.
    ALLOCATED = "allocated"
    #: It is given back, and some of it may be already.
    RELEASING = "releasing"


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A PCI function that a device_spec names, as tracked.

    :param address: where it sits
    :param vendor_id: four lower-case hex digits
    :param product_id: four lower-case hex digits
    :param dev_type: ``type-VF``, ``vdpa``, ``type-PF`` or ``type-PCI``
    :param numa_node: None where the kernel knows none
    :param parent_addr: of a VF, its PF
    :param resource_class: normalised, as published
    :param traits: normalised and sorted, as published, the automatic ones
        (COMPUTE_MANAGED_PCI_DEVICE and so on) not among them
    :param tags: the spec's pool tags (``pci.spec.DeviceSpec.tags``)
    :param status: who may have it now
    :param instance_uuid: owner, while claimed or allocated
    :param request_id: which request of the instance it satisfies
    :param alias_name: by which alias it was claimed
    :param extra_info: strings only, as Nova's: ``managed`` ("true" or
        "false", always there), ``live_migratable``, ``parent_ifname``,
        ``driver``, ``iommu_group``, ``vfio_driver``
    :param pending: properties that wait until the device is freed, None if
        nothing waits; ``{}`` means that it is removed when freed
    :param identity: which function it is; None where an older version
        tracked it and nothing has been seen of it since
    """

    address: pci_address.PciAddress
    vendor_id: str
    product_id: str
    dev_type: str
    numa_node: int | None
    parent_addr: pci_address.PciAddress | None
    resource_class: str
    traits: tuple[str, ...] = ()
    tags: ty.Mapping[str, ty.Any] = dataclasses.field(default_factory=dict)
    status: Status = Status.AVAILABLE
    instance_uuid: str | None = None
    request_id: str | None = None
    alias_name: str | None = None
    extra_info: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    pending: ty.Mapping[str, ty.Any] | None = None
    identity: function.Identity | None = None

    @property
    def known(self) -> function.Identity:
        """Which function it is, as far as that was recorded."""
        return self.identity or function.Identity(
            self.vendor_id,
            self.product_id,
            physfn=None if self.parent_addr is None else str(self.parent_addr),
        )

    @property
    def managed(self) -> bool:
        """Whether libvirt detaches it from the host and gives it back."""
        return self.extra_info.get("managed", "true") == "true"


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The devices that an instance has through one alias, or of one type.

    :param instance_uuid: owner
    :param alias_name: by which alias; of mediated devices, their type's id
    :param request_id: UUID of this request; of mediated devices, the first
        one's assignment
    :param addresses: in rising order; none of mediated devices, for their
        parents are nobody's
    :param status: Nova's, of its devices: claimed or allocated
    :param mdevs: the UUIDs of mediated devices, in rising order
    :param state: where the instance's whole claim is in its life
    :param assignment: tells that claim from the instance's next
    """

    instance_uuid: str
    alias_name: str
    request_id: str
    addresses: tuple[pci_address.PciAddress, ...]
    status: Status
    mdevs: tuple[str, ...] = ()
    state: ClaimState = ClaimState.CLAIMED
    assignment: str = ""


def claims_of(
    devices: ty.Iterable[Device],
) -> tuple[Claim, ...]:
    """What devices in use make up, in rising order of address."""
    claims: dict[tuple[str, str], list[Device]] = collections.defaultdict(list)
    for one in devices:
        assert one.instance_uuid is not None
        claims[one.instance_uuid, one.request_id or ""].append(one)
    return tuple(
        Claim(
            instance_uuid,
            some[0].alias_name or "",
            request_id,
            tuple(one.address for one in some),
            some[0].status,
        )
        for (instance_uuid, request_id), some in sorted(
            claims.items(), key=lambda item: (item[0][0], item[1][0].address)
        )
    )


class Devices(ty.Sequence[Device]):
    """Devices in rising order of address, each made when it is looked at.

    Making 4,096 Devices takes longer than finding out that none of them has
    changed. So each has a mark: a text that stands for the properties last
    wanted of it (:func:`~nova_vfio_variant.tracker.properties.mark`).

    :param marks: number of the address -> mark, in rising order of number
    :param make: makes the device with this number
    :param generation: of the store that they were read from, 0 if none
    """

    def __init__(
        self,
        marks: ty.Mapping[int, str],
        make: ty.Callable[[int], Device],
        generation: int = 0,
    ) -> None:
        self.marks = marks
        self.make = make
        self.generation = generation
        self._numbers: list[int] | None = None

    def __len__(self) -> int:
        return len(self.marks)

    @ty.overload
    def __getitem__(self, index: int) -> Device: ...
    @ty.overload
    def __getitem__(self, index: slice) -> Devices: ...
    def __getitem__(self, index: int | slice) -> Device | Devices:
        if self._numbers is None:
            self._numbers = list(self.marks)
        if isinstance(index, slice):
            return self.only(self._numbers[index])
        return self.make(self._numbers[index])

    def __iter__(self) -> ty.Iterator[Device]:
        return map(self.make, self.marks)

    def get(self, address: pci_address.PciAddress) -> Device | None:
        """The device at an address, or None."""
        wanted = number(address)
        return self.make(wanted) if wanted in self.marks else None

    def only(self, numbers: ty.Iterable[int]) -> Devices:
        """Those with these numbers, which come in rising order."""
        return Devices(
            {n: self.marks[n] for n in numbers}, self.make, self.generation
        )


def number(address: pci_address.PciAddress) -> int:
    """An address as one number that sorts as the address does."""
    return (
        ((address.domain << 8 | address.bus) << 5 | address.slot) << 3
    ) | address.function
