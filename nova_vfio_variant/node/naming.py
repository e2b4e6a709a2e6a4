# SPDX-License-Identifier: Apache-2.0
"""What the devices of a node are called, and what could be."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import syncing, tracked_devices
from nova_vfio_variant.tracker import names

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding
    from nova_vfio_variant.node import context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Nameable:
    """A function, and whether it could be given a name.

    :param seen: the function
    :param name: what it is called; None for nothing
    :param why_not: why it can't be given a name; None if it can
    """

    seen: function.PciFunction
    name: names.Name | None
    why_not: str | None


class Naming:
    """The names of a node's devices.

    :param on: what one call sees of the node
    """

    def __init__(self, on: context.Context) -> None:
        self._context = on

    def all(self) -> tuple[names.Name, ...]:
        """All names, whatever stands at their addresses now."""
        if not self._context.has_state:
            return ()
        with self._context.open_store(read_only=True) as store:
            return store.names.all()

    def standing(self) -> dict[pci_address.PciAddress, names.Name]:
        """Those of the functions that are there now, or can't be seen."""
        return {
            name.address: name
            for name in self.all()
            if name.is_of(self.seen(name.address))
        }

    def seen(
        self, address: pci_address.PciAddress
    ) -> function.PciFunction | None:
        """The function at an address, as far as the host can be seen."""
        with contextlib.suppress(exception.HostError):
            return self._context.scan.get(address)
        return None

    def address_of(self, word: str) -> pci_address.PciAddress:
        """Where the device stands that has this id, or else this name.

        :raises DeviceNotFound: none has, or another function stands there now
        """
        name = self._find(self.all(), word)
        seen = self.seen(name.address)
        if seen is None or name.is_of(seen):
            return name.address
        raise exception.DeviceNotFound(
            f"{name.name} is the name of {name.identity.shown} at"
            f" {name.address}, and {seen.identity.shown} stands there now",
            f"'nova-vfio device unregister {name.name}' takes the name away;"
            f" name the other one by its address",
        )

    def register(
        self, address: pci_address.PciAddress, name: str | None = None
    ) -> names.Name:
        """Give a device that a ``device_spec`` names a name of its own.

        :param name: None for ``pci-DDDD-BB-DD-F``
        :raises NamingError: it can't be this one, or the device has one
        :raises DeviceNotFound: no ``device_spec`` names it
        :raises HostRefused: it isn't the device that is tracked
        :raises HostError: the host has no such function
        """
        identity = self._context.function(address).identity
        tracking = tracked_devices.TrackedDevices(self._context)
        syncing.declared(self._context)
        with syncing.locked(self._context) as store:
            syncing.sync(self._context, store)
            if not any(one.address == address for one in store.devices()):
                raise exception.DeviceNotFound(
                    f"no device_spec names {address}, which can have no name",
                    f"'nova-vfio config explain {address}' says why",
                )
            _expect_same(tracking.verdict(address).blocking)
            made = store.names.add(address, name, identity)
        _LOG.info("device %s: is called %s", address, made.name)
        return made

    def unregister(self, word: str) -> names.Name:
        """Take a device's name away.

        :param word: its id, name, or address, whatever stands there now
        :returns: what it was
        :raises DeviceNotFound: none has it
        :raises NamedDeviceInUse: somebody has claimed the device
        """
        if not self._context.has_state:
            raise _nobody(word)
        syncing.upgrade(self._context)
        with syncing.locked(self._context) as store:
            name = self._find(store.names.all(), word)
            device = store.devices().get(name.address)
            if device is not None and device.instance_uuid is not None:
                raise exception.NamedDeviceInUse(
                    f"{name.name} ({name.address}) is claimed by instance"
                    f" {device.instance_uuid}",
                    "give the claim back first: 'nova-vfio claim delete"
                    f" --instance {device.instance_uuid}'",
                )
            store.names.remove(name)
        _LOG.info("device %s: is no longer called %s", name.address, name.name)
        return name

    def available(self) -> tuple[Nameable, ...]:
        """All functions of the host, and which could be given a name.

        :raises ConfigError: the configuration has errors
        """
        known = {name.address: name for name in self.all()}
        named = {one.address for one in self._context.declared.desired}
        return tuple(
            self._nameable(seen, known.get(seen.address), named)
            for seen in self._context.scan.functions
        )

    def _nameable(
        self,
        seen: function.PciFunction,
        name: names.Name | None,
        named: ty.Container[pci_address.PciAddress],
    ) -> Nameable:
        if name is not None:
            if name.is_of(seen):
                return Nameable(seen, name, f"it is called {name.name}")
            return Nameable(
                seen,
                None,
                f"{name.name} is said of {name.identity.shown}, which stood"
                " here: 'nova-vfio device unregister"
                f" {name.name}' takes that away",
            )
        if seen.is_any_bridge:
            return Nameable(seen, None, "it is a bridge")
        if seen.address not in named:
            return Nameable(seen, None, "no device_spec names it")
        tracking = tracked_devices.TrackedDevices(self._context)
        for obstacle in _exchanged(tracking.verdict(seen.address).blocking):
            return Nameable(seen, None, obstacle.message)
        return Nameable(seen, None, None)

    @staticmethod
    def _find(known: ty.Iterable[names.Name], word: str) -> names.Name:
        name = names.find(known, word)
        if name is None:
            raise _nobody(word)
        return name


def _nobody(word: str) -> exception.DeviceNotFound:
    return exception.DeviceNotFound(
        f"no device is called {word!r}",
        "'nova-vfio device list -c address -c name' shows all names",
    )


def _exchanged(
    found: ty.Iterable[finding.Finding],
) -> ty.Iterator[finding.Finding]:
    """The obstacles that say that it is another device than the tracked."""
    from nova_vfio_variant.host.decide import codes

    return (one for one in found if one.code is codes.ANOTHER_DEVICE)


def _expect_same(found: ty.Iterable[finding.Finding]) -> None:
    """See that a device is the tracked one.

    :raises HostRefused: it isn't
    """
    from nova_vfio_variant.host.decide import refusal

    against = [*_exchanged(found)]
    if against:
        raise refusal.error(against)
