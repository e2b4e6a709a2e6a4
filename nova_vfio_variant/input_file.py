# SPDX-License-Identifier: Apache-2.0
"""Files that a user names: read whole, or refused at once.

What is named may be something else than a file: a FIFO waits for a writer, a
device gives bytes for ever, and to open one may do something by itself
(``/dev/watchdog``). Only regular files are opened, and read to a limit.
"""

from __future__ import annotations

import errno
import os
import stat
import typing as ty

#: Of a configuration file. 20,000 device_spec entries take 5 MiB.
CONFIG: ty.Final = 64 << 20

_PIECE = 1 << 20

_KINDS = {
    stat.S_IFIFO: "a FIFO or pipe",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
}


def read(path: str, most: int) -> bytes:
    """The whole of a regular file.

    :param most: bytes that it may have
    :raises OSError: it isn't there, can't be read, is no regular file or is
        larger; ``strerror`` says which
    """
    expect_regular(os.stat(path), path)
    # It may be replaced just now: then nothing waits, and nothing is done.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        expect_regular(os.fstat(fd), path)
        return read_all(fd, path, most)
    finally:
        os.close(fd)


def expect_regular(status: os.stat_result, path: str) -> None:
    """Refuse what is no regular file.

    :param path: as the user gave it
    :raises OSError: it is none
    """
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(
            errno.EINVAL, f"it is {kind(status)}, not a regular file", path
        )


def kind(status: os.stat_result) -> str:
    """What something is that is neither a file nor a folder."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "a device")


def read_all(fd: int, path: str, most: int) -> bytes:
    """What an open file has: those of procfs don't say how much.

    :raises OSError: it can't be read, or is larger (EFBIG)
    """
    expect_size(os.fstat(fd).st_size, path, most)
    data = bytearray()
    while piece := os.read(fd, _PIECE):
        data += piece
        expect_size(len(data), path, most)
    return bytes(data)


def expect_size(size: int, path: str, most: int) -> None:
    """Refuse what is larger than anybody needs.

    :raises OSError: it is (EFBIG)
    """
    if size > most:
        raise OSError(
            errno.EFBIG, f"it is larger than {most >> 20} MiB, the limit", path
        )
