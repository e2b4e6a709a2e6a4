# SPDX-License-Identifier: Apache-2.0
"""The host tree: ``/``, a directory, or a recorded host, read in one way.

Every path that this project reads hangs off a :class:`HostTree` and is given
relative to its root (``sys/bus/pci/devices``). Symbolic links are followed
inside the tree only: an absolute link starts at the tree's root and ``..``
stops there.
"""

from __future__ import annotations

import abc
import errno
import os
import stat
import types
import typing as ty

from nova_vfio_variant import input_file
from nova_vfio_variant.host.tree import beneath

#: As many links as the kernel follows in one path (path_resolution(7)).
_MAX_LINKS = 40

#: A sysfs attribute is at most one page; no page that matters is larger.
ATTRIBUTE: ty.Final = 65536

#: Of any other file. ``modules.alias`` and ``pci.ids`` have 2 MiB.
MAX_BYTES: ty.Final = 8 << 20

#: The mode of each symbolic link but those of procfs (symlink(7)).
_ANYBODYS = 0o777
#: Of a link of procfs: it is open for reading or writing.
_OPENED = stat.S_IRUSR | stat.S_IWUSR
_OPENABLE = (stat.S_IFREG, stat.S_IFLNK)
_DEVICE_FILES = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}


class Folder(abc.ABC):
    """One directory of a host tree, held open while its facts are read.

    Every method raises OSError as the kernel would.
    """

    __slots__ = ()

    @abc.abstractmethod
    def names(self) -> list[str]:
        """What stands in it, in no order."""

    @abc.abstractmethod
    def read(self, name: str, size: int = ATTRIBUTE) -> bytes:
        """The attribute (a file of at most 64 KiB) with this name.

        :param size: no more than the first bytes are wanted
        """

    @abc.abstractmethod
    def link(self, name: str) -> str:
        """Where the symbolic link with this name points to, as written."""

    def device(self, name: str) -> str | None:
        """The number of the device file that a link of procfs leads to.

        :returns: ``c MAJOR:MINOR`` or ``b MAJOR:MINOR``; empty if it leads to
            something else; None where that can't be told: a link of another
            file system means nothing outside of its own host
        """
        del name
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def __enter__(self) -> ty.Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()


class HostTree(abc.ABC):
    """One host, whatever it is kept in.

    Nothing stays open between calls. The methods that return None, False or
    an empty list do so where the thing isn't there *or can't be read*; who
    has to tell the two apart uses :meth:`folder` and :meth:`read_bytes`.

    :ivar root: the directory that all paths hang off; None for a recorded
        host, which has none
    """

    root: str | None = None

    def __init__(self) -> None:
        # Paths known to be no links. A directory of sysfs never becomes a
        # link, so this can't go stale; where links point to is not kept.
        self._plain = {""}

    @abc.abstractmethod
    def _target(self, path: str) -> str | None:
        """Where a link points to, None if it is no link; OSError if nothing.

        :param path: no component but the last may be a link
        """

    @abc.abstractmethod
    def _open_folder(self, path: str) -> Folder:
        """Open a directory given by its real path."""

    @abc.abstractmethod
    def _read(self, path: str) -> bytes:
        """Read a file given by its real path."""

    def _walk(self, rel: str) -> str:
        """The path to use for ``rel``: one that can't leave the tree."""
        return self.real_path(rel)

    def real_path(self, rel: str) -> str:
        """The path without links that ``rel`` leads to, inside the tree.

        :raises OSError: something on the way is missing, or links go round
        """
        plain = self._plain
        done, _, rest = rel.rpartition("/")
        if done in plain:
            todo = [rest]
        else:
            done = ""
            todo = rel.split("/")
            todo.reverse()
        links = 0
        while todo:
            name = todo.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{name}" if done else name
            if here not in plain:
                target = self._target(here)
                if target is not None:
                    links += 1
                    if links > _MAX_LINKS:
                        raise OSError(
                            errno.ELOOP, os.strerror(errno.ELOOP), rel
                        )
                    done = self._follow(done, target, todo)
                    continue
                plain.add(here)
            done = here
        return done

    def _follow(self, done: str, target: str, todo: list[str]) -> str:
        """Put the names of a link's target before what is still to do.

        :returns: the path, free of links, from which they go on
        """
        if target.startswith("/"):
            done = ""
        while target.startswith("../"):
            done = done.rpartition("/")[0]
            target = target[3:]
        # Most links of sysfs end in a directory that was walked before: a
        # scan need not take such a path apart again.
        ahead, _, last = target.rpartition("/")
        ahead = f"{done}/{ahead}" if done else ahead
        if ahead in self._plain:
            todo.append(last)
            return ahead
        todo.extend(reversed(target.split("/")))
        return done

    def open_to_write(self, rel: str) -> int:
        """A descriptor of a regular file that is there, for writing alone.

        Links on the way are followed inside the tree, and nothing outside of
        it is ever opened: also where one changes meanwhile.

        :raises OSError: it isn't there, can't be written, or is no such file
        """
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), rel)

    def folder(self, rel: str) -> Folder:
        """Open a directory, to be closed by ``with``.

        :raises OSError: it isn't there, is no directory, or can't be read
        """
        return self._open_folder(self._walk(rel))

    def read_bytes(self, rel: str) -> bytes:
        """The whole of a file.

        :raises OSError: it isn't there, is no file, or can't be read
        """
        return self._read(self._walk(rel))

    def read_text(self, rel: str) -> str | None:
        """A file without the white space around its text."""
        try:
            return self.read_bytes(rel).decode(errors="replace").strip()
        except OSError:
            return None

    def listdir(self, rel: str) -> list[str]:
        """The names in a directory, sorted."""
        try:
            with self.folder(rel) as folder:
                return sorted(folder.names())
        except OSError:
            return []

    def readlink(self, rel: str) -> str | None:
        """Where a symbolic link points to, as written."""
        parent, _, name = rel.rpartition("/")
        try:
            parent = self._walk(parent)
            return self._target(f"{parent}/{name}" if parent else name)
        except OSError:
            return None

    def exists(self, rel: str) -> bool:
        """Whether something is there; a link counts if it leads to it.

        What this tree saw once counts as there, gone or not.
        """
        try:
            self.real_path(rel)
        except OSError:
            return False
        return True


