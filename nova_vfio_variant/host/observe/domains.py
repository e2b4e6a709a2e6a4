# SPDX-License-Identifier: Apache-2.0
"""Which of the host's devices guests have, by the files that libvirt keeps."""

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
EVERY: ty.Final = (*guests.STATES, "etc/libvirt/qemu", "etc/libvirt/ch")
#: Tags and types of what gives a guest a PCI function.
_PCI: ty.Final = (("hostdev", "pci"), ("interface", "hostdev"))
_GONE: ty.Final = (errno.ENOENT, errno.ESRCH)


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file, or a folder, of libvirt's.

    :param path: without the leading slash
    :param text: what it says; nothing where it can't be read
    :param unread: why it can't be
    """

    path: str
    text: bytes = b""
    unread: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """The devices that a guest has, or would be started with.

    :param place: the file that says so
    :param instance_uuid: of the domain, in lower case; empty if it isn't told
    :param name: of the domain; empty if it isn't told
    :param functions: PCI functions, as devices or as interfaces
    :param mdevs: UUIDs of mediated devices, in lower case
    :param unread: why it may have more
    """

    place: str
    instance_uuid: str = ""
    name: str = ""
    functions: tuple[pci_address.PciAddress, ...] = ()
    mdevs: tuple[str, ...] = ()
    unread: str | None = None


def files(
    tree: host_tree.HostTree, places: ty.Iterable[str] = EVERY
) -> ty.Iterator[File]:
    """The files of domains, and what can't be read of them. Raises nothing.

    :param places: folders; what isn't there has none
    """
    for place in places:
        try:
            names = use.names(tree, place)
        except OSError as error:
            yield File(place, unread=error.strerror or str(error))
            continue
        for name in names:
            path = f"{place}/{name}"
            if not name.endswith(".xml"):
                continue
            try:
                yield File(path, tree.read_bytes(path))
            except OSError as error:
                if error.errno not in _GONE:
                    yield File(path, unread=error.strerror or str(error))


def every(
    tree: host_tree.HostTree, places: ty.Iterable[str] = EVERY
) -> ty.Iterator[Guest]:
    """Every guest that can be read. Raises nothing.

    :param places: of :data:`EVERY`
    """
    for file in files(tree, places):
        if file.unread is None:
            yield _read(file)


def of_instance(tree: host_tree.HostTree, instance_uuid: str) -> Guest | None:
    """The guest of an instance; None where libvirt has no domain of it.

    :param instance_uuid: in lower case
    :raises HostError: a file can't be read, or says what nobody understands:
        it may be this guest's
    """
    for file in files(tree):
        if file.unread is not None:
            raise _unknown(file, file.unread)
        _, uuid = guests.domain(file.text)
        if uuid is None:
            raise _unknown(file, "it doesn't say which domain it is of")
        if uuid == instance_uuid:
            guest = _read(file)
            if guest.unread is not None:
                raise _unknown(file, guest.unread)
            return guest
    return None


def _read(file: File) -> Guest:
    from lxml import etree

    place = f"/{file.path}"
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(file.text, parser)
    except etree.XMLSyntaxError as error:
        return Guest(place, unread=f"it can't be understood: {error}")
    domain = root if root.tag == "domain" else root.find("domain")
    if domain is None:
        return Guest(place, unread="it has no domain")
    functions: set[pci_address.PciAddress] = set()
    mdevs: set[str] = set()
    unread = None
    for element in domain.iterfind("devices/*"):
        kind = (element.tag, element.get("type"))
        for source in element.iterfind("source/address"):
            try:
                if kind == ("hostdev", "mdev"):
                    mdevs.add(str(source.attrib["uuid"]).lower())
                elif kind in _PCI and source.get("type", "pci") == "pci":
                    functions.add(_address(source))
            except (KeyError, ValueError) as error:
                unread = f"it can't be understood: {error}"
    return Guest(
        place,
        (domain.findtext("uuid") or "").strip().lower(),
        (domain.findtext("name") or "").strip(),
        (*sorted(functions),),
        (*sorted(mdevs),),
        unread,
    )


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


def _unknown(file: File, why: str) -> exception.HostError:
    return exception.HostError(
        f"/{file.path}: {why}",
        "run it as root, on the host itself; a file of libvirt's that is"
        " damaged has to be mended first",
    )
