# SPDX-License-Identifier: Apache-2.0
"""One function's state, read now: what a plan compares with."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import drivers, sriov
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

#: Where the kernel tells its boots apart.
BOOT_ID = "proc/sys/kernel/random/boot_id"
#: Where a driver stands for whatever the kernel chooses, none included.
KERNELS_CHOICE: ty.Final = "host"


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """All of a function that this project changes, at one moment.

    :param driver: the bound driver, None for none
    :param override: what ``driver_override`` holds, None when unset
    :param numvfs: how many VFs a PF has; None for what can't have any
    :param autoprobe: whether the kernel gives new VFs a driver by itself;
        None for what can't have any
    """

    driver: str | None = None
    override: str | None = None
    numvfs: int | None = None
    autoprobe: bool | None = None

    @classmethod
    def of_data(cls, data: ty.Mapping[str, ty.Any]) -> State:
        """A state of plain values.

        :raises TypeError, ValueError: it is none
        """
        made = cls(**data)
        for name in (made.driver, made.override):
            # The kernel takes any override, of a driver that isn't there too.
            if name is not None and not (isinstance(name, str) and name):
                raise TypeError(f"{name!r} is no driver")
        if made.numvfs is not None and not sriov.is_count(made.numvfs):
            raise ValueError(f"{made.numvfs!r} is no number of VFs")
        if made.autoprobe is not None and not isinstance(made.autoprobe, bool):
            raise TypeError(f"{made.autoprobe!r} is neither true nor false")
        return made

    def is_strange(
        self,
        before: State,
        after: State,
        passes: ty.Collection[str] = (),
    ) -> bool:
        """Whether no way from one driver to another comes by here.

        :param before: where the way begins
        :param after: where it ends; any driver may be on the way to the
            kernel's choice, and the override tells alone
        :param passes: more drivers that it comes by
        """
        if after.driver == KERNELS_CHOICE:
            # It may have chosen, and be on the way back from that.
            ours = {before.override, after.override, before.driver}
            return self.override not in ours
        drivers = {None, before.driver, after.driver}
        overrides = {before.override, after.override, *drivers}
        return (
            self.driver not in drivers.union(passes)
            or self.override not in overrides
        )

    @property
    def shown(self) -> str:
        """The driver and the override, as half a sentence."""
        return (
            f"it is on {self.driver or 'no driver'} with the override "
            f"{self.override or 'unset'}"
        )


def autoprobe(tree: host_tree.HostTree, address: str) -> bool | None:
    """Whether new VFs of a PF get a driver; None for what can't have VFs."""
    text = tree.read_text(f"{paths.DEVICES}/{address}/sriov_drivers_autoprobe")
    return None if text not in ("0", "1") else text == "1"


def state(tree: host_tree.HostTree, function: observed.PciFunction) -> State:
    """What a scanned function is, of what we change."""
    if not function.sriov_totalvfs:
        return State(function.driver, function.driver_override)
    return State(
        function.driver,
        function.driver_override,
        function.sriov_numvfs,
        autoprobe(tree, str(function.address)),
    )


def state_now(tree: host_tree.HostTree, address: str) -> State | None:
    """What a function is now; None if it isn't there.

    The number of VFs is counted by their links: to read ``sriov_numvfs``
    blocks while another process removes VFs that are in use.

    :raises HostError: it is there and can't be read
    """
    place = f"{paths.DEVICES}/{pci_address.PciAddress.parse(address)}"
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
        return State(driver, override)
    return State(
        driver,
        override,
        sriov.count(names),
        autoprobe(tree, address),
    )


def count_vfs(tree: host_tree.HostTree, address: str) -> int:
    """How many VFs a PF shows now, also while their number is written."""
    place = f"{paths.DEVICES}/{pci_address.PciAddress.parse(address)}"
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
