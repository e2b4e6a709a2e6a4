# SPDX-License-Identifier: Apache-2.0
"""What a PCI function is by its own word: its ids, its class, its header."""

from __future__ import annotations

import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import function

#: drivers/pci/pci-sysfs.c modalias_show; older kernels give the interface
#: lower-case digits.
_MODALIAS = re.compile(
    r"pci:v([0-9A-F]{8})d([0-9A-F]{8})sv([0-9A-F]{8})sd([0-9A-F]{8})"
    r"bc([0-9A-F]{2})sc([0-9A-F]{2})i([0-9A-F]{2})",
    re.IGNORECASE,
)
#: As much of a configuration space as anybody may read, and where in it the
#: type of its header is, beside the bit that tells of several functions.
_HEADER = 64
_HEADER_TYPE = 0x0E
_TYPE_BITS = 0x7F


class Ids(ty.NamedTuple):
    """What ``modalias`` says, and its text."""

    vendor_id: str
    product_id: str
    class_code: int
    subsystem: str | None
    modalias: str | None


def parse_modalias(raw: bytes) -> Ids:
    """What it says.

    :raises ValueError: it is no modalias of a PCI function
    """
    text = raw.decode(errors="replace").strip()
    found = _MODALIAS.fullmatch(text)
    if found is None:
        raise ValueError(f"modalias is {text[:80]!r}")
    *numbers, base, sub, interface = found.groups()
    vendor, product, *subsystem = (
        f"{int(number, 16):04x}" for number in numbers
    )
    return Ids(
        vendor,
        product,
        int(base + sub + interface, 16),
        ":".join(subsystem),
        text,
    )


def header_type(folder: host_tree.Folder) -> int:
    """The layout of a function's configuration space: 1 is a bridge's.

    :raises OSError: it can't be read
    :raises ValueError: the device doesn't answer
    """
    raw = folder.read("config", _HEADER)
    if len(raw) <= _HEADER_TYPE:
        raise ValueError(f"it has {len(raw)} bytes")
    found = raw[_HEADER_TYPE] & _TYPE_BITS
    if found == _TYPE_BITS:
        raise ValueError("the device doesn't answer")
    return found


def is_any_bridge(folder: host_tree.Folder) -> bool:
    """Whether a function is a bridge or a host bridge, read now.

    :raises OSError: it can't be read
    :raises ValueError: what it says makes no sense
    """
    code = int(folder.read("class"), 16)
    layout = None
    if function.is_open_class(code) and "config" in folder.names():
        layout = header_type(folder)
    return function.is_host_bridge(code) or function.forwards(code, layout)


def hex_id(raw: bytes) -> str:
    """An id as we write it.

    :raises ValueError: it is none
    """
    return f"{int(raw, 16):04x}"
