# SPDX-License-Identifier: Apache-2.0
"""``[database]``: where the tracker's store is, if not in the state path."""

from __future__ import annotations

import copy
import pathlib

from oslo_config import cfg
from oslo_db import options

from nova_vfio_variant import exception, finding, source
from nova_vfio_variant.conf import codes, loader, located

GROUP = cfg.OptGroup(
    "database",
    title="Tracker's database",
    help=(
        "Where the tracker's store is. Without a ``connection`` it is an"
        " SQLite file in the state path.\n\n"
        "A ``connection`` in a file below ``/etc/nova``, or in one that also"
        " has ``[api_database] connection``, is Nova's own and is not used."
    ),
)

#: Where Nova's own files are; Debian's name Nova's database for nova-compute
#: too.
NOVAS = pathlib.PurePath("/etc/nova")

#: A copy: oslo.db shares its option objects with everyone in the process.
OPTS: list[cfg.Opt] = copy.deepcopy(options.database_opts)


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register oslo.db's options."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def connection(conf: located.Config) -> str | None:
    """The database that the tracker's store is to use.

    :return: None for the SQLite file in the state path
    :raises ConfigError: a value of this group is not of its type, names a
        folder, or the database would be in memory, where nothing is kept
    """
    if (GROUP.name, "connection") not in conf.registered:
        register_opts(conf)
        loader.validate(conf)
    text = located.place(conf, GROUP.name, "connection")
    if text is not None and _is_novas(conf, text.file):
        return None
    value: str | None = conf.database.connection
    if value is not None and not _is_url(value):
        raise _refused(
            "connection: this is no database URL",
            text,
            "Write it as in mysql+pymysql://USER:PASSWORD@HOST/DATABASE.",
        )
    if value is not None and _in_memory(value):
        raise _refused(
            "connection: a database in memory keeps nothing",
            text,
            "Name a file, sqlite:////PATH; without a connection it is one in"
            " the state path.",
        )
    if value is not None and _is_folder(value):
        raise _refused(
            "connection: this names a folder, not a file",
            text,
            "Name a file in it, sqlite:////PATH.",
        )
    return value


def _is_novas(conf: located.Config, file: str) -> bool:
    """Whether what a file says of a database is said to Nova."""
    return pathlib.PurePath(file).is_relative_to(NOVAS) or any(
        other.file == file
        for other in located.written(conf, ("api_database", "connection"))
    )


def _is_url(value: str) -> bool:
    import sqlalchemy as sa

    try:
        sa.make_url(value)
    except (sa.exc.ArgumentError, ValueError):
        return False
    return True


def _of_sqlite(url: str) -> tuple[str, str] | None:
    """The file and the query of a URL of SQLite, None of another one."""
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return None
    name, _, query = rest.removeprefix("/").partition("?")
    return name, query


def _is_folder(url: str) -> bool:
    found = _of_sqlite(url)
    return found is not None and (
        found[0].endswith("/") or not pathlib.PurePath(found[0]).name
    )


def _in_memory(url: str) -> bool:
    """Whether SQLite would keep it in memory (sqlite.org/inmemorydb.html)."""
    found = _of_sqlite(url)
    if found is None:
        return False
    name, query = found
    return not name or ":memory:" in name or "mode=memory" in query.split("&")


def _refused(
    message: str, text: source.SourceText | None, hint: str
) -> exception.ConfigError:
    """An error at the connection, whose line isn't shown: of its password."""
    found = finding.Finding(
        codes.BAD_VALUE,
        message,
        None if text is None else text.at(0),
        subject=f"[{GROUP.name}] connection",
        hint=hint,
    )
    return exception.ConfigError(
        "the configuration can't be used", findings=(found,)
    )
