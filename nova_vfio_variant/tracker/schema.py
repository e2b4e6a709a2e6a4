# SPDX-License-Identifier: Apache-2.0
"""Finding the store's database, and bringing it to this version's tables."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import socket
import sqlite3
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant import exception, own_files
from nova_vfio_variant.tracker import models, sqlite

if ty.TYPE_CHECKING:
    from alembic import config

#: What an error names: the SQLite file, or the URL of another database.
Place = pathlib.Path | sa.URL

#: So many files' engines are kept; a process seldom has more than one.
_ENGINES: ty.Final = 4

MIGRATIONS = pathlib.Path(__file__).with_name("migrations")
#: As alembic makes it: what a later version of this program asks.
_VERSION: ty.Final = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def open_engine(
    given: own_files.Given, connection: str | None, *, read_only: bool
) -> tuple[sa.Engine, Place]:
    """The database that is meant, with tables of this version.

    :param given: folder of the SQLite file
    :param connection: None for the SQLite file in ``given``
    :param read_only: make nothing; what isn't there is empty
    :raises StoreVersionError: a newer version made it
    :raises StoreCorruptError: it is damaged
    :raises StoreError: it can't be reached, read or written, or may be a
        stranger's
    """
    state = own_files.place(given)
    path = place_of(state, connection)
    if not isinstance(path, pathlib.Path):
        return _open_service(path, read_only=read_only), path
    if not sqlite.exists(path, state.group):
        if read_only:
            return _nothing(), path
        _make(path, state.group)
    if not read_only:
        sqlite.expect_writable(path)
    found = sqlite.version(path, state.group, read_only=read_only)
    engine = _sqlite(path, state.group, read_only=read_only)
    with explained(path, state.group):
        bring_up(engine, found, str(path), read_only=read_only)
    return engine, path


def place_of(state: own_files.Place, connection: str | None) -> Place:
    """Where the store is: an SQLite file, or another database.

    :param connection: None for the SQLite file in ``state``
    :raises StoreError: it is no URL
    """
    if connection is None:
        return state.path / sqlite.NAME
    url = _parsed(connection)
    if url.get_backend_name() != "sqlite" or not url.database:
        return url
    return pathlib.Path(url.database)


@contextlib.contextmanager
def explained(place: Place, group: int | None = None) -> ty.Iterator[None]:
    """Turn what a database may raise into one clear line.

    :param group: who may share an SQLite file's folder
    :raises StoreError: in place of every error of SQLAlchemy and oslo.db
    """
    try:
        yield
    except OSError as error:
        if not isinstance(place, pathlib.Path):
            raise
        raise sqlite.unreadable(place, error) from None
    except _errors() as error:
        orig = cause(error)
        reason, hint = str(orig).partition("\n")[0], None
        if isinstance(place, pathlib.Path):
            if sqlite.is_damage(orig):
                raise sqlite.corrupt(place, reason, group) from error
            reason, hint = sqlite.told(place, orig)
            if _code(orig) == sqlite3.SQLITE_BUSY:
                reason = (
                    "another process has kept it busy for"
                    f" {sqlite.BUSY_TIMEOUT} seconds"
                )
        raise exception.StoreError(
            f"the state database {_shown(place)} can't be used: {reason}", hint
        ) from error


def cause(error: BaseException) -> BaseException:
    """What a driver said, without what SQLAlchemy and oslo.db made of it."""
    while (
        inner := getattr(error, "orig", None)
        or getattr(error, "inner_exception", None)
    ) is not None:
        error = inner
    return error


def _errors() -> tuple[type[Exception], ...]:
    """What SQLAlchemy and oslo.db raise; asked where something is raised."""
    from oslo_db import exception as db_exception

    return db_exception.DBError, sa.exc.SQLAlchemyError


def _open_service(url: sa.URL, *, read_only: bool) -> sa.Engine:
    # It brings SQLAlchemy's ORM along; a file has no use for either.
    from oslo_db.sqlalchemy import engines

    with explained(url):
        try:
            engine: sa.Engine = engines.create_engine(url, max_retries=0)
        except ModuleNotFoundError as error:
            raise exception.StoreError(
                f"the state database {_shown(url)} needs the Python package"
                f" {error.name}",
            ) from None
        found = _version(engine, _shown(url))
        if found is None and read_only:
            return _nothing()
        bring_up(engine, found, _shown(url), read_only=read_only)
        _expect_host(engine, _shown(url), read_only=read_only)
    return engine


def _version(engine: sa.Engine, shown: str) -> str | None:
    """The version of a database's schema, None if it is empty."""
    with engine.connect() as link:
        tables = set(sa.inspect(link).get_table_names())
        if "alembic_version" in tables:
            tables.remove("alembic_version")
            # Without any other it was killed while it made the first one,
            # where a database ends a transaction with each table.
            if tables and sqlite.OURS.isdisjoint(tables):
                raise sqlite.foreign(shown)
            found: str | None = link.scalar(
                sa.text("SELECT version_num FROM alembic_version")
            )
            if found is None and "devices" in tables:
                _expect_empty(link, shown)
            return found
    if tables:
        raise exception.StoreError(
            f"the state database {shown} holds tables of others",
            "give the tracker a database of its own",
        )
    return None


