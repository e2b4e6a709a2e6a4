# SPDX-License-Identifier: Apache-2.0
"""A guest's machine, as a value, and the QEMU arguments that make it."""

from __future__ import annotations

import dataclasses
import enum
import typing as ty

from nova_vfio_variant.guest import devices, qemu

if ty.TYPE_CHECKING:
    import pathlib

#: What the guest's kernel mounts its shared root by (``root=``, with
#: ``rootfstype=virtiofs``).
ROOT_TAG: ty.Final = "root"

#: What is pinned beside the guest's memory: its devices' own. libvirt adds as
#: much (``qemuDomainGetMemLockLimitBytes``).
_DEVICE_MEMORY_MIB: ty.Final = 1024


class Accelerator(enum.StrEnum):
    """Who runs the guest's instructions."""

    KVM = "kvm"
    #: QEMU itself, on any host, and slow.
    TCG = "tcg"


class Format(enum.StrEnum):
    """What a disk's image is.

    It is always said: QEMU would believe what a guest wrote into a raw one.
    """

    RAW = "raw"
    QCOW2 = "qcow2"


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """What is booted without a boot loader.

    :param image: of Linux
    :param append: its command line
    :param initrd: None if it needs none
    """

    image: pathlib.Path
    append: str
    initrd: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """A disk, which the guest writes to: its ``/dev/vda``."""

    image: pathlib.Path
    format: Format


@dataclasses.dataclass(frozen=True, slots=True)
class UserNet:
    """A network that QEMU makes up: the guest gets out, nobody in.

    :param mac: of the guest's interface
    """

    mac: str


@dataclasses.dataclass(frozen=True, slots=True)
class Tap:
    """A TAP device of the host that somebody else made and removes.

    :param mac: of the guest's interface
    :param name: of the host's
    """

    mac: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """A guest's machine: a q35 with a PCIe root port for each device.

    It has no display, and ends where its guest reboots.

    :param uuid: the instance's; the guest sees it as its system's, and
        whether the instance lives is told by it (``node.liveness``)
    :param memory_mib: of the guest
    :param vcpus: how many
    :param accelerator: KVM unless the host has none
    :param qmp: the socket that QEMU makes and is told what to do through
    :param serial: a file for what the guest writes to its first serial line;
        None for QEMU's own standard output
    :param kernel: None to boot from the disk
    :param disk: None if the root comes from elsewhere
    :param root: virtiofsd's socket, for a root in a folder of the host
    :param net: None for no network
    :param cid: its vsock address, from 3 on; None for no vsock
    :param passed: the host's devices that it is given
    :param iommufd: reach them by iommufd (:func:`qemu.plugged`)
    """

    uuid: str
    memory_mib: int
    vcpus: int
    accelerator: Accelerator
    qmp: pathlib.Path
    serial: pathlib.Path | None = None
    kernel: Kernel | None = None
    disk: Disk | None = None
    root: pathlib.Path | None = None
    net: UserNet | Tap | None = None
    cid: int | None = None
    passed: tuple[devices.Passed, ...] = ()
    iommufd: bool = False

    @property
    def locked_mib(self) -> int:
        """What QEMU has to be let lock, if it hasn't CAP_IPC_LOCK.

        A device reaches all of the guest's memory at any time, so that all of
        it is pinned. It is pinned once for all devices: without a vIOMMU,
        which this machine hasn't, they share one address space, and so one
        container of VFIO's type1 or one IOAS of iommufd's. type1 counts it for
        the process; iommufd counts it for the user, so that guests of one user
        share a limit.
        """
        if not self.passed:
            return 0
        return self.memory_mib + _DEVICE_MEMORY_MIB

    def arguments(self) -> list[str]:
        """QEMU's arguments, without its name.

        :raises ClaimError: there are more devices than it has room for
        """
        return [
            *("-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none"),
            *("-uuid", self.uuid),
            *self._base(),
            *self._boot(),
            *self._lines(),
            *self._own(),
            *self._passed(),
        ]

    def _base(self) -> ty.Iterator[str]:
        words = ["q35", f"accel={self.accelerator}"]
        if self.root is not None:
            # virtiofsd sees the guest's memory too.
            words.append("memory-backend=memory")
            yield "-object"
            yield f"memory-backend-memfd,id=memory,size={self.memory_mib}M,share=on"
        yield from ("-M", ",".join(words))
        is_fast = self.accelerator is Accelerator.KVM
        yield from ("-cpu", "host" if is_fast else "max")
        yield from ("-smp", str(self.vcpus))
        yield from ("-m", f"{self.memory_mib}M")

    def _boot(self) -> ty.Iterator[str]:
        if self.kernel is None:
            return
        yield from ("-kernel", str(self.kernel.image))
        if self.kernel.initrd is not None:
            yield from ("-initrd", str(self.kernel.initrd))
        yield from ("-append", self.kernel.append)

    def _lines(self) -> ty.Iterator[str]:
        """What the host talks to it through."""
        to = (
            # It leaves Ctrl-C to whoever runs it.
            "stdio,id=serial,signal=off"
            if self.serial is None
            else f"file,id=serial,path={qemu.value(self.serial)}"
        )
        yield from ("-chardev", to, "-serial", "chardev:serial")
        where = f"path={qemu.value(self.qmp)},server=on,wait=off"
        yield from ("-chardev", f"socket,id=qmp,{where}")
        yield from ("-mon", "chardev=qmp,mode=control")

    def _own(self) -> ty.Iterator[str]:
        """Its own devices, each in its place whichever others there are."""
        if self.disk is not None:
            image = qemu.value(self.disk.image)
            file = f"file.driver=file,file.filename={image}"
            yield "-blockdev"
            yield f"driver={self.disk.format},node-name=disk,{file}"
            yield from _device("disk", 1, "virtio-blk-pci,drive=disk")
        if self.root is not None:
            where = f"path={qemu.value(self.root)}"
            yield from ("-chardev", f"socket,id=root,{where}")
            more = f"chardev=root,tag={ROOT_TAG}"
            yield from _device("root", 2, f"vhost-user-fs-pci,{more}")
        if self.net is not None:
            yield from ("-netdev", _netdev(self.net))
            # Without the ROM it boots from: not every host has that file.
            more = f"netdev=net,mac={self.net.mac},romfile="
            yield from _device("net", 3, f"virtio-net-pci,{more}")
        if self.cid is not None:
            more = f"guest-cid={self.cid}"
            yield from _device("vsock", 4, f"vhost-vsock-pci,{more}")

    def _passed(self) -> ty.Iterator[str]:
        none = devices.Console.NONE
        plugged = qemu.plugged(
            [(device, none) for device in self.passed], iommufd=self.iommufd
        )
        own = (self.disk, self.root, self.net, self.cid)
        qemu.check_room(
            sum(device is not None for device in own)
            + sum(device.port is not None for device in plugged)
        )
        if plugged and self.iommufd:
            yield from qemu.backend()
        for device in plugged:
            yield from device.arguments


def _device(name: str, number: int, words: str) -> list[str]:
    """A device of the machine's own, behind its root port.

    :param number: of the port, below :data:`qemu.FIRST_PORT`
    """
    port = f"port-{name}"
    return [
        *qemu.root_port(port, number),
        *("-device", f"{words},id={name}-device,bus={port}"),
    ]


def _netdev(net: UserNet | Tap) -> str:
    if isinstance(net, UserNet):
        return "user,id=net"
    ifname = qemu.value(net.name)
    return f"tap,id=net,ifname={ifname},script=no,downscript=no"
