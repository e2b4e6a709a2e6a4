# SPDX-License-Identifier: Apache-2.0
"""The few writes that change a host. Nothing else in this project writes.

Every argument is plain data and is checked here again, whoever calls: what is
no PCI address, or no driver's name, never reaches a path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import typing as ty

from nova_vfio_variant.host import process
from nova_vfio_variant.host.observe import (
    drivers,
    function_ids,
    mdev,
    programs,
    sriov,
    vendor_vgpu,
)
from nova_vfio_variant.host.tree import host_tree, opening, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import mdev_names

_DRIVERS = "sys/bus/pci/drivers"

#: How long something that is on its way may take to show: nvme and others
#: probe in a thread of their own (PROBE_PREFER_ASYNCHRONOUS).
_SETTLE = 3.0
#: Seconds that udev has for what it does about new functions.
_UDEV = 10
#: Where a function's command and status stand in its configuration space.
_COMMAND: ty.Final = slice(4, 8)


class SysfsWriter:
    """Writes to one host, each a method.

    Every method raises OSError with the kernel's errno, and ValueError for an
    argument that makes no sense. Each may block for ever: call them in a
    helper process (:mod:`~nova_vfio_variant.host.process`).

    :param root: the host, to read back from
    :param write: puts bytes into a file, given by its path below the root
    :param modprobe: loads a module by its name
    """

    def __init__(
        self,
        root: host_tree.HostTree,
        write: ty.Callable[[str, bytes], None],
        modprobe: ty.Callable[[str], None],
    ) -> None:
        self.root = root
        self._write = write
        self._modprobe = modprobe

    def set_numvfs(self, address: str, count: int) -> None:
        """Make a PF have this many VFs.

        The kernel refuses to go from some to some others (EBUSY), above
        ``sriov_totalvfs`` (ERANGE), and without a PF driver that makes VFs
        (ENOENT); it blocks while a VF that would go is open.
        """
        if not sriov.is_count(count):
            raise ValueError(f"{count!r} is no number of VFs")
        self._attribute(address, "sriov_numvfs", str(count))

    def settle(self) -> None:
        """Let udev do what it does about functions that are new.

        It loads the module of their driver, which would bind them as soon as
        the kernel may, and renames what it finds in them. Where no udev runs,
        or it takes too long, nobody waits.
        """
        if self.root.root == "/":
            with contextlib.suppress(OSError):
                programs.run(
                    self.root, "udevadm", "settle", f"--timeout={_UDEV}"
                )

    def set_autoprobe(self, address: str, flag: bool) -> None:
        """Say whether the kernel gives a PF's new VFs a driver by itself."""
        self._attribute(
            address, "sriov_drivers_autoprobe", "1" if flag else "0"
        )

    def set_override(self, address: str, driver: str) -> None:
        """Name the one driver that may bind, or clear it with ``""``.

        The kernel takes any name, of a driver that doesn't exist too. What
        clears it is a line feed: a write of nothing keeps it.
        """
        if driver:
            _checked_name(driver)
        self._refuse_bridge(address)
        self._attribute(address, "driver_override", f"{driver}\n")

    def unbind(self, address: str) -> None:
        """Take a function from its driver; ENOENT if it has none.

        It blocks while a VFIO device is open.
        """
        place = _checked_address(address)
        self._refuse_bridge(place)
        self._write(f"{paths.DEVICES}/{place}/driver/unbind", place.encode())

    def probe(self, address: str) -> None:
        """Let the kernel look for a driver.

        It says nothing if none binds, so that what came of it is to be read.
        """
        place = _checked_address(address)
        self._write("sys/bus/pci/drivers_probe", place.encode())

    def reset(self, address: str) -> None:
        """Reset a function by the kernel's first way that works.

        ENOTTY where none does, or where others are on a bus that would be
        reset; ENOENT where the kernel knows none.
        """
        self._refuse_bridge(address)
        self._attribute(address, "reset", "1")

    def set_vgpu_type(self, address: str, type_id: str) -> None:
        """Give a VF that has a vendor's folder a type; ``0`` takes it away.

        ENOENT where the folder isn't there. What else the errno says differs
        by the driver's version; an open VF is EBUSY with all.
        """
        place = _checked_address(address)
        if vendor_vgpu.parse_current(type_id) != type_id:
            raise ValueError(f"{type_id!r} is no id of a vGPU type")
        self._attribute(place, vendor_vgpu.CURRENT, type_id)

    def create_mdev(self, uuid: str, parent: str, type_id: str) -> None:
        """Make a mediated device of a parent's.

        EEXIST where any parent has the UUID; ENOSPC, EUSERS, EAGAIN or
        EINVAL where there is no room, as the parent's driver likes.
        """
        mdev_names.parse_kind(mdev_names.kind(parent, type_id))
        place = f"{mdev.PARENTS}/{parent}/{mdev.TYPES}/{type_id}/create"
        self._write(place, _checked_uuid(uuid).encode())

    def remove_mdev(self, uuid: str) -> None:
        """Remove a mediated device; it blocks while that is open."""
        self._write(f"{mdev.DEVICES}/{_checked_uuid(uuid)}/remove", b"1")

    def set_mdev_attribute(self, uuid: str, name: str, value: str) -> None:
        """Write an attribute of a mediated device; see
        :func:`.mdev_names.parse_attribute`.
        """
        mdev_names.parse_attribute(f"{name}={value}")
        place = f"{mdev.DEVICES}/{_checked_uuid(uuid)}"
        if self.root.readlink(f"{place}/{name.partition('/')[0]}") is not None:
            raise ValueError(f"{name!r} is a link, and no attribute")
        self._write(f"{place}/{name}", value.encode())

    def load_module(self, name: str) -> None:
        """Load a module, with what it depends on."""
        self._modprobe(_checked_name(name))

    def answers(self, address: str) -> bool:
        """Whether a function answers on its bus.

        What doesn't reads as ones; a VF's ids always do, so that it is asked
        for its command and status (PCI_COMMAND in linux/pci_regs.h).
        """
        place = f"{paths.DEVICES}/{_checked_address(address)}"
        with self.root.folder(place) as folder:
            if "config" not in folder.names():
                return True
            said = folder.read("config", _COMMAND.stop)[_COMMAND]
        return said != b"\xff" * len(said)

    def numvfs(self, address: str, count: int) -> int | None:
        """Read how many VFs there are, once the kernel and sysfs agree.

        :param count: how many are awaited
        :returns: None where the PF is gone
        """
        place = _checked_address(address)
        deadline = time.monotonic() + _SETTLE
        while True:
            text = self.root.read_text(f"{paths.DEVICES}/{place}/sriov_numvfs")
            names = self.root.listdir(f"{paths.DEVICES}/{place}")
            links = sriov.count(names)
            if text is None or not text.isdigit():
                return None
            if int(text) == links == count or time.monotonic() > deadline:
                return links if int(text) == count else int(text)
            time.sleep(0.05)

    def autoprobe(self, address: str) -> str:
        """``1`` or ``0``; empty where there is no such attribute."""
        place = _checked_address(address)
        path = f"{paths.DEVICES}/{place}/sriov_drivers_autoprobe"
        return self.root.read_text(path) or ""

    def override(self, address: str) -> str:
        """The ``driver_override``; empty when unset."""
        place = _checked_address(address)
        text = self.root.read_text(f"{paths.DEVICES}/{place}/driver_override")
        return drivers.override_in(text) or ""

    def driver(self, address: str, awaited: str = "") -> str:
        """The bound driver; empty for none.

        :param awaited: a driver that may still be on its way
        """
        place = _checked_address(address)
        deadline = time.monotonic() + _SETTLE
        while True:
            link = self.root.readlink(f"{paths.DEVICES}/{place}/driver")
            if link or not awaited or time.monotonic() > deadline:
                return (link or "").rpartition("/")[2]
            time.sleep(0.05)

    def has_driver(self, module: str) -> str:
        """The driver that a module brought; empty for none."""
        _checked_name(module)
        for name in self.root.listdir(_DRIVERS):
            if drivers.same_name(name, module):
                return name
        return ""

    def _refuse_bridge(self, address: str) -> None:
        """Never touch what carries other functions.

        :raises ValueError: it is a bridge
        """
        place = _checked_address(address)
        with self.root.folder(f"{paths.DEVICES}/{place}") as folder:
            bridge = function_ids.is_any_bridge(folder)
        if bridge:
            raise ValueError(f"{place} is a bridge")

    def _attribute(self, address: str, name: str, text: str) -> None:
        place = _checked_address(address)
        self._write(f"{paths.DEVICES}/{place}/{name}", text.encode())


def of_directory(root: str) -> SysfsWriter:
    """Make the writer of a live host.

    :param root: ``/``, but for whoever mounts sysfs elsewhere
    :raises HostError: there is no such directory
    """
    tree = opening.open_tree(root)

    def write(rel: str, data: bytes) -> None:
        """Write to a file that is there, in one system call."""
        fd = tree.open_to_write(rel)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    return SysfsWriter(tree, write, _modprobe if root == "/" else _elsewhere)


def _elsewhere(name: str) -> None:
    """Refuse to load a module: it would go into the kernel that runs us."""
    raise OSError(
        errno.EPERM, f"module {name} can only be loaded where the root is /"
    )


def _modprobe(name: str) -> None:
    done = process.program(["/sbin/modprobe", "--", name])
    if done.returncode:
        said = " ".join(done.stdout.split())
        raise OSError(0, said or f"modprobe ended with {done.returncode}")


def _checked_address(address: str) -> str:
    """An address as the kernel writes it.

    :raises ValueError: it is none
    """
    return str(pci_address.PciAddress.parse(address))


def _checked_uuid(uuid: str) -> str:
    """A UUID as the kernel shows it.

    :raises ValueError: it is none
    """
    if not mdev_names.is_uuid(uuid):
        raise ValueError(f"{uuid!r} is no UUID in lower case")
    return uuid


def _checked_name(name: str) -> str:
    """A driver's or module's name.

    :raises ValueError: it is none
    """
    if not drivers.is_name(name):
        raise ValueError(f"{name!r} is no name of a driver or module")
    return name