def _expect_empty(link: sa.Connection, shown: str) -> None:
    """See that nothing is lost where a database says no version.

    :raises StoreCorruptError: it has devices
    """
    if link.scalar(sa.select(models.devices.c.id).limit(1)) is not None:
        raise exception.StoreCorruptError(
            f"the state database {shown} is corrupt (it doesn't say its"
            " version)",
            "put a backup in its place",
        )


def _expect_host(engine: sa.Engine, shown: str, *, read_only: bool) -> None:
    """Refuse a database of another host: devices carry no host's name."""
    here = socket.gethostname()
    name = models.meta.c.name
    with engine.begin() as link:
        host = link.scalar(
            sa.select(models.meta.c.value).where(name == "host")
        )
        if host is None and not read_only:
            link.execute(
                sa.insert(models.meta).values(name="host", value=here)
            )
    if host not in {None, here}:
        raise exception.StoreError(
            f"the state database {shown} belongs to host {host}, this is"
            f" {here}",
            "give each host a database of its own",
        )


def bring_up(
    engine: sa.Engine,
    found: str | None,
    shown: str,
    *,
    read_only: bool = False,
) -> None:
    """Take an older schema, or none, to this version's.

    :param found: its version
    :raises StoreVersionError: a newer version made it
    :raises StoreOutdatedError: an older one did, and it is only read
    """
    if found == models.HEAD:
        return
    # 0.3 s that only a new version's first command spends.
    from alembic import script

    scripts = script.ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise exception.StoreVersionError(
            f"the state database {shown} has version {found}, made by a newer"
            f" version of this program; this one knows {models.HEAD}",
            "upgrade the program, or name another place with --state-path",
        )
    if read_only:
        raise exception.StoreOutdatedError(
            f"the state database {shown} has version {found}, made by an"
            f" older version of this program; this one reads {models.HEAD}",
            "'nova-vfio device sync', or any command that writes, upgrades it",
        )
    _upgrade(engine)


def _upgrade(engine: sa.Engine) -> None:
    from alembic import command

    settings = _config()
    with engine.begin() as link:
        settings.attributes["connection"] = link
        command.upgrade(settings, models.HEAD)


def _config() -> config.Config:
    from alembic import config

    settings = config.Config()
    # The parser that alembic uses takes % for its own.
    location = str(MIGRATIONS).replace("%", "%%")
    settings.set_main_option("script_location", location)
    return settings


def _make(path: pathlib.Path, group: int | None) -> None:
    """Make the SQLite file; of one that fails nothing is left."""
    try:
        sqlite.make(path, _fill, group)
    except OSError as error:
        raise sqlite.unwritable(path.parent, error) from None
    except (sqlite3.Error, sa.exc.SQLAlchemyError) as error:
        reason, hint = sqlite.told(
            path, cause(error), "--state-path DIR names another place"
        )
        raise exception.StoreError(
            f"the state database {path} can't be made: {reason}", hint
        ) from error


def _fill(connection: sqlite3.Connection) -> None:
    """Make in a new file at once what the migrations would make of it."""
    with engine_on(connection).begin() as link:
        _make_tables(link)
        _VERSION.create(link)
        link.execute(sa.insert(_VERSION).values(version_num=models.HEAD))


def _nothing() -> sa.Engine:
    """Tables without a row, in memory."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.begin() as link:
        _make_tables(link)
    return engine


def _make_tables(link: sa.Connection) -> None:
    models.METADATA.create_all(link)
    link.execute(sa.insert(models.generation).values(id=1, value=0))


@functools.lru_cache(maxsize=_ENGINES)
def _sqlite(
    path: pathlib.Path, group: int | None, *, read_only: bool
) -> sa.Engine:
    """The engine of a file: what it keeps is how statements are written.

    It has no connection, so whoever opens the store next has a new one.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        creator=lambda: sqlite.connect(path, group, read_only=read_only),
        poolclass=sa.NullPool,
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    sa.event.listen(engine, "begin", _begin)
    return engine


def engine_on(connection: sqlite3.Connection) -> sa.Engine:
    """An engine that has this connection, to an SQLite file, and no other."""
    engine = sa.create_engine(
        "sqlite://", creator=lambda: connection, poolclass=sa.StaticPool
    )
    sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(link: sa.Connection) -> None:
    link.exec_driver_sql("BEGIN")


def _parsed(connection: str) -> sa.URL:
    try:
        return sa.make_url(connection)
    except (sa.exc.ArgumentError, ValueError):
        raise exception.StoreError(
            "[database] connection is no database URL such as"
            " mysql+pymysql://USER:PASSWORD@HOST/DATABASE"
        ) from None


def _shown(place: Place) -> str:
    if isinstance(place, sa.URL):
        return place.render_as_string(hide_password=True)
    return str(place)


def _code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextlib.contextmanager
def as_written(place: Place, what: str) -> ty.Iterator[None]:
    """Whatever a row makes its reader raise, nobody of ours wrote it.

    :param what: is read
    :raises StoreCorruptError: in place of that
    """
    try:
        yield
    except (
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        reason = f"{what}: {error}"
        if isinstance(place, pathlib.Path):
            raise sqlite.corrupt(place, reason) from error
        raise exception.StoreCorruptError(
            f"the state database {place} is corrupt ({reason})"
        ) from error
