# SPDX-License-Identifier: Apache-2.0
"""The file of the journal: lines to which is only ever added.

Each line is a checksum and a JSON object, and is on disk before the write that
it announces. The checksum is of all lines so far, so that none can be missed,
and the file begins with how many there are, so that it can't end too early. A
line more that has no end is one that a crash cut short: it never counted.
Anything else that isn't as it was written is damage.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pathlib
import re
import typing as ty
import zlib

from nova_vfio_variant import exception, input_file, own_files, trust

VERSION: ty.Final = 1

#: Bytes that are read. A change of a driver takes two or three KiB, so that
#: 40,000 have room: more than any host sees between two boots.
MOST: ty.Final = 128 << 20
#: What is kept for the lines of a change that was begun.
_ROOM: ty.Final = 8 << 20

#: What kind the first line is of.
HEADER: ty.Final = "journal"

#: The number of lines, at the beginning of the first one; and a line that was
#: cut short.
_COUNT = re.compile(rb"[0-9]{8}")
_TORN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} (\{[ -~]*)?")

#: What is to be done about a file that isn't as it was written.
_BY_HAND: ty.Final = (
    "compare the host with it by hand, then move the file away"
)

Entry = dict[str, ty.Any]

#: What reading an entry raises that isn't one of ours.
NO_ENTRY: ty.Final = (
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class JournalFile:
    """The lines of one boot.

    :param path: the file
    :param boot: the kernel's boot id
    :param group: who may share its folder
    """

    def __init__(
        self, path: pathlib.Path, boot: str, group: int | None = None
    ) -> None:
        self.path = path
        self._place = own_files.Place(path.parent, group)
        self.boot = boot
        #: Whether what was read is of an earlier boot.
        self.is_stale = False
        self._size = 0
        self._lines = 0
        #: How many there are by the first one.
        self._counted = 0
        self._checksum = 0
        self._fd: int | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is any.

        :raises JournalError: it, or its folder, may be a stranger's
        """
        try:
            with own_files.opened(self._place) as folder:
                return folder.find(self.path.name) is not None
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unreadable(error) from error

    @property
    def is_full(self) -> bool:
        """Whether another change might make it larger than is read."""
        return self._size > MOST - _ROOM

    def entries(self) -> ty.Iterator[tuple[int, Entry]]:
        """The lines after the first, each with its number; none is made.

        What an earlier boot's file says ends where it is damaged.

        :raises JournalError: it is garbled, truncated or too large, or
            another version made it; it is left as it is
        """
        data = self._read()
        if data is None:
            return
        # One at a time: a list of them could be much larger than the file.
        for number, line in enumerate(io.BytesIO(data), start=1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = self._taken(number, line[:-1])
            except NO_ENTRY as error:
                if self.is_stale:
                    return
                raise self.garbled(number, error) from error
            self._lines = number
            if number > 1:
                yield number, entry
        if not self.is_stale:
            self._end(data)

    def _taken(self, number: int, text: bytes) -> Entry:
        """The object of a line; the first one tells of the file.

        :raises ValueError: it isn't what was written
        """
        if number > 1:
            return self._checked(text)
        count, _, text = text.partition(b" ")
        entry = self._checked(text)
        self._take_header(count, entry)
        return entry

    def _end(self, data: bytes) -> None:
        """See that it has all its lines, and where the last one ends.

        :raises JournalError: it hasn't
        """
        if self._lines < self._counted:
            raise self._damaged(
                f"truncated: it has {self._lines} lines of {self._counted}"
            )
        end = data.rfind(b"\n") + 1
        if not _TORN.fullmatch(data, end):
            raise self.garbled(self._lines + 1, "it has no end")
        self._size = end

    def append(self, entry: Entry) -> Entry:
        """Write a line; it is on disk when this returns.

        :returns: the entry as it is read
        :raises JournalError: it can't be written
        """
        try:
            if self._fd is None:
                self._fd = self._open()
            self._append(self._fd, entry)
        except OSError as error:
            raise exception.JournalError(
                f"the journal {self.path} can't be written: {error.strerror}",
                trust.mend(error, "nothing is done to the host without it"),
            ) from error
        read: Entry = json.loads(json.dumps(entry))
        return read

    def close(self) -> None:
        """Let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def garbled(
        self, number: int, why: Exception | str
    ) -> exception.JournalError:
        """The error that a line isn't what was written."""
        return self._damaged(f"garbled in line {number}: {why}")

    def _damaged(self, how: str) -> exception.JournalError:
        return exception.JournalError(
            f"the journal {self.path} is {how}",
            _BY_HAND,
        )

    def _read(self) -> bytes | None:
        """All of it, None if there is none."""
        try:
            with own_files.opened(self._place) as folder:
                fd = folder.open(self.path.name, os.O_RDONLY)
            try:
                data = input_file.read_all(fd, str(self.path), MOST)
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        if not data:
            raise self._damaged("truncated: it is empty")
        if b"\n" not in data:
            raise self.garbled(1, "it has no end")
        return data

    def _unreadable(self, error: OSError) -> exception.JournalError:
        return exception.JournalError(
            f"the journal {self.path} can't be read: {error.strerror}",
            trust.mend(
                error, _BY_HAND if error.errno == errno.EFBIG else None
            ),
        )

    def _checked(self, line: bytes) -> Entry:
        """The object of the line that comes next.

        :raises ValueError: it isn't what was written
        """
        checksum, _, text = line.partition(b" ")
        self._checksum = zlib.crc32(text, self._checksum)
        if checksum != b"%08x" % self._checksum:
            raise ValueError("its checksum differs")
        entry = json.loads(text)
        if not isinstance(entry, dict):
            raise TypeError("it is no object")
        return entry

    def _take_header(self, count: bytes, entry: Entry) -> None:
        if not _COUNT.fullmatch(count):
            raise ValueError("it doesn't begin with a number")
        self._counted = int(count)
        if entry["kind"] != HEADER:
            raise ValueError("it is not the first one")
        version, boot = entry["version"], entry["boot"]
        # JSON's true would be equal to 1.
        if type(version) is not int or not isinstance(boot, str):
            raise TypeError("it says no version, or no boot")
        if version != VERSION:
            raise exception.JournalError(
                f"the journal {self.path} is of version {version}, and version"
                f" {VERSION} is what is known here",
                "use the program that made it",
            )
        self.is_stale = boot != self.boot

    def _append(self, fd: int, entry: Entry) -> None:
        text = json.dumps(entry).encode()
        checksum = zlib.crc32(text, self._checksum)
        line = b"%08x %s\n" % (checksum, text)
        try:
            _write(fd, line, self._size)
            # What is cut off from here on is missed.
            _write(fd, b"%08d" % (self._lines + 1), 0)
            os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                _write(fd, b"%08d" % self._lines, 0)
                os.ftruncate(fd, self._size)
            raise
        self._size += len(line)
        self._lines += 1
        self._checksum = checksum

    def _open(self) -> int:
        """Open the file to add to it, and begin it if it is none yet."""
        name = self.path.name
        with own_files.opened(self._place, make=True) as folder:
            if self.is_stale:
                folder.move(name, self.path.with_suffix(".previous").name)
                self.is_stale, self._lines = False, 0
            if not self._lines:
                self._begin(folder)
            fd = folder.open(name, os.O_RDWR)
        try:
            # What has no end never counted, and nothing may follow it.
            os.ftruncate(fd, self._size)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        return fd

    def _begin(self, folder: own_files.Folder) -> None:
        """Begin the file. It has its first line from the beginning."""
        text = json.dumps(
            {
                "kind": HEADER,
                "number": 0,
                "version": VERSION,
                "boot": self.boot,
            }
        ).encode()
        checksum = zlib.crc32(text)
        line = b"%08d %08x %s\n" % (1, checksum, text)
        folder.make(
            self.path.name, lambda fd, _: _write(fd, line, 0), replace=True
        )
        self._size, self._lines, self._checksum = len(line), 1, checksum


def _write(fd: int, data: bytes, place: int) -> None:
    if os.pwrite(fd, data, place) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
