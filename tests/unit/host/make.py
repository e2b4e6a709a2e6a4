# SPDX-License-Identifier: Apache-2.0
"""Observed functions and hosts as plain values."""

import pathlib
import tempfile
import typing as ty

from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.pci import address
from nova_vfio_variant.pci import function as observed

RELEASE = "6.12.0-test"


def function(name: str, **facts: ty.Any) -> observed.PciFunction:
    """A function at an address; a plain NIC but for these facts."""
    whole: dict[str, ty.Any] = {
        "vendor_id": "8086",
        "product_id": "10c9",
        "class_code": 0x020000,
        **facts,
    }
    return observed.PciFunction(address.PciAddress.parse(name), **whole)


def scan(
    *functions: observed.PciFunction,
    modules: tuple[str, ...] = (),
    files: ty.Mapping[str, str] | None = None,
) -> host_scan.HostScan:
    """A host with these functions, and these files besides."""
    root = pathlib.Path(tempfile.mkdtemp())
    for name, text in (files or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return host_scan.HostScan(
        functions,
        RELEASE,
        None,
        modules,
        (),
        opening.open_tree(str(root)),
    )
