# SPDX-License-Identifier: Apache-2.0
"""Which device of sysfs a device file leads to, by its number.

A path says nothing that can be relied on: a container sees another one, and
anybody may make a node of any name. ``/sys/dev`` has a link for each number,
to a directory below ``/sys/devices`` whose path has the address of the PCI
function in it.

A root that isn't live has no numbers: there a path's last name is looked for
in the same places.
"""

from __future__ import annotations

import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree

_NUMBERS = "sys/dev"
_DEVICES = "sys/devices"
_TYPES = {"c": "char", "b": "block"}
#: ``devices/`` and what is behind it, from wherever a link of sysfs stands.
_PLACE = re.compile(r"(?:^|/)devices/(.+)")
_GROUP_FILE = re.compile(r"/dev/vfio/((?:noiommu-)?\d+)")
#: Deeper than any device of sysfs.
_DEPTH = 24

#: Where what has no directory in sysfs is taken to stand: below the driver
#: that registered its number (``/proc/devices``).
UNLISTED: ty.Final = "unlisted"


class Devices:
    """The places of a host's device files, each looked up once.

    A place is a path below ``/sys/devices``.
    """

    def __init__(self, tree: host_tree.HostTree) -> None:
        self._tree = tree
        self._known: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, tuple[str, ...]] | None = None
        self._majors: dict[str, str] | None = None
        self._drivers: list[str] | None = None

    def of_number(self, number: str) -> tuple[str, ...]:
        """The place of a device file; none if it is nobody's.

        :param number: ``c 195:0``
        :raises OSError: that can't be read
        """
        if number not in self._known:
            self._known[number] = self._of_number(number)
        return self._known[number]

    def _of_number(self, number: str) -> tuple[str, ...]:
        kind, _, digits = number.partition(" ")
        link = self._link(f"{_NUMBERS}/{_TYPES[kind]}", digits)
        if link is not None:
            found = _PLACE.search(link)
            return (found[1],) if found else ()
        if not self._tree.exists(_NUMBERS):
            return self._walked().get(digits, ())
        if kind == "b":
            return ()
        # A driver may register a number and never tell sysfs of it.
        return self._unlisted(self._registered(digits.partition(":")[0]))

    def _link(self, folder: str, name: str) -> str | None:
        """Where a link points to; None if it isn't there.

        :raises OSError: that can't be read
        """
        try:
            with self._tree.folder(folder) as opened:
                return opened.link(name)
        except FileNotFoundError:
            return None

    def of_path(self, path: str) -> tuple[str, ...]:
        """The places that a path may mean, where there are no numbers.

        :param path: below ``/dev``
        """
        group = _GROUP_FILE.fullmatch(path)
        if group is not None:
            return (f"virtual/vfio/{group[1]}",)
        name = path.rpartition("/")[2]
        if self._names is None:
            self._names = self._listed() or self._walked()
        return self._names.get(name) or self._unlisted(name)

    def _listed(self) -> dict[str, tuple[str, ...]]:
        """The places that ``/sys/dev`` lists, by their last names."""
        found: dict[str, tuple[str, ...]] = {}
        for kind in _TYPES.values():
            folder = f"{_NUMBERS}/{kind}"
            for number in self._tree.listdir(folder):
                link = self._tree.readlink(f"{folder}/{number}") or ""
                place = _PLACE.search(link)
                if place is not None:
                    name = place[1].rpartition("/")[2]
                    found[name] = (*found.get(name, ()), place[1])
        return found

    def _walked(self) -> dict[str, tuple[str, ...]]:
        """All places, by their numbers and by their last names."""
        found: dict[str, tuple[str, ...]] = {}
        for place, number in self._walk(_DEVICES, _DEPTH):
            for key in (place.rpartition("/")[2], number):
                if key is not None:
                    found[key] = (*found.get(key, ()), place)
        return found

    def _walk(
        self, path: str, depth: int
    ) -> ty.Iterator[tuple[str, str | None]]:
        """What is below a directory, with the number that it has."""
        try:
            with self._tree.folder(path) as folder:
                names = [
                    name
                    for name in folder.names()
                    if not _is_link(folder, name)
                ]
        except OSError:
            return
        for name in names:
            here = f"{path}/{name}"
            number = self._tree.read_text(f"{here}/dev")
            yield here.removeprefix(f"{_DEVICES}/"), number
            if depth:
                yield from self._walk(here, depth - 1)

    def _registered(self, major: str) -> str:
        """Under which name a driver registered character devices."""
        if self._majors is None:
            text = self._tree.read_text("proc/devices") or ""
            lines = text.partition("Block devices:")[0].splitlines()
            fields = [line.split() for line in lines]
            self._majors = {
                field[0]: field[1] for field in fields if len(field) == 2
            }
        return self._majors.get(major, "")

    def _unlisted(self, name: str) -> tuple[str, ...]:
        """The places of what no directory in sysfs stands for.

        A PCI driver's own are named after it: nvidia has nvidia, nvidiactl,
        nvidia-uvm and others.
        """
        if self._drivers is None:
            self._drivers = self._tree.listdir("sys/bus/pci/drivers")
        return tuple(
            f"{UNLISTED}/{driver}/{name}"
            for driver in self._drivers
            if name.replace("-", "_").startswith(driver.replace("-", "_"))
        )


def _is_link(folder: host_tree.Folder, name: str) -> bool:
    try:
        folder.link(name)
    except OSError:
        return False
    return True
