# SPDX-License-Identifier: Apache-2.0
"""One function's state, read now: what a plan compares with."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import (
    drivers,
    sriov,
    vendor_vgpu,
)
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed
from nova_vfio_variant.pci import mdev_names

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
    :param vgpu_type: the id of a VF's vGPU type, ``0`` for none, empty where
        it can't be read; None for what has no vendor's folder, and in
        journals that didn't say
    :param heterogeneous: whether a card's vGPUs may be of several sizes; None
        where nobody asked the card
    :param mdev: of a mediated device, ``PARENT/TYPE``, empty where it isn't
        there; None for all else
    """

    driver: str | None = None
    override: str | None = None
    numvfs: int | None = None
    autoprobe: bool | None = None
    vgpu_type: str | None = None
    heterogeneous: bool | None = None
    mdev: str | None = None

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
        for flag in (made.autoprobe, made.heterogeneous):
            if flag is not None and not isinstance(flag, bool):
                raise TypeError(f"{flag!r} is neither true nor false")
        if made.vgpu_type is not None and not is_type(made.vgpu_type):
            raise ValueError(f"{made.vgpu_type!r} is no id of a vGPU type")
        if made.mdev is not None and made.mdev != "":
            mdev_names.parse_kind(made.mdev)
        return made

    def is_again(self, before: State) -> bool:
        """Whether it is what it was; what nobody looked at then is left out.

        :param before: what it was
        """
        return before == dataclasses.replace(
            self,
            **{
                name: None
                for name in ("vgpu_type", "heterogeneous")
                if getattr(before, name) is None
            },
        )

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
        if self.has_strange_type(before, after):
            return True
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

    def has_strange_type(self, before: State, after: State) -> bool:
        """Whether it has a vGPU type that is neither that of before nor after.

        A way from one to another may come by none.
        """
        known = {before.vgpu_type, after.vgpu_type}
        return None not in known and self.vgpu_type not in known

    @property
    def shown(self) -> str:
        """The driver and the override, as half a sentence."""
        said = (
            f"it is on {self.driver or 'no driver'} with the override "
            f"{self.override or 'unset'}"
        )
        if self.vgpu_type is not None:
            said += f" and has vGPU type {self.vgpu_type or '?'}"
        return said


def is_type(type_id: object) -> bool:
    """Whether something is the id of a vGPU type, or that of none."""
    return (
        isinstance(type_id, str)
        and vendor_vgpu.parse_current(type_id) == type_id
    )


def autoprobe(tree: host_tree.HostTree, address: str) -> bool | None:
    """Whether new VFs of a PF get a driver; None for what can't have VFs."""
    text = tree.read_text(f"{paths.DEVICES}/{address}/sriov_drivers_autoprobe")
    return None if text not in ("0", "1") else text == "1"


def state(tree: host_tree.HostTree, function: observed.PciFunction) -> State:
    """What a scanned function is, of what we change."""
    if not function.sriov_totalvfs:
        return State(
            function.driver,
            function.driver_override,
            vgpu_type=_type(tree, function.address)
            if function.has_vgpu_folder
            else None,
        )
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
        vgpu_type = None
        if vendor_vgpu.FOLDER in names:
            vgpu_type = _type(tree, pci_address.PciAddress.parse(address))
        return State(driver, override, vgpu_type=vgpu_type)
    return State(
        driver,
        override,
        sriov.count(names),
        autoprobe(tree, address),
    )


def _type(tree: host_tree.HostTree, address: pci_address.PciAddress) -> str:
    return vendor_vgpu.read_current(tree, address) or ""


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
