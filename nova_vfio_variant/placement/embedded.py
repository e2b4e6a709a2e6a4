# SPDX-License-Identifier: Apache-2.0
"""A Placement of our own: openstack-placement's application, in process.

Its database is SQLite in the state path. No port is opened: requests go
through keystoneauth and requests as ever, and the last of these hands them
to the WSGI application (:class:`WsgiTransport`). Whoever asks for a port
gets one on the loopback interface (:func:`serve`), which lets every user of
the machine write.

Placement keeps its database engine and its policy for as long as the
process lives, so a process has one embedded Placement, and asking for one in
another state path is an error. Several processes may use one state path;
each that writes has to hold the lock of the state path while it starts the
application and while it writes, for SQLite has no queue of writers.

What an operator has of a Placement of the cloud stays unread and untouched:
neither ``placement.conf``, nor ``policy.yaml``, nor the environment is
looked at, and the database is configured before anything could go and find
another one (alembic would, from its own ``env.py``).
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import importlib.util
import os
import pathlib
import shlex
import sqlite3
import sys
import typing as ty

from nova_vfio_variant import exception, own_files, trust
from nova_vfio_variant.tracker import lock, sqlite

if ty.TYPE_CHECKING:
    from wsgiref import simple_server
    from wsgiref.types import WSGIApplication

    import sqlalchemy
    from keystoneauth1 import adapter, session

    from nova_vfio_variant.placement import client

_DATABASE = "placement.sqlite"
#: Placement's noauth2 gives the role admin to the user of this name; the
#: role service is what POST /reshaper asks for.
_TOKEN = "admin"  # noqa: S105 - a word of noauth2, which has no secrets
_ROLES = "admin,service"
#: A name that can't be looked up (RFC 6761): it never leaves the process.
_ENDPOINT = "http://placement.invalid"

_configured: pathlib.Path | None = None
_application: WSGIApplication | None = None


def database(state: own_files.Given) -> pathlib.Path:
    """The file that holds all of the embedded Placement.

    It isn't there until :func:`connect` was called for this state path.
    """
    # Unlike Path.resolve() it takes links that go round.
    return pathlib.Path(
        os.path.realpath(own_files.place(state).path), _DATABASE
    )


def is_in(state: own_files.Given) -> bool:
    """Whether there is any, or something in its place."""
    return os.path.lexists(database(state))


def unusable(state: own_files.Given) -> exception.PlacementError | None:
    """Why we may not use the one that is here; None if we may.

    Even to be asked it needs the lock of the state path and a database that
    can be written: it brings its tables up to date when it starts.
    """
    path = database(state)
    for place in (path, path.parent, path.with_name(lock.NAME)):
        if place.exists() and not os.access(place, os.W_OK):
            return _unusable(
                path, PermissionError(errno.EACCES, "Permission denied")
            )
    try:
        with own_files.opened(state) as folder:
            sqlite.seen_in(folder, path.name)
    except FileNotFoundError:
        pass
    except OSError as error:
        return _unusable(path, error)
    return None


def _unusable(path: pathlib.Path, error: OSError) -> exception.PlacementError:
    return exception.PlacementError(
        f"the embedded Placement's database {path} can't be used:"
        f" {error.strerror}",
        trust.mend(
            error, "run the command as the user who made the state path"
        ),
    )


def expect_installed() -> None:
    """Refuse where Placement's code isn't there: it is an extra.

    :raises PlacementError: it isn't
    """
    if importlib.util.find_spec("placement") is None:
        python = shlex.quote(sys.executable)
        raise exception.PlacementError(
            "the embedded Placement needs the package openstack-placement,"
            " which is not installed",
            f"{python} -m pip install 'nova-vfio-variant[embedded]'",
        )


def connect(state: own_files.Given) -> client.PlacementClient:
    """A client of the embedded Placement, which is started if need be.

    Makes the database, or brings it up to date; the caller holds the lock of
    the state path and has made the folder.

    :raises PlacementError: this process has one in another state path, or
        the database can't be used, or not by us, or Placement's code isn't
        installed
    """
    expect_installed()
    refused = unusable(state)
    if refused is not None:
        raise refused
    import requests
    from keystoneauth1 import adapter, token_endpoint
    from keystoneauth1 import session as ks_session

    from nova_vfio_variant.placement import client, wsgi

    transport = requests.Session()
    transport.mount(
        _ENDPOINT,
        wsgi.WsgiTransport(application(state), {"HTTP_X_ROLES": _ROLES}),
    )
    session = ks_session.Session(
        auth=token_endpoint.Token(_ENDPOINT, _TOKEN), session=transport
    )
    proxy = adapter.Adapter(
        session, service_type="placement", endpoint_override=_ENDPOINT
    )
    return client.PlacementClient(
        _Cloud(session, proxy), "the embedded Placement"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Cloud:
    """A cloud that has nothing but a Placement."""

    session: session.Session
    placement: adapter.Adapter


def application(state: own_files.Given) -> WSGIApplication:
    """Placement's WSGI application on the database of this state path.

    :raises PlacementError: as :func:`connect` does
    """
    global _configured, _application  # noqa: PLW0603 - as Placement's own
    expect_installed()
    path = database(state)
    if _configured not in {None, path}:
        raise exception.PlacementError(
            f"this process has an embedded Placement in {_configured}, and "
            f"can't have another one in {path}"
        )
    if _application is not None:
        return _application
    import alembic.util.exc as alembic_exc
    import sqlalchemy.exc
    from oslo_db import exception as db_exception
    from placement import db_api, deploy

    conf = _configuration(path)
    _configured = path
    damaged = "if it is damaged, move it away: a report publishes all again"
    try:
        with own_files.opened(state) as folder:
            if not is_in(state):
                sqlite.make(path, _fill, own_files.place(state).group)
            sqlite.seen_in(folder, path.name)
            db_api.configure(conf)
            db_api.placement_context_manager.append_on_engine_create(
                functools.partial(
                    _look_at_what_it_opens, own_files.place(state)
                )
            )
            _application = deploy.loadapp(conf)
    except (
        OSError,
        sqlite3.Error,
        db_exception.DBError,
        sqlalchemy.exc.SQLAlchemyError,
        alembic_exc.CommandError,
    ) as error:
        from nova_vfio_variant.tracker import schema

        hint = trust.mend(error, damaged)
        reason, hint = sqlite.told(path, schema.cause(error), hint)
        raise exception.PlacementError(
            f"the embedded Placement's database {path} can't be used: "
            f"{reason}",
            hint,
        ) from error
    return _application


def _look_at_what_it_opens(
    state: own_files.Place, engine: sqlalchemy.Engine
) -> None:
    """Let each connection be to the file that stands in the state path.

    :raises NotOurs: where one isn't, before it is asked anything
    """
    from sqlalchemy import event

    def look(*_connected: object) -> None:
        path = database(state)
        with own_files.opened(state) as folder:
            sqlite.expect_open(path, sqlite.seen_in(folder, path.name))

    event.listen(engine, "connect", look, insert=True)


def _fill(connection: sqlite3.Connection) -> None:
    """Make in a new file at once what Placement's migrations would."""
    from alembic import config, script
    from alembic.runtime import migration as alembic_migration
    from placement.db.sqlalchemy import migration

    from nova_vfio_variant.tracker import schema

    engine = schema.engine_on(connection)
    with engine.begin() as link:
        migration.create_schema(link)
        where = pathlib.Path(migration.__file__).with_name("alembic.ini")
        alembic_migration.MigrationContext.configure(link).stamp(
            script.ScriptDirectory.from_config(config.Config(str(where))),
            "head",
        )


