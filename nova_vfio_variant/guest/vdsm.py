# SPDX-License-Identifier: Apache-2.0
"""What VDSM tells a hook about a virtual machine, and what it takes back.

The contract is VDSM's own (``lib/vdsm/common/hooks.py`` of fd4b0df): custom
properties of the machine are variables of the environment, ``vmId`` is its
UUID, and ``_hook_domxml`` names a file with its XML, which VDSM reads again
when the hook has ended.
"""

from __future__ import annotations

import dataclasses
import typing as ty
import uuid as uuids

from lxml import etree

from nova_vfio_variant import exception
from nova_vfio_variant.guest import devices, libvirt

#: Of the UUIDs that the hook of 2017 gave (``vdsm_hooks/vfio_mdev``): so
#: machines that had one keep it, and have the same at a migration's target.
NAMESPACE: ty.Final = uuids.UUID("8524b17c-f0ca-44a5-9ce4-66fe261e5986")
#: Variables of the environment.
DOMAIN, MACHINE, TYPE = "_hook_domxml", "vmId", "mdev_type"
#: Where VDSM writes ``mdevDriverParameters``.
PARAMETERS: ty.Final = "nvidia/vgpu_params"

_VM: ty.Final = "{http://ovirt.org/vm/1.0}"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A mediated device that a machine is to have.

    :param type_id: a type by its id, or its name
    :param placement: ``compact`` or ``separate``
    :param parameters: what its driver is told; None for nothing
    """

    uuid: str
    type_id: str
    placement: str = "compact"
    parameters: str | None = None


def parse(text: bytes) -> etree._Element:
    """A machine's XML, without following entities.

    :raises ClaimError: it is no domain
    """
    return libvirt.parse_domain(text, f"the file that {DOMAIN} names")


def machine(environment: ty.Mapping[str, str], domain: etree._Element) -> str:
    """The UUID of the machine.

    :raises ClaimError: none is told
    """
    text = environment.get(MACHINE) or domain.findtext("uuid") or ""
    try:
        return str(uuids.UUID(text.strip()))
    except ValueError as error:
        raise exception.ClaimError(
            f"{text!r} is no UUID of a virtual machine",
            f"VDSM tells it in {MACHINE}, and in <uuid> of the domain",
        ) from error


def wanted(
    environment: ty.Mapping[str, str], domain: etree._Element
) -> tuple[Wanted, ...]:
    """The mediated devices that a machine is to have.

    One by the property ``mdev_type``, and those of the domain's metadata.

    :raises ClaimError: what is said of one can't be understood
    """
    found = [*_of_metadata(domain)]
    if told := environment.get(TYPE):
        name = domain.findtext("name")
        if not name:
            raise exception.ClaimError("the domain has no <name>")
        uuid = str(uuids.uuid3(NAMESPACE, name))
        found.append(Wanted(uuid, *_type(told, TYPE)))
    return tuple(found)


def _of_metadata(domain: etree._Element) -> ty.Iterator[Wanted]:
    for element in domain.iterfind(f"metadata/{_VM}vm/{_VM}device"):
        told = element.findtext(f"{_VM}mdevType")
        uuid = element.get("uuid")
        if element.get("devtype") == "hostdev" and told and uuid:
            yield Wanted(
                uuid.lower(),
                *_type(told, "mdevType"),
                element.findtext(f"{_VM}mdevDriverParameters") or None,
            )


def _type(told: str, where: str) -> tuple[str, str]:
    """A type, and where it is to be placed, of ``TYPE|PLACEMENT``.

    :raises ClaimError: there is no such placement
    """
    type_id, _, placement = told.strip().partition("|")
    if placement not in ("", "compact", "separate"):
        raise exception.ClaimError(
            f"{where} is {told!r}: {placement!r} is no placement",
            "VDSM has compact and separate",
        )
    return type_id, placement or "compact"


def add(domain: etree._Element, device: devices.Mediated) -> bool:
    """Give a device to a domain that hasn't got it.

    :returns: whether it is added now
    :raises ClaimError: the domain has no ``<devices>``
    """
    for address in domain.iterfind(
        "devices/hostdev[@type='mdev']/source/address[@uuid]"
    ):
        if address.get("uuid", "").lower() == device.uuid:
            return False
    into = domain.find("devices")
    if into is None:
        raise exception.ClaimError("the domain has no <devices>")
    into.append(libvirt.hostdev(device))
    return True


def to_bytes(domain: etree._Element) -> bytes:
    """A domain as VDSM reads it."""
    return etree.tostring(
        domain.getroottree(), encoding="utf-8", xml_declaration=True
    )
