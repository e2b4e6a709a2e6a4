# SPDX-License-Identifier: Apache-2.0
"""What a VFIO driver is, and whether vfio-pci is there.

Of a function that is bound the kernel tells: ``PciFunction.vfio``. This is
about drivers by their names, to which a function may be bound next. Where the
files that would tell can't be seen (a container without ``/lib/modules``, a
recording), the answer is None: unknown, not "no".
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.observe import drivers
from nova_vfio_variant.pci import function

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan


def is_driver(scan: host_scan.HostScan, name: str) -> bool | None:
    """Whether a driver gives functions to guests.

    It does if its module has a ``vfio_pci:`` line in ``modules.alias``, if
    the module is loaded and stands on vfio_pci_core, or if all functions that
    are bound to it show so.

    :param name: of the driver, or of its module
    :returns: None if it can't be known
    """
    if name.replace("-", "_") in scan.vfio_modules:
        return True
    shown = {seen.vfio for seen in scan.functions if seen.driver == name}
    if len(shown) == 1:
        return shown.pop()
    # NVIDIA's serves VFs as a VFIO driver and their PF as the host's.
    return False if _aliases_seen(scan) else None


def is_named(scan: host_scan.HostScan, function: function.PciFunction) -> bool:
    """Whether the driver of a function is a VFIO driver, shown or not.

    Until Linux 6.1 none of them shows ``vfio-dev/``. NVIDIA's is one of the
    VFs that it has given a vGPU type.
    """
    if function.vfio or function.driver is None:
        return function.vfio
    if function.driver == "nvidia":
        return function.physfn is not None
    return bool(is_driver(scan, function.driver))


def available(scan: host_scan.HostScan) -> bool | None:
    """Whether functions can be bound to vfio-pci, its module loaded first.

    :returns: None if it can't be known
    """
    if (
        "vfio_pci" in scan.modules
        or scan.tree.exists(f"sys/bus/pci/drivers/{drivers.VFIO_PCI}")
        or any(seen.driver == drivers.VFIO_PCI for seen in scan.functions)
        or any(
            drivers.same_name(drivers.VFIO_PCI, module)
            for _, module in scan.vfio_aliases
        )
    ):
        return True
    there = drivers.loadable(scan.tree, scan.kernel_release)
    if there is not None:
        return "vfio_pci" in there
    return False if _aliases_seen(scan) else None


def _aliases_seen(scan: host_scan.HostScan) -> bool:
    """Whether the VFIO drivers among the kernel's modules are known."""
    path = drivers.aliases_path(scan.kernel_release)
    return path is not None and scan.tree.exists(path)
