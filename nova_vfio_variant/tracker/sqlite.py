# SPDX-License-Identifier: Apache-2.0
"""The SQLite file in the state path: making it, and judging its health.

A file that we made is whole from its first moment: it is filled elsewhere,
without a write-ahead log, and then moved into place. So an empty file, or a
log without its database, is damage and never "nothing recorded yet".

SQLite opens by name, and follows a link there. So the folder has to be one in
which no stranger writes, and what SQLite then has open is compared with what
was looked at before.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import functools
import os
import pathlib
import shutil
import sqlite3
import typing as ty
import urllib.parse

from nova_vfio_variant import exception, own_files, trust

NAME = "nova-vfio.sqlite"

#: Tables of every version.
OURS = frozenset({"devices", "generation"})

#: How long a connection waits for another one's transaction, in seconds.
BUSY_TIMEOUT = 30

#: With fewer bytes free SQLite fails in other ways than to say that the disk
#: is full: the index of its log, which a reader needs too, has 32 KiB.
_ROOM = 256 << 10

#: What SQLite makes beside a database.
BESIDE = ("-wal", "-shm", "-journal")

_RESTORE = "with a backup FILE: 'nova-vfio store restore FILE --force'"


def place(path: pathlib.Path, group: int | None) -> own_files.Place:
    """The folder of a database, and with whom it is shared."""
    return own_files.Place(path.parent, group)


def connect(
    path: pathlib.Path, group: int | None = None, *, read_only: bool = False
) -> sqlite3.Connection:
    """Open the file, and see that it is the one that stands there.

    :param group: who may share its folder
    :param read_only: where the disk is full it is a copy in memory
    :raises NotOurs: it, or what belongs to it, may be a stranger's
    :raises OSError: it isn't there, or can't be read
    :raises sqlite3.Error: SQLite can't open it
    """
    with own_files.opened(place(path, group)) as folder:
        seen = seen_in(folder, path.name)
        if not os.access(path, os.R_OK):
            # SQLite wouldn't say why.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        connection = _connected(path, seen, read_only=read_only)
        if not read_only or _has_room(connection, path):
            return connection
        connection.close()
        alone = _connected(path, seen, read_only=True)
        with contextlib.closing(alone):
            # Who is alone keeps the index to himself (sqlite.org/wal.html,
            # "Use of WAL Without Shared-Memory"); others are waited for.
            alone.execute("PRAGMA locking_mode = EXCLUSIVE")
            return memory(alone)


def _connected(
    path: pathlib.Path, seen: os.stat_result, *, read_only: bool
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri(path, read_only=read_only),
        timeout=BUSY_TIMEOUT,
        # Else it would begin no transaction before the first write, and
        # end one before each change of a table.
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        expect_open(path, seen)
    except BaseException:
        connection.close()
        raise
    return connection


def _has_room(connection: sqlite3.Connection, path: pathlib.Path) -> bool:
    try:
        connection.execute("PRAGMA schema_version").fetchall()
    except sqlite3.Error as error:
        return not _is_for_want_of_room(path.parent, error)
    return True


def memory(of: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """A database in memory, which nobody else sees; a copy, if of one."""
    made = sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False
    )
    if of is not None:
        of.backup(made)
    return made


def seen_in(folder: own_files.Folder, name: str) -> os.stat_result:
    """What a database is that SQLite may open.

    :raises NotOurs: it, or what belongs to it, may be a stranger's
    :raises FileNotFoundError: it isn't there
    """
    # A FIFO as a log would be waited for.
    for end in BESIDE:
        folder.find(f"{name}{end}")
    seen = folder.find(name)
    if seen is None:
        raise FileNotFoundError(
            errno.ENOENT, os.strerror(errno.ENOENT), str(folder.path / name)
        )
    return seen


def expect_open(path: pathlib.Path, seen: os.stat_result) -> None:
    """Make sure of which file SQLite has open, before it is asked anything.

    A connection may have been given the descriptor of an earlier one, so
    that none need be new.

    :raises NotOurs: of another one
    """
    opened = False
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            opened = opened or os.path.samestat(seen, os.fstat(int(fd)))
    if not (opened and os.path.samestat(seen, os.stat(path))):
        raise trust.NotOurs(
            f"{path.name} was exchanged while it was opened",
            "see who writes in its folder, then try again",
        )


def uri(path: pathlib.Path, *, read_only: bool = False) -> str:
    """What SQLite calls this file. It is never made by opening it.

    A reader who may write here leaves nothing behind: the log that SQLite
    needs goes when the connection is closed. One who may not write, reads
    the log if there is one and else the file alone.
    """
    mode = "mode=rw"
    if read_only and not _is_writable(path):
        mode = "mode=ro" if _log(path).exists() else "mode=ro&immutable=1"
    # As bytes: a name need not be UTF-8.
    return f"file:{urllib.parse.quote(os.fsencode(path.absolute()))}?{mode}"


def exists(path: pathlib.Path, group: int | None = None) -> bool:
    """Whether anything was recorded here.

    :param group: who may share its folder
    :raises StoreCorruptError: of the database only its log is left
    :raises StoreError: the folder can't be read, or is a stranger's
    """
    log = _log(path)
    try:
        with own_files.opened(place(path, group)) as folder:
            if folder.find(path.name) is not None:
                return True
            left = folder.find(log.name)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unreadable(path, error) from None
    if left is not None and left.st_size:
        raise exception.StoreCorruptError(
            f"the state database {path} is gone, but its write-ahead log"
            f" {log} is there",
            f"{_RESTORE}; or remove the log to begin with nothing recorded",
        )
    return False


def make(
    path: pathlib.Path,
    fill: ty.Callable[[sqlite3.Connection], None],
    group: int | None = None,
) -> None:
    """Make the file, unless another process was quicker.

    :param fill: makes the tables in a new file
    :param group: who may share its folder
    :raises NotOurs: the folder is a stranger's
    :raises OSError: the folder can't be made or written
    :raises sqlite3.Error: the disk is full, or fails
    """

    def filled(_fd: int, new: pathlib.Path) -> None:
        connection = sqlite3.connect(uri(new), isolation_level=None, uri=True)
        with contextlib.closing(connection):
            # Nobody reads it before it is whole: there is nothing to undo.
            connection.execute("PRAGMA journal_mode = MEMORY")
            fill(connection)
            _expect_sound(connection)

    with own_files.opened(place(path, group), make=True) as folder:
        folder.make(path.name, filled)


def _expect_sound(connection: sqlite3.Connection) -> None:
    ((verdict, *_), *_) = connection.execute("PRAGMA quick_check(1)")
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def version(
    path: pathlib.Path, group: int | None = None, *, read_only: bool = False
) -> str:
    """The version of the schema, if the file is sound.

    :param group: who may share its folder
    :raises StoreCorruptError: it isn't; it was kept aside
    :raises StoreError: it can't be read, or may be a stranger's
    """
    try:
        connection = connect(path, group, read_only=read_only)
        with contextlib.closing(connection):
            if not path.stat().st_size:
                raise corrupt(path, "it is empty", group)
            ((verdict, *_), *_) = connection.execute("PRAGMA quick_check(1)")
            if verdict != "ok":
                raise corrupt(path, verdict, group)
            rows = connection.execute(
                "SELECT version_num FROM alembic_version"
            ).fetchall()
            tables = {
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master"
                )
            }
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeError as error:
        raise corrupt(path, str(error), group) from None
    except sqlite3.Error as error:
        if is_damage(error) or "no such table" in str(error):
            raise corrupt(path, str(error), group) from None
        reason, hint = told(path, error)
        raise exception.StoreError(
            f"the state database {path} can't be read: {reason}", hint
        ) from None
    if OURS.isdisjoint(tables):
        raise foreign(str(path))
    if len(rows) != 1:
        raise corrupt(path, "it doesn't say its version", group)
    return str(rows[0][0])


def expect_writable(path: pathlib.Path) -> None:
    """Make sure that we may write here, before anything is asked of it.

    :raises StoreError: we may not
    """
    if not _is_writable(path):
        raise unwritable(
            path.parent, PermissionError(errno.EACCES, "Permission denied")
        )


def foreign(shown: str) -> exception.StoreError:
    """The error that says so of a database that isn't ours."""
    return exception.StoreError(
        f"{shown} isn't a state database of this program: it has none of its"
        " tables",
        "give the tracker a database of its own",
    )


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file, not the request, is at fault."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def told(
    path: pathlib.Path, error: BaseException, otherwise: str | None = None
) -> tuple[str, str | None]:
    """What is wrong with a database, and what is to be done about it.

    :param error: of SQLite, or of the system
    :param otherwise: what is to be done where it isn't for want of room
    """
    if _is_for_want_of_room(path.parent, error):
        return (
            f"the file system of {path.parent} is full",
            "make room there, or name another place with --state-path DIR",
        )
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error)).partition("\n")[0], otherwise


