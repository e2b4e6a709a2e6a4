# SPDX-License-Identifier: Apache-2.0
"""Who may have a device: Nova's state machine over PFs and their VFs.

A PF and its VFs are the same hardware, so they exclude each other. The rules
are those of ``nova.objects.pci_device.PciDevice``:

========  =================================  ===============================
          PF                                 VF
========  =================================  ===============================
claim     no VF in use; VFs unclaimable      PF not in use; PF unclaimable
allocate  VFs available or unclaimable;      PF not in use; PF unavailable
          VFs unavailable
free      VFs available                      PF available once all siblings
                                             are
remove    only while nobody has it           the same
========  =================================  ===============================

Nothing here asks anybody: devices in, devices out.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import properties

Status = tracked.Status

#: Somebody has the device.
IN_USE = frozenset({Status.CLAIMED, Status.ALLOCATED})
#: Somebody has the PF, or a VF, of the device.
BLOCKED = frozenset({Status.UNCLAIMABLE, Status.UNAVAILABLE})

#: Nova's CHILD_TYPES.
_VFS = frozenset({"type-VF", "vdpa"})
_PF = "type-PF"


def _head(device: tracked.Device) -> pci_address.PciAddress | None:
    """Of a VF, the address of its PF."""
    return device.parent_addr if device.dev_type in _VFS else None


class Families:
    """Devices by family, and what may be done with each.

    An operation that raises may have changed some devices: throw the object
    away then, as the store does.

    :param devices: with their PFs and their VFs, each address once; where any
        is freed or rated, with the other VFs of their PFs, too
    """

    def __init__(self, devices: ty.Iterable[tracked.Device]) -> None:
        self._devices: dict[pci_address.PciAddress, tracked.Device] = {}
        self._vfs: dict[
            pci_address.PciAddress, dict[pci_address.PciAddress, None]
        ] = collections.defaultdict(dict)
        for device in devices:
            self._devices[device.address] = device
            head = _head(device)
            if head is not None:
                self._vfs[head][device.address] = None
        self._changed: dict[pci_address.PciAddress, tracked.Device] = {}

    def __getitem__(self, address: pci_address.PciAddress) -> tracked.Device:
        """The device as it now is.

        :raises DeviceNotFound: it is not tracked
        """
        try:
            return self._devices[address]
        except KeyError:
            raise exception.DeviceNotFound(
                f"device {address} is not tracked",
                "'nova-vfio device list' names those that are",
            ) from None

    def changes(self) -> tuple[tracked.Device, ...]:
        """What differs from the start, removed devices included."""
        return tuple(self._changed.values())

    def claim(
        self,
        address: pci_address.PciAddress,
        instance_uuid: str,
        request_id: str | None = None,
        alias_name: str | None = None,
    ) -> None:
        """Reserve a device for an instance.

        :raises DeviceNotFound: it is not tracked
        :raises InvalidDeviceStatus: it, or one of its family, is in use
        """
        device = self[address]
        _expect(device, {Status.AVAILABLE})
        children = self._children(device)
        for child in children:
            # A child that is blocked while its PF is available is Nova's
            # bug 1969496; claiming the PF is what mends it.
            _expect(child, {Status.AVAILABLE, *BLOCKED}, device)
        for child in children:
            self._set(child, Status.UNCLAIMABLE)
        parent = self._parent(device)
        if parent is not None:
            _expect(parent, {Status.AVAILABLE, *BLOCKED}, device)
            if parent.status == Status.AVAILABLE:
                self._set(parent, Status.UNCLAIMABLE)
        self._put(
            dataclasses.replace(
                device,
                status=Status.CLAIMED,
                instance_uuid=instance_uuid,
                request_id=request_id,
                alias_name=alias_name,
            )
        )

    def allocate(
        self, address: pci_address.PciAddress, instance_uuid: str
    ) -> None:
        """Give a device to an instance.

        :param address: available, or claimed by the same instance
        :raises DeviceNotFound: it is not tracked
        :raises InvalidDeviceStatus: it is another's, or its family is in use
        """
        device = self[address]
        _expect(device, {Status.AVAILABLE, Status.CLAIMED})
        if device.status == Status.CLAIMED:
            _expect_owner(device, instance_uuid)
        children = self._children(device)
        for child in children:
            _expect(child, {Status.AVAILABLE, Status.UNCLAIMABLE}, device)
        for child in children:
            self._set(child, Status.UNAVAILABLE)
        parent = self._parent(device)
        if parent is not None:
            _expect(parent, {Status.AVAILABLE, *BLOCKED}, device)
            self._set(parent, Status.UNAVAILABLE)
        self._put(
            dataclasses.replace(
                device, status=Status.ALLOCATED, instance_uuid=instance_uuid
            )
        )

    def free(
        self, address: pci_address.PciAddress, instance_uuid: str | None = None
    ) -> None:
        """Take a device back. What waited for this moment is applied.

        :param instance_uuid: its owner; None to take it from whoever has it
        :raises DeviceNotFound: it is not tracked
        :raises InvalidDeviceStatus: nobody has it, or somebody else
        """
        device = self[address]
        _expect(device, IN_USE)
        if instance_uuid is not None:
            _expect_owner(device, instance_uuid)
        children = self._children(device)
        parent = self._parent(device)
        siblings_free = parent is not None and all(
            sibling.status == Status.AVAILABLE
            for sibling in self._children(parent)
            if sibling.address != address
        )
        self._release(device)
        for child in children:
            if child.status in BLOCKED:
                self._release(child)
        if parent is not None and siblings_free and parent.status in BLOCKED:
            self._release(parent)

    def remove(self, address: pci_address.PciAddress) -> None:
        """Stop to track a device.

        :raises DeviceNotFound: it is not tracked
        :raises InvalidDeviceStatus: somebody has it
        """
        device = self[address]
        _expect(device, {Status.AVAILABLE, *BLOCKED})
        self._drop(device)

    def put(self, device: tracked.Device) -> None:
        """Track a device, or give one that is tracked new properties."""
        self._put(device)

    def rate(self, address: pci_address.PciAddress) -> None:
        """Give a device that nobody has the status its family asks for.

        Nova makes a new device available whatever its family does; here a
        new VF below a PF that is in use is blocked from the start.
        """
        device = self[address]
        status = Status.AVAILABLE
        family = {child.status for child in self._children(device)}
        parent = self._parent(device)
        if parent is not None:
            family.add(parent.status)
        if Status.ALLOCATED in family:
            status = Status.UNAVAILABLE
        elif Status.CLAIMED in family:
            status = Status.UNCLAIMABLE
        if device.status not in IN_USE:
            self._set(device, status)

    def _release(self, device: tracked.Device) -> None:
        if device.pending is not None and not device.pending:
            self._drop(device)
            return
        waited = device.pending is not None
        if waited:
            device = properties.settled(device)
        self._put(
            dataclasses.replace(
                device,
                status=Status.AVAILABLE,
                instance_uuid=None,
                request_id=None,
                alias_name=None,
            )
        )
        if waited:
            self.rate(device.address)

    def _drop(self, device: tracked.Device) -> None:
        self._leave(device)
        del self._devices[device.address]
        self._changed[device.address] = dataclasses.replace(
            device,
            status=Status.REMOVED,
            instance_uuid=None,
            request_id=None,
            alias_name=None,
        )

    def _put(self, device: tracked.Device) -> None:
        before = self._devices.get(device.address)
        head = _head(device)
        if before is not None and _head(before) != head:
            self._leave(before)
        if head is not None:
            self._vfs[head][device.address] = None
        self._devices[device.address] = device
        self._changed[device.address] = device

    def _leave(self, device: tracked.Device) -> None:
        head = _head(device)
        if head is not None:
            self._vfs[head].pop(device.address, None)

    def _set(self, device: tracked.Device, status: Status) -> None:
        if device.status != status:
            self._put(dataclasses.replace(device, status=status))

    def _parent(self, device: tracked.Device) -> tracked.Device | None:
        """Its PF, if tracked: a plain card that stands there is none."""
        head = _head(device)
        parent = None if head is None else self._devices.get(head)
        return parent if parent and parent.dev_type == _PF else None

    def _children(self, device: tracked.Device) -> list[tracked.Device]:
        if device.dev_type != _PF:
            return []
        return [
            self._devices[address]
            for address in self._vfs.get(device.address, ())
        ]


def _expect(
    device: tracked.Device,
    statuses: ty.AbstractSet[Status],
    asked: tracked.Device | None = None,
) -> None:
    if device.status in statuses:
        return
    owner = (
        f" by instance {device.instance_uuid}" if device.instance_uuid else ""
    )
    subject = f"device {device.address} is {device.status}{owner}"
    if asked is not None:
        relation = "PF" if asked.dev_type in _VFS else "VF"
        subject = (
            f"device {asked.address} can't be used while its {relation}"
            f" {device.address} is {device.status}{owner}"
        )
    else:
        names = " or ".join(sorted(statuses))
        subject += f", not {names}"
    raise exception.InvalidDeviceStatus(subject)


def _expect_owner(device: tracked.Device, instance_uuid: str) -> None:
    if device.instance_uuid != instance_uuid:
        raise exception.InvalidDeviceStatus(
            f"device {device.address} is {device.status} by instance"
            f" {device.instance_uuid}, not {instance_uuid}"
        )
