# SPDX-License-Identifier: Apache-2.0
"""One function's state, read now: what a plan compares with."""

from nova_vfio_variant import exception
from nova_vfio_variant.host import drivers, plan, sriov
from nova_vfio_variant.host import function as observed
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.pci import address as pci_address

#: Where the kernel tells its boots apart.
BOOT_ID = "proc/sys/kernel/random/boot_id"
_DEVICES = "sys/bus/pci/devices"


def autoprobe(tree: host_tree.HostTree, address: str) -> bool | None:
    """Whether new VFs of a PF get a driver; None for what can't have VFs."""
    text = tree.read_text(f"{_DEVICES}/{address}/sriov_drivers_autoprobe")
    return None if text not in ("0", "1") else text == "1"


def state(
    tree: host_tree.HostTree, function: observed.PciFunction
) -> plan.State:
    """What a scanned function is, of what we change."""
    if not function.sriov_totalvfs:
        return plan.State(function.driver, function.driver_override)
    return plan.State(
        function.driver,
        function.driver_override,
        function.sriov_numvfs,
        autoprobe(tree, str(function.address)),
    )


def state_now(tree: host_tree.HostTree, address: str) -> plan.State | None:
    """What a function is now; None if it isn't there.

    The number of VFs is counted by their links: to read ``sriov_numvfs``
    blocks while another process removes VFs that are in use.

    :raises HostError: it is there and can't be read
    """
    place = f"{_DEVICES}/{pci_address.PciAddress.parse(address)}"
    if not tree.exists(place):
        return None
    try:
        with tree.folder(place) as folder:
            names = folder.names()
            driver = None
            if "driver" in names:
                driver = folder.link("driver").rpartition("/")[2]
            override = None
            if "driver_override" in names:
                override = drivers.override_in(
                    folder.read("driver_override").decode(errors="replace")
                )
    except OSError as error:
        if not tree.exists(place):
            return None
        raise exception.HostError(
            f"{address} can't be read: {error.strerror}"
        ) from error
    if "sriov_totalvfs" not in names:
        return plan.State(driver, override)
    return plan.State(
        driver,
        override,
        sriov.count(names),
        autoprobe(tree, address),
    )


def count_vfs(tree: host_tree.HostTree, address: str) -> int:
    """How many VFs a PF shows now, also while their number is written."""
    place = f"{_DEVICES}/{pci_address.PciAddress.parse(address)}"
    return sriov.count(tree.listdir(place))


def boot_id(tree: host_tree.HostTree) -> str:
    """What tells this boot of the host from others.

    :raises HostError: it can't be read
    """
    text = tree.read_text(BOOT_ID)
    if not text:
        raise exception.HostError(
            f"the host's boot id (/{BOOT_ID}) can't be read, so that nobody "
            "could tell what a reboot undid"
        )
    return text