def _is_for_want_of_room(folder: pathlib.Path, error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code not in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}:
        return code == sqlite3.SQLITE_FULL
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    # Some file systems have no number of files.
    no_file_more = found.f_files and not found.f_favail
    return found.f_bavail * found.f_frsize < _ROOM or bool(no_file_more)


def corrupt(
    path: pathlib.Path, reason: str, group: int | None = None
) -> exception.StoreCorruptError:
    """Keep a damaged file aside, and say so.

    It is copied, not moved: whoever opens the store next must not find
    nothing and take it for an empty one.

    :param group: who may share its folder
    """
    try:
        kept = f"; it is kept as {kept_aside(path, group)}"
    except trust.NotOurs as error:
        kept = f"; it could not be kept aside: {error.strerror} ({error.mend})"
    except OSError as error:
        kept = f"; it could not be kept aside: {error.strerror}"
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            kept = ""
    # SQLite breaks its lines, and begins with a line of stars.
    plain = " ".join(reason.replace("*** in database main ***", "").split())
    return exception.StoreCorruptError(
        f"the state database {path} is corrupt ({plain}){kept}",
        f"{_RESTORE}; or remove it to begin with nothing recorded, once no"
        " instance holds a device",
    )


def kept_aside(path: pathlib.Path, group: int | None) -> pathlib.Path:
    """Copy a damaged file, and its log; a copy that is there stays.

    :param group: who may share its folder
    :returns: what the copy is called
    :raises OSError: it can't be copied, or isn't there
    """
    with own_files.opened(place(path, group)) as folder:
        when = dt.datetime.fromtimestamp(
            seen_in(folder, path.name).st_mtime, dt.UTC
        )
        name = f"{path.name}.corrupt-{when:%Y%m%dT%H%M%SZ}"
        for end in ("", "-wal"):
            if folder.find(path.name + end) is None:
                continue
            with open(folder.open(path.name + end, os.O_RDONLY), "rb") as old:
                folder.make(name + end, functools.partial(_copy, old))
    return path.with_name(name)


def _copy(old: ty.BinaryIO, fd: int, _path: pathlib.Path) -> None:
    with open(fd, "wb", closefd=False) as new:
        shutil.copyfileobj(old, new)


def unreadable(path: pathlib.Path, error: OSError) -> exception.StoreError:
    """The error that says so."""
    return exception.StoreError(
        f"the state database {path} can't be read: {error.strerror}",
        trust.mend(error, "--state-path DIR names another place"),
    )


def unwritable(folder: pathlib.Path, error: OSError) -> exception.StoreError:
    """The error that says so."""
    return exception.StoreError(
        f"the state path {folder} can't be written: {error.strerror}",
        trust.mend(error, "--state-path DIR names another place"),
    )


def _is_writable(path: pathlib.Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _log(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}-wal")
