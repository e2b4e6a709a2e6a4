# SPDX-License-Identifier: Apache-2.0
"""Recordings that are small, and take all memory or time if they are read."""

import gzip
import random
import tarfile
import typing as ty


def _member(kind: bytes, data: bytes = b"", name: str = "x") -> bytes:
    """A member, or a header that says more of the one behind it."""
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def _folders() -> bytes:
    """Ten million of them, of which few are named."""
    return b"".join(
        _member(tarfile.DIRTYPE, name=f"{number:x}" + "/a" * 46)
        for number in range(50_000)
    )


def _for_all() -> bytes:
    """Records of which each member gets a copy."""
    records = b"".join(b"11 k%04d=v\n" % key for key in range(5000))
    return _member(tarfile.XGLTYPE, records) + b"".join(
        _member(tarfile.DIRTYPE, name=f"{number:x}")
        for number in range(20_000)
    )


def _holes() -> bytes:
    """A list of 30 million holes."""
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    return _member(tarfile.XHDTYPE, records) + _member(
        tarfile.REGTYPE, b"30000000\n" + b"1\n" * 60_000_000
    )


def _name() -> bytes:
    """A name of 100 MiB."""
    return _member(tarfile.GNUTYPE_LONGNAME, b"\xff" * (100 << 20))


def _chain() -> bytes:
    """A header of a header of a header."""
    return _member(tarfile.GNUTYPE_LONGNAME, b"a\0") * 3000


_MADE: ty.Final = (_folders, _for_all, _holes, _name, _chain)


def bomb(rng: random.Random) -> bytes:
    """One of them, that nobody may take."""
    # Of zeros alone: more than three GiB.
    if rng.random() < 0.5:
        return gzip.compress(bytes(64 << 20), 9) * 50
    made = rng.choice(_MADE)()
    return gzip.compress(made + _member(tarfile.DIRTYPE) + bytes(1024), 1)
