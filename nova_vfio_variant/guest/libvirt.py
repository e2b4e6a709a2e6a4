# SPDX-License-Identifier: Apache-2.0
"""The ``<hostdev>`` elements that libvirt takes."""

import copy
import typing as ty

from lxml import etree

from nova_vfio_variant import exception
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import device as tracked


def _address(where: pci_address.PciAddress) -> dict[str, str]:
    """The attributes of a PCI address, as libvirt and Nova write them."""
    return {
        "domain": f"0x{where.domain:04x}",
        "bus": f"0x{where.bus:02x}",
        "slot": f"0x{where.slot:02x}",
        "function": f"0x{where.function:x}",
    }


def hostdev(device: tracked.Device) -> etree._Element:
    """The ``<hostdev>`` that gives a device to a guest.

    ``<alias>`` and the address inside the guest are libvirt's to add.
    libvirt writes ``<driver name='vfio'/>`` itself when it reads the element
    back; it stands here from the start, so that what went in and what comes
    out are the same.
    """
    element = etree.Element(
        "hostdev",
        mode="subsystem",
        type="pci",
        managed="yes" if device.managed else "no",
    )
    etree.SubElement(element, "driver", name="vfio")
    source = etree.SubElement(element, "source")
    etree.SubElement(source, "address", _address(device.address))
    return element


def mdev_hostdev(uuid: str) -> etree._Element:
    """The ``<hostdev>`` of a mediated device.

    libvirt never detaches an mdev from the host, so it is not managed
    (``nova.virt.libvirt.config.LibvirtConfigGuestHostdevMDEV``).

    :param uuid: of the mdev
    """
    element = etree.Element(
        "hostdev",
        mode="subsystem",
        type="mdev",
        managed="no",
        model="vfio-pci",
    )
    source = etree.SubElement(element, "source")
    etree.SubElement(source, "address", uuid=uuid)
    return element


def to_text(element: etree._Element) -> str:
    """An element as text, indented, with a newline at its end."""
    return etree.tostring(element, pretty_print=True, encoding="unicode")


def _read_address(element: etree._Element) -> pci_address.PciAddress | None:
    """The address that an ``<address>`` element holds, None if none."""
    try:
        return pci_address.PciAddress(
            int(element.get("domain", "0"), 0),
            int(element.get("bus", ""), 0),
            int(element.get("slot", ""), 0),
            int(element.get("function", ""), 0),
        )
    except ValueError:
        return None


def rewrite_for_migration(
    domain: etree._Element,
    destinations: ty.Mapping[pci_address.PciAddress, tracked.Device],
) -> etree._Element:
    """A domain whose PCI hostdevs point at the destination's devices.

    All addresses are replaced at once. Nova replaces one after another in
    the same document, so that A to B followed by B to C sends A's device to
    C (``nova.virt.libvirt.migration._update_pci_dev_xml``), and it keeps the
    source's ``managed``; here the destination's own holds.

    :param domain: the ``<domain>`` as libvirt gives it; not changed
    :param destinations: the source's address -> the destination's device
    :raises ClaimError: a source address is in no hostdev of the domain
    """
    moved = copy.deepcopy(domain)
    missing = set(destinations)
    found = []
    for element in moved.iterfind(
        "devices/hostdev[@mode='subsystem'][@type='pci']"
    ):
        where = element.find("source/address")
        old = None if where is None else _read_address(where)
        if where is not None and old is not None and old in destinations:
            found.append((element, where, destinations[old]))
            missing.discard(old)
    if missing:
        raise exception.ClaimError(
            "the domain has no hostdev for "
            + ", ".join(str(address) for address in sorted(missing)),
            "map only addresses that stand in the domain",
        )
    for element, where, device in found:
        element.set("managed", "yes" if device.managed else "no")
        for name, value in _address(device.address).items():
            where.set(name, value)
    return moved
