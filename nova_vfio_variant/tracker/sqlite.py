# SPDX-License-Identifier: Apache-2.0
"""The SQLite file in the state path: making it, and judging its health.

A file that we made is whole from its first moment: it is filled under
another name and then linked into place. So an empty file, or a write-ahead
log without its database, is damage and never "nothing recorded yet".
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import pathlib
import shutil
import sqlite3
import tempfile
import typing as ty
import urllib.parse

from nova_vfio_variant import durable, exception

NAME = "nova-vfio.sqlite"

#: Tables of every version.
OURS = frozenset({"devices", "generation"})

#: How long a connection waits for another one's transaction, in seconds.
BUSY_TIMEOUT = 30


def uri(path: pathlib.Path, *, read_only: bool = False) -> str:
    """What SQLite calls this file. It is never made by opening it.

    A reader who may write here leaves nothing behind: the log that SQLite
    needs goes when the connection is closed. One who may not write, reads
    the log if there is one and else the file alone.
    """
    mode = "mode=rw"
    if read_only and not _is_writable(path):
        mode = "mode=ro" if _log(path).exists() else "mode=ro&immutable=1"
    return f"file:{urllib.parse.quote(str(path.absolute()))}?{mode}"


def exists(path: pathlib.Path) -> bool:
    """Whether anything was recorded here.

    :raises StoreCorruptError: of the database only its log is left
    :raises StoreError: the folder can't be read
    """
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise unreadable(path, error) from None
    else:
        return True
    log = _log(path)
    if log.exists() and log.stat().st_size:
        raise exception.StoreCorruptError(
            f"the state database {path} is gone, but its write-ahead log"
            f" {log} is there",
            "put a backup of both in their place, or remove the log to begin"
            " with nothing recorded",
        )
    return False


def make(path: pathlib.Path, fill: ty.Callable[[pathlib.Path], None]) -> None:
    """Make the file, unless another process was quicker.

    :param fill: makes the tables in a new file
    :raises StoreError: the folder can't be made or written
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix=f".{NAME}-"
        ) as folder:
            new = pathlib.Path(folder, NAME)
            fill(new)
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
        durable.sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path.parent, error) from None


def version(path: pathlib.Path, *, read_only: bool = False) -> str:
    """The version of the schema, if the file is sound.

    :raises StoreCorruptError: it isn't; it was kept aside
    :raises StoreError: it can't be read
    """
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise corrupt(path, "it is empty")
        connection = sqlite3.connect(
            uri(path, read_only=read_only), timeout=BUSY_TIMEOUT, uri=True
        )
        with contextlib.closing(connection):
            ((verdict, *_), *_) = connection.execute("PRAGMA quick_check(1)")
            if verdict != "ok":
                raise corrupt(path, verdict)
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
    except sqlite3.Error as error:
        if is_damage(error) or "no such table" in str(error):
            raise corrupt(path, str(error)) from None
        raise exception.StoreError(
            f"the state database {path} can't be read: {error}"
        ) from None
    if OURS.isdisjoint(tables):
        raise foreign(str(path))
    if len(rows) != 1:
        raise corrupt(path, "it doesn't say its version")
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


def corrupt(path: pathlib.Path, reason: str) -> exception.StoreCorruptError:
    """Keep a damaged file aside, and say so.

    It is copied, not moved: whoever opens the store next must not find
    nothing and take it for an empty one.
    """
    kept = ""
    try:
        when = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
        aside = path.with_name(f"{path.name}.corrupt-{when:%Y%m%dT%H%M%SZ}")
        for end in ("", "-wal"):
            source = path.with_name(path.name + end)
            target = aside.with_name(aside.name + end)
            if source.exists() and not target.exists():
                shutil.copy2(source, target)
        kept = f"; it is kept as {aside}"
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            kept = f"; it could not be kept aside: {error.strerror}"
    # SQLite breaks its lines, and begins with a line of stars.
    plain = " ".join(reason.replace("*** in database main ***", "").split())
    return exception.StoreCorruptError(
        f"the state database {path} is corrupt ({plain}){kept}",
        "put a backup in its place; or remove it to begin with nothing"
        " recorded, once no instance holds a device",
    )


def unreadable(path: pathlib.Path, error: OSError) -> exception.StoreError:
    """The error that says so."""
    return exception.StoreError(
        f"the state database {path} can't be read: {error.strerror}",
        "--state-path DIR names another place",
    )


def unwritable(folder: pathlib.Path, error: OSError) -> exception.StoreError:
    """The error that says so."""
    return exception.StoreError(
        f"the state path {folder} can't be written: {error.strerror}",
        "--state-path DIR names another place",
    )


def _is_writable(path: pathlib.Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _log(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}-wal")
