# SPDX-License-Identifier: Apache-2.0
"""A recorded host: a ``.tar.gz`` read in memory and never unpacked.

A recording may come from anyone. Nothing in it may name a place outside it,
and nothing in it may use more memory than a real host's recording does.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import posixpath
import re
import tarfile
import typing as ty
import zlib

from nova_vfio_variant import exception, input_file
from nova_vfio_variant.host.tree import host_tree, member_header

#: A host with 480 virtual functions takes 22 MB unpacked, with everything
#: that its sysfs shows.
MAX_BYTES = 512 << 20

#: As it is kept, the same host takes less than one.
MAX_PACKED = 64 << 20

#: The same host has 24,000 members. Folders that none names count, too.
MAX_MEMBERS = 200_000

#: Bytes of headers that say more of a member: long names and targets.
_MAX_EXTENDED = 64 << 20
#: Records for all members that follow, of which each gets a copy.
_MAX_GLOBAL = 100
#: How each record begins that tells where a file has holes: the list of
#: them would be read without a limit.
_HOLES = b"GNU.sparse."

#: What a gzipped file begins with (RFC 1952).
_GZIP = b"\x1f\x8b"

#: PATH_MAX, and deeper than any device of sysfs stands.
_MAX_NAME = 4096
_MAX_DEPTH = 64

#: What the kernel shows of a process's files (proc_pid_fd(5)).
_OPEN_FILE = re.compile(r"proc/\d+/(?:fd/\d+|cwd|exe|root)")

_Directory = dict[str, ty.Any]  # name -> _Directory, _Link or _File


class _Link(str):
    """Where a symbolic link points to."""

    __slots__ = ()


class _File(ty.NamedTuple):
    """Where a file's bytes stand in the unpacked archive."""

    start: int
    end: int


class _Recorded(host_tree.Folder):
    """A directory of a recorded host."""

    __slots__ = ("_data", "_entries")

    def __init__(self, entries: _Directory, data: bytes) -> None:
        self._entries = entries
        self._data = data

    def names(self) -> list[str]:
        return list(self._entries)

    def read(self, name: str, size: int = host_tree.ATTRIBUTE) -> bytes:
        node = self._entries.get(name)
        if isinstance(node, _File):
            return self._data[node.start : min(node.end, node.start + size)]
        if node is None:
            raise _error(errno.ENOENT, name)
        raise _error(
            errno.ELOOP if isinstance(node, _Link) else errno.EISDIR, name
        )

    def link(self, name: str) -> str:
        node = self._entries.get(name)
        if isinstance(node, _Link):
            return str(node)
        raise _error(errno.ENOENT if node is None else errno.EINVAL, name)

    def close(self) -> None:
        pass


class RecordedTree(host_tree.HostTree):
    """A recorded host, held in memory.

    :ivar data: the tar file inside
    """

    def __init__(self, entries: _Directory, data: bytes) -> None:
        super().__init__()
        self._entries = entries
        self.data = data

    @classmethod
    def load(cls, path: str) -> RecordedTree:
        """Read a recording.

        :raises HostError: the file can't be read
        :raises RecordedHostError: it is no gzipped tar, is cut off or
            damaged, has a member that is neither file, directory nor
            symbolic link or that would leave the recording, or is larger
            than any real recording
        """
        try:
            data = _unpack(path)
            entries = _Loader(path).entries(data)
        except (
            gzip.BadGzipFile,
            EOFError,
            zlib.error,
            tarfile.TarError,
            OverflowError,  # a size that no file can have
            RecursionError,  # a header of a header of a header
        ) as error:
            raise exception.RecordedHostError(
                f"{path}: the recording is cut off or damaged: {_lower(error)}"
            ) from error
        except OSError as error:
            raise exception.HostError(
                f"{path}: can't be read: {error.strerror or error}"
            ) from error
        return cls(entries, data)

    def _find(self, path: str) -> _Directory | _Link | _File:
        node: ty.Any = self._entries
        for name in path.split("/") if path else ():
            if not isinstance(node, dict):
                raise _error(errno.ENOTDIR, path)
            node = node.get(name)
            if node is None:
                raise _error(errno.ENOENT, path)
        return ty.cast("_Directory | _Link | _File", node)

    def _target(self, path: str) -> str | None:
        node = self._find(path)
        return str(node) if isinstance(node, _Link) else None

    def _open_folder(self, path: str) -> host_tree.Folder:
        node = self._find(path)
        if not isinstance(node, dict):
            raise _error(errno.ENOTDIR, path)
        return _Recorded(node, self.data)

    def _read(self, path: str) -> bytes:
        node = self._find(path)
        if not isinstance(node, _File):
            raise _error(errno.EISDIR, path)
        input_file.expect_size(
            node.end - node.start, path, host_tree.MAX_BYTES
        )
        return self.data[node.start : node.end]


def _unpack(path: str) -> bytes:
    """The tar file inside, all of it, so that gzip's checksum is tested."""
    packed = input_file.read(path, MAX_PACKED)
    if packed[:2] not in {b"", _GZIP}:
        raise exception.RecordedHostError(
            f"{path}: no recorded host: it is not gzipped",
            hint="host snapshot makes a .tar.gz",
        )
    with gzip.open(io.BytesIO(packed)) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise exception.RecordedHostError(
            f"{path}: the recording is larger than {MAX_BYTES >> 20} MiB"
            " when unpacked, which no host is"
        )
    return data


