# SPDX-License-Identifier: Apache-2.0
"""A real Placement behind a proxy that can disturb, refuse and break off."""

import contextlib
import dataclasses
import json
import typing as ty
import urllib.parse
import uuid

from keystoneauth1 import loading
from oslo_config import cfg

from nova_vfio_variant.conf import placement as placement_options
from nova_vfio_variant.placement import client, provider, report, service
from nova_vfio_variant.testing import placement as fixture
from tests import base

if ty.TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

AUTOMATIC = "COMPUTE_MANAGED_PCI_DEVICE"
ROOT = "compute-1"


def make(
    place: int,
    total: int = 4,
    resource_class: str = "CUSTOM_A16_16A",
    traits: tuple[str, ...] = (AUTOMATIC,),
    reserved: int = 0,
) -> provider.Provider:
    return provider.Provider(
        f"{ROOT}_0000:{place:02X}:00.0",
        ROOT,
        {resource_class: provider.Inventory(total, total, reserved)},
        traits,
    )


def ask(*desired: provider.Provider, **others: ty.Any) -> report.ReportRequest:
    return report.ReportRequest(ROOT, desired, **others)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the proxy answers in Placement's place.

    :param status: of HTTP; 0 for no answer at all
    :param body: an error of Placement's by default
    :param code: of that error
    :param reached: Placement does what it was asked; its answer is lost
    """

    status: int
    body: str = ""
    code: str = "placement.undefined_code"
    reached: bool = False

    @property
    def text(self) -> bytes:
        error = {
            "status": self.status,
            "code": self.code,
            "detail": "injected",
        }
        return (self.body or json.dumps({"errors": [error]})).encode()


class Faults:
    """A proxy before Placement that counts, and answers when told to.

    Each rule is asked with the method and the path of each request; what it
    returns instead of None is answered.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.rules: list[ty.Callable[[str, str], Answer | None]] = []

    def before(self, application: "WSGIApplication") -> "WSGIApplication":
        def answer(
            environ: "WSGIEnvironment", start_response: "StartResponse"
        ) -> ty.Iterable[bytes]:
            what = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            self.seen.append(what)
            query = urllib.parse.parse_qsl(environ["QUERY_STRING"])
            self.queries.append(dict(query))
            told = next(
                (one for rule in self.rules if (one := rule(*what))), None
            )
            if told is None:
                return application(environ, start_response)
            if told.reached:
                list(application(environ, lambda *_: lambda _: None))
            else:
                length = int(environ.get("CONTENT_LENGTH") or 0)
                environ["wsgi.input"].read(length)
            if not told.status:
                raise ConnectionResetError  # The server sends nothing.
            start_response(
                f"{told.status} Injected",
                [
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(told.text))),
                ],
            )
            return [told.text]

        return answer

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [one for one in self.seen if one[0] != "GET"]

    @contextlib.contextmanager
    def counted(self) -> ty.Iterator[list[tuple[str, str]]]:
        """Requests of the block, without the look at the versions."""
        self.seen.clear()
        yield self.seen


def connect(url: str, timeout: int | None = None) -> client.PlacementClient:
    """A client as a nova.conf without Keystone gives it."""
    conf = cfg.ConfigOpts()
    placement_options.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    plugin: ty.Any = loading.get_plugin_loader("admin_token")
    conf.register_opts(
        loading.get_auth_plugin_conf_options(plugin), group="placement"
    )
    for name, value in (
        ("auth_type", "admin_token"),
        ("endpoint", url),
        ("token", "admin"),
        ("timeout", timeout),
    ):
        conf.set_override(name, value, group="placement")
    return service.connect(conf)


class PlacementTestCase(base.TestCase):
    """A Placement behind a proxy, a client of it, and a memory."""

    def setUp(self) -> None:
        super().setUp()
        self.faults = Faults()
        self.server = self.useFixture(
            fixture.PlacementServer(self.faults.before)
        )
        self.direct = self.server.embedded.client
        self.client = connect(self.server.url)
        self.known = fixture.Memory()

    def report(self, *desired: provider.Provider, **others: ty.Any) -> ty.Any:
        return report.report(self.client, ask(*desired, **others), self.known)

    def published(self) -> dict[str, tuple[dict[str, int], tuple[str, ...]]]:
        """What Placement has below the root: totals and traits by name."""
        root = self.direct.find(ROOT)
        if root is None:
            return {}
        found = {}
        for listed in self.direct.tree(root.uuid):
            if listed.uuid == root.uuid:
                continue
            read = self.direct.read(listed)
            totals = {
                name: int(record["total"])
                for name, record in read.inventories.items()
            }
            found[listed.name] = totals, read.traits
        return found

    def use(self, rp: provider.Provider, amount: int = 1) -> str:
        """Let somebody have units of a provider; return who."""
        listed = self.direct.find(rp.name)
        assert listed is not None
        consumer = str(uuid.uuid4())
        (resource_class,) = rp.inventories
        self.direct.put_allocations(
            consumer,
            client.Allocations({listed.uuid: {resource_class: amount}}),
        )
        return consumer


class Crash(BaseException):
    """The process ends here: nothing catches this."""


class Dying(client.PlacementClient):
    """A client whose process is killed at one of its writes.

    :param living: the client that it writes through
    :param at: the number of that write
    :param after: it is killed after Placement did it, not before
    """

    def __init__(
        self, living: client.PlacementClient, at: int, *, after: bool
    ) -> None:
        super().__init__(living._cloud, living.where)
        self._left = at
        self._after = after

    def _send(self, method: str, *args: ty.Any) -> ty.Any:
        self._left -= method != "GET"
        dies = method != "GET" and self._left == 0
        if dies and not self._after:
            raise Crash
        answer = super()._send(method, *args)
        if dies:
            raise Crash
        return answer
