# SPDX-License-Identifier: Apache-2.0
"""What tests inside the guest do to its sysfs, with nothing in between.

Functions are the paths of their folders below ``/sys/devices``. The project's
own code is kept out of it: these are the other pair of eyes.
"""

import pathlib
import subprocess

_PCI = pathlib.Path("/sys/bus/pci")


def read(path: pathlib.Path) -> str:
    """What a file says, without the line end."""
    return path.read_text(encoding="utf-8").rstrip("\n")


def write(path: pathlib.Path, text: str) -> None:
    """One write of the text and a line end.

    :raises OSError: what the kernel answered
    """
    with path.open("wb", buffering=0) as file:
        file.write(text.encode() + b"\n")


def call(*command: str) -> str:
    """Runs a program and returns what it wrote to its standard output.

    :raises subprocess.CalledProcessError: if it fails
    """
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


def identity(function: pathlib.Path) -> tuple[str, str]:
    """Vendor and device, as sysfs writes them: ``0x8086``."""
    return read(function / "vendor"), read(function / "device")


def functions(wanted: tuple[str, str]) -> list[pathlib.Path]:
    """The functions of an identity, in the order of their addresses."""
    links = sorted((_PCI / "devices").iterdir())
    found = (link.resolve() for link in links)
    return [function for function in found if identity(function) == wanted]


def bound(driver_name: str) -> list[pathlib.Path]:
    """The functions that a driver has, in the order of their addresses."""
    links = sorted((_PCI / "drivers" / driver_name).glob("*:*"))
    return [link.resolve() for link in links]


def driver(function: pathlib.Path) -> str | None:
    """The name of the driver that has a function."""
    link = function / "driver"
    return link.resolve().name if link.is_symlink() else None


def group(function: pathlib.Path) -> list[pathlib.Path]:
    """The functions of a function's IOMMU group, itself included."""
    links = sorted((function / "iommu_group/devices").iterdir())
    return [link.resolve() for link in links]


def bind(function: pathlib.Path, driver_name: str | None) -> None:
    """Takes a function from its driver and gives it to another.

    :param driver_name: the driver, kept in driver_override if the kernel
        would not choose it; None clears the override and leaves the
        function without one
    """
    if driver(function):
        write(function / "driver/unbind", function.name)
    write(function / "driver_override", driver_name or "")
    if driver_name:
        write(_PCI / "drivers_probe", function.name)
