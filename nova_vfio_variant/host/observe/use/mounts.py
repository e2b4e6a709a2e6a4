# SPDX-License-Identifier: Apache-2.0
"""What is mounted, in all mount namespaces.

A container's file systems are in its own namespace, and a disk that only
there is mounted is in use all the same.
"""

from __future__ import annotations

import errno
import re
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.tree import host_tree

#: A process that ended; EINVAL is what one answers that nobody waited for.
_GONE = (errno.ENOENT, errno.ESRCH, errno.EINVAL)
#: Options that name another disk (xfs).
_DISKS = ("logdev=", "rtdev=")
#: File systems whose server may be gone, so that to ask them may hang.
_REMOTE = re.compile(
    r"(?:nfs4?|cifs|smb3|smbfs|ceph|9p|afs|lustre|gpfs|ocfs2|gfs2|virtiofs"
    r"|fuse|fuseblk|fuse\..*|autofs|glusterfs|beegfs|orangefs|coda)"
)


class _Mount(ty.NamedTuple):
    """A line of ``/proc/PID/mountinfo``."""

    number: str
    place: str
    kind: str
    sources: tuple[str, ...]


def look(tree: host_tree.HostTree) -> dict[str, str] | None:
    """Where what is mounted: by MAJOR:MINOR and by source.

    :returns: None if that can't be read
    """
    try:
        pids = sorted(int(n) for n in use.names(tree, "proc") if n.isdigit())
        if not pids:
            # A recorded host has this alone.
            return _of_table(tree.read_bytes("proc/mounts").decode())
        if pids[0] != 1:
            return None  # Other users' processes are hidden (hidepid).
        return _of_processes(tree, pids)
    except (OSError, ValueError):
        return None


def remote(tree: host_tree.HostTree, pid: int) -> tuple[str, ...]:
    """Below which paths a process sees what may lie on another machine.

    :returns: each with a slash at its end
    :raises OSError: that can't be read
    """
    return tuple(
        f"{mount.place}/"
        for mount in _of_process(tree, pid)
        if mount.place != "/" and _REMOTE.fullmatch(mount.kind)
    )


def _of_processes(tree: host_tree.HostTree, pids: list[int]) -> dict[str, str]:
    """What is mounted for any process; what process 1 sees comes first.

    :raises OSError: that can't be read
    """
    places: dict[str, str] = {}
    told = set()
    for pid in pids:
        namespace = tree.readlink(f"proc/{pid}/ns/mnt")
        if namespace is not None and namespace in told:
            continue
        try:
            mounted = _of_process(tree, pid)
        except OSError as error:
            if pid != 1 and error.errno in _GONE:
                continue
            raise
        told.add(namespace)
        within = "" if pid == 1 else f" for process {pid}"
        for mount in mounted:
            for key in (mount.number, *mount.sources):
                places.setdefault(key, f"{mount.place}{within}")
    return places


def _of_process(tree: host_tree.HostTree, pid: int) -> list[_Mount]:
    """What a process sees mounted.

    :raises OSError: that can't be read
    """
    data = tree.read_bytes(f"proc/{pid}/mountinfo")
    found = []
    for line in data.decode(errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        fields, more = left.split(), right.split()
        if len(fields) > 4 and len(more) > 1:
            # bcachefs names all its disks, with colons between them.
            sources = [disk for disk in more[1].split(":/") if disk]
            sources[1:] = [f"/{source}" for source in sources[1:]]
            options = more[2].split(",") if len(more) > 2 else []
            sources += [
                option.partition("=")[2]
                for option in options
                if option.startswith(_DISKS)
            ]
            found.append(_Mount(fields[2], fields[4], more[0], tuple(sources)))
    return found


def _of_table(text: str) -> dict[str, str]:
    pairs = [line.split()[:2] for line in text.splitlines()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
