# SPDX-License-Identifier: Apache-2.0
"""Which socket each NUMA node of the host belongs to."""

from __future__ import annotations

import re

from nova_vfio_variant.host.tree import host_tree

NODES = "sys/devices/system/node"
_NODE = re.compile(r"node(\d+)")
_FIRST_CPU = re.compile(r"\d+")


def package_path(tree: host_tree.HostTree, node: str) -> str | None:
    """The file that holds the socket of a node's first processor.

    :param node: as its directory is called, ``node0``
    :returns: None for a node without processors
    """
    cpu = _FIRST_CPU.match(tree.read_text(f"{NODES}/{node}/cpulist") or "")
    if cpu is None:
        return None
    return f"sys/devices/system/cpu/cpu{cpu[0]}/topology/physical_package_id"


def sockets(tree: host_tree.HostTree) -> dict[int, int | None]:
    """For each NUMA node its socket, None where the host doesn't tell.

    libvirt's capabilities, from which Nova has it, say the same
    (drivers/base/topology.c: ``physical_package_id``).
    """
    found: dict[int, int | None] = {}
    for name in tree.listdir(NODES):
        node = _NODE.fullmatch(name)
        if node is None:
            continue
        path = package_path(tree, name)
        text = (path and tree.read_text(path)) or ""
        # The kernel says -1 where firmware doesn't tell.
        found[int(node[1])] = int(text) if text.isdecimal() else None
    return found
