# SPDX-License-Identifier: Apache-2.0
"""Programs that vendors and the system install on a host, and running them.

None is run of a recorded host, nor below a root that is a stranger's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import typing as ty

from nova_vfio_variant.host import process
from nova_vfio_variant.host.tree import host_tree

#: Where they are, below the host's root. Not ``PATH``, which is another one for
#: each who asks.
_FOLDERS: ty.Final = (
    "usr/lib/nvidia",
    "usr/bin",
    "usr/sbin",
    "usr/local/bin",
    "usr/local/sbin",
    "bin",
    "sbin",
)


def run(
    tree: host_tree.HostTree, name: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of a host, from a helper: see :func:`.process.program`.

    :raises OSError: it isn't there, or somebody else may have written it
    """
    place = _find(tree, name)
    why = why_not_run(tree, name)
    if place is None or why is not None:
        number = errno.ENOENT if place is None else errno.EPERM
        raise OSError(number, why or f"{name} is another machine's")
    return process.program([place, *words])


def is_missing(tree: host_tree.HostTree, name: str) -> bool:
    """Whether a program isn't there, of a host that shows its programs."""
    return tree.exists("usr/bin") and not any(
        tree.exists(f"{folder}/{name}") for folder in _FOLDERS
    )


def why_not_run(tree: host_tree.HostTree, name: str) -> str | None:
    """Why a program of a host isn't run.

    Who could write it, or move another to its place, could have root do
    anything.

    :returns: None where nobody but root and ourselves can, and for a recorded
        host, of which nobody knows
    """
    if tree.root is None:
        return None
    place = _find(tree, name)
    if place is None:
        folders = ", ".join(f"/{folder}" for folder in _FOLDERS)
        return f"{name} is in none of {folders}"
    owners = {0, os.geteuid()}
    path = ""
    for part in place.split("/")[1:]:
        path = f"{path}/{part}"
        found = os.lstat(path)
        if found.st_uid not in owners:
            return f"{path} belongs to user {found.st_uid}, and not to root"
        # In /tmp nobody moves what is another's.
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
            return f"{path} can be written by others than its owner"
    return None


def _find(tree: host_tree.HostTree, name: str) -> str | None:
    """The whole path of a program, without links; None if it is nowhere."""
    if tree.root is None:
        return None
    root = os.path.realpath(tree.root).rstrip("/")
    for folder in _FOLDERS:
        with contextlib.suppress(OSError):
            return f"{root}/{tree.real_path(f'{folder}/{name}')}"
    return None
