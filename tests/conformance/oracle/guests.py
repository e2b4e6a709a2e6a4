# SPDX-License-Identifier: Apache-2.0
"""How devices enter a guest of Nova's, as libvirt XML."""

import json
import types

from lxml import etree
from nova import objects
from nova.virt.libvirt import config, driver, host, migration

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


def looks(seen: list[list[str]]) -> list[int]:
    """How many functions a compute node reports each time it is asked.

    :param seen: for each time the addresses that libvirt lists then
    """
    host_of_libvirt = object.__new__(host.Host)
    times = iter(seen)
    host_of_libvirt.list_all_devices = lambda flags: [
        _NodeDevice(address) for address in next(times)
    ]
    compute = object.__new__(driver.LibvirtDriver)
    compute._host = host_of_libvirt
    # libvirt's own Python module is not needed for more than these.
    driver.libvirt = types.SimpleNamespace(
        VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET=1,
        VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV=2,
        VIR_CONNECT_LIST_NODE_DEVICES_CAP_VDPA=4,
        libvirtError=RuntimeError,
    )
    return [
        len(json.loads(compute._get_pci_passthrough_devices())) for _ in seen
    ]


class _NodeDevice:
    """A function as libvirt's Python module shows it."""

    def __init__(self, address: str) -> None:
        self._parts = address.replace(".", ":").split(":")

    def name(self) -> str:
        return f"pci_{'_'.join(self._parts)}"

    def parent(self) -> str:
        return "computer"

    def listCaps(self) -> list[str]:  # noqa: N802 - libvirt's own name
        return ["pci"]

    def XMLDesc(self, _flags: int) -> str:  # noqa: N802 - libvirt's own name
        domain, bus, slot, function = (int(part, 16) for part in self._parts)
        return (
            f"<device><name>{self.name()}</name><capability type='pci'>"
            f"<domain>{domain}</domain><bus>{bus}</bus><slot>{slot}</slot>"
            f"<function>{function}</function><product id='0x25b6'/>"
            "<vendor id='0x10de'/></capability></device>"
        )


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
