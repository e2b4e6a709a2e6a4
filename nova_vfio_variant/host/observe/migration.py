# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells of migration, without opening a device.

VFIO shows each device below ``vfio`` in debugfs, with a folder ``migration``
if and only if its driver can migrate this very device (``mig_ops``;
vfio_device_debugfs_init in drivers/vfio/debugfs.c, Linux 6.8), and in it
``features`` since 6.18. It takes root, and a kernel with CONFIG_VFIO_DEBUGFS;
a recording of a host has nothing of it.

The ioctl VFIO_DEVICE_FEATURE would tell the same, and is not used: it answers
only once the device was opened, which resets it.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.tree import paths

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.pci import address as pci_address

DEBUGFS: ty.Final = "sys/kernel/debug/vfio"
#: A line of ``features``: devices stop writing to each other first.
P2P: ty.Final = "p2p"

#: ``features`` has four words; nobody needs to read more of it.
_MOST: ty.Final = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What the kernel tells of one device.

    :param can: whether its driver can migrate it; None if that isn't told
    :param features: in which ways; None where that isn't told
    """

    can: bool | None = None
    features: frozenset[str] | None = None


NOTHING_TOLD: ty.Final = Told()


def read(tree: host_tree.HostTree, name: str) -> Told:
    """What is told of a device. Raises nothing.

    :param name: a function's address, or a mediated device's UUID
    """
    try:
        with tree.folder(f"{DEBUGFS}/{name}") as folder:
            if "migration" not in folder.names():
                return Told(can=False)
    except OSError:
        return NOTHING_TOLD
    try:
        with tree.folder(f"{DEBUGFS}/{name}/migration") as folder:
            text = folder.read("features", _MOST).decode(errors="replace")
    except OSError:
        return Told(can=True)
    return Told(can=True, features=frozenset(text.split()))


def qat_state(
    tree: host_tree.HostTree, pf: pci_address.PciAddress
) -> str | None:
    """Whether a QAT PF is ``up`` or ``down``; None where it doesn't say.

    See Documentation/ABI/testing/sysfs-driver-qat.
    """
    return tree.read_text(f"{paths.DEVICES}/{pf}/qat/state")
