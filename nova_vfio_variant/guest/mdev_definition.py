# SPDX-License-Identifier: Apache-2.0
"""A mediated device as libvirt's node devices, and mdevctl, describe it."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as ty

from lxml import etree

from nova_vfio_variant import exception

_VIRTUAL: ty.Final = "sys/devices/virtual/"
_MATRIX: ty.Final = "sys/devices/vfio_ap/matrix"
_CHANNELS: ty.Final = re.compile(r"sys/devices/css[0-9a-f]+/[^/]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Parent:
    """What a mediated device is made of.

    :param name: as ``/sys/class/mdev_bus`` has it
    :param path: its place below the root, without links
    :param is_function: it is a PCI function, not something below one
    """

    name: str
    path: str
    is_function: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """A mediated device, there or not.

    :param attributes: names and values, in the order in which they are written
    """

    uuid: str
    parent: Parent
    type_id: str
    attributes: tuple[tuple[str, str], ...] = ()


def parent_name(parent: Parent) -> str:
    """What libvirt calls a parent (``src/node_device/node_device_udev.c``).

    :raises ClaimError: it has no name for it
    """
    words: tuple[str, ...]
    if parent.is_function:
        words = ("pci", parent.name)
    elif parent.path.startswith(_VIRTUAL):
        words = tuple(parent.path.split("/")[-2:])
    elif parent.path == _MATRIX:
        words = ("ap", "matrix")
    elif _CHANNELS.fullmatch(parent.path):
        words = ("css", parent.name)
    else:
        raise exception.ClaimError(
            f"libvirt has no name for parent {parent.name} (/{parent.path})",
            "mdevctl takes it: --for mdevctl",
        )
    return _name(*words)


def node_device(definition: Definition) -> etree._Element:
    """The ``<device>`` of ``virsh nodedev-create`` and ``nodedev-define``.

    libvirt gives it a name of its own; its schema wants one all the same.

    :raises ClaimError: libvirt has no name for its parent
    """
    device = etree.Element("device")
    etree.SubElement(device, "name").text = _name(
        "mdev", definition.uuid, definition.parent.name
    )
    etree.SubElement(device, "parent").text = parent_name(definition.parent)
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
