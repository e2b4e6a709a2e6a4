# SPDX-License-Identifier: Apache-2.0
"""VFIO groups: who has a function open, and what may be opened."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil

from nova_vfio_variant.testing.fake_kernel import files as fake_files
from nova_vfio_variant.testing.fake_kernel import processes

#: Drivers whose functions may share a group with a guest's: they set
#: driver_managed_dma (drivers/pci/pcie/portdrv.c, pci-stub.c).
HARMLESS = ("pcieport", "pci-stub")
_CONTAINER = "/dev/vfio/vfio"
_DEVICE = "anon_inode:[vfio-device]"


class Groups:
    """The VFIO groups of one fake host.

    What is open is a file in the kernel's memory, ``open/PID.ADDRESS`` with
    the group's number in it.
    """

    def __init__(self, files: fake_files.Files) -> None:
        self._files = files
        self._open = files.hidden / "open"

    def any_open(self) -> bool:
        """Whether any device is open at all."""
        return self._open.is_dir() and any(self._open.iterdir())

    def device_is_open(self, name: str) -> bool:
        """Whether somebody has a device open."""
        return self._open.is_dir() and any(self._open.glob(f"*.{name}"))

    def is_open(self, group: str | None) -> bool:
        """Whether somebody has a group open."""
        return (
            group is not None
            and self._open.is_dir()
            and any(path.read_text() == group for path in self._open.iterdir())
        )

    def is_vfio(self, place: pathlib.Path) -> bool:
        """Whether a device is on a VFIO driver."""
        return (place / "vfio-dev").is_dir()

    def is_viable(self, group: str) -> bool:
        """Whether no member is on a driver of the host."""
        return all(
            self._files.driver_of(path) in (None, *HARMLESS)
            or self.is_vfio(path)
            for path in self._files.members(group)
        )

    def appear(self, place: pathlib.Path) -> None:
        """Show a device that was bound to a VFIO driver."""
        folder = self._files.root / "sys/class/vfio-dev"
        folder.mkdir(parents=True, exist_ok=True)
        number = fake_files.lowest_free(os.listdir(folder), "vfio")
        shown = place / f"vfio-dev/vfio{number}"
        shown.mkdir(parents=True)
        self._files.link(folder / shown.name, shown)

    def vanish(self, place: pathlib.Path) -> None:
        """Show it no longer."""
        for shown in place.glob("vfio-dev/vfio*"):
            (self._files.root / "sys/class/vfio-dev" / shown.name).unlink()
        shutil.rmtree(place / "vfio-dev", ignore_errors=True)

    def open(
        self, place: pathlib.Path, command: str, token: str | None = None
    ) -> int:
        """Open a device through its group, as a new process.

        :param token: a UUID, which the opener of a PF sets and the opener of
            its VFs has to know
        :returns: the process's id
        :raises OSError: ENOENT: no member of the group is on a VFIO driver;
            EBUSY: the group is open; EPERM: it isn't viable; ENODEV: the
            device itself isn't on a VFIO driver, or is a vGPU that has no
            type; EACCES: it wants another token
        """
        group = self._files.group_of(place)
        if group is None or not any(
            map(self.is_vfio, self._files.members(group))
        ):
            raise fake_files.error(errno.ENOENT)
        if self.is_open(group):
            raise fake_files.error(errno.EBUSY)
        if not self.is_viable(group):
            raise fake_files.error(errno.EPERM)
        if not self.is_vfio(place):
            raise fake_files.error(errno.ENODEV)
        self._check_token(place, token)
        card = self._files.memory.card_of(place)
        if card is not None:
            card.opens(place.name)
        paths = (_CONTAINER, f"/dev/vfio/{group}", _DEVICE)
        pid = processes.start(self._files.root, command, paths)
        self._open.mkdir(exist_ok=True)
        (self._open / f"{pid}.{place.name}").write_text(group)
        return pid

    def _check_token(self, place: pathlib.Path, token: str | None) -> None:
        """vfio_pci_validate_vf_token()

        :raises OSError: EACCES: it is another, or there is none
        """
        tokens = self._files.memory.tokens
        pf = pathlib.Path(os.path.realpath(place / "physfn"))
        if place.name in tokens:
            if any(
                self.device_is_open(vf.readlink().name)
                for vf in place.glob("virtfn*")
            ):
                if token is None or token != tokens[place.name]:
                    raise fake_files.error(errno.EACCES)
            elif token is not None:
                tokens[place.name] = token
        elif pf.name in tokens and (not token or token != tokens[pf.name]):
            raise fake_files.error(errno.EACCES)

    def close(self, pid: int) -> None:
        """End a process, and with it all that it has open."""
        processes.end(self._files.root, pid)
        for path in self._open.glob(f"{pid}.*"):
            path.unlink()
