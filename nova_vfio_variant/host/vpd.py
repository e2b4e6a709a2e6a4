# SPDX-License-Identifier: Apache-2.0
"""Serial numbers of cards, from their vital product data.

Reading ``vpd`` takes a millisecond and more, and root; a recorded host has
none. So it is read only for devices that a remote-managed spec may name.
"""

import dataclasses
import typing as ty

from nova_vfio_variant.host import function, scan
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.pci import address as pci_address

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
    found: scan.HostScan,
    wanted: ty.Callable[[function.PciFunction], bool],
) -> scan.HostScan:
    """The same host, with the serial numbers of wanted functions' cards.

    A VF without any has that of its PF (``_get_vpd_details`` in
    nova.virt.libvirt.host).
    """
    known: dict[pci_address.PciAddress, str | None] = {}

    def serial(address: pci_address.PciAddress | None) -> str | None:
        if address is None:
            return None
        if address not in known:
            known[address] = _read(found.tree, address)
        return known[address]

    return dataclasses.replace(
        found,
        functions=tuple(
            dataclasses.replace(
                one,
                card_serial_number=serial(one.address) or serial(one.physfn),
            )
            if wanted(one)
            else one
            for one in found.functions
        ),
    )


def _read(
    tree: host_tree.HostTree, address: pci_address.PciAddress
) -> str | None:
    try:
        return serial_number(tree.read_bytes(f"{scan.DEVICES}/{address}/vpd"))
    except OSError:
        return None
