# SPDX-License-Identifier: Apache-2.0
"""A real nova-api on a loopback port, with SQLite and without a Keystone.

``python -m tests.conformance.oracle.api FOLDER`` makes the databases there,
prints the port once it serves, and serves until its input ends.
"""

import multiprocessing
import os
import pathlib
import sys
import threading
from collections.abc import Callable
from typing import Any
from wsgiref import simple_server

# Native threads: nova-manage and the API have to be of one mind.
os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"

from nova.cmd import manage  # isort: skip

from nova import config, context

#: Who asks with this token is an admin; with any other, nobody.
TOKEN = "let-me-in"

_CONF = """\
[DEFAULT]
host = controller
transport_url = fake://
state_path = {folder}
[api_database]
connection = sqlite:///{folder}/api.sqlite
[database]
connection = sqlite:///{folder}/cell1.sqlite
[oslo_concurrency]
lock_path = {folder}
[wsgi]
api_paste_config = {folder}/api-paste.ini
"""

#: Nova's own, with one filter in place of Keystone's two.
_PASTE = """\
[composite:osapi_compute]
use = call:nova.api.openstack.urlmap:urlmap_factory
/: versions
/v2.1: version
/v2.1/+: compute

[pipeline:versions]
pipeline = faultwrap versions_app

[pipeline:version]
pipeline = faultwrap version_app

[pipeline:compute]
pipeline = request_id faultwrap admin compute_app

[filter:request_id]
paste.filter_factory = nova.api.compute_req_id:ComputeReqIdMiddleware.factory

[filter:faultwrap]
paste.filter_factory = nova.api.openstack:FaultWrapper.factory

[filter:admin]
paste.filter_factory = tests.conformance.oracle.api:admin

[app:versions_app]
paste.app_factory = nova.api.openstack.compute.versions:Versions.factory

[app:version_app]
paste.app_factory = nova.api.openstack.compute.versions:VersionsV2.factory

[app:compute_app]
paste.app_factory = nova.api.openstack.compute:APIRouterV21.factory
"""


def admin(_conf: dict[str, str], **_more: str) -> Callable[[Any], Any]:
    """The filter that takes who brings the token for an admin."""

    def over(application: Any) -> Any:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            if environ.get("HTTP_X_AUTH_TOKEN") != TOKEN:
                start_response("401 Unauthorized", [])
                return []
            environ["nova.context"] = context.RequestContext(
                "admin", "project", is_admin=True, roles=["admin", "reader"]
            )
            return application(environ, start_response)

        return call

    return over


class _Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *words: Any) -> None:
        """Nothing: what is asked is no news."""


def _make_databases(folder: str, conf: pathlib.Path) -> None:
    """As ``nova-manage`` makes them."""
    sys.stdout = sys.stderr
    config.parse_args(["nova-manage"], default_config_files=[str(conf)])
    manage.ApiDbCommands().sync()
    cells = manage.CellV2Commands()
    cells.map_cell0(f"sqlite:///{folder}/cell0.sqlite")
    manage.DbCommands().sync()
    cells.create_cell(name="cell1")


def main(folder: str) -> None:
    """Make the databases, and serve until nobody listens any more."""
    # What Nova or a library prints must not mix with the port.
    told, sys.stdout = sys.stdout, sys.stderr
    place = pathlib.Path(folder)
    (place / "api-paste.ini").write_text(_PASTE)
    conf = place / "nova.conf"
    conf.write_text(_CONF.format(folder=place))
    # The options can be read once a process.
    child = multiprocessing.get_context("fork").Process(
        target=_make_databases, args=(folder, conf)
    )
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(child.exitcode)
    os.environ["OS_NOVA_CONFIG_DIR"] = folder
    sys.argv = ["nova-api"]
    from nova.wsgi import osapi_compute

    server = simple_server.make_server(
        "127.0.0.1", 0, osapi_compute.application, handler_class=_Quiet
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.write(f"{server.server_port}\n")
    told.flush()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
