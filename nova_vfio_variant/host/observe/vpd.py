# SPDX-License-Identifier: Apache-2.0
"""Serial numbers of cards, from their vital product data.

Reading ``vpd`` takes a millisecond and more, and root; a recorded host has
none. So it is read only for devices that a remote-managed spec may name.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function

#: Tags of the PCI specification, as include/linux/pci.h has them.
_LARGE = 0x80
_READ_ONLY = 0x90
_SERIAL = b"SN"


def serial_number(data: bytes) -> str | None:
    """The keyword SN of the read-only part; None if there is none."""
    at = 0
    while at < len(data) and data[at] & _LARGE and at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "little")
        body = data[at + 3 : at + 3 + size]
        if data[at] == _READ_ONLY:
            return _keyword(body)
        at += 3 + size
    return None


def _keyword(body: bytes) -> str | None:
    at = 0
    while at + 3 <= len(body):
        size = body[at + 2]
        if body[at : at + 2] == _SERIAL:
            text = body[at + 3 : at + 3 + size].decode("ascii", "replace")
            return text.strip(" \0") or None
        at += 3 + size
    return None


def with_serial_numbers(
    found: host_scan.HostScan,
    wanted: ty.Callable[[function.PciFunction], bool],
) -> host_scan.HostScan:
    """The same host, with the serial numbers of wanted functions' cards.

    A VF without any has that of its PF, but for one that carries a vDPA
    device (``_get_vpd_details`` in nova.virt.libvirt.host). Where ``vpd`` is there and can't be read, it is
    lost as any other fact.
    """
    known: dict[pci_address.PciAddress, str | None] = {}
    problems: dict[pci_address.PciAddress, host_scan.Lost] = {}

    def serial(address: pci_address.PciAddress | None) -> str | None:
        if address is None:
            return None
        if address not in known:
            try:
                known[address] = _read(found.tree, address)
            except OSError as error:
                known[address] = None
                problems[address] = host_scan.Lost(
                    str(address), "vpd", error.strerror or str(error)
                )
        return known[address]

    def told(seen: function.PciFunction) -> function.PciFunction:
        if not wanted(seen):
            return seen
        card = None if seen.vdpa else seen.physfn
        number = serial(seen.address) or serial(card)
        lost = number is None and not problems.keys().isdisjoint(
            (seen.address, card)
        )
        return dataclasses.replace(
            seen,
            card_serial_number=number,
            lost=seen.lost | {"vpd"} if lost else seen.lost,
        )

    functions = tuple(map(told, found.functions))
    return dataclasses.replace(
        found,
        functions=functions,
        problems=(*found.problems, *problems.values()),
    )


def _read(
    tree: host_tree.HostTree, address: pci_address.PciAddress
) -> str | None:
    """What the card says, None if it says nothing.

    :raises OSError: it may say something, and can't be read
    """
    try:
        return serial_number(tree.read_bytes(f"{paths.DEVICES}/{address}/vpd"))
    except FileNotFoundError:
        return None
