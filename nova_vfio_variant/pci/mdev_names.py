# SPDX-License-Identifier: Apache-2.0
"""What mediated devices, their types and their attributes are called."""

from __future__ import annotations

import re
import typing as ty

_UUID: ty.Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: A parent's or type's name: that of a device, or of a driver and a word.
_NAME: ty.Final = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.:+@-]{1,255}")
_ATTRIBUTE: ty.Final = re.compile(r"[a-z][a-z0-9_]*(?:/[a-z][a-z0-9_]*)?")
#: At most what sysfs takes in one write, in one line.
_VALUE: ty.Final = re.compile(r"[ -~]{1,4000}")
_KERNELS_OWN: ty.Final = frozenset(
    {
        "driver",
        "iommu",
        "iommu_group",
        "mdev_type",
        "power",
        "remove",
        "subsystem",
        "uevent",
        "vfio",
        "vfio-dev",
    }
)


def is_uuid(name: str) -> bool:
    """Whether this is a UUID as the kernel shows it, in lower case."""
    return _UUID.fullmatch(name) is not None


def kind(parent: str, type_id: str) -> str:
    """A parent and a type of its, as one word: ``PARENT/TYPE``."""
    return f"{parent}/{type_id}"


def parse_kind(text: object) -> tuple[str, str]:
    """What :func:`kind` gave.

    :returns: the parent's name, and the type's id
    :raises TypeError: it is no text
    :raises ValueError: it names no parent and type
    """
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    parent, _, type_id = text.partition("/")
    if not (_NAME.fullmatch(parent) and _NAME.fullmatch(type_id)):
        raise ValueError(f"{text!r} is no PARENT/TYPE of mediated devices")
    return parent, type_id


def parse_attribute(text: object) -> tuple[str, str]:
    """The name and the value of ``NAME=VALUE``.

    A name may have a folder: ``nvidia/vgpu_params``. What the kernel's own
    core keeps in a device's folder is no attribute.

    :raises TypeError: it is no text
    :raises ValueError: it is none
    """
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    name, sign, value = text.partition("=")
    if (
        not sign
        or not _ATTRIBUTE.fullmatch(name)
        or name.partition("/")[0] in _KERNELS_OWN
        or not _VALUE.fullmatch(value)
    ):
        raise ValueError(f"{text!r} is no NAME=VALUE of an attribute")
    return name, value
