# SPDX-License-Identifier: Apache-2.0
"""Which instance a process runs."""

from __future__ import annotations

import itertools
import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree

#: The state of each running domain (libvirt's qemu driver).
_STATES = "run/libvirt/qemu"
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
        for name in self._tree.listdir(_STATES):
            if not name.endswith(".xml"):
                continue
            text = self._read(_STATES, name)
            pid, uuid = _PID.search(text), _DOMAIN.search(text)
            if pid is not None and uuid is not None:
                yield int(pid[1]), uuid[1].decode().lower()

    def _named(self, pid: int) -> str | None:
        """What QEMU's command line says."""
        words = self._read(f"proc/{pid}", "cmdline").split(b"\0")
        for option, value in itertools.pairwise(words):
            text = value.decode(errors="replace")
            if option in _OPTIONS and _WHOLE.fullmatch(text):
                return text.lower()
        return None

    def _read(self, place: str, name: str) -> bytes:
        """The beginning of a file; nothing if it can't be read."""
        try:
            with self._tree.folder(place) as folder:
                return folder.read(name)
        except OSError:
            return b""
