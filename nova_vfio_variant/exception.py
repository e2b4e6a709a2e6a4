# SPDX-License-Identifier: Apache-2.0
"""Every error this project raises, in one tree.

::

    VfioVariantError             what a user may see: one clear line
    +-- ConfigError              the configuration can't be used
    +-- HostError                the host, or a recording of it
    |   +-- RecordedHostError    a recorded host that can't be trusted
    |   +-- HostRefused          a change of the host that is refused
    |   +-- HostStepFailed       a step that failed or did not take effect
    |   +-- HostStepHung         a step that passed its deadline
    |   +-- JournalError         the journal can't be read or continued
    +-- StoreError               the state database
    |   +-- StoreVersionError    made by a newer version
    |   +-- StoreOutdatedError   made by an older one, and only to be read
    |   +-- StoreCorruptError    kept aside, and named
    +-- LockTimeout              another process holds a lock
    +-- DeviceNotFound           no such device is tracked, or has that name
    +-- NamingError              a name that a device can't have, or lose
    |   +-- InvalidName          it is written as no name is
    |   +-- NameExists           another device has it
    |   +-- AlreadyRegistered    the device has one
    |   +-- NamedDeviceInUse     somebody has the device
    +-- ClaimError               a claim can't be made or ended
    |   +-- NotEnoughDevices     the request doesn't fit
    |   +-- InvalidDeviceStatus  not possible in this status
    +-- CloudError               a cloud that is asked for its flavors
    +-- PlacementError           Placement
        +-- PlacementUnreachable down, slow, or broken on the way
        +-- PlacementDenied      401 or 403
        +-- PlacementConflict    generations moved again and again
        +-- PlacementRefused     an answer that no retry can change
        +-- InventoryRefused     what we don't own or mustn't publish
"""

from __future__ import annotations

import re
import typing as ty

from nova_vfio_variant import shown

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding


class VfioVariantError(Exception):
    """The root of the tree.

    :param message: one sentence without a full stop
    :param hint: what to do about it
    :param findings: all that it is about, each with its place
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        findings: ty.Sequence[finding.Finding] = (),
    ) -> None:
        self.message = shown.short(message)
        self.hint = hint and shown.short(hint, shown.HINT)
        self.findings = tuple(findings)
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """That of the first finding, or the name of the kind of error.

        As ``not_enough_devices``.
        """
        if self.findings:
            return self.findings[0].code.id
        name = type(self).__name__.removesuffix("Error")
        return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

    def __str__(self) -> str:
        if self.hint is None:
            return self.message
        return f"{self.message} ({self.hint})"


class ConfigError(VfioVariantError):
    """The configuration has errors that stop a command: its findings."""


class HostError(VfioVariantError):
    """Something about the host, or about a recording of one."""


class RecordedHostError(HostError):
    """A recorded host that is truncated, or has members that leave it."""


class HostRefused(HostError):
    """A change of the host that would be dangerous, by its findings."""


class HostStepFailed(HostError):
    """A step failed, or reading back showed that it had no effect."""


class HostStepHung(HostError):
    """A step did not end before its deadline."""


class JournalError(HostError):
    """The journal is garbled, or made by a newer version."""


class StoreError(VfioVariantError):
    """The state database can't be used."""


class StoreVersionError(StoreError):
    """The state database was made by a newer version."""


class StoreOutdatedError(StoreError):
    """An older version made it; whoever writes upgrades it first."""


class StoreCorruptError(StoreError):
    """The state database is corrupt; it was kept aside."""


class LockTimeout(VfioVariantError):
    """Another process holds the lock; the message says which."""


class DeviceNotFound(VfioVariantError):
    """No device with this address is tracked, or none is called so."""


class NamingError(VfioVariantError):
    """A device can't have a name, or can't lose it."""


class InvalidName(NamingError):
    """It is written as no name is."""


class NameExists(NamingError):
    """Another device of the host has this name."""


class AlreadyRegistered(NamingError):
    """The device has a name."""


class NamedDeviceInUse(NamingError):
    """Somebody has the device, and may know it by its name."""


class ClaimError(VfioVariantError):
    """A claim can't be made or ended."""


class NotEnoughDevices(ClaimError):
    """The free devices do not satisfy the request."""


class InvalidDeviceStatus(ClaimError):
    """The operation isn't possible in the device's status."""


class CloudError(VfioVariantError):
    """A cloud isn't known, can't be reached, or lacks what is asked for."""


class PlacementError(VfioVariantError):
    """Something about Placement."""


class PlacementUnreachable(PlacementError):
    """Placement is down, slow, or broke off."""


class PlacementDenied(PlacementError):
    """Placement refused our credentials or our role."""


class PlacementConflict(PlacementError):
    """Generations moved again and again while we wrote."""


class PlacementRefused(PlacementError):
    """Placement gave an answer that no retry can change."""


class InventoryRefused(PlacementError):
    """We won't publish there: not ours, or Nova publishes itself."""
