# SPDX-License-Identifier: Apache-2.0
"""What a node tracks: devices, claims, and what was overruled."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.node import context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.tracker import device as tracked


class TrackedDevices:
    """The tracked devices of a node, to be read.

    :param on: the node
    """

    def __init__(self, on: context.Node) -> None:
        self._node = on

    def devices(self) -> tuple[tracked.Device, ...]:
        """The tracked devices, or those that a first sync would track."""
        if not self._node.has_state:
            return tuple(self._node.declared.desired)
        try:
            return tuple(self._node.given().recorded)
        except exception.HostError:
            # What is recorded can be told without the host.
            return self._recorded()

    def device(self, address: pci_address.PciAddress) -> tracked.Device:
        """One of :meth:`devices`.

        :raises DeviceNotFound: it is not among them
        """
        for device in self.devices():
            if device.address == address:
                return device
        raise exception.DeviceNotFound(
            f"device {address} is not tracked",
            f"'nova-vfio config explain {address}' says why",
        )

    def devices_of(self, instance_uuid: str) -> tuple[tracked.Device, ...]:
        """The devices that an instance has.

        :raises ClaimError: it has none
        """
        found = tuple(
            device
            for device in (self.devices() if self._node.has_state else ())
            if device.instance_uuid == instance_uuid
        )
        if not found:
            raise nothing_claimed(instance_uuid)
        return found

    def claims(self) -> tuple[tracked.Claim, ...]:
        """All claims."""
        with self._node.open_store(read_only=True) as store:
            return store.claims()

    def verdict(
        self,
        address: pci_address.PciAddress,
        instance_uuid: str | None = None,
        together: ty.Collection[pci_address.PciAddress] | None = None,
    ) -> assignability.Verdict:
        """The verdict on a device; unknown where no host can be seen.

        :param instance_uuid: who is to have it; None for any
        :param together: all devices that its guest gets; None where that
            isn't known yet
        """
        from nova_vfio_variant.host.decide import assignability, obstacles

        try:
            return self._node.verdicts.at(address, instance_uuid, together)
        except exception.HostError as error:
            return assignability.Verdict(
                unknown=(
                    obstacles.not_known(
                        address, error.message, error.hint or ""
                    ),
                )
            )

    def allowances(
        self,
    ) -> dict[pci_address.PciAddress, dict[str, str]]:
        """The obstacles that somebody overruled: address, code, reason.

        Those that were said of another function than the one that is there
        now are left out.

        :raises HostError: see :attr:`tree`
        """
        from nova_vfio_variant.tracker import allowance

        if not self._node.has_state:
            return {}
        with self._node.open_store(read_only=True) as store:
            found = store.allowances.all()
        return allowance.standing(found, self._node.scan.get) if found else {}

    def _recorded(self) -> tuple[tracked.Device, ...]:
        with self._node.open_store(read_only=True) as store:
            return tuple(store.devices())


def nothing_claimed(instance_uuid: str) -> exception.ClaimError:
    """The error that an instance has no device."""
    return exception.ClaimError(
        f"instance {instance_uuid} has claimed nothing",
        "'nova-vfio claim list' shows all claims",
    )
