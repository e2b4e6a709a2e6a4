# SPDX-License-Identifier: Apache-2.0
"""Which functions a driver matches, and which its probe then refuses."""

from __future__ import annotations

import fnmatch
import pathlib

from nova_vfio_variant.testing.fake_kernel import files as fake_files
from nova_vfio_variant.testing.fake_kernel import functions

#: Drivers that look at what a function can do, and take no other for an
#: override: their ids say it here (pcie_portdrv_probe(), shpc_probe()).
_PICKY = ("pcieport", "shpchp")
VFIO_PCI = "vfio-pci"


def takes(
    files: fake_files.Files,
    name: str,
    driver: fake_files.Driver,
    place: pathlib.Path,
) -> bool:
    """pci_match_device(): the override, or the ids."""
    override = files.text(place / "driver_override")
    if override not in ("", functions.UNSET):
        return override == name
    return _has_id(files, driver, place)


def refuses(
    files: fake_files.Files,
    name: str,
    driver: fake_files.Driver,
    place: pathlib.Path,
) -> bool:
    """Whether a driver's probe fails for a function that it matches."""
    if driver.vfio and (
        files.group_of(place) is None
        or functions.header_type(place)
        # Reported of vfio-pci (kubevirt/kubevirt #17642).
        or files.memory.card_of(place) is not None
    ):
        return True
    if name in _PICKY and not _has_id(files, driver, place):
        return True
    return driver.broken or (
        driver.not_vfs and (place / "physfn").is_symlink()
    )


def makes_vfs(files: fake_files.Files, name: str | None) -> bool:
    """Whether a driver has a ``sriov_configure`` that does its work."""
    if name == VFIO_PCI:
        enabled = "sys/module/vfio_pci/parameters/enable_sriov"
        return files.text(files.root / enabled) == "Y"
    driver = files.memory.drivers.get(name or "")
    return driver is not None and driver.makes_vfs


def _has_id(
    files: fake_files.Files, driver: fake_files.Driver, place: pathlib.Path
) -> bool:
    found = functions.MODALIAS.fullmatch(files.text(place / "modalias"))
    if found is None:
        return False
    vendor, device, *class_code = (group.lower() for group in found.groups())
    mine = f"{vendor}:{device}:{''.join(class_code)}"
    return any(
        fnmatch.fnmatchcase(
            mine, new_id if new_id.count(":") > 1 else f"{new_id}:*"
        )
        for new_id in (*driver.ids, *driver.new_ids)
    )
