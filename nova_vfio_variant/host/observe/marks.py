# SPDX-License-Identifier: Apache-2.0
"""What tells functions apart whose ids are the same, wherever they are.

The path of sysfs names the bridges above a function. Bus numbers change when a
card is added; the slot and function of each bridge on the way don't.
"""

from __future__ import annotations

import dataclasses
import posixpath
import typing as ty

from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function

_ROOT: ty.Final = "sys/devices/"
#: Of an interface without an address.
_NO_MAC: ty.Final = "00:00:00:00:00:00"


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """What is known of one function.

    :param port: the root of its hierarchy, then the slot and function of each
        bridge down to it, and its own; None where sysfs doesn't tell
    :param serial: of the function or of the disk behind it
    :param mac: of its network interface, which whoever runs the host may
        change
    """

    port: tuple[str, ...] | None = None
    serial: str | None = None
    mac: str | None = None


def of(scan: host_scan.HostScan) -> dict[pci_address.PciAddress, Marks]:
    """The marks of all functions of a host but its VFs.

    A recording has serial numbers and addresses only if it was made with
    ``--identities``.
    """
    return {
        seen.address: Marks(
            _port(scan, seen.address),
            seen.serial_number or _below(scan, seen, "nvme", "serial"),
            _below(scan, seen, "net", "address"),
        )
        for seen in scan.functions
        if seen.physfn is None
    }


def _port(
    scan: host_scan.HostScan, address: pci_address.PciAddress
) -> tuple[str, ...] | None:
    try:
        real = scan.tree.real_path(f"{paths.DEVICES}/{address}")
    except OSError:
        return None
    if not real.startswith(_ROOT):
        return None
    root, *way = real.removeprefix(_ROOT).split("/")
    return (root, *(name.rpartition(":")[2] for name in way))


def _below(
    scan: host_scan.HostScan,
    seen: function.PciFunction,
    folder: str,
    file: str,
) -> str | None:
    """What stands in a file of the only thing in a folder of a function."""
    path = f"{paths.DEVICES}/{seen.address}/{folder}"
    names = scan.tree.listdir(path)
    if len(names) != 1:
        return None
    text = scan.tree.read_text(posixpath.join(path, names[0], file))
    return None if text in {None, "", _NO_MAC} else text
