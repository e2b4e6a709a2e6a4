# SPDX-License-Identifier: Apache-2.0
"""Opening a host, whatever it is kept in."""

from __future__ import annotations

import os
import stat

from nova_vfio_variant import exception
from nova_vfio_variant.host.tree import host_tree


def open_tree(path: str = "/") -> host_tree.HostTree:
    """Open a host: a directory, or a file made by ``host snapshot``.

    :raises HostError: there is no such directory or file
    :raises RecordedHostError: the file is no whole, safe recording
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise exception.HostError(
            f"host root {path!r} can't be used: {error.strerror}"
        ) from error
    if stat.S_ISDIR(mode):
        return host_tree.DirectoryTree(path)
    # Imported here: a live host needs no tarfile, gzip and zlib.
    from nova_vfio_variant.host.tree import recorded

    return recorded.RecordedTree.load(path)
