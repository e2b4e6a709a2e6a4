# SPDX-License-Identifier: Apache-2.0
"""Opening what root writes, so that no link leads out of the host's root.

openat2(2) with ``RESOLVE_IN_ROOT`` would do it in one call; Python has none
yet. So each folder is opened from the one above it, and none may be a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import typing as ty

from nova_vfio_variant import input_file

_FOLDER: ty.Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def folder(
    root: str | os.PathLike[str], rel: str, make: int | None = None
) -> ty.Iterator[int]:
    """Hold a folder below a root open.

    :param root: may itself be a link: it is who calls that names it
    :param rel: a path without links
    :param make: the mode of folders that are missing, whatever the umask is;
        None where none is to be made
    :raises OSError: it isn't there, or something on the way is no folder
    """
    fd = os.open(root, _FOLDER)
    try:
        for name in rel.split("/"):
            if name in {"", ".", ".."}:
                if name == "..":
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), rel)
                continue
            below = _below(fd, name, make)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _below(above: int, name: str, make: int | None) -> int:
    made = False
    if make is not None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=above)
            made = True
    fd = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    try:
        if made and make is not None:
            os.fchmod(fd, make)
    except OSError:
        os.close(fd)
        raise
    return fd


def regular(above: int, name: str, flags: int) -> int:
    """Open a file in a folder: a regular one, with no other name.

    What is no file, a fifo or a device, isn't opened; who opens a fifo to
    write waits for one who reads.

    :param above: the folder's descriptor
    :param flags: as of open(2)
    :raises OSError: it isn't there, or is something else, a link too
    """
    _check(os.stat(name, dir_fd=above, follow_symlinks=False), name)
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=above)
    try:
        _check(os.fstat(fd), name)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check(found: os.stat_result, name: str) -> None:
    input_file.expect_regular(found, name)
    if found.st_nlink != 1:
        raise OSError(errno.EPERM, f"{name} has another name elsewhere", name)
