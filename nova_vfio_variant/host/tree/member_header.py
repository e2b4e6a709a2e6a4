# SPDX-License-Identifier: Apache-2.0
"""What stands before each member of a tar, read fast and to a limit."""

from __future__ import annotations

import tarfile
import typing as ty

#: Types of the members that a recording has: file, symbolic link, directory.
_TYPES: ty.Final = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE)
#: Of what says more of the next member: a long name, or pax's records.
_EXTENDED: ty.Final = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
#: Bytes that it may have: two paths have at most 4096 each.
_MAX_EXTENDED: ty.Final = 64 << 10


class Header(tarfile.TarInfo):
    """A member's header, read as far as anyone looks at it.

    A recording has 24,000 of them, and two thirds of the time to read them
    would go into owners, modes and times. Whatever isn't written as ``host
    snapshot`` does it, or has a wrong checksum, is left to tarfile.
    """

    __slots__ = ()

    @classmethod
    def frombuf(
        cls, buf: bytes | bytearray, encoding: str, errors: str
    ) -> ty.Self:
        """See tarfile.

        :raises ReadError: tarfile would read what follows without a limit
        """
        header = cls._usual(buf, encoding, errors)
        if header is None:
            header = super().frombuf(buf, encoding, errors)
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a file with holes")
        if header.type in _EXTENDED and header.size > _MAX_EXTENDED:
            raise tarfile.ReadError("a header that is too long")
        return header

    @classmethod
    def _usual(
        cls, buf: bytes | bytearray, encoding: str, errors: str
    ) -> ty.Self | None:
        """The header, if it is one as ``host snapshot`` writes it."""
        if len(buf) != tarfile.BLOCKSIZE:
            return None
        kind = bytes(buf[156:157])
        # Owners, modes, times and numbers of devices; the ends of the size and
        # of the checksum; no prefix of the name.
        unused = buf[100:124] + buf[136:148] + buf[329:346]
        if (
            kind not in _TYPES
            or unused.strip(b"01234567\0")
            or (buf[135], buf[154], buf[345]) != (0, 0, 0)
        ):
            return None
        try:
            size, checksum = int(buf[124:135], 8), int(buf[148:154], 8)
        except ValueError:
            return None
        # Its own eight bytes count as blanks.
        if checksum != sum(buf) - sum(buf[148:156]) + 8 * ord(" "):
            return None
        name = _text(buf[:100], encoding, errors)
        header = cls(name.rstrip("/") if kind == tarfile.DIRTYPE else name)
        header.type = kind
        header.size = size
        header.chksum = checksum
        header.linkname = _text(buf[157:257], encoding, errors)
        return header


def _text(field: bytes | bytearray, encoding: str, errors: str) -> str:
    """What stands in a field of a header before its first NUL."""
    return field.partition(b"\0")[0].decode(encoding, errors)
