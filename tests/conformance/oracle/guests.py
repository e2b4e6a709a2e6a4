# SPDX-License-Identifier: Apache-2.0
"""How devices enter a guest of Nova's, as libvirt XML."""

import types

from lxml import etree
from nova import objects
from nova.virt.libvirt import config, driver, migration

from tests.conformance.oracle import world


def hostdev(
    address: str, extra_info: dict[str, str], *, virt_type: str = "kvm"
) -> str:
    """Return the ``<hostdev>`` of a device asked for by an alias."""
    world.configure(virt_type=virt_type)
    libvirt_driver = types.SimpleNamespace()
    libvirt_driver._set_managed_mode = types.MethodType(
        driver.LibvirtDriver._set_managed_mode, libvirt_driver
    )
    device = driver.LibvirtDriver._get_guest_pci_device(
        libvirt_driver,
        objects.PciDevice(address=address, extra_info=extra_info),
    )
    xml: str = device.to_xml()
    return xml


def mdev(uuid: str) -> str:
    """Return the ``<hostdev>`` of a mediated device."""
    device = config.LibvirtConfigGuestHostdevMDEV()
    device.uuid = uuid
    xml: str = device.to_xml()
    return xml


def migrate(
    xml: str,
    pci: list[tuple[str, str]] | None = None,
    mdevs: dict[str, str] | None = None,
) -> str:
    """Rewrite a domain for the destination of a live migration.

    :param pci: source and destination addresses, in the order Nova has them
    :param mdevs: source to destination UUIDs
    """
    domain = etree.fromstring(xml)
    if mdevs is not None:
        domain = migration._update_mdev_xml(domain, mdevs)
    if pci is not None:
        domain = migration._update_pci_dev_xml(domain, dict(pci))
    return etree.tostring(domain, encoding="unicode")
