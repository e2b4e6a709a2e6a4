# SPDX-License-Identifier: Apache-2.0
"""The QEMU arguments that give devices to a guest."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.guest import devices

#: The id of the object through which devices reach iommufd, where it is
#: wanted.
IOMMUFD: ty.Final = "iommufd0"
#: The number of the first passed device's root port. Those below are for what
#: else a machine has, so that a device keeps its number, and with it the name
#: that the guest's system gives a network interface, whatever that is.
FIRST_PORT: ty.Final = 16
#: As many root ports a q35 machine has room for on its root bus: 32 places,
#: less those of the host bridge and of the chipset (``hw/i386/pc_q35.c``).
MOST_PORTS: ty.Final = 30

_LARGEST_SHORT_DOMAIN = 0xFFFF


@dataclasses.dataclass(frozen=True, slots=True)
class Plugged:
    """A device in a guest's machine.

    :param device: which
    :param port: the id of the PCIe root port that it sits behind; None of
        what is no PCI device to the guest
    :param arguments: those of the port and of the device
    """

    device: devices.Passed
    port: str | None
    arguments: tuple[str, ...]


def value(text: object) -> str:
    """A text as one value among an option's: a comma is doubled there."""
    return str(text).replace(",", ",,")


def root_port(port: str, number: int) -> list[str]:
    """A PCIe root port of the machine's root bus.

    :param port: its id
    :param number: of its chassis and its slot, 1 to 255: no two ports of a
        machine may have the same
    """
    where = f"bus=pcie.0,chassis={number},slot={number}"
    return ["-device", f"pcie-root-port,id={port},{where}"]


def plugged(
    given: ty.Iterable[tuple[devices.Passed, devices.Console]],
    *,
    iommufd: bool = False,
) -> tuple[Plugged, ...]:
    """Devices in a machine, each with what the console shows of it.

    Each PCI device sits behind a root port of its own, without which it would
    be no PCI Express device to the guest, and could not be unplugged. Ids are
    made of the device's name on its host, so that they stay the same from
    start to start; ports are numbered in the order given. Channel and crypto
    devices of s390 have no port.

    :param iommufd: by the object :data:`IOMMUFD`, and not by their groups
    :raises ClaimError: they are more than a machine has room for
    """
    found: list[Plugged] = []
    ports = 0
    for device, console in given:
        words: list[str] = []
        port = None
        if devices.is_pci(device):
            port = f"port-{devices.word(device)}"
            words = root_port(port, FIRST_PORT + ports)
            ports += 1
        words += _arguments(device, console, port, iommufd=iommufd)
        found.append(Plugged(device, port, tuple(words)))
    check_room(ports)
    return tuple(found)


def check_room(ports: int) -> None:
    """See that a machine has room for so many root ports.

    :raises ClaimError: it hasn't
    """
    if ports > MOST_PORTS:
        raise exception.ClaimError(
            f"the guest would have {ports} devices, each with a root port of"
            f" its own; a machine has room for {MOST_PORTS}",
            "give some of them to another guest",
        )


def backend() -> list[str]:
    """The object through which devices reach iommufd."""
    return ["-object", f"iommufd,id={IOMMUFD}"]


def _arguments(
    device: devices.Passed,
    console: devices.Console,
    port: str | None,
    *,
    iommufd: bool,
) -> list[str]:
    """``-device vfio-pci,…`` for one device.

    A domain of more than four digits, as VMD's, is named by its folder in
    sysfs, since not every QEMU takes it in ``host=``; so is a mediated
    device. Only ``vfio-pci-nohotplug`` has ``ramfb`` (``hw/vfio/pci.c``).
    """
    driver, where = "vfio-pci", f"sysfsdev={devices.folder(device)}"
    if isinstance(device, devices.Mediated):
        driver = device.model
    elif device.address.domain <= _LARGEST_SHORT_DOMAIN:
        where = f"host={device.address}"
    if console is devices.Console.RAMFB:
        driver += "-nohotplug"
    words = [driver, where, f"id={devices.guest_id(device)}"]
    if port is not None:
        words.append(f"bus={port}")
    words += [f"{shown}=on" for shown in console.value]
    if iommufd:
        words.append(f"iommufd={IOMMUFD}")
    return ["-device", ",".join(words)]
