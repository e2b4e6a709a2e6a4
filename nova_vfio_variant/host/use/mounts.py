# SPDX-License-Identifier: Apache-2.0
"""What is mounted."""

from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.host import use


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
        return _of_process(tree, 1)
    except (OSError, ValueError):
        return None


def _of_process(tree: host_tree.HostTree, pid: int) -> dict[str, str]:
    """What is mounted for a process.

    :raises OSError: that can't be read
    """
    places: dict[str, str] = {}
    data = tree.read_bytes(f"proc/{pid}/mountinfo")
    for line in data.decode(errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        fields, source = left.split(), right.split()
        if len(fields) > 4 and len(source) > 1:
            for key in (fields[2], source[1]):
                places.setdefault(key, fields[4])
    return places


def _of_table(text: str) -> dict[str, str]:
    pairs = [line.split()[:2] for line in text.splitlines()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
