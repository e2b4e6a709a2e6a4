# SPDX-License-Identifier: Apache-2.0
"""A second reader of a host's functions, which shares no code with ours."""

import os
import typing as ty


def functions(root: str) -> list[dict[str, ty.Any]]:
    """The PCI functions below a root, in no order."""
    bus = f"{root}/sys/bus/pci/devices"
    return [
        _function(f"{bus}/{name}")
        for name in (os.listdir(bus) if os.path.isdir(bus) else ())
    ]


def _function(at: str) -> dict[str, ty.Any]:
    def text(name: str) -> str | None:
        if not os.path.exists(f"{at}/{name}"):
            return None
        with open(f"{at}/{name}", encoding="ascii") as file:
            return file.read().strip()

    def link(name: str) -> str | None:
        path = f"{at}/{name}"
        return (
            os.readlink(path).split("/")[-1] if os.path.islink(path) else None
        )

    driver, group, node = (
        link("driver"),
        link("iommu_group"),
        text("numa_node"),
    )
    is_vfio = driver == "vfio-pci" or os.path.isdir(f"{at}/vfio-dev")
    pf = int(text("sriov_totalvfs") or 0) > 0
    return {
        "address": os.path.basename(at),
        "kind": "VF" if link("physfn") else "PF" if pf else "PCI",
        "vendor_id": (text("vendor") or "")[2:],
        "product_id": (text("device") or "")[2:],
        "driver": driver,
        "vfio_driver": driver if is_vfio else None,
        "iommu_group": None if group is None else int(group),
        "numa_node": None if node is None or int(node) < 0 else int(node),
        "physfn": link("physfn"),
    }