def serve(state: own_files.Given, port: int = 0) -> simple_server.WSGIServer:
    """A server of the same application on the loopback interface.

    The token is ``admin``, and anyone on this machine may use it. The caller
    runs ``serve_forever()`` and, in the end, ``server_close()``.

    :param port: 0 for any free one; ``server_port`` of the server tells
    :raises PlacementError: as :func:`connect` does
    :raises OSError: the port is taken
    """
    from wsgiref import simple_server

    class Quiet(simple_server.WSGIRequestHandler):
        def log_message(self, *_: ty.Any) -> None:
            """Placement logs its requests itself."""

        def get_environ(self) -> dict[str, ty.Any]:
            return super().get_environ() | {"HTTP_X_ROLES": _ROLES}

    return simple_server.make_server(
        "127.0.0.1", port, application(state), handler_class=Quiet
    )


def _configuration(path: pathlib.Path) -> ty.Any:
    """Placement's options, every one that matters set by us."""
    from urllib import parse

    from oslo_config import cfg
    from placement import conf as placement_conf
    from sqlalchemy.engine import url

    # As a URI of SQLite's own: SQLAlchemy before 2.1 quotes no ? in a path.
    connection = url.URL.create(
        "sqlite",
        database=f"file:{parse.quote(str(path))}",
        query={"uri": "true"},
    )
    conf = cfg.ConfigOpts()
    placement_conf.register_opts(conf)
    for group, name, value in (
        (
            "placement_database",
            "connection",
            connection.render_as_string(),
        ),
        ("placement_database", "sync_on_startup", True),
        # A file that can't be opened will not open later: no 10 x 10 s.
        ("placement_database", "max_retries", 0),
        ("api", "auth_strategy", "noauth2"),
        # There can't be one: the database is no folder.
        ("oslo_policy", "policy_file", f"{path}/policy.yaml"),
        ("oslo_policy", "policy_dirs", []),
    ):
        if isinstance(value, str):
            # For oslo.config a $ begins the name of another option.
            value = value.replace("$", "$$")
        conf.set_override(name, value, group=group)
    conf(
        [],
        project="nova-vfio-embedded-placement",
        default_config_files=[],
        default_config_dirs=[],
        use_env=False,
    )
    return conf
