# SPDX-License-Identifier: Apache-2.0
"""What of a node a guest is given."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.guest import devices
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.decide import mdev_obstacles, refusal
from nova_vfio_variant.host.observe import topology
from nova_vfio_variant.node import context as node_context
from nova_vfio_variant.node import mdev_wishes, tracked_devices

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address


class Guests:
    """The devices of a node, as guests get them.

    :param on: the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def of_instance(self, instance_uuid: str) -> tuple[devices.Passed, ...]:
        """All that an instance has: PCI functions, then mediated devices.

        :raises ClaimError: it has none
        :raises HostRefused: one of its mediated devices isn't there
        """
        mediated: tuple[devices.Mediated, ...] = ()
        if self._context.has_state:
            with self._context.open_store(read_only=True) as store:
                ours = store.mdevs.all().values()
            mediated = tuple(
                self.mediated(made.uuid)
                for made in ours
                if made.instance_uuid == instance_uuid
            )
        try:
            functions = tracked_devices.TrackedDevices(
                self._context
            ).devices_of(instance_uuid)
        except exception.ClaimError:
            if not mediated:
                raise
            functions = ()
        return (*functions, *mediated)

    def mediated(self, uuid: str) -> devices.Mediated:
        """A mediated device, whoever made it.

        :raises HostRefused: the UUID is none, it isn't there, or no guest
            can be told what it is
        :raises HostError: the host can't be seen
        """
        seen = self._context.verdicts.facts.mdevs
        uuid = mdev_wishes.parsed(uuid)
        there = seen.devices.get(uuid)
        if there is None or there.goes:
            raise refusal.error((mdev_obstacles.gone(uuid),))
        parent = seen.parents[there.parent]
        offered = parent.type_of(there.type_id or "")
        told = None if offered is None else offered.device_api
        if told not in devices.MODELS:
            raise refusal.error(
                (
                    refusal.because(
                        host_codes.NOT_KNOWN,
                        uuid,
                        f"the device_api of type {there.type_id} below"
                        f" {parent.name} is {told or 'not told'}",
                        "libvirt and QEMU know " + ", ".join(devices.MODELS),
                    ),
                )
            )
        return devices.Mediated(uuid, told)

    def against(self, device: devices.Mediated) -> tuple[finding.Finding, ...]:
        """What keeps a mediated device from a guest that starts now."""
        return mdev_obstacles.in_use(self._context.verdicts.facts, device.uuid)

    @property
    def vendor_vgpus(self) -> ty.Collection[pci_address.PciAddress]:
        """The VFs that have a vendor's vGPU folder.

        :raises HostError: the host can't be seen
        """
        return self._context.verdicts.facts.vgpus.keys()

    def check_iommufd(self, passed: ty.Iterable[devices.Passed]) -> None:
        """See that devices can be reached by iommufd.

        Only a device's VFIO driver makes its file, and only in a kernel that
        has iommufd.

        :raises ClaimError: one of them has no such file
        :raises HostError: the host can't be seen
        """
        tree = self._context.tree
        for device in passed:
            if topology.has_device_file(tree, devices.folder(device)[1:]):
                continue
            why = "this kernel makes none (CONFIG_VFIO_DEVICE_CDEV)"
            hint = "without --iommufd it is reached by its group"
            if not isinstance(device, devices.Mediated):
                function = self._context.function(device.address)
                if not function.vfio:
                    why = f"its driver is {function.driver or 'none'}"
                    if device.address not in self.vendor_vgpus:
                        hint = (
                            f"'nova-vfio device bind {device.address}' binds"
                            " it to its VFIO driver"
                        )
            raise exception.ClaimError(
                f"{devices.name(device)} has no file for iommufd: {why}", hint
            )

    def showing(
        self, passed: ty.Iterable[devices.Passed], wanted: str
    ) -> devices.Passed:
        """The one of a guest's devices that its console is to show.

        :param wanted: its UUID or address, as text
        :raises ClaimError: it is none of them, or has no display
        """
        known = {devices.name(device): device for device in passed}
        device = known.get(wanted.lower())
        if device is None:
            raise exception.ClaimError(
                f"{wanted} is no device of this guest",
                f"it has {', '.join(known)}",
            )
        if isinstance(device, devices.Mediated):
            what = None if device.model == "vfio-pci" else device.model
        else:
            function = self._context.function(device.address)
            what = (
                None
                if function.is_display
                else f"class 0x{function.class_code:06x}"
            )
        if what is not None:
            raise exception.ClaimError(
                f"{wanted} has no display: it is {what}",
                "name a vGPU",
            )
        return device
