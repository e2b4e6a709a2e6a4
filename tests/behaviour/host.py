# SPDX-License-Identifier: Apache-2.0
"""The host under test: what the tests may ask of it, be it fake or real.

Both have the same functions at the same addresses, for the fake is loaded
from a recording of the guest.
"""

import abc
import atexit
import errno
import functools
import os
import pathlib
import shutil
import tempfile

from nova_vfio_variant.host.act import sysfs_writer
from nova_vfio_variant.host.tree import host_tree, opening
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.testing.fake_kernel import vgpu_card
from tests import sample_hosts

#: An igb: 8086:10c9, up to seven VFs 8086:10ca.
PF = "0000:21:00.0"
VFS = tuple(
    f"0000:21:{slot:02x}.{function}"
    for slot, function in ((16, 0), (16, 2), (16, 4), (16, 6), (17, 0))
)
VF = VFS[0]
#: An NVMe controller: up to 120 VFs.
NVME = "0000:22:00.0"
#: A virtio-net, 1af4:1041: virtio_vfio_pci is made for it.
VIRTIO = "0000:42:00.0"
#: Two functions 1234:11e8 that share a group, without a driver.
EDU, EDU_TOO = "0000:00:10.0", "0000:00:10.1"
#: Two e1000 that share a group with their bridge, which has no driver.
NIC, NIC_TOO = "0000:01:01.0", "0000:01:02.0"
BRIDGE = "0000:00:11.0"
DISPLAY = "0000:00:12.0"
#: An "other bridge" 1498:30c8, and a function that shares its group.
OTHER, OTHER_MATE = "0000:00:13.0", "0000:00:13.1"
#: A root port without ACS, and the card behind it in its group.
OPEN_PORT, OPEN_CARD = "0000:00:14.0", "0000:02:00.0"
#: A card that can be exchanged.
CARD = "0000:03:00.0"
#: The board's ISA bridge, and what shares its group: disks and SMBus.
ISA, AHCI, SMBUS = "0000:00:1f.0", "0000:00:1f.2", "0000:00:1f.3"
ROOT_PORT = "0000:20:00.0"

#: The types of ``tests/lab/modules/igbvf_vgpu``, and what a card shares out.
VGPU_TYPES = {
    "1145": ("NVIDIA LAB-1B", 1),
    "2164": ("NVIDIA LAB-2B", 2),
    "1148": ("NVIDIA LAB-2Q", 2),
    "1150": ("NVIDIA LAB-4Q", 4),
}
MIB = 8

DEVICES = "sys/bus/pci/devices"
DRIVERS = "sys/bus/pci/drivers"
_RECORDING = pathlib.Path(__file__).parent / "lab-host.tar.gz"


