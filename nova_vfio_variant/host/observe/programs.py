# SPDX-License-Identifier: Apache-2.0
"""Programs that vendors install on a host."""

from __future__ import annotations

import contextlib
import os
import stat
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

    :returns: a path without links: whoever could change one isn't asked
    """
    for folder in FOLDERS:
        with contextlib.suppress(OSError):
            return tree.real_path(f"{folder}/{name}")
    return None


def why_not_run(tree: host_tree.HostTree, place: str) -> str | None:
    """Why root doesn't run a program: somebody else could have written it.

    All of a host is root's, or whose its root folder is, where that is one
    below which somebody tests.

    :param place: as :func:`find` gives it, on a host that has a root
    :returns: None where only its owner writes it and the folders that it is in
    """
    assert tree.root is not None
    owners = {0, os.stat(tree.root).st_uid}
    path = tree.root.rstrip("/")
    for name in place.split("/"):
        path = f"{path}/{name}"
        found = os.lstat(path)
        if found.st_uid not in owners:
            return f"{path} belongs to user {found.st_uid}, and not to root"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{path} can be written by others than its owner"
    return None
