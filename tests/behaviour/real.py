# SPDX-License-Identifier: Apache-2.0
"""The lab's guest as host under test: a real kernel, to be played with."""

import contextlib
import fcntl
import functools
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
import typing as ty

from nova_vfio_variant.host.act import sysfs_writer
from nova_vfio_variant.testing.fake_kernel import vendor_tools, vgpu_card
from tests.behaviour import host
from tests.lab import qmp

# <linux/vfio.h>: _IO(';', 100 + n)
_SET_IOMMU = 0x3B66
_GROUP_SET_CONTAINER = 0x3B68
_GROUP_GET_DEVICE_FD = 0x3B6A
_TYPE1_IOMMU = 1
# <linux/sockios.h> and <linux/if.h>
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_IFF_UP = 0x1
_IFREQ = 40
_SETTLE = 10.0
#: Does as ``nvidia-smi``, of our own module.
_SMI = """#!/bin/sh
mode=/sys/module/igbvf_vgpu/parameters/heterogeneous
case "$*" in
"vgpu -shm "[01]" -i 0000:21:00.0")
    (echo "$3" > $mode) 2> /dev/null && exit 0
    echo "In use by another client"
    exit 19 ;;
"-q -i 0000:21:00.0")
    word=Disabled
    [ "$(cat $mode)" = N ] || word=Enabled
    echo "        vGPU Heterogeneous Mode           : $word" ;;
"vgpu -s -v -i 0000:21:00.0")
    cat << END
{}END
    ;;
*)
    echo "No devices were found"
    exit 6 ;;
esac
"""
#: As it is while a test replaces it.
_of_directory = sysfs_writer.of_directory


