# SPDX-License-Identifier: Apache-2.0
"""What is mounted, in all mount namespaces.

A container's file systems are in its own namespace, and a disk that only
there is mounted is in use all the same.
"""

import errno

from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.host import use

#: A process that ended; EINVAL is what one answers that nobody waited for.
_GONE = (errno.ENOENT, errno.ESRCH, errno.EINVAL)


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
            data = tree.read_bytes(f"proc/{pid}/mountinfo")
        except OSError as error:
            if pid != 1 and error.errno in _GONE:
                continue
            raise
        told.add(namespace)
        within = "" if pid == 1 else f" for process {pid}"
        for line in data.decode(errors="replace").splitlines():
            left, _, right = line.partition(" - ")
            fields, source = left.split(), right.split()
            if len(fields) > 4 and len(source) > 1:
                for key in (fields[2], source[1]):
                    places.setdefault(key, f"{fields[4]}{within}")
    return places


def _of_table(text: str) -> dict[str, str]:
    pairs = [line.split()[:2] for line in text.splitlines()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