class _OpenDirectory(Folder):
    """A directory of the file system, by its file descriptor.

    :param flags: with which a file is opened
    :param is_odd: whether it may hold what no kernel puts there: to open a
        device may do something by itself
    """

    __slots__ = ("_fd", "_flags", "_is_odd")

    def __init__(self, fd: int, flags: int, *, is_odd: bool) -> None:
        self._fd = fd
        self._flags = flags
        self._is_odd = is_odd

    def names(self) -> list[str]:
        return os.listdir(self._fd)

    def read(self, name: str, size: int = ATTRIBUTE) -> bytes:
        if self._is_odd:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            # What is a link is said when it is opened.
            if stat.S_IFMT(found.st_mode) not in _OPENABLE:
                input_file.expect_regular(found, name)
        fd = os.open(name, self._flags, dir_fd=self._fd)
        try:
            return os.read(fd, size)
        finally:
            os.close(fd)

    def link(self, name: str) -> str:
        return os.readlink(name, dir_fd=self._fd)

    def device(self, name: str) -> str | None:
        # Links of procfs alone lead to what a process has open, wherever its
        # path goes; and theirs alone are not open to everybody.
        mode = os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode
        if stat.S_IMODE(mode) == _ANYBODYS:
            return None
        if not mode & _OPENED:
            return ""  # O_PATH: a name, behind which nothing is open.
        # This opens nothing.
        found = os.stat(name, dir_fd=self._fd)
        kind = _DEVICE_FILES.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            return ""
        return f"{kind} {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"

    def close(self) -> None:
        os.close(self._fd)


class DirectoryTree(HostTree):
    """A live host at ``/``, or anything that looks like one elsewhere.

    At ``/`` the kernel's own path walk is right by definition. Elsewhere
    it would follow an absolute link out of the tree, so links are followed
    here, and what is opened may not be a link itself.
    """

    def __init__(self, root: str) -> None:
        super().__init__()
        self.root = os.path.abspath(root)
        self._prefix = self.root.rstrip("/") + "/"
        # What takes a file's place meanwhile must not stop us, nor become
        # our terminal.
        self._flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        self._is_odd = self._prefix != "/"
        if self._is_odd:
            self._flags |= os.O_NOFOLLOW

    def _walk(self, rel: str) -> str:
        return rel if self._prefix == "/" else self.real_path(rel)

    def _target(self, path: str) -> str | None:
        try:
            return os.readlink(self._prefix + path)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise
        except ValueError:
            raise _no_name(path) from None

    def _expect_regular(self, path: str) -> None:
        try:
            input_file.expect_regular(os.stat(self._prefix + path), path)
        except ValueError:
            raise _no_name(path) from None

    def _open(self, path: str, flags: int) -> int:
        try:
            return os.open(self._prefix + path, self._flags | flags)
        except ValueError:
            raise _no_name(path) from None

    def open_to_write(self, rel: str) -> int:
        """See :meth:`HostTree.open_to_write`."""
        assert self.root is not None
        # At "/" as well: a link of sysfs leads the same way there.
        parent, _, name = self.real_path(rel).rpartition("/")
        with beneath.folder(self.root, parent) as folder:
            return beneath.regular(folder, name, os.O_WRONLY)

    def _open_folder(self, path: str) -> Folder:
        fd = self._open(path, os.O_DIRECTORY)
        return _OpenDirectory(fd, self._flags, is_odd=self._is_odd)

    def _read(self, path: str) -> bytes:
        if self._is_odd:
            self._expect_regular(path)
        fd = self._open(path, 0)
        try:
            input_file.expect_regular(os.fstat(fd), path)
            return input_file.read_all(fd, path, MAX_BYTES)
        finally:
            os.close(fd)


def _no_name(path: str) -> FileNotFoundError:
    """What a path with a NUL leads to: no file can have such a name."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
