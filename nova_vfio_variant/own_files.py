# SPDX-License-Identifier: Apache-2.0
"""Files in a folder that others may have had their hands on.

Everything is opened relative to a descriptor of the folder, never through a
link, and looked at once it is open: a name can be moved, a descriptor can't.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import pathlib
import stat
import typing as ty

from nova_vfio_variant import trust

#: What fills a new file: given its descriptor, and its path for now.
Fill = ty.Callable[[int, pathlib.Path], None]

_OPEN: ty.Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: ty.Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A folder, and with whom it is shared.

    :param path: the folder's
    :param group: the id of the group that may have files in it, too
    """

    path: pathlib.Path
    group: int | None = None


#: A folder that is shared with nobody, unless it says so.
Given = str | os.PathLike[str] | Place


def place(given: Given) -> Place:
    """The same, shared with nobody if it doesn't say."""
    return given if isinstance(given, Place) else Place(pathlib.Path(given))


@contextlib.contextmanager
def opened(
    given: Given,
    *,
    make: bool = False,
    mode: int = 0o700,
    sticky: bool = False,
) -> ty.Iterator[Folder]:
    """A folder that nobody can change who isn't trusted.

    It is root's or ours and nobody else may write in it; with a group, also
    a member's, and the group's to write in if its mode says so.

    :param make: make it, and what is missing above it, if it isn't there
    :param mode: what a new one gets if it is shared with nobody
    :param sticky: one like ``/tmp`` will do: only where each name is new or
        replaced
    :raises trust.NotOurs: it is a stranger's
    :raises FileNotFoundError: it isn't there
    :raises OSError: it can't be opened or made
    """
    where = place(given)
    try:
        fd = _descriptor(where.path)
    except FileNotFoundError:
        if not make:
            raise
        _make(where, mode)
        fd = _descriptor(where.path)
    try:
        yield of_descriptor(fd, where, sticky=sticky)
    finally:
        os.close(fd)


def of_descriptor(fd: int, where: Place, *, sticky: bool = False) -> Folder:
    """The same of a folder that is open; whoever opened it closes it.

    :raises trust.NotOurs: it is a stranger's
    """
    found = os.fstat(fd)
    safe = sticky and bool(found.st_mode & stat.S_ISVTX)
    trust.expect_ours(
        where.path, found, "the folder", where.group, written=safe
    )
    return Folder(fd, where, bool(found.st_mode & stat.S_IWGRP))


