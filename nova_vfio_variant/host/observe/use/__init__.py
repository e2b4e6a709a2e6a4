# SPDX-License-Identifier: Apache-2.0
"""What the host itself uses its PCI functions for, by subsystem.

Each module has one function that looks at a whole host at once. What can't
be read is a use of kind ``unknown``: it counts as in use.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree

#: How sysfs names a PCI function.
ADDRESS = r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
_ADDRESSES = re.compile(rf"/({ADDRESS})(?=/)")

#: What a recording, or a folder without any process, can never show.
PROCESSES: ty.Final = "processes"
DISKS: ty.Final = "disks"
MOUNTS: ty.Final = "mounts"
SWAP: ty.Final = "swap areas"
ADDRESSES: ty.Final = "addresses of interfaces"


class Kind(enum.StrEnum):
    """In what way a function is in use."""

    DISPLAY = "display"
    NETWORK = "network"
    #: An interface is up, which says nothing of addresses or traffic.
    LINK = "link"
    STORAGE = "storage"
    OPEN = "open"
    #: A mediated device stands below it, and dies with its driver.
    MDEV = "mdev"
    #: A vDPA device stands below it, likewise.
    VDPA = "vdpa"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Holder:
    """A process that has something open.

    :param pid: as the host numbers it
    :param command: its name, as ``/proc/PID/comm`` has it
    :param path: what it has open
    :param instance_uuid: of the guest that it runs, where it is known to run
        one
    """

    pid: int
    command: str
    path: str
    instance_uuid: str | None = None

    def __str__(self) -> str:
        return f"{self.path} is open in process {self.pid} ({self.command})"


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """One way in which a function is in use.

    :param kind: what sort of use
    :param what: it, as half a sentence: ``eth0 is up``
    :param holder: whose it is, where a process has it open
    :param shared: what is open is that of its whole IOMMU group, so that it
        may be open for another member
    :param guessed: what is open names no function, and may be that of another
    """

    kind: Kind
    what: str
    holder: Holder | None = None
    shared: bool = False
    guessed: bool = False


def unknown(what: str, error: OSError | None = None) -> Use:
    """The use that nobody can tell from none.

    :param what: what can't be known, as half a sentence
    :param error: why, where that says more
    """
    why = f": {error.strerror}" if error is not None else ""
    return Use(Kind.UNKNOWN, f"{what}{why}")


def last_address(path: str) -> str | None:
    """The PCI function that a place in sysfs is, or is nearest below."""
    found = _ADDRESSES.findall(f"/{path}/")
    return found[-1] if found else None


def is_picture(tree: host_tree.HostTree) -> bool:
    """Whether a root shows what was put there, and nothing that happens.

    A recording is such a one, and a folder without any process.
    """
    return tree.root is None or (
        tree.root != "/"
        and not any(name.isdigit() for name in tree.listdir("proc"))
    )


def text(tree: host_tree.HostTree, path: str) -> str | None:
    """A file's text without the white space around it; None if there is none.

    :raises OSError: it is there and can't be read
    """
    try:
        return tree.read_bytes(path).decode(errors="replace").strip()
    except FileNotFoundError:
        return None


def names(tree: host_tree.HostTree, path: str) -> list[str]:
    """The names in a directory, sorted; none where it isn't there.

    :raises OSError: it is there and can't be read
    """
    try:
        with tree.folder(path) as folder:
            return sorted(folder.names())
    except FileNotFoundError:
        return []


def link(tree: host_tree.HostTree, path: str) -> str | None:
    """Where a symbolic link points to; None for what is none, or not there.

    :raises OSError: it is there and can't be read
    """
    parent, _, name = path.rpartition("/")
    try:
        with tree.folder(parent) as folder:
            return folder.link(name)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise
