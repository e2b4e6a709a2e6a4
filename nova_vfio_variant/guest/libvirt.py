# SPDX-License-Identifier: Apache-2.0
"""The ``<hostdev>`` elements that libvirt takes."""

from __future__ import annotations

import copy
import typing as ty

from lxml import etree

from nova_vfio_variant import exception
from nova_vfio_variant.guest import devices
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


def hostdev(
    device: devices.Passed, console: devices.Console = devices.Console.NONE
) -> etree._Element:
    """The ``<hostdev>`` that gives a device to a guest.

    ``<alias>`` and the address inside the guest are libvirt's to add. Of PCI
    functions ``display`` and ``ramfb`` are known to libvirt 10.3 and newer.
    libvirt writes ``<driver name='vfio'/>`` itself when it reads the element
    back; it stands here from the start, so that what went in and what comes
    out are the same.
    """
    if isinstance(device, devices.Mediated):
        return mdev_hostdev(device.uuid, device.model, console)
    element = etree.Element(
        "hostdev",
        mode="subsystem",
        type="pci",
        managed="yes" if device.managed else "no",
    )
    _show(element, console)
    etree.SubElement(element, "driver", name="vfio")
    source = etree.SubElement(element, "source")
    etree.SubElement(source, "address", _address(device.address))
    return element


def mdev_hostdev(
    uuid: str,
    model: str = "vfio-pci",
    console: devices.Console = devices.Console.NONE,
) -> etree._Element:
    """The ``<hostdev>`` of a mediated device.

    libvirt never detaches an mdev from the host, so it is not managed
    (``nova.virt.libvirt.config.LibvirtConfigGuestHostdevMDEV``).

    :param uuid: of the mdev
    :param model: its ``device_api``; libvirt refuses another
    """
    element = etree.Element(
        "hostdev",
        mode="subsystem",
        type="mdev",
        managed="no",
        model=model,
    )
    _show(element, console)
    source = etree.SubElement(element, "source")
    etree.SubElement(source, "address", uuid=uuid)
    return element


def _show(element: etree._Element, console: devices.Console) -> None:
    for attribute in console.value:
        element.set(attribute, "on")


def to_text(element: etree._Element) -> str:
    """An element as text, indented, with a newline at its end."""
    return etree.tostring(element, pretty_print=True, encoding="unicode")


def parse_domain(text: bytes, named: str) -> etree._Element:
    """A domain's XML, without following entities.

    :param named: where it stands, as an error begins
    :raises ClaimError: it is no domain
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        domain = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise exception.ClaimError(f"{named} is no XML: {error}") from error
    if domain.tag != "domain":
        raise exception.ClaimError(f"{named} has <{domain.tag}>, not <domain>")
    return domain


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
    mdevs: ty.Mapping[str, str] | None = None,
) -> etree._Element:
    """A domain whose hostdevs point at the destination's devices.

    All addresses are replaced at once. Nova replaces one after another in
    the same document, so that A to B followed by B to C sends A's device to
    C (``nova.virt.libvirt.migration._update_pci_dev_xml``), and it keeps the
    source's ``managed``; here the destination's own holds. An mdev is never
    managed, and only its UUID is replaced (``_update_mdev_xml``).

    :param domain: the ``<domain>`` as libvirt gives it; not changed
    :param destinations: the source's address -> the destination's device
    :param mdevs: UUID of the source's mdev -> that of the destination's;
        None leaves mdevs as they are
    :raises ClaimError: a source address is in no hostdev of the domain, or
        a mediated device of the domain isn't among ``mdevs``
    """
    moved = copy.deepcopy(domain)
    changes = list(_pci_changes(moved, destinations))
    missing = destinations.keys() - {old for old, _, _ in changes}
    if missing:
        raise exception.ClaimError(
            "the domain has no hostdev for "
            + ", ".join(str(address) for address in sorted(missing)),
            "map only addresses that stand in the domain",
        )
    for old, element, where in changes:
        device = destinations[old]
        element.set("managed", "yes" if device.managed else "no")
        for name, value in _address(device.address).items():
            where.set(name, value)
    if mdevs is not None:
        _move_mdevs(moved, mdevs)
    return moved


def _pci_changes(
    domain: etree._Element, wanted: ty.Container[pci_address.PciAddress]
) -> ty.Iterator[
    tuple[pci_address.PciAddress, etree._Element, etree._Element]
]:
    """The wanted hostdevs, each with its source address, as it was read."""
    for element in domain.iterfind(
        "devices/hostdev[@mode='subsystem'][@type='pci']"
    ):
        where = element.find("source/address")
        old = None if where is None else _read_address(where)
        if where is not None and old is not None and old in wanted:
            yield old, element, where


def _move_mdevs(domain: etree._Element, mdevs: ty.Mapping[str, str]) -> None:
    """Replace the UUID of every mediated device, each element once."""
    known = {old.lower(): new for old, new in mdevs.items()}
    for where in domain.iterfind(
        "devices/hostdev[@type='mdev']/source/address[@uuid]"
    ):
        old = where.get("uuid", "")
        if old.lower() not in known:
            raise exception.ClaimError(
                f"mediated device {old} has no counterpart at the destination",
                "map every mediated device of the domain",
            )
        where.set("uuid", known[old.lower()])
