# SPDX-License-Identifier: Apache-2.0
"""Programs that vendors install on a host."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.tree import host_tree

#: Where they are, below the host's root.
FOLDERS: ty.Final = (
    "usr/lib/nvidia",
    "usr/bin",
    "usr/sbin",
    "usr/local/bin",
    "usr/local/sbin",
    "bin",
    "sbin",
)


def find(tree: host_tree.HostTree, name: str) -> str | None:
    """Where a program is, below the host's root; None if nowhere.

    Not by ``PATH``, which is another one for each who asks.
    """
    for folder in FOLDERS:
        if tree.exists(f"{folder}/{name}"):
            return f"{folder}/{name}"
    return None
