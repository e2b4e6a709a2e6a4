# SPDX-License-Identifier: Apache-2.0
"""A store's copy in a file of its own, and a store made of one again.

A copy is looked at, and upgraded, in memory: nothing is changed before all of
it is known to be good. Then it goes into the store's own file by SQLite's
backup interface (sqlite.org/backup.html), as one transaction: whoever is
killed meanwhile leaves the store of before, and who reads it meanwhile ends
with what he began with.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pathlib
import socket
import sqlite3
import time
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant import exception, input_file, own_files, trust
from nova_vfio_variant.tracker import holding, schema, sqlite

#: Of a copy: 16,000 devices take 20 MiB.
_MOST: ty.Final = 1 << 30
#: Pages that are written before it is looked at the clock.
PAGES = 256

#: Each database that isn't ours to copy, and what does it.
_TOOLS: ty.Final = {
    "postgresql": ("pg_dump", "psql"),
    "mysql": ("mysqldump", "mysql"),
    "mariadb": ("mariadb-dump", "mariadb"),
}


def file_of(state: own_files.Place, connection: str | None) -> pathlib.Path:
    """The SQLite file that the store is.

    :param connection: ``[database] connection``
    :raises StoreError: the store is a database of another kind
    """
    found = schema.place_of(state, connection)
    if isinstance(found, pathlib.Path):
        return found
    dump, load = _TOOLS.get(found.get_backend_name(), (None, None))
    raise exception.StoreError(
        f"the state database {found.render_as_string(hide_password=True)} is"
        " no file of this program",
        f"back it up with {dump}, and restore it with {load}"
        if dump
        else "back it up with its own tools",
    )


def write(
    link: sqlite3.Connection, out: pathlib.Path, *, replace: bool = True
) -> None:
    """Copy a store into a file, whole or not at all.

    It is one file, without a log beside it, and says of which host it is.

    :param link: the store's
    :param out: its folder may be one like ``/tmp``
    :param replace: what stands there gives way
    :raises StoreError: it can't be written, or its place is a stranger's
    """

    def fill(_fd: int, new: pathlib.Path) -> None:
        with contextlib.closing(
            sqlite3.connect(sqlite.uri(new), isolation_level=None, uri=True)
        ) as copy:
            link.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            holding.say_host(copy, socket.gethostname())

    try:
        with own_files.opened(out.parent, sticky=True) as folder:
            folder.make(out.name, fill, replace=replace)
    except OSError as error:
        raise exception.StoreError(
            f"{out}: can't be written: {error.strerror or error}",
            trust.mend(error),
        ) from None
    except sqlite3.Error as error:
        raise exception.StoreError(
            f"{out}: can't be written: {sqlite.told(out, error)[0]}",
            "make room there, or name a file elsewhere",
        ) from None


def keep_aside(
    link: sqlite3.Connection, path: pathlib.Path, group: int | None
) -> pathlib.Path:
    """Copy a store beside itself, under a name that nothing has."""
    with own_files.opened(sqlite.place(path, group)) as folder:
        out = path.with_name(_aside(folder, path))
    write(link, out, replace=False)
    return out


def read(path: pathlib.Path) -> sqlite3.Connection:
    """A copy in memory of what is in a file, which is only read.

    :raises StoreError: it can't be read, is a stranger's, or no sound store
    """
    log = path.parent / f"{path.name}-wal"
    try:
        with own_files.opened(path.parent, sticky=True) as folder:
            fd = folder.open(path.name, os.O_RDONLY)
            try:
                data = input_file.read_all(fd, str(path), _MOST)
            finally:
                os.close(fd)
            left = folder.find(log.name)
    except OSError as error:
        raise exception.StoreError(
            f"{path}: can't be read: {error.strerror or error}",
            trust.mend(error),
        ) from None
    if left is not None and left.st_size:
        raise exception.StoreError(
            f"{path} is a database in use: what was written last is in {log}",
            "'nova-vfio store backup' makes a copy that is whole",
        )
    copy = sqlite.memory()
    try:
        if data[:16] != b"SQLite format 3\0":
            raise sqlite3.DatabaseError("it is no SQLite database")
        # In memory there is no log (sqlite.org/fileformat2.html, offset 18).
        copy.deserialize(data[:18] + b"\1\1" + data[20:])
        ((verdict, *_), *_) = copy.execute("PRAGMA integrity_check(1)")
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        if sqlite.OURS.isdisjoint(holding.tables(copy)):
            raise sqlite3.DatabaseError("it has no table of this program's")
        holding.held(copy)
    except (sqlite3.Error, UnicodeError, ValueError) as error:
        copy.close()
        raise exception.StoreError(
            f"{path} is no backup that can be restored:"
            f" {' '.join(str(error).split())}",
            "take another one; nothing was changed",
        ) from None
    return copy


def upgrade(copy: sqlite3.Connection, shown: str) -> None:
    """Bring a copy in memory to this version's tables.

    :raises StoreVersionError: a newer version made it
    :raises StoreError: its tables are not those of its version
    """
    engine = schema.engine_on(copy)
    version = holding.held(copy).version
    with schema.explained(sa.make_url("sqlite://")):
        schema.bring_up(engine, version, shown)


def put(
    copy: sqlite3.Connection, path: pathlib.Path, group: int | None
) -> None:
    """Let a store be what a copy is, in one transaction.

    :param path: the store's file, which is there and sound
    :param group: who may share its folder
    :raises StoreError: it can't be written, and is as it was
    """
    deadline = time.monotonic() + sqlite.BUSY_TIMEOUT

    def look(_status: int, _left: int, _total: int) -> None:
        # What is busy is tried for ever.
        if time.monotonic() > deadline:
            raise exception.StoreError(
                f"the state database {path} can't be written: another process"
                " has kept it busy",
                "see which one it is with fuser; nothing was changed",
            )

    try:
        with contextlib.closing(sqlite.connect(path, group)) as link:
            link.execute("PRAGMA journal_mode = WAL")
            link.execute("PRAGMA synchronous = FULL")
            copy.backup(link, pages=PAGES, progress=look, sleep=0.05)
    except OSError as error:
        raise sqlite.unwritable(path.parent, error) from None
    except sqlite3.Error as error:
        reason, hint = sqlite.told(path, error)
        raise exception.StoreError(
            f"the state database {path} can't be written: {reason}; it is as"
            " it was",
            hint,
        ) from None


def put_in_place_of_damage(
    copy: sqlite3.Connection, path: pathlib.Path, group: int | None
) -> pathlib.Path:
    """Put a copy where a damaged store is, or what is left of one.

    :returns: as what that is kept
    :raises StoreError: it can't be kept or written
    """

    def fill(_fd: int, new: pathlib.Path) -> None:
        with contextlib.closing(
            sqlite3.connect(sqlite.uri(new), isolation_level=None, uri=True)
        ) as made:
            copy.backup(made)

    try:
        with own_files.opened(sqlite.place(path, group)) as folder:
            if folder.find(path.name) is None:
                kept = path.with_name(f"{_aside(folder, path)}-wal")
                folder.move(f"{path.name}-wal", kept.name)
            else:
                kept = sqlite.kept_aside(path, group)
            # Before: a log that is there belongs to what has the name.
            for end in sqlite.BESIDE:
                if folder.find(path.name + end) is not None:
                    path.with_name(path.name + end).unlink()
            folder.sync()
            folder.make(path.name, fill, replace=True)
    except OSError as error:
        raise sqlite.unwritable(path.parent, error) from None
    except sqlite3.Error as error:
        reason, hint = sqlite.told(path, error)
        raise exception.StoreError(
            f"the state database {path} can't be written: {reason}", hint
        ) from None
    return kept


def _aside(folder: own_files.Folder, path: pathlib.Path) -> str:
    """A name for what a store was, which nothing has."""
    name = (
        f"{path.name}.before-restore-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"
    )
    free, number = name, 1
    while folder.find(free) is not None:
        number += 1
        free = f"{name}-{number}"
    return free
