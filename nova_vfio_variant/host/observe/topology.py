# SPDX-License-Identifier: Apache-2.0
"""Where a function hangs: its root complex, and the port it is behind.

The path of a device in sysfs names every bridge on the way to it, from its
root complex on (drivers/pci/probe.c: a bus's bridge is the parent of what is
on it; drivers/pci/iov.c: a VF has its PF's parent).
"""

from __future__ import annotations

import dataclasses
import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree, paths

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function

_ROOT: ty.Final = re.compile(r"pci[0-9a-f]{4,}:[0-9a-f]{2}")


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a function hangs.

    :param root: its root complex, as sysfs calls it, ``pci0000:00``; None if
        that can't be known
    :param port: the first bridge on the way from there, below which a card or
        a switch is; None where there is none
    """

    root: str | None = None
    port: str | None = None


def place(tree: host_tree.HostTree, address: pci_address.PciAddress) -> Place:
    """Where a function hangs. A VF hangs where its PF does."""
    try:
        path = tree.real_path(f"{paths.DEVICES}/{address}")
    except OSError:
        return Place()
    names = path.split("/")
    roots = [at for at, name in enumerate(names) if _ROOT.fullmatch(name)]
    if not roots:
        return Place()
    # A domain of its own may hang below a function (drivers/pci/vmd.c).
    below = names[roots[-1] + 1 :]
    return Place(names[roots[-1]], below[0] if len(below) > 1 else None)


def has_iommufd(
    tree: host_tree.HostTree, function: function.PciFunction
) -> bool:
    """Whether a function has a device file of its own, for iommufd."""
    return function.vfio and has_device_file(
        tree, f"{paths.DEVICES}/{function.address}"
    )


def has_device_file(tree: host_tree.HostTree, device: str) -> bool:
    """Whether the VFIO driver of a device made a file for it.

    That is ``vfio-dev/vfioN/dev`` (``drivers/vfio/device_cdev.c``), which only
    kernels with iommufd have.

    :param device: its folder
    """
    folder = f"{device}/vfio-dev"
    return any(
        tree.exists(f"{folder}/{name}/dev") for name in tree.listdir(folder)
    )
