# SPDX-License-Identifier: Apache-2.0
"""Which instances run on a host, by its processes and by libvirt's files.

What can't be read is told: who decides takes it for a guest that may be
anybody's.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import re

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.observe import domains, use
from nova_vfio_variant.host.observe.use import guests
from nova_vfio_variant.host.tree import host_tree

#: Programs that run guests.
_PROGRAM = re.compile(
    rb"(?:.*/)?(?:qemu-system-[^/]*|qemu-kvm|qemu|kvm|cloud-hypervisor[^/]*)"
)
_UUID = rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_ANY_UUID = re.compile(rb"(?<![0-9A-Fa-f-])" + _UUID + rb"(?![0-9A-Fa-f-])")
#: ``-name`` of QEMU, where a guest is called by its UUID, and ``--platform``
#: of Cloud Hypervisor.
_NAMED = re.compile(
    rb"\0(?:--?name\0(?:[^\0]*\bguest=)?|--platform(?:\0|=)[^\0]*\buuid=)"
    rb"(?:" + _UUID + rb")(?=[,\0])"
)
_GONE = (errno.ENOENT, errno.ESRCH)
#: To read a command line takes the lock of the process's memory, which one
#: that is stuck may hold.
_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """The instances that are seen.

    :param instances: their UUIDs, in lower case
    :param untold: why there may be more, each half a sentence
    """

    instances: frozenset[str] = frozenset()
    untold: tuple[str, ...] = ()


def seconds(tree: host_tree.HostTree) -> float | None:
    """How long the host has been up; None where that can't be known."""
    words = (tree.read_text("proc/uptime") or "").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def program(tree: host_tree.HostTree, name: str) -> int | None:
    """A process that runs a program, or an interpreter that runs it.

    :returns: its number; None where none is seen. Raises nothing.
    """
    if use.is_picture(tree):
        return None
    try:
        said = process.run(lambda: _running(tree, name.encode()), _SECONDS)
    except (exception.HostError, OSError):
        return None
    return int(said) if said else None


def _running(tree: host_tree.HostTree, name: bytes) -> str:
    for number in filter(str.isdigit, tree.listdir("proc")):
        try:
            with tree.folder(f"proc/{number}") as folder:
                words = folder.read("cmdline").split(b"\0")[:2]
        except OSError:
            continue
        if any(word.rpartition(b"/")[2] == name for word in words):
            return number
    return ""


def of_processes(tree: host_tree.HostTree) -> Running:
    """The instances whose QEMU or Cloud Hypervisor runs. Raises nothing.

    Each UUID on the command line of one counts. One that doesn't say whose
    guest it runs may run anybody's.
    """
    if use.is_picture(tree):
        return Running(untold=("no processes are shown here",))
    try:
        said = process.run(lambda: _said(tree), _SECONDS)
    except (exception.HostError, OSError) as error:
        return Running(untold=(f"the processes can't be read: {error}",))
    instances, untold = json.loads(said)
    return Running(frozenset(instances), tuple(untold))


def _said(tree: host_tree.HostTree) -> str:
    """The instances, and what can't be told, as JSON."""
    try:
        pids = sorted(int(n) for n in use.names(tree, "proc") if n.isdigit())
    except OSError as error:
        return json.dumps([[], [f"/proc: {error.strerror}"]])
    untold = [] if 1 in pids else ["/proc/1: not shown"]
    instances: set[str] = set()
    known = guests.Guests(tree)
    for pid in pids:
        try:
            with tree.folder(f"proc/{pid}") as folder:
                command = folder.read("cmdline")
        except OSError as error:
            if error.errno not in _GONE:
                untold.append(f"/proc/{pid}/cmdline: {error.strerror}")
            continue
        mine = guests.told_by(command)
        if _PROGRAM.fullmatch(command.partition(b"\0")[0]):
            instances.update(
                uuid.decode().lower() for uuid in _ANY_UUID.findall(command)
            )
            mine = mine or known.instance_of(pid)
            if mine is None and not _NAMED.search(command):
                untold.append(
                    f"process {pid} runs a guest and doesn't say whose"
                )
        if mine is not None:
            instances.add(mine)
    return json.dumps([sorted(instances), untold])


def of_libvirt(tree: host_tree.HostTree) -> Running:
    """The instances that are domains of libvirt. Raises nothing.

    Those that run, and those that it could start at any time: one that is
    shut off keeps its devices.
    """
    instances: set[str] = set()
    untold: list[str] = []
    for file in domains.files(tree):
        if file.unread is not None:
            untold.append(f"/{file.path}: {file.unread}")
            continue
        pid, uuid = guests.domain(file.text)
        runs = file.path.startswith(guests.STATES)
        if uuid is None or (pid is None and runs):
            untold.append(
                f"/{file.path}: it doesn't say which domain it is of"
            )
        elif pid is None or _may_run(tree, pid):
            instances.add(uuid)
    return Running(frozenset(instances), tuple(untold))


def _may_run(tree: host_tree.HostTree, pid: int) -> bool:
    """Whether a process may be there: what can't be known of it is.

    Where another user's processes are hidden none can be seen to be gone.
    """
    try:
        tree.folder(f"proc/{pid}").close()
    except OSError as error:
        return error.errno not in _GONE or not tree.exists("proc/1")
    return True
