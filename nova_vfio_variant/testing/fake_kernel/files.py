# SPDX-License-Identifier: Apache-2.0
"""The files of a fake host, and what its kernel keeps in mind beside them.

All of it stands in the directory, so that it outlives whoever writes: a
killed process leaves what a killed process leaves on a real host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import time
import typing as ty

from nova_vfio_variant.testing.fake_kernel import mdev_parent, vgpu_card

DEVICES: ty.Final = "sys/bus/pci/devices"
DRIVERS: ty.Final = "sys/bus/pci/drivers"
#: What the kernel keeps in mind; no real host has a file of this name.
MEMORY: ty.Final = ".kernel"

#: Who reads it takes the function's lock (sriov_numvfs_show() in iov.c).
_LOCKED = "sriov_numvfs"
_PAUSE = 0.01
_VFIO_NUMBER = re.compile(r"/vfio\d+")


def error(number: int) -> OSError:
    """What the kernel answers."""
    return OSError(number, os.strerror(number))


@dataclasses.dataclass
class Driver:
    """A driver, loaded or not.

    :param module: what has to be loaded for it
    :param ids: what it takes by itself: ``8086:10c9``, with wildcards, or
        with the class behind it: ``*:*:0604*``
    :param vfio: it gives functions to guests
    :param makes_vfs: it can give a PF its VFs (``sriov_configure``)
    :param loaded: it is there
    :param broken: its probe fails, for every function
    :param not_vfs: its probe fails for VFs
    :param new_ids: ids that were written to ``new_id``
    """

    module: str
    ids: list[str] = dataclasses.field(default_factory=list)
    vfio: bool = False
    makes_vfs: bool = False
    loaded: bool = True
    broken: bool = False
    not_vfs: bool = False
    new_ids: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Memory:
    """What the kernel knows and sysfs doesn't show.

    :param drivers: by name
    :param parents: of mdevs, by name
    :param removed: functions that a rescan finds again: place in sysfs and
        IOMMU group, by address
    :param tokens: what opens the VFs of each PF that is on a VFIO driver, by
        the PF's address; empty while nobody has set it
    :param cards: those that make vGPUs the vendor's way, by the PF's address
    """

    drivers: dict[str, Driver] = dataclasses.field(default_factory=dict)
    parents: dict[str, mdev_parent.Parent] = dataclasses.field(
        default_factory=dict
    )
    removed: dict[str, tuple[str, str]] = dataclasses.field(
        default_factory=dict
    )
    tokens: dict[str, str] = dataclasses.field(default_factory=dict)
    cards: dict[str, vgpu_card.VgpuCard] = dataclasses.field(
        default_factory=dict
    )

    def card_of(self, place: pathlib.Path) -> vgpu_card.VgpuCard | None:
        """What makes vGPUs of a VF; one that goes loses its PF first."""
        pf = os.path.basename(os.path.realpath(place / "physfn"))
        for name, card in self.cards.items():
            if name == pf or place.name in card.vgpus:
                return card
        return None


class Files:
    """One fake host's files.

    :param root: the directory
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.hidden = root / MEMORY
        self.memory = Memory()
        self._fd: int | None = None
        #: Functions whose lock the write that runs has.
        self.locks: list[pathlib.Path] = []

    @contextlib.contextmanager
    def held(self) -> ty.Iterator[Memory]:
        """Be the only one to change the host, for one write."""
        if self._fd is not None:
            yield self.memory
            return
        self._take()
        try:
            yield self.memory
        finally:
            self._give()

    def _take(self) -> None:
        self._fd = os.open(self.hidden / "lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        data = json.loads((self.hidden / "memory").read_text())
        self.memory = Memory(
            {
                name: Driver(**driver)
                for name, driver in data["drivers"].items()
            },
            {
                name: mdev_parent.Parent(**parent)
                for name, parent in data["parents"].items()
            },
            {name: tuple(place) for name, place in data["removed"].items()},
            data.get("tokens", {}),
            {
                name: vgpu_card.VgpuCard(**card)
                for name, card in data.get("cards", {}).items()
            },
        )

    def _give(self) -> None:
        assert self._fd is not None
        self.save()
        os.close(self._fd)
        self._fd = None

    def save(self) -> None:
        """Keep what the kernel has in mind."""
        text = json.dumps(dataclasses.asdict(self.memory))
        path = self.hidden / "memory"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

    def apart(self, work: ty.Callable[[], None]) -> None:
        """Run something that a killed caller doesn't take along.

        :raises OSError: it raised one, with the same errno
        """
        pid = os.fork()
        if not pid:
            number = 0
            try:
                os.setsid()
                for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(signum, signal.SIG_IGN)
                work()
            except OSError as caught:
                number = caught.errno or errno.EIO
            except BaseException:  # noqa: BLE001 - no more of it runs
                number = 255
            finally:
                os._exit(number)
        _, status = os.waitpid(pid, 0)
        number = os.waitstatus_to_exitcode(status)
        if number:
            raise error(number)

    @contextlib.contextmanager
    def locked(self, place: pathlib.Path) -> ty.Iterator[None]:
        """Hold a function's lock, once nobody else does."""
        marker = self._marker(place)
        self.wait_while(marker.exists)
        self.locks.append(place)
        try:
            yield
        finally:
            self.locks.remove(place)

    def is_locked(self, place: pathlib.Path) -> bool:
        """Whether somebody who waits holds a function's lock."""
        return self._marker(place).exists()

    def _marker(self, place: pathlib.Path) -> pathlib.Path:
        """What is there while a function's lock is held by who waits."""
        return self.hidden / "locked" / place.name

    def wait_while(self, is_so: ty.Callable[[], bool]) -> None:
        """Let others go on until something is no longer so.

        Meanwhile the locks that are held can be felt.

        :raises OSError: ENODEV: the host isn't there any more
        """
        if not is_so():
            return
        (self.hidden / "locked").mkdir(exist_ok=True)
        markers = [self._marker(place) for place in self.locks]
        for marker in markers:
            marker.touch()
        behind = [
            _bar(self.hidden, place / _LOCKED)
            for place in self.locks
            if (place / _LOCKED).is_file()
        ]
        self._give()
        try:
            while is_so():
                if not self.hidden.exists():
                    raise error(errno.ENODEV)
                time.sleep(_PAUSE)
        finally:
            self._take()
            for path, kept in behind:
                _unbar(path, kept)
            for marker in markers:
                marker.unlink(missing_ok=True)

    def device(self, address: str) -> pathlib.Path:
        """The directory of a function.

        :raises OSError: ENODEV: it isn't there
        """
        place = self.root / DEVICES / address
        if not address or "/" in address or not place.is_dir():
            raise error(errno.ENODEV)
        return pathlib.Path(os.path.realpath(place))

    def functions(self) -> list[pathlib.Path]:
        """The directories of all functions, in order."""
        return [
            self.device(name)
            for name in sorted(os.listdir(self.root / DEVICES))
        ]

    def driver_of(self, place: pathlib.Path) -> str | None:
        """The bound driver's name."""
        try:
            return os.readlink(place / "driver").rpartition("/")[2]
        except OSError:
            return None

    def group_of(self, place: pathlib.Path) -> str | None:
        """The number of a device's IOMMU group, as text."""
        try:
            return os.readlink(place / "iommu_group").rpartition("/")[2]
        except OSError:
            return None

    def members(self, group: str) -> list[pathlib.Path]:
        """The directories of a group's members."""
        folder = self.root / "sys/kernel/iommu_groups" / group / "devices"
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [
            pathlib.Path(os.path.realpath(folder / name)) for name in names
        ]

    def join_group(self, place: pathlib.Path, group: int | None) -> None:
        """Make a device a member of a group, the lowest free one if None."""
        folder = self.root / "sys/kernel/iommu_groups"
        if group is None:
            group = lowest_free(os.listdir(folder))
        members = folder / str(group) / "devices"
        if not members.is_dir():
            members.mkdir(parents=True)
            # All groups of a host are of one kind.
            others = sorted(
                path for path in folder.iterdir() if path.name != str(group)
            )
            for name in ("type", "reserved_regions"):
                kept = [
                    path / name for path in others if (path / name).exists()
                ]
                if kept:
                    shutil.copy(kept[0], folder / str(group) / name)
                elif name == "type":
                    (folder / str(group) / name).write_text("DMA-FQ\n")
        self.link(members / place.name, place)
        self.link(place / "iommu_group", folder / str(group))

    def leave_group(self, place: pathlib.Path) -> None:
        """Take a device out of its group; the group's last takes it along."""
        group = self.group_of(place)
        if group is None:
            return
        folder = self.root / "sys/kernel/iommu_groups" / group
        (folder / "devices" / place.name).unlink(missing_ok=True)
        (place / "iommu_group").unlink()
        if not any((folder / "devices").iterdir()):
            shutil.rmtree(folder)

    def link(self, path: pathlib.Path, target: pathlib.Path) -> None:
        """Make a link as sysfs has them: from where it stands."""
        path.symlink_to(os.path.relpath(target, path.parent))

    def picture(self) -> dict[str, str]:
        """All files and links of devices, drivers and IOMMU groups.

        Numbers of VFIO devices and loaded drivers without function aside.
        """
        found = {}
        todo = ["sys/devices", "sys/bus", "sys/kernel/iommu_groups"]
        # Of all that tests do, this is done most often.
        while todo:
            folder = todo.pop()
            at = _VFIO_NUMBER.sub("/vfio", folder)
            is_driver = "bus/pci/drivers/" in f"{folder}/"
            with os.scandir(f"{self.root}/{folder}") as entries:
                for entry in entries:
                    name = f"{at}/{entry.name}"
                    if entry.is_symlink():
                        found[name] = os.readlink(entry.path)
                    elif entry.is_dir():
                        todo.append(f"{folder}/{entry.name}")
                    elif not is_driver:
                        found[name] = self.text(entry.path)
        return found

    def put(self, place: pathlib.Path, **values: object) -> None:
        """Write attributes."""
        for name, value in values.items():
            (place / name).write_text(f"{value}\n")

    def text(self, path: str | os.PathLike[str]) -> str:
        """An attribute without its line end; empty if it isn't there."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return ""
        with open(fd, encoding="utf-8", errors="replace") as file:
            return file.read().strip()


def _bar(
    hidden: pathlib.Path, path: pathlib.Path
) -> tuple[pathlib.Path, pathlib.Path]:
    """Put a fifo in a file's place: who opens it waits."""
    kept = hidden / "barred" / f"{path.parent.name}.{path.name}"
    kept.parent.mkdir(exist_ok=True)
    path.rename(kept)
    os.mkfifo(path)
    return path, kept


def _unbar(path: pathlib.Path, kept: pathlib.Path) -> None:
    """Put the file back, and tell its text to whoever waits."""
    if not path.parent.exists():
        kept.unlink()
        return
    text = kept.read_bytes()
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(fifo, text)
        kept.rename(path)
        # Whoever waited has it open by now, and reads before it closes.
        time.sleep(_PAUSE)
    finally:
        os.close(fifo)


def lowest_free(names: ty.Iterable[str], prefix: str = "") -> int:
    """The number that the kernel gives out next."""
    taken = {
        int(found[1])
        for name in names
        if (found := re.fullmatch(rf"{prefix}(\d+)", name))
    }
    return next(free for free in range(len(taken) + 1) if free not in taken)