class _Loader:
    """Puts the members of one archive in their places.

    :param path: the recording, as the user gave it
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._root: _Directory = {}
        self._count = 0

    def entries(self, data: bytes) -> _Directory:
        if _HOLES in data:
            raise self._refused("a file in it has holes")
        extended = 0
        with tarfile.open(
            fileobj=io.BytesIO(data), mode="r:", tarinfo=member_header.Header
        ) as archive:
            while (member := archive.next()) is not None:
                # It would keep them all.
                archive.members.clear()  # type: ignore[attr-defined] # it has
                extended += (
                    member.offset_data - member.offset - tarfile.BLOCKSIZE
                )
                if (
                    extended > _MAX_EXTENDED
                    or len(archive.pax_headers) > _MAX_GLOBAL
                ):
                    raise self._refused("its headers are too long")
                self._add(member, len(data))
            end = archive.offset
        # tarfile takes a header that it can't read for the end; a tar really
        # ends with at least one block of zeros and nothing after it.
        left = len(data) - end
        if left < tarfile.BLOCKSIZE or data.count(b"\0", end) != left:
            raise self._refused("it is cut off or damaged")
        return self._root

    def _add(self, member: tarfile.TarInfo, size: int) -> None:
        """Put one member in its place."""
        parts = self._parts(member)
        if not parts:
            return  # the root itself
        folder = self._root
        for part in parts[:-1]:
            if part not in folder:
                self._count_one()
                folder[part] = {}
            folder = folder[part]
            if not isinstance(folder, dict):
                raise self._refused(
                    f"{member.name!r} stands below a file or link"
                )
        entry = self._entry(member, parts, size)
        last = parts[-1]
        self._count_one()
        there = folder.setdefault(last, entry)
        if there is not entry and not (isinstance(there, dict) and not entry):
            raise self._refused(f"{member.name!r} is there twice")

    def _count_one(self) -> None:
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise self._refused(
                f"more than {MAX_MEMBERS} members, which no host has"
            )

    def _parts(self, member: tarfile.TarInfo) -> list[str]:
        """The name, taken apart, if it stays in the archive."""
        name = member.name
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if name.startswith("/"):
            raise self._refused(f"{name!r} is an absolute name")
        if ".." in parts:
            raise self._refused(f"{name!r} leaves the recording")
        if len(name) > _MAX_NAME or len(parts) > _MAX_DEPTH:
            raise self._refused(f"{name[:40]!r}… is too long a name")
        if not parts and not member.isdir():
            raise self._refused("a member has no name")
        return parts

    def _entry(
        self, member: tarfile.TarInfo, parts: list[str], size: int
    ) -> _Directory | _Link | _File:
        """What stands under the name, if it is something that may."""
        if member.isdir():
            return {}
        if member.issym():
            return _Link(self._inside(parts, member.linkname))
        if not member.isreg() or member.issparse():
            raise self._refused(
                f"{member.name!r} is neither a file, a directory nor a"
                " symbolic link"
            )
        end = member.offset_data + member.size
        if member.size < 0 or end > size:
            raise self._refused(f"{member.name!r} is cut off")
        return _File(member.offset_data, end)

    def _inside(self, parts: list[str], target: str) -> str:
        """The target, if following it from ``parts`` stays in the archive."""
        name = "/".join(parts)
        if not target or len(target) > _MAX_NAME:
            raise self._refused(f"{name!r} is a link that leads nowhere")
        if _OPEN_FILE.fullmatch(name):
            # It names what a process has open; followed, it starts at the
            # recording's root.
            return target
        end = posixpath.normpath(posixpath.join(*parts[:-1], target))
        if target.startswith("/") or end == ".." or end.startswith("../"):
            raise self._refused(
                f"{name!r} is a link that leaves the recording: {target!r}"
            )
        return target

    def _refused(self, why: str) -> exception.RecordedHostError:
        return exception.RecordedHostError(
            f"{self._path}: no safe recording: {why}"
        )


def _error(number: int, name: str) -> OSError:
    """What the kernel would say: an OSError of the right subclass."""
    return OSError(number, os.strerror(number), name)


def _lower(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[0].lower() + text[1:]


def unpack(
    path: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> None:
    """Unpack a recording, once it is known that no path leaves it.

    :raises HostError: it can't be read
    :raises RecordedHostError: it is no whole, safe recording
    """
    tree = RecordedTree.load(os.fspath(path))
    # Python has filters from 3.11.4 on; Debian 12 has 3.11.2.
    more = {"filter": _safe} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(fileobj=io.BytesIO(tree.data)) as archive:
        # RecordedTree has looked at every name and link, which S202 is about;
        # and typeshed wants the filter by name.
        archive.extractall(folder, **more)  # type: ignore[arg-type]  # noqa: S202


def _safe(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """What is left of a member's owner and mode; its name is known."""
    if member.issym():
        # Those of open files are absolute, which data_filter() refuses.
        return tarfile.tar_filter(member, folder)
    return tarfile.data_filter(member, folder)
