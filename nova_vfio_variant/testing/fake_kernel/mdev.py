# SPDX-License-Identifier: Apache-2.0
"""Mediated devices, as the kernel's mdev core and its sample mtty make them.

``available_instances`` is written anew after each change: all types of a
parent share what it has.
"""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil

from nova_vfio_variant.testing.fake_kernel import files as fake_files
from nova_vfio_variant.testing.fake_kernel import mdev_parent, vfio

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TYPES = "mdev_supported_types"


class Core:
    """The mdevs of one fake host; every method wants its lock held."""

    def __init__(self, files: fake_files.Files, groups: vfio.Groups) -> None:
        self._files = files
        self._groups = groups

    def write(self, rel: str, data: bytes) -> bool:
        """Answer a write, if it is for an mdev or its parent.

        :returns: whether it is
        :raises OSError: as the kernel does
        """
        parts = os.path.normpath(rel).split("/")
        if parts[-1] == "create" and parts[-3:-2] == [_TYPES]:
            folder = self._files.root.joinpath(*parts[:-1])
            place = pathlib.Path(os.path.realpath(folder))
            for parent in self._files.memory.parents.values():
                if place.parent.parent == self._files.root / parent.path:
                    self._create(parent, place.name, data)
                    return True
            return False
        if parts[-1] == "remove":
            folder = self._files.root.joinpath(*parts[:-1])
            uuid = pathlib.Path(os.path.realpath(folder)).name
            for parent in self._files.memory.parents.values():
                if uuid in parent.mdevs:
                    self._remove(parent, uuid, data)
                    return True
        return self._set(rel, data)

    def driver_came(self, function: pathlib.Path, driver: str) -> None:
        """A PCI function was bound: its driver may offer mdevs."""
        parent = self._files.memory.parents.get(function.name)
        if parent is not None and parent.of == driver:
            self.register(function.name)

    def driver_goes(self, function: pathlib.Path, driver: str) -> None:
        """A PCI function loses its driver, and idle mdevs without a word.

        It waits while one of them is open.
        """
        parent = self._files.memory.parents.get(function.name)
        if parent is None or parent.of != driver:
            return
        mdevs = list(parent.mdevs)
        self._files.wait_while(
            lambda: any(map(self._groups.device_is_open, mdevs))
        )
        self.unregister(function.name)

    def register(self, name: str) -> None:
        """Show a parent whose driver was loaded."""
        files = self._files
        parent = files.memory.parents[name]
        place = files.root / parent.path
        for kind in parent.costs:
            folder = place / _TYPES / kind
            (folder / "devices").mkdir(parents=True)
            texts = {"name": kind, "device_api": "vfio-pci", "create": ""}
            files.put(folder, **texts | parent.texts.get(kind, {}))
        files.link(files.root / "sys/class/mdev_bus" / name, place)
        (files.root / "sys/bus/mdev/drivers" / parent.driver).mkdir(
            exist_ok=True
        )
        self._count(parent)

    def unregister(self, name: str) -> None:
        """Show it no longer; its mdevs go with it."""
        files = self._files
        parent = files.memory.parents[name]
        for uuid in list(parent.mdevs):
            self._delete(parent, uuid)
        shutil.rmtree(files.root / parent.path / _TYPES)
        (files.root / "sys/class/mdev_bus" / name).unlink()

    def _count(self, parent: mdev_parent.Parent) -> None:
        sharing = [parent]
        if parent.card:
            sharing = [
                known
                for known in self._files.memory.parents.values()
                if known.card == parent.card
                and (self._files.root / known.path / _TYPES).exists()
            ]
        there = [kind for known in sharing for kind in known.mdevs.values()]
        left = parent.capacity - sum(parent.costs[kind] for kind in there)
        for known in sharing:
            for kind, cost in known.costs.items():
                count = left // cost
                if known.card:
                    count = min(count, 1 - len(known.mdevs))
                if known.one_type and {*there} - {kind}:
                    count = 0
                self._files.put(
                    self._files.root / known.path / _TYPES / kind,
                    available_instances=count,
                )

    def _create(
        self, parent: mdev_parent.Parent, kind: str, data: bytes
    ) -> None:
        files = self._files
        uuid = data.decode(errors="replace").removesuffix("\n").lower()
        if not _UUID.fullmatch(uuid):
            raise fake_files.error(errno.EINVAL)
        if any(
            uuid in parent.mdevs for parent in files.memory.parents.values()
        ):
            raise fake_files.error(errno.EEXIST)
        types = files.root / parent.path / _TYPES
        if files.text(types / kind / "available_instances") == "0":
            # mdev_device_create(), or what the parent's driver says.
            full = errno.EUSERS if parent.counted else parent.full
            raise fake_files.error(full)
        parent.mdevs[uuid] = kind
        place = files.root / parent.path / uuid
        place.mkdir()
        files.put(place, remove="")
        for name in parent.attributes:
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text("\n")
        files.link(place / "mdev_type", types / kind)
        files.link(
            place / "driver",
            files.root / "sys/bus/mdev/drivers" / parent.driver,
        )
        files.link(types / kind / "devices" / uuid, place)
        files.link(files.root / "sys/bus/mdev/devices" / uuid, place)
        files.join_group(place, None)
        self._groups.appear(place)
        self._count(parent)

    def _set(self, rel: str, data: bytes) -> bool:
        """Write an attribute of an mdev's, if it is one."""
        root = self._files.root
        place = os.path.realpath(root / rel)
        for parent in self._files.memory.parents.values():
            for uuid in parent.mdevs:
                for name in parent.attributes:
                    if place == str(root / parent.path / uuid / name):
                        _expect_taken(parent, name, data)
                        pathlib.Path(place).write_bytes(data)
                        return True
        return False

    def _remove(
        self, parent: mdev_parent.Parent, uuid: str, data: bytes
    ) -> None:
        text = data.decode(errors="replace").strip()
        if not re.fullmatch(r"\d+", text):
            raise fake_files.error(errno.EINVAL)
        if int(text):
            self._delete(parent, uuid)

    def _delete(self, parent: mdev_parent.Parent, uuid: str) -> None:
        """Its files go first, and then whoever has it open is waited for."""
        files = self._files
        place = files.root / parent.path / uuid
        types = files.root / parent.path / _TYPES
        (types / parent.mdevs[uuid] / "devices" / uuid).unlink()
        (files.root / "sys/bus/mdev/devices" / uuid).unlink()
        self._groups.vanish(place)
        files.leave_group(place)
        shutil.rmtree(place)
        files.wait_while(lambda: self._groups.device_is_open(uuid))
        # Whoever waited has read the memory anew.
        for known in files.memory.parents.values():
            if known.mdevs.pop(uuid, None):
                self._count(known)


def _expect_taken(parent: mdev_parent.Parent, name: str, data: bytes) -> None:
    """Refuse what the parent's driver doesn't take of an attribute.

    :raises OSError: as the driver does
    """
    pattern, errno_ = parent.takes.get(name, (".*", 0))
    if not re.fullmatch(pattern, data.decode(errors="replace").strip()):
        raise fake_files.error(errno_)
