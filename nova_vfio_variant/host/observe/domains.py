# SPDX-License-Identifier: Apache-2.0
"""Which PCI devices the guests have that libvirt keeps files of."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from lxml import etree

    from nova_vfio_variant.host.tree import host_tree

#: Where libvirt keeps the state of guests that run, QEMU's and others'.
RUNNING: ty.Final = ("run/libvirt/qemu", "run/libvirt/ch")
#: Beside them those that it could start at any time.
EVERY: ty.Final = (*RUNNING, "etc/libvirt/qemu", "etc/libvirt/ch")


@dataclasses.dataclass(frozen=True, slots=True)
class Passed:
    """A device that a guest has, or would be started with.

    :param address: of the function
    :param instance_uuid: the guest's UUID, in lower case
    :param guest: the guest's name
    """

    address: pci_address.PciAddress
    instance_uuid: str
    guest: str


def passed(
    tree: host_tree.HostTree, folders: ty.Iterable[str]
) -> ty.Iterator[Passed]:
    """Every PCI device of every guest that can be read.

    :param folders: :data:`RUNNING` or :data:`EVERY`
    """
    for folder in folders:
        for name in tree.listdir(folder):
            text = tree.read_text(f"{folder}/{name}")
            if not name.endswith(".xml") or not text:
                continue
            for domain in _domains(text):
                yield from _of_domain(domain)


def _domains(text: str) -> ty.Iterable[etree._Element]:
    """The guests that one file of libvirt's is about; none if it is broken."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        return etree.fromstring(text.encode(), parser).iter("domain")
    except etree.XMLSyntaxError:
        return ()


def _of_domain(domain: etree._Element) -> ty.Iterator[Passed]:
    sources = [
        *domain.findall("devices/hostdev[@type='pci']/source/address"),
        *domain.findall(
            "devices/interface[@type='hostdev']/source/address[@type='pci']"
        ),
    ]
    for source in sources:
        try:
            at = pci_address.PciAddress(
                *(
                    int(str(source.get(key, "0")), 0)
                    for key in ("domain", "bus", "slot", "function")
                )
            )
        except ValueError:
            continue
        yield Passed(
            at,
            (domain.findtext("uuid") or "").strip().lower(),
            (domain.findtext("name") or "").strip(),
        )
