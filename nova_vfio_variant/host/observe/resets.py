# SPDX-License-Identifier: Apache-2.0
"""How the kernel can reset a function."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.tree import host_tree, paths

#: Where a kernel before 5.15 doesn't say which way it goes.
UNSAID: ty.Final = "default"
#: By the bridge above it, so that all behind that are reset.
BUS: ty.Final = ("bus", "cxl_bus")
#: All words of ``reset_method`` (pci_reset_fn_methods in drivers/pci/pci.c).
METHODS: ty.Final = frozenset(
    {"device_specific", "acpi", "flr", "af_flr", "pm", *BUS, UNSAID}
)


def method(tree: host_tree.HostTree, address: object) -> str | None:
    """The first way that the kernel tries to reset a function.

    :returns: None where it knows none, or has been told to use none
    """
    place = f"{paths.DEVICES}/{address}"
    if not tree.exists(f"{place}/reset"):
        return None
    text = tree.read_text(f"{place}/reset_method")
    if text is None:
        return UNSAID
    words = text.split()
    return words[0] if words else None