class HostUnderTest(abc.ABC):
    """A host as it is after a boot.

    :ivar root: what hangs off ``--host-root``
    :ivar patience: seconds in which what happens at all has happened
    :ivar deadline: seconds in which a step that doesn't hang has ended
    :ivar is_slow: each command takes seconds, so that what the fake shows of
        our commands alone isn't asked again
    :ivar sample: at which writes two commands are killed, one after the other
    :ivar waits: the state in ``/proc`` of who waits for a function's lock: in
        a kernel one that no signal ends (D), while who waits for the fake's
        fifo sleeps (S)
    """

    root: pathlib.Path
    patience: float
    deadline: float
    is_slow: bool
    sample: tuple[tuple[int, int], ...]
    waits: str

    @property
    def tree(self) -> host_tree.HostTree:
        """The host, as our own code reads it."""
        return opening.open_tree(str(self.root))

    def read(self, path: str) -> str:
        """What a file says, without the line end. It may wait."""
        return (self.root / path).read_text().rstrip("\n")

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return os.path.lexists(self.root / path)

    def link(self, path: str) -> str | None:
        """The last part of where a link points to; None for none."""
        try:
            return os.readlink(self.root / path).rpartition("/")[2]
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """What stands in a directory; nothing if it isn't there."""
        try:
            return sorted(os.listdir(self.root / path))
        except FileNotFoundError:
            return []

    @abc.abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Write in one system call.

        :raises OSError: what the kernel answered
        """

    @abc.abstractmethod
    def writer(self) -> sysfs_writer.SysfsWriter:
        """What the commands write with, here."""

    @abc.abstractmethod
    def modprobe(self, name: str) -> None:
        """Load a module."""

    @abc.abstractmethod
    def rmmod(self, name: str) -> None:
        """Unload one."""

    @abc.abstractmethod
    def load_vgpus(
        self,
        listing: vgpu_card.Listing = "header",
        errors: vgpu_card.Errors = "posted",
        *,
        mig: bool = False,
    ) -> None:
        """Let VFs of the igbs that are made from now on be given types.

        Instead of igbvf, igbvf_vgpu takes them; each card has :data:`MIB`.

        :param listing: how their lists are printed
        :param errors: how writes are refused
        :param mig: MIG is on, without a GPU instance
        """

    @abc.abstractmethod
    def exchange(self) -> None:
        """Pull the card at CARD out, and put one of another kind there."""

    @abc.abstractmethod
    def hold(self, name: str, token: str | None = None) -> int:
        """Let a new process open a function, or an mdev, through its group.

        :param token: the VF token that it gives, a UUID
        :returns: its id
        :raises OSError: what the kernel answered to opening the group,
            setting its container, or getting the device
        """

    @abc.abstractmethod
    def open(self, path: str) -> int:
        """Let a new process open a file of sysfs, to read.

        :returns: its id
        """

    @abc.abstractmethod
    def open_device(self, number: str, name: str) -> int:
        """Let a new process open a character device by a node of its own.

        :param number: ``MAJOR:MINOR``
        :param name: of the device in sysfs
        :returns: its id
        """

    @abc.abstractmethod
    def set_up(self, interface: str, address: str) -> None:
        """Set an interface up, and give it an IPv4 address."""

    @abc.abstractmethod
    def let_go(self, pid: int) -> None:
        """End it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Leave the host as it was after its boot, and nobody waiting."""


class Fake(HostUnderTest):
    """A new fake host for each test."""

    patience = 5.0
    deadline = 1.0
    is_slow = False
    sample = tuple((number, number) for number in range(1, 12))
    waits = "S"

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(dir=sample_hosts.MEMORY)
        shutil.copytree(_template(), f"{self._folder}/host", symlinks=True)
        self.fake = fake_host.FakeHost(f"{self._folder}/host")
        self.root = self.fake.root
        self._held: set[int] = set()

    def write(self, path: str, data: bytes) -> None:
        """Write to it."""
        self.fake.write(path, data)

    def writer(self) -> sysfs_writer.SysfsWriter:
        """Its own."""
        return self.fake.writer()

    def modprobe(self, name: str) -> None:
        """Load a module of its own."""
        self.fake.modprobe(name)

    def rmmod(self, name: str) -> None:
        """Unload it."""
        self.fake.rmmod(name)

    def load_vgpus(
        self,
        listing: vgpu_card.Listing = "header",
        errors: vgpu_card.Errors = "posted",
        *,
        mig: bool = False,
    ) -> None:
        """The same types as those of the lab's module."""
        self.fake.rmmod("igbvf")
        self.fake.add_driver("igbvf_vgpu", ["8086:10ca"])
        self.fake.add_vendor_vgpus(
            PF,
            VGPU_TYPES,
            MIB,
            driver="igbvf_vgpu",
            listing=listing,
            errors=errors,
            mig=mig,
        )

    def exchange(self) -> None:
        """An edu, as in the lab."""
        self.fake.exchange(CARD, "1234:11e8", class_code=0x00FF00)

    def hold(self, name: str, token: str | None = None) -> int:
        """A process in its ``/proc``."""
        pid = self.fake.hold(name, token=token)
        self._held.add(pid)
        return pid

    def open(self, path: str) -> int:
        """A process in its ``/proc``."""
        real = os.path.realpath(self.root / path)
        pid = self.fake.open_file(real.removeprefix(str(self.root)))
        self._held.add(pid)
        return pid

    def open_device(self, number: str, name: str) -> int:
        """A process whose file has the device's name: it has no numbers."""
        del number
        pid = self.fake.open_file(f"/dev/{name}")
        self._held.add(pid)
        return pid

    def set_up(self, interface: str, address: str) -> None:
        """Write what the kernel would show."""
        flags = self.root / f"sys/class/net/{interface}/flags"
        flags.write_text("0x1003\n")
        local = address.startswith("169.254.")
        octets = [int(one) for one in address.split(".")]
        masked = [*octets[:2], 0, 0] if local else [*octets[:3], 0]
        route = bytes(reversed(masked)).hex().upper()
        mask = "0000FFFF" if local else "00FFFFFF"
        with (self.root / "proc/net/route").open("a") as routes:
            routes.write(
                f"{interface}\t{route}\t00000000\t0001\t0\t0\t0\t{mask}"
                "\t0\t0\t0\n"
            )
        (self.root / "proc/net/if_inet6").write_text(
            f"{'fe80':<031}1 02 40 20 80 {interface}\n"
        )

    def let_go(self, pid: int) -> None:
        """End that."""
        self._held.discard(pid)
        self.fake.let_go(pid)

    def close(self) -> None:
        """Remove it, and let go of whoever waits."""
        for pid in list(self._held):
            self.let_go(pid)
        shutil.rmtree(self._folder)


@functools.cache
def _template() -> str:
    """A fake host to copy, for loading one takes longer."""
    folder = tempfile.mkdtemp(dir=sample_hosts.MEMORY)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    fake = fake_host.FakeHost.load(f"{folder}/host", _RECORDING)
    # What a recording can't show: nobody had these when it was made.
    fake.add_driver("igbvf", ["8086:10ca"])
    fake.add_driver("nvme", not_vfs=True)
    fake.add_driver("pci-stub", loaded=False)
    fake.add_driver("pci-pf-stub", makes_vfs=True, loaded=False)
    fake.add_mdev_parent("mtty", {"mtty-1": 1, "mtty-2": 2}, 24)
    sizes = ("vga", "xga", "hd")
    fake.add_mdev_parent(
        "mdpy", {f"mdpy-{one}": 1 for one in sizes}, 4, counted=True
    )
    return f"{folder}/host"


def under_test() -> HostUnderTest:
    """A host: the real one inside the lab's guest, else a fake."""
    if "NOVA_VFIO_LAB_GUEST" in os.environ:
        # Imported here: only a guest may be played with.
        from tests.behaviour import real

        return real.Real()
    return Fake()


def name_of(number: int | None) -> str | None:
    """ENODEV and the like; None for no error."""
    return None if number is None else errno.errorcode[number]
