# SPDX-License-Identifier: Apache-2.0
"""The files of one PCI function, and how sysfs reads and names things."""

from __future__ import annotations

import errno
import pathlib
import re
import struct
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing.fake_kernel import files as fake_files

#: Base class of bridges, and the header of those subclasses that have one.
_BRIDGE = 0x06
_HEADERS = {0x04: 1, 0x07: 2, 0x09: 1}
_HEADER_SIZE = 64
_HEADER_TYPE = 0x0E
UNSET: ty.Final = "(null)"
MODALIAS = re.compile(
    r"pci:v0000(\w{4})d0000(\w{4})sv\w+sd\w+bc(\w\w)sc(\w\w)i(\w\w)"
)


def make(
    files: fake_files.Files,
    place: pathlib.Path,
    ids: str,
    class_code: int,
    *,
    numa_node: object = -1,
    header: int | None = None,
) -> None:
    """Make a function's directory with what every function has.

    Of its configuration space the beginning, and of bridges alone, for all
    others have the same header.

    :param header: its type; None for the one that goes with the class
    """
    vendor, _, device = ids.partition(":")
    place.mkdir(parents=True)
    base, sub, interface = (
        class_code >> 16,
        class_code >> 8 & 0xFF,
        class_code & 0xFF,
    )
    files.put(
        place,
        vendor=f"0x{vendor}",
        device=f"0x{device}",
        subsystem_vendor="0x0000",
        subsystem_device="0x0000",
        modalias=f"pci:v0000{vendor.upper()}d0000{device.upper()}"
        f"sv00000000sd00000000bc{base:02X}sc{sub:02X}i{interface:02X}",
        numa_node=numa_node,
        driver_override=UNSET,
    )
    (place / "class").write_text(f"0x{class_code:06x}\n")
    if base != _BRIDGE:
        files.put(place, reset="", reset_method="flr")
    else:
        raw = bytearray(_HEADER_SIZE)
        raw[0:4] = struct.pack("<HH", int(vendor, 16), int(device, 16))
        raw[9:12] = bytes((interface, sub, base))
        raw[_HEADER_TYPE] = _HEADERS.get(sub, 0) if header is None else header
        (place / "config").write_bytes(raw)


def make_pf(
    files: fake_files.Files,
    place: pathlib.Path,
    total: int,
    device: str,
    offset: int,
    stride: int,
) -> None:
    """Let a function have VFs.

    :param total: as how many
    :param device: their product id
    :param offset: routing IDs from its own to the first one's
    :param stride: from each to the next one's
    """
    files.put(
        place,
        sriov_totalvfs=total,
        sriov_numvfs=0,
        sriov_drivers_autoprobe=1,
        sriov_offset=offset,
        sriov_stride=stride,
        sriov_vf_device=device,
    )


def header_type(place: pathlib.Path) -> int:
    """The type of a function's header: 0, 1 of a bridge, 2 of CardBus."""
    try:
        return (place / "config").read_bytes()[_HEADER_TYPE] & 0x7F
    except (OSError, IndexError):
        text = (place / "class").read_text()
        if int(text, 16) >> 16 != _BRIDGE:
            return 0
        return _HEADERS.get(int(text, 16) >> 8 & 0xFF, 0)


def vf_name(files: fake_files.Files, pf: pathlib.Path, number: int) -> str:
    """The address of a PF's VF (pci_iov_virtfn_bus(), ..._devfn())."""
    here = pci_address.PciAddress.parse(pf.name)
    routing = (
        (here.bus << 8 | here.slot << 3 | here.function)
        + int(files.text(pf / "sriov_offset"))
        + number * int(files.text(pf / "sriov_stride"))
    )
    return str(
        pci_address.PciAddress(
            here.domain, routing >> 8, routing >> 3 & 0x1F, routing & 7
        )
    )


def alias(ids: str) -> str:
    """What ``modules.alias`` has for an id of a driver.

    :param ids: ``8086:10c9``, or with the class behind it and wildcards
    """
    vendor, device, code = (*ids.upper().split(":"), "*")[:3]
    code = code.ljust(6, "*")
    return "pci:v{}d{}sv*sd*bc{}sc{}i{}".format(
        *(name if name == "*" else f"0000{name}" for name in (vendor, device)),
        *(
            "*" if "*" in part else part
            for part in (code[:2], code[2:4], code[4:6])
        ),
    )


def number(text: str) -> int:
    """What kstrtouint() takes.

    :raises OSError: EINVAL: it is no number
    """
    found = re.fullmatch(r"\+?(?:0x([0-9a-f]+)|(\d+))", text, re.IGNORECASE)
    if found is None:
        raise fake_files.error(errno.EINVAL)
    if found[1]:
        return int(found[1], 16)
    base = 8 if found[2].startswith("0") and len(found[2]) > 1 else 10
    try:
        return int(found[2], base)
    except ValueError:
        raise fake_files.error(errno.EINVAL) from None
