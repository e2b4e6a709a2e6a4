# SPDX-License-Identifier: Apache-2.0
"""A mediated device as libvirt's node devices, and mdevctl, describe it."""

from __future__ import annotations

import dataclasses
import json
import re

from lxml import etree

from nova_vfio_variant import exception


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """A mediated device, there or not.

    :param parent: as ``/sys/class/mdev_bus`` has it
    :param node_device: what libvirt calls its parent; None if nothing
    :param attributes: names and values, in the order in which they are written
    """

    uuid: str
    parent: str
    node_device: str | None
    type_id: str
    attributes: tuple[tuple[str, str], ...] = ()


def node_device(definition: Definition) -> etree._Element:
    """The ``<device>`` of ``virsh nodedev-create`` and ``nodedev-define``.

    libvirt gives it a name of its own; its schema wants one all the same.

    :raises ClaimError: libvirt has no name for its parent
    """
    if definition.node_device is None:
        raise exception.ClaimError(
            f"libvirt has no name for parent {definition.parent}",
            "mdevctl takes it: --for mdevctl",
        )
    device = etree.Element("device")
    etree.SubElement(device, "name").text = _name(
        "mdev", definition.uuid, definition.parent
    )
    etree.SubElement(device, "parent").text = definition.node_device
    capability = etree.SubElement(device, "capability", type="mdev")
    etree.SubElement(capability, "type", id=definition.type_id)
    etree.SubElement(capability, "uuid").text = definition.uuid
    for name, value in definition.attributes:
        etree.SubElement(capability, "attr", name=name, value=value)
    return device


def mdevctl(definition: Definition) -> str:
    """What ``mdevctl define --jsonfile`` takes, to be started at boot.

    Parent and UUID aren't in it: they are options there.
    """
    text = json.dumps(
        {
            "mdev_type": definition.type_id,
            "start": "auto",
            "attrs": [{name: value} for name, value in definition.attributes],
        },
        indent=2,
    )
    return f"{text}\n"


def _name(*words: str) -> str:
    return "_".join(re.sub(r"[^A-Za-z0-9]", "_", word) for word in words)