class Folder:
    """An open folder; :func:`opened` gives it.

    :param fd: a descriptor of it, which need not be readable
    :param where: where it is, and with whom it is shared
    :param is_written: whether the group may write in it
    """

    def __init__(self, fd: int, where: Place, is_written: bool) -> None:
        self.path = where.path
        self._fd = fd
        self._group = where.group
        self._mode = 0o600
        if where.group is not None:
            self._mode = 0o660 if is_written else 0o640

    def find(self, name: str) -> os.stat_result | None:
        """What a file is, None if it isn't there. It is not opened.

        To close a descriptor of a database would take the locks from those
        who have it open in this process (fcntl(2)).

        :raises trust.NotOurs: it is a stranger's, or no ordinary file
        """
        try:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        trust.expect_file(self.path / name, found, self._group)
        return found

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file that is there.

        :raises trust.NotOurs: it is a stranger's, or no ordinary file
        :raises FileNotFoundError: it isn't there
        :raises OSError: it can't be opened
        """
        _expect_named(name)
        try:
            fd = os.open(name, flags | _OPEN, dir_fd=self._fd)
        except OSError:
            # A link, or a socket: that says more than the error.
            self.find(name)
            raise
        try:
            trust.expect_file(self.path / name, os.fstat(fd), self._group)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def open_or_make(self, name: str, flags: int = os.O_RDWR) -> int:
        """A descriptor of a file, which is made if it isn't there.

        :raises OSError: as :meth:`open`
        """
        while True:
            try:
                return self.open(name, flags)
            except FileNotFoundError:
                pass
            with contextlib.suppress(FileExistsError):
                return self._new(name, self._fd, flags)

    def make(self, name: str, fill: Fill, *, replace: bool = False) -> None:
        """Make a file which is whole, and on disk, once it has its name.

        It is filled in a folder of its own, which is locked meanwhile: what
        a crash left there is removed by the next one.

        :param replace: what is there gives way; else it stays
        :raises trust.NotOurs: what is there is a stranger's, or no file
        :raises OSError: it can't be made
        """
        _expect_named(name)
        inner = f".{name}.new"
        work = self._locked(inner)
        try:
            if self.find(name) is None or replace:
                for left in os.listdir(work):
                    os.unlink(left, dir_fd=work)
                fd = self._new(name, work)
                try:
                    fill(fd, self.path / inner / name)
                    os.fsync(fd)
                finally:
                    os.close(fd)
                os.rename(name, name, src_dir_fd=work, dst_dir_fd=self._fd)
        finally:
            with contextlib.suppress(OSError):
                for left in os.listdir(work):
                    os.unlink(left, dir_fd=work)
                os.rmdir(inner, dir_fd=self._fd)
            os.close(work)
        self.sync()

    def move(self, name: str, other: str) -> None:
        """Give a file another name.

        :raises trust.NotOurs: what has that is a stranger's, or no file
        """
        self.find(other)
        os.rename(name, other, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def sync(self) -> None:
        """Have its new names on disk."""
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _locked(self, name: str) -> int:
        """A folder in this one, for as long as we keep it open."""
        mode = 0o700 | (self._mode & 0o020 and 0o070)
        while True:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, mode, dir_fd=self._fd)
            try:
                fd = os.open(
                    name,
                    os.O_RDONLY | os.O_DIRECTORY | _OPEN,
                    dir_fd=self._fd,
                )
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                raise trust.a_stranger(self.path / name, "no folder") from None
            try:
                found = os.fstat(fd)
                trust.expect_ours(self.path / name, found, name, self._group)
                if found.st_uid == os.geteuid():
                    _share(fd, self._group, mode)
                fcntl.flock(fd, fcntl.LOCK_EX)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(
                        found,
                        os.stat(name, dir_fd=self._fd, follow_symlinks=False),
                    ):
                        return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _new(self, name: str, folder: int, flags: int = os.O_RDWR) -> int:
        fd = os.open(
            name,
            flags | os.O_CREAT | os.O_EXCL | _OPEN,
            self._mode,
            dir_fd=folder,
        )
        try:
            _share(fd, self._group, self._mode)
        except BaseException:
            os.close(fd)
            os.unlink(name, dir_fd=folder)
            raise
        return fd


def _expect_named(name: str) -> None:
    """Refuse the last part of a path that has none: ``.`` and ``/``.

    :raises IsADirectoryError: it has none
    """
    if not name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _descriptor(path: pathlib.Path) -> int:
    """A descriptor of a folder; a link to it has to be root's or ours."""
    try:
        return os.open(path, _FOLDER | os.O_NOFOLLOW)
    except NotADirectoryError:
        found = os.lstat(path)
        if not stat.S_ISLNK(found.st_mode):
            raise
        if found.st_uid not in {0, os.geteuid()}:
            raise trust.a_stranger(
                path, "a symbolic link of a stranger"
            ) from None
    return os.open(path, _FOLDER)


def _make(where: Place, mode: int) -> None:
    """Make a folder and what is missing above it, whatever the umask is."""
    parent = where.path.parent
    if parent != where.path and not parent.exists():
        _make(Place(parent, where.group), mode)
    if where.group is not None:
        # What SQLite makes in it shall have its group, too.
        mode = 0o2750
    try:
        os.mkdir(where.path, 0o700)
    except FileExistsError:
        return
    fd = os.open(
        where.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    )
    try:
        _share(fd, where.group, mode)
    finally:
        os.close(fd)


def _share(fd: int, group: int | None, mode: int) -> None:
    if group is not None and os.fstat(fd).st_gid != group:
        try:
            os.fchown(fd, -1, group)
        except PermissionError:
            raise trust.no_member(group) from None
    os.fchmod(fd, mode)
