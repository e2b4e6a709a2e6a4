# SPDX-License-Identifier: Apache-2.0
"""Which instance a process runs."""

from __future__ import annotations

import itertools
import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree

#: The state of each running domain (libvirt's drivers).
STATES: ty.Final = ("run/libvirt/qemu", "run/libvirt/ch")
_PID = re.compile(rb"<domstatus\b[^>]*\bpid=['\"](\d+)['\"]")
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_DOMAIN = re.compile(
    rf"<domain\b[^>]*>.*?<uuid>\s*({_UUID})\s*</uuid>".encode(), re.DOTALL
)
_WHOLE = re.compile(_UUID)
_OPTIONS = (b"-uuid", b"--uuid")


class Guests:
    """The guests of a host, looked up when somebody asks for one.

    What can't be read names no instance.
    """

    def __init__(self, tree: host_tree.HostTree) -> None:
        self._tree = tree
        self._domains: ty.Mapping[int, str] | None = None

    def instance_of(self, pid: int) -> str | None:
        """The UUID of the instance that a process runs.

        libvirt is asked first: to read the command line of a process takes
        its memory's lock, which one that is stuck may hold.
        """
        if self._domains is None:
            self._domains = dict(self._running())
        return self._domains.get(pid) or self._named(pid)

    def _running(self) -> ty.Iterator[tuple[int, str]]:
        for place in STATES:
            for name in self._tree.listdir(place):
                if name.endswith(".xml"):
                    pid, uuid = domain(self._read(place, name))
                    if pid is not None and uuid is not None:
                        yield pid, uuid

    def _named(self, pid: int) -> str | None:
        """What QEMU's command line says."""
        return told_by(self._read(f"proc/{pid}", "cmdline"))

    def _read(self, place: str, name: str) -> bytes:
        """The beginning of a file; nothing if it can't be read."""
        try:
            with self._tree.folder(place) as folder:
                return folder.read(name)
        except OSError:
            return b""


def domain(text: bytes) -> tuple[int | None, str | None]:
    """The process and the UUID that a domain's XML has, where it has them."""
    pid, uuid = _PID.search(text), _DOMAIN.search(text)
    return (
        None if pid is None else int(pid[1]),
        None if uuid is None else uuid[1].decode().lower(),
    )


def told_by(command: bytes) -> str | None:
    """The UUID after ``-uuid`` in a command line."""
    for option, value in itertools.pairwise(command.split(b"\0")):
        text = value.decode(errors="replace")
        if option in _OPTIONS and _WHOLE.fullmatch(text):
            return text.lower()
    return None
