# SPDX-License-Identifier: Apache-2.0
"""A host made of files that answers writes as Linux 6.12 does.

What a plain directory accepts, this refuses: too many VFs, a driver that is
taken, a group in use. It blocks where the kernel blocks. One suite tries both.

::

    host = FakeHost(folder)
    host.add_driver("igb", ["8086:10c9"], makes_vfs=True)
    host.add_driver("igbvf", ["8086:10ca"])
    host.add("0000:21:00.0", "8086:10c9", vfs=7, vf_device="10ca")
    host.write("sys/bus/pci/devices/0000:21:00.0/sriov_numvfs", b"8")
    # OSError: [Errno 34] Numerical result out of range
"""

# Longer than 400 lines: whatever a test does to a host is found here.

from __future__ import annotations

import contextlib
import os
import pathlib
import typing as ty
from unittest import mock

from nova_vfio_variant.host.act import sysfs_writer
from nova_vfio_variant.host.tree import host_tree, recorded
from nova_vfio_variant.testing.fake_kernel import (
    faults,
    functions,
    kernel,
    mdev_parent,
    processes,
    vendor_tools,
    vgpu_card,
)
from nova_vfio_variant.testing.fake_kernel import files as fake_files


class _Tree(host_tree.DirectoryTree):
    """Waits where the kernel lets readers wait."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._flags &= ~os.O_NONBLOCK
        self._is_odd = False


class FakeHost:
    """A fake host in a directory, which holds all that there is of it.

    Two objects for one directory are one host, in other processes too.

    :param root: a directory that isn't there yet, for a host without any
        function; or one that another object made
    """

    # Longer than 250 lines: whatever a test does to a host is found here.

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = pathlib.Path(os.path.realpath(root))
        self._kernel = kernel.Kernel(self.root)
        self._files = self._kernel.files
        self._faults: list[faults.Fault] = []

    @classmethod
    def load(
        cls, root: str | os.PathLike[str], recording: str | os.PathLike[str]
    ) -> FakeHost:
        """Make a host of a recording that ``host snapshot`` made.

        Each driver takes by itself the ids of those of its functions that
        have no ``driver_override``; what a recording doesn't show, an id of
        which every function was on a VFIO driver, :meth:`add_driver` adds.

        :param root: a directory that isn't there yet
        :raises HostError: the recording can't be read
        :raises RecordedHostError: it is no whole, safe recording
        """
        recorded.unpack(recording, root)
        host = cls(root)
        host._kernel.learn()
        return host

    # What others see of it

    @property
    def tree(self) -> host_tree.HostTree:
        """The host, to read; what blocks on a real one blocks."""
        return _Tree(str(self.root))

    def writer(self) -> sysfs_writer.SysfsWriter:
        """What changes the host, for this project's own code."""
        return sysfs_writer.SysfsWriter(self.tree, self.write, self.modprobe)

    @contextlib.contextmanager
    def plugged_in(self) -> ty.Iterator[None]:
        """Let commands with ``--host-root`` here write to this host."""
        real = sysfs_writer.of_directory

        def of_directory(root: str) -> sysfs_writer.SysfsWriter:
            if os.path.realpath(root) == str(self.root):
                return self.writer()
            return real(root)

        with mock.patch.object(sysfs_writer, "of_directory", of_directory):
            yield

    def picture(self) -> dict[str, str]:
        """All files and links of its devices, drivers and IOMMU groups.

        Numbers of VFIO devices are left out: they tell of the order of
        events. So are loaded drivers that have no function.
        """
        return self._files.picture()

    # Building it

    def add_driver(
        self,
        name: str,
        ids: ty.Iterable[str] = (),
        *,
        module: str | None = None,
        vfio: bool = False,
        makes_vfs: bool | None = None,
        loaded: bool = True,
        not_vfs: bool = False,
    ) -> None:
        """Add a driver, or more ids to one that is there.

        :param ids: what it takes by itself: ``8086:10c9``, or with the class
            behind it and wildcards: ``*:*:0604*``
        :param module: what has to be loaded for it; its own name with ``_``
            for ``-`` if None
        :param vfio: it gives functions to guests
        :param makes_vfs: it gives a PF its VFs (has a ``sriov_configure``);
            None for no if the driver is a new one, else for what it does
        :param loaded: it is there already
        :param not_vfs: it refuses VFs
        """
        module = module or name.replace("-", "_")
        with self._files.held() as memory:
            driver = memory.drivers.setdefault(
                name,
                fake_files.Driver(module, loaded=False),
            )
            driver.ids += ids
            driver.vfio |= vfio
            if makes_vfs is not None:
                driver.makes_vfs = makes_vfs
            driver.not_vfs |= not_vfs
            self._kernel.can_load(module, driver.ids)
            if loaded:
                self._kernel.load(name)

    def add(
        self,
        address: str,
        ids: str,
        *,
        group: int | None = None,
        class_code: int = 0x020000,
        header: int | None = None,
        behind: str | None = None,
        vfs: int = 0,
        vf_device: str = "",
        vf_offset: int = 0x80,
        vf_stride: int = 2,
        numa_node: int = -1,
        driver: str | None = None,
    ) -> None:
        """Add a function, and let the kernel look for its driver.

        :param ids: vendor and product: ``8086:10c9``
        :param group: IOMMU group; the lowest free one if None
        :param class_code: the class, subclass and interface
        :param header: of what base class it may be a bridge (06), the type
            of its header; None for the one that goes with its subclass
        :param behind: address of the bridge that it stands behind
        :param vfs: as how many VFs a PF can have; 0 for what is no PF
        :param vf_device: the VFs' product id; its own if empty
        :param driver: bind it to this one, whatever the kernel would choose
        """
        files = self._files
        with files.held():
            if behind is None:
                bus = address.rpartition(":")[0]
                parent = self.root / f"sys/devices/pci{bus}"
            else:
                parent = files.device(behind)
            place = parent / address
            functions.make(
                files,
                place,
                ids,
                class_code,
                numa_node=numa_node,
                header=header,
            )
            if vfs:
                functions.make_pf(
                    files,
                    place,
                    vfs,
                    vf_device or ids.partition(":")[2],
                    vf_offset,
                    vf_stride,
                )
            files.join_group(place, group)
            files.link(self.root / fake_files.DEVICES / address, place)
            if driver is not None:
                (place / "driver_override").write_text(f"{driver}\n")
            self._kernel.pci.write(["drivers_probe"], address.encode())
            if driver is not None:
                (place / "driver_override").write_text(f"{functions.UNSET}\n")

    def add_alias(self, pattern: str, module: str) -> None:
        """Add a line to ``modules.alias``.

        :param pattern: ``vfio_pci:v00008086d000010CAsv*sd*bc*sc*i*``
        """
        self._kernel.line("modules.alias", f"alias {pattern} {module}")

    def add_device_file(
        self, address: str, place: str, number: str, kind: str = "char"
    ) -> None:
        """Let a function's driver make a device file.

        Its name below ``/dev`` ends as its place does.

        :param place: of the device, below the function: ``uio/uio0``
        :param number: of the file: ``240:0``
        :param kind: ``char`` or ``block``
        """
        with self._files.held():
            device = self._files.device(address) / place
            device.mkdir(parents=True)
            self._files.put(device, dev=number)
            folder = self.root / "sys/dev" / kind
            folder.mkdir(parents=True, exist_ok=True)
            self._files.link(folder / number, device)

    def add_mdev_parent(
        self,
        name: str,
        costs: ty.Mapping[str, int],
        capacity: int,
        *,
        counted: bool = False,
        module: str | None = None,
        loaded: bool = True,
        function: str | None = None,
        place: str | None = None,
        **more: ty.Any,
    ) -> None:
        """Add a device that offers mediated devices.

        :param costs: how much an mdev of each type takes of the capacity
        :param counted: its driver has no ``get_available``, and leaves the
            counting to the mdev core
        :param module: what has to be loaded for it; its name if None
        :param function: address of the function that it is; None for a device
            of its own. Where no module is named, it is the function's driver
            that offers them, as long as it is bound
        :param place: its folder below the root, where it is neither a
            function nor virtual: ``sys/devices/css0/0.0.0052``
        :param more: as of :class:`~nova_vfio_variant.testing.fake_kernel.mdev_parent.Parent`
        """
        place = place or f"sys/devices/virtual/{name}/{name}"
        of = ""
        if function is not None:
            device = self._files.device(function)
            of = "" if module else self._files.driver_of(device) or ""
            place = str(device.relative_to(self.root))
        module, name = module or name, function or name
        with self._files.held() as memory:
            memory.parents[name] = mdev_parent.Parent(
                place, module, capacity, dict(costs), counted, of=of, **more
            )
            self._kernel.can_load(module)
            if loaded:
                self._kernel.mdevs.register(name)

    def add_vendor_vgpus(
        self,
        pf: str,
        types: ty.Mapping[str, tuple[str, int]],
        framebuffer_mib: int,
        *,
        driver: str | None = None,
        listing: vgpu_card.Listing = "header",
        heterogeneous: bool = False,
        mig: bool = False,
        errors: vgpu_card.Errors = "posted",
    ) -> None:
        """Let a PF's VFs be given types of vGPU, the vendor's way.

        Each VF on the vendor's driver has the folder ``nvidia/``. The host
        gets ``nvidia-smi`` and ``sriov-manage``, as far as they are asked for
        here.

        :param types: name and framebuffer in MiB of each, by its id
        :param framebuffer_mib: of the card
        :param driver: the vendor's; None for the PF's own
        :param listing: how ``creatable_vgpu_types`` is printed
        :param heterogeneous: sizes may be mixed, until VFs are made or removed
        :param mig: MIG is on, without a GPU instance: no type can be made
        :param errors: how writes are refused: as by the driver that NVIDIA
            posted, or as by its own
        :raises OSError: ENODEV: there is no such function
        """
        with self._files.held():
            place = self._files.device(pf)
            card = vgpu_card.VgpuCard(
                driver or self._files.driver_of(place) or "",
                dict(types),
                framebuffer_mib,
                listing,
                heterogeneous,
                mig,
                errors,
            )
            self._kernel.vgpus.add(place, card)
        vendor_tools.put(self.root)

    def break_driver(self, name: str, broken: bool = True) -> None:
        """Let a driver refuse every function; a probe says nothing of it."""
        with self._files.held() as memory:
            memory.drivers[name].broken = broken

    # What happens to it

    def write(self, rel: str, data: bytes) -> None:
        """Write to one of its files, in one system call.

        :param rel: path below the root
        :raises OSError: the kernel refused it
        """
        with (self._files.hidden / "written").open("ab") as log:
            log.write(rel.encode() + b" " + repr(data).encode() + b"\n")
        due: tuple[faults.Fault, ...] = ()
        if self._faults:
            number = len(self.written)
            due = tuple(f for f in self._faults if f.number == number)
        for fault in due:
            faults.strike(fault, self.vanish)
        self._kernel.write(rel, data)
        for fault in due:
            if fault.crash and fault.after:
                faults.crash(fault)

    @property
    def written(self) -> list[str]:
        """All writes so far, by any process: path, blank, ``repr`` of data."""
        path = self._files.hidden / "written"
        return path.read_text().splitlines() if path.exists() else []

    def modprobe(self, name: str) -> None:
        """Load a module.

        :raises OSError: there is none such
        """
        self._kernel.modprobe(name)

    def rmmod(self, name: str) -> None:
        """Unload a module: functions lose its driver, parents their mdevs."""
        self._kernel.rmmod(name)

    def hold(
        self,
        address: str,
        command: str = "qemu-system-x86",
        token: str | None = None,
    ) -> int:
        """Let a new process open a function through its VFIO group.

        :param address: of a function, or the UUID of an mdev
        :param token: the VF token that it gives, a UUID
        :returns: the process's id, for :meth:`let_go`
        :raises OSError: EBUSY: somebody has the group open; EPERM: the group
            isn't viable; ENOENT: none of it is on a VFIO driver; ENODEV: the
            function isn't, or is a vendor's vGPU without a type, or wedged;
            EACCES: a PF on a VFIO driver made this VF, and its token is
            another
        """
        with self._files.held():
            mdevs = self.root / "sys/bus/mdev/devices" / address
            if mdevs.exists():
                place = pathlib.Path(os.path.realpath(mdevs))
            else:
                place = self._files.device(address)
            return self._kernel.groups.open(place, command, token)

    def open_file(
        self, path: str, command: str = "holder", words: ty.Iterable[str] = ()
    ) -> int:
        """Let a new process open a file, to which nothing happens.

        :param path: as ``/proc/PID/fd`` has it; below ``/dev`` that of a
            device file, for example one that :meth:`add_device_file` made
        :param words: the process's command line
        :returns: the process's id, for :meth:`let_go`
        """
        with self._files.held():
            return processes.start(self.root, command, (path,), words)

    def let_go(self, pid: int) -> None:
        """End a process that has something open."""
        with self._files.held():
            self._kernel.groups.close(pid)

    def vanish(self, address: str) -> None:
        """Pull a function out, its VFs with it.

        :raises OSError: ENODEV: it isn't there
        """
        with self._files.held():
            self._kernel.pci.vanish(self._files.device(address))

    def exchange(self, address: str, ids: str, **more: ty.Any) -> None:
        """Put another card where a function is.

        :param ids: as of :meth:`add`
        :param more: likewise; its IOMMU group is the old card's
        :raises OSError: ENODEV: there is none
        """
        with self._files.held():
            place = self._files.device(address)
            parent = place.parent.name
            group = self._files.group_of(place)
            self.vanish(address)
            behind = None if parent.startswith("pci") else parent
            if group is not None:
                more.setdefault("group", int(group))
            self.add(address, ids, behind=behind, **more)

    # What goes wrong

    def fault(self, number: int, **more: ty.Any) -> None:
        """Let something go wrong at the n-th write from now.

        :param more: as of :class:`~nova_vfio_variant.testing.fake_kernel.faults.Fault`
        """
        self._faults.append(faults.Fault(len(self.written) + number, **more))

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()
