# SPDX-License-Identifier: Apache-2.0
"""Which devices of an instance can move to another host with it."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.declaration import movable
from nova_vfio_variant.guest import devices
from nova_vfio_variant.host.decide import migration
from nova_vfio_variant.host.observe import migration as observed
from nova_vfio_variant.node import guests

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan, mdev
    from nova_vfio_variant.node import context
    from nova_vfio_variant.tracker import device as tracked

_POST_COPY: ty.Final = ("libvirt", "live_migration_permit_post_copy")


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceMove:
    """Whether one device of an instance can move.

    :param device: as its guest is given it
    :param declared: what its device_spec says; None where it doesn't, and of
        a mediated device, of which none does
    :param movable: the answer, with what beside it in the guest counts
    """

    device: devices.Passed
    declared: bool | None
    movable: migration.Movable

    @property
    def can(self) -> bool:
        """Whether nothing is known against it."""
        return self.movable.answer is not migration.Answer.NO


class Migration:
    """What of a node's instances can move.

    :param on: what one call sees of the node
    """

    def __init__(self, on: context.Context) -> None:
        self._context = on

    def check(self, instance_uuid: str) -> tuple[DeviceMove, ...]:
        """Each device of an instance: functions, then mediated devices.

        Nothing is opened for it, so that a guest may run.

        :raises ClaimError: it has none
        :raises HostRefused: one of its mediated devices isn't there
        :raises HostError: the host can't be seen
        """
        passed = guests.Guests(self._context).of_instance(instance_uuid)
        scan = self._context.scan
        mdevs = self._context.verdicts.facts.mdevs
        found = [
            of_mdev(scan, mdevs, device)
            if isinstance(device, devices.Mediated)
            else of_tracked(scan, device)
            for device in passed
        ]
        return tuple(
            DeviceMove(
                device,
                None
                if isinstance(device, devices.Mediated)
                else is_declared(device),
                answer,
            )
            for device, answer in zip(
                passed, migration.together(found), strict=True
            )
        )

    @property
    def permits_post_copy(self) -> bool:
        """Whether Nova may switch to it, which such devices refuse."""
        if not self._context.is_configured:
            return False
        return bool(self._context.observed.options.get(_POST_COPY))


def is_declared(device: tracked.Device) -> bool | None:
    """What the device_spec of a tracked device says of migration."""
    told = device.extra_info.get("live_migratable")
    return None if told is None else told == "true"


def of_tracked(
    scan: host_scan.HostScan, device: tracked.Device
) -> migration.Movable:
    """Whether a tracked device can be migrated by itself."""
    seen = scan.get(device.address)
    if seen is None or device.known.is_another(seen.identity):
        what = "nothing" if seen is None else "another device"
        return migration.Movable(
            migration.Answer.NO, f"{what} is at its address now"
        )
    return movable.of_function(
        scan,
        seen,
        managed=device.managed,
        live_migratable=is_declared(device),
    )


def of_mdev(
    scan: host_scan.HostScan, mdevs: mdev.Mdevs, device: devices.Mediated
) -> migration.Movable:
    """Whether a mediated device can be migrated, alone in its guest.

    Its own driver is its vendor's. On s390 the kind tells.
    """
    driver = device.model
    if device.model == devices.MODELS[0]:
        driver = mdevs.devices[device.uuid].driver or driver
    return migration.of_driver(driver, observed.read(scan.tree, device.uuid))
