# SPDX-License-Identifier: Apache-2.0
"""Which of the host's devices a guest has, by the files that libvirt keeps."""

from __future__ import annotations

import dataclasses
import errno
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import guests
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from lxml import etree

    from nova_vfio_variant.host.tree import host_tree

#: Where the domains stand, those that run first: what one was defined with
#: it may have had when it was started, and not now.
_PLACES: ty.Final = (*guests.STATES, "etc/libvirt/qemu", "etc/libvirt/ch")
_GONE: ty.Final = (errno.ENOENT, errno.ESRCH)


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """The devices of a guest.

    :param place: the file that says so
    :param functions: PCI functions, as devices or as interfaces
    :param mdevs: UUIDs of mediated devices, in lower case
    """

    place: str
    functions: tuple[pci_address.PciAddress, ...] = ()
    mdevs: tuple[str, ...] = ()


def of_instance(tree: host_tree.HostTree, instance_uuid: str) -> Guest | None:
    """The guest of an instance; None where libvirt has no domain of it.

    :param instance_uuid: in lower case
    :raises HostError: a file can't be read, or says what nobody understands:
        it may be this guest's
    """
    for place in _PLACES:
        for path, text in _files(tree, place):
            _, uuid = guests.domain(text)
            if uuid is None:
                raise _unknown(path, "it doesn't say which domain it is of")
            if uuid == instance_uuid:
                return _read(path, text)
    return None


def _files(
    tree: host_tree.HostTree, place: str
) -> ty.Iterator[tuple[str, bytes]]:
    try:
        names = use.names(tree, place)
    except OSError as error:
        raise _unknown(place, error.strerror or str(error)) from error
    for name in names:
        path = f"{place}/{name}"
        if not name.endswith(".xml"):
            continue
        try:
            yield path, tree.read_bytes(path)
        except OSError as error:
            if error.errno not in _GONE:
                why = error.strerror or str(error)
                raise _unknown(path, why) from error


def _read(path: str, text: bytes) -> Guest:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        domains = [*etree.fromstring(text, parser).iter("domain")]
        (domain,) = domains
        functions = {
            _address(source)
            for kind in ("hostdev[@type='pci']", "interface[@type='hostdev']")
            for source in domain.findall(f"devices/{kind}/source/address")
            if source.get("type", "pci") == "pci"
        }
        mdevs = {
            source.attrib["uuid"].lower()
            for source in domain.findall(
                "devices/hostdev[@type='mdev']/source/address"
            )
        }
    except (etree.XMLSyntaxError, KeyError, ValueError) as error:
        raise _unknown(path, f"it can't be understood: {error}") from error
    return Guest(f"/{path}", (*sorted(functions),), (*sorted(mdevs),))


def _address(source: etree._Element) -> pci_address.PciAddress:
    """An address that an element gives.

    :raises ValueError: it is none
    """
    return pci_address.PciAddress(
        *(
            int(str(source.get(key, "0")), 0)
            for key in ("domain", "bus", "slot", "function")
        )
    )


def _unknown(path: str, why: str) -> exception.HostError:
    return exception.HostError(
        f"/{path}: {why}",
        "run it as root, on the host itself; a file of libvirt's that is"
        " damaged has to be mended first",
    )