class Real(host.HostUnderTest):
    """The kernel that runs this."""

    root = pathlib.Path("/")
    patience = 60.0
    deadline = 5.0
    is_slow = True
    sample = ((2, 7),)
    waits = "D"
    #: The driver of each function after the boot.
    _drivers: ty.ClassVar[dict[str, str | None]] = {}

    def __init__(self) -> None:
        if not self._drivers:
            self._drivers.update(
                (name, self._driver(name)) for name in self.names(host.DEVICES)
            )
        self._held: dict[int, int] = {}
        self._up: list[str] = []
        self._exchanged = False
        self._has_vgpus = False

    def write(self, path: str, data: bytes) -> None:
        """Write to sysfs."""
        fd = os.open(self.root / path, os.O_WRONLY)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def writer(self) -> sysfs_writer.SysfsWriter:
        """That of the commands."""
        return _of_directory("/")

    def modprobe(self, name: str) -> None:
        """Load a module."""
        subprocess.run(["/sbin/modprobe", name], check=True)

    def rmmod(self, name: str) -> None:
        """Unload it."""
        subprocess.run(["/sbin/rmmod", name], check=True)

    def load_vgpus(
        self,
        listing: vgpu_card.Listing = "header",
        errors: vgpu_card.Errors = "posted",
        *,
        mig: bool = False,
    ) -> None:
        """Insert our own module, and put a stand-in for ``nvidia-smi``."""
        self._has_vgpus = True
        self.rmmod("igbvf")
        words = (f"listing={listing}", f"errors={errors}", f"mig={mig:d}")
        subprocess.run(["/sbin/modprobe", "igbvf_vgpu", *words], check=True)
        tool = self.root / "usr/bin/nvidia-smi"
        card = vgpu_card.VgpuCard(
            "igbvf_vgpu", host.VGPU_TYPES, host.MIB, listing, errors=errors
        )
        tool.write_text(_SMI.format(vendor_tools.supported(host.PF, card)))
        tool.chmod(0o755)

    def exchange(self) -> None:
        """Ask QEMU, which asks the kernel."""
        self._card("edu")
        self._exchanged = True

    def _card(self, driver: str, **options: str) -> None:
        qmp.execute("device_del", id="card")
        # QEMU lets go of it a little after the kernel has.
        self._await(lambda: "card" not in qmp.devices())
        qmp.execute(
            "device_add", driver=driver, id="card", bus="port-card", **options
        )
        self._await(lambda: self.exists(f"{host.DEVICES}/{host.CARD}"))

    def _await(self, is_so: ty.Callable[[], bool]) -> None:
        end = time.monotonic() + self.patience
        while not is_so():
            if time.monotonic() > end:
                raise TimeoutError("QEMU and the kernel exchange no card")
            time.sleep(0.1)

    def hold(self, name: str, token: str | None = None) -> int:
        """Open it in a child."""
        place = f"{host.DEVICES}/{name}"
        if not self.exists(place):
            place = f"sys/bus/mdev/devices/{name}"
        group = self.link(f"{place}/iommu_group")
        asked = name if not token else f"{name} vf_token={token}"
        return self._holding(lambda: _open(group, asked))

    def open(self, path: str) -> int:
        """Open it in a child."""
        return self._holding(lambda: os.open(self.root / path, os.O_RDONLY))

    def open_device(self, number: str, name: str) -> int:
        """Make a node of another name, and open that in a child."""
        major, _, minor = number.partition(":")
        node = f"{tempfile.mkdtemp()}/not-{name}"
        device = os.makedev(int(major), int(minor))
        os.mknod(node, stat.S_IFCHR | 0o600, device)
        return self._holding(lambda: os.open(node, os.O_RDONLY))

    def set_up(self, interface: str, address: str) -> None:
        """Do it as ifconfig does."""
        self._up.append(interface)
        # QEMU's network tells whoever listens of a router, and a prefix.
        listens = f"proc/sys/net/ipv6/conf/{interface}/accept_ra"
        if self.exists(listens):
            self.write(listens, b"0")
        _set_address(interface, address)
        _set_flags(interface, up=True)

    def _holding(self, work: ty.Callable[[], object]) -> int:
        """Do something in a child that keeps what it opens.

        :returns: its id
        :raises OSError: it did
        """
        heard, said = os.pipe()
        left, right = os.pipe()
        pid = os.fork()
        if not pid:
            number = 0
            try:
                os.close(right)
                work()
            except OSError as error:
                number = error.errno or 5
            try:
                os.write(said, struct.pack("i", number))
                if not number:
                    os.read(left, 1)
            finally:
                os._exit(0)
        os.close(said)
        os.close(left)
        (number,) = struct.unpack("i", os.read(heard, 4))
        os.close(heard)
        if number:
            os.close(right)
            os.waitpid(pid, 0)
            raise OSError(number, os.strerror(number))
        self._held[pid] = right
        return pid

    def let_go(self, pid: int) -> None:
        """Let it end."""
        right = self._held.pop(pid)
        # Who waits in the kernel has a copy of it: closing tells nothing.
        os.write(right, b"x")
        os.close(right)
        os.waitpid(pid, 0)

    def close(self) -> None:
        """Undo what a test left, from mdevs to what was unplugged."""
        for pid in list(self._held):
            self.let_go(pid)
        self._set_down()
        if self._exchanged:
            self._card("e1000e", romfile="")
        for uuid in self.names("sys/bus/mdev/devices"):
            self.write(f"sys/bus/mdev/devices/{uuid}/remove", b"1")
        for name in self.names(host.DEVICES):
            place = f"{host.DEVICES}/{name}"
            if "sriov_numvfs" in self.names(place):
                if self.read(f"{place}/sriov_numvfs") != "0":
                    self.write(f"{place}/sriov_numvfs", b"0")
                self.write(f"{place}/sriov_drivers_autoprobe", b"1")
        self._unload_vgpus()
        enable = "sys/module/vfio_pci/parameters/enable_sriov"
        if self.read(enable) == "Y":
            self.write(enable, b"N")
        if set(self._drivers) - set(self.names(host.DEVICES)):
            self.write("sys/bus/pci/rescan", b"1")
        for name, driver in self._drivers.items():
            self._back(name, driver)

    def _unload_vgpus(self) -> None:
        """Take back what :meth:`load_vgpus` did."""
        if self._has_vgpus:
            self.rmmod("igbvf_vgpu")
            (self.root / "usr/bin/nvidia-smi").unlink()
            self.modprobe("igbvf")

    def _set_down(self) -> None:
        """Take back what :meth:`set_up` did."""
        for interface in self._up:
            if self.exists(f"sys/class/net/{interface}"):
                _set_address(interface, "0.0.0.0")
                _set_flags(interface, up=False)

    def _back(self, name: str, driver: str | None) -> None:
        """Give a function the driver that it had after the boot."""
        place = f"{host.DEVICES}/{name}"
        if self.read(f"{place}/driver_override") != "(null)":
            self.write(f"{place}/driver_override", b"\n")
        if self._driver(name) != driver:
            with contextlib.suppress(FileNotFoundError):
                self.write(f"{place}/driver/unbind", name.encode())
            self.write("sys/bus/pci/drivers_probe", name.encode())
        end = time.monotonic() + _SETTLE
        while self._driver(name) != driver and time.monotonic() < end:
            time.sleep(0.05)

    def _driver(self, name: str) -> str | None:
        return self.link(f"{host.DEVICES}/{name}/driver")


def _open(group: str | None, name: str) -> None:
    """Open a group and its device, and keep both for the process's life."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    call = functools.partial(fcntl.ioctl)
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    member = os.open(f"/dev/vfio/{group}", os.O_RDWR)
    call(member, _GROUP_SET_CONTAINER, struct.pack("i", container))
    call(container, _SET_IOMMU, _TYPE1_IOMMU)
    call(member, _GROUP_GET_DEVICE_FD, name.encode() + b"\0")


def _set_address(interface: str, address: str) -> None:
    """Give an interface its IPv4 address; 0.0.0.0 takes it away."""
    asked = struct.pack(
        "16sHH4s",
        interface.encode(),
        socket.AF_INET,
        0,
        socket.inet_aton(address),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, _SIOCSIFADDR, asked.ljust(_IFREQ, b"\0"))


def _set_flags(interface: str, *, up: bool) -> None:
    """Set an interface up, or down."""
    name = interface.encode().ljust(16, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        told = fcntl.ioctl(asking, _SIOCGIFFLAGS, name.ljust(_IFREQ, b"\0"))
        (flags,) = struct.unpack_from("H", told, 16)
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        asked = name + struct.pack("H", flags)
        fcntl.ioctl(asking, _SIOCSIFFLAGS, asked.ljust(_IFREQ, b"\0"))
