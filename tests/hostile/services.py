# SPDX-License-Identifier: Apache-2.0
"""What Placement, Keystone, or whoever stands in their place, answers."""

import collections
import contextlib
import io
import json
import random
import typing as ty
import urllib.parse
from unittest import mock

import requests
import urllib3
from requests import adapters
from urllib3 import exceptions as urllib3_exceptions

from nova_vfio_variant import shown
from nova_vfio_variant.placement import (
    client,
    embedded,
    observe,
    provider,
    wsgi,
)
from nova_vfio_variant.testing import placement
from tests.hostile import inside, kind, mutations, state_files

#: Status, headers and body.
Answer = tuple[int, tuple[tuple[str, str], ...], bytes]

_INSTANCE = "11111111-1111-4111-8111-111111111111"
_OTHER = "22222222-2222-4222-8222-222222222222"
_SERVICE = "[vfio]\nplacement = service\n[placement]\n"
_NONE = (
    f"{_SERVICE}auth_type = none\nendpoint_override = http://placement.test\n"
)
_PASSWORD = (
    f"{_SERVICE}auth_type = password\nauth_url = http://keystone.test/v3\n"
    "username = u\npassword = s3cret-word\nproject_name = p\n"
    "user_domain_id = d\nproject_domain_id = d\n"
)
_KEYSTONE: ty.Final[dict[tuple[str, str], ty.Any]] = {
    ("GET", "/v3"): {
        "version": {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": "http://keystone.test/v3/"}],
        }
    },
    ("POST", "/v3/auth/tokens"): {
        "token": {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {
                "id": "u",
                "name": "u",
                "domain": {"id": "d", "name": "d"},
            },
            "project": {
                "id": "p",
                "name": "p",
                "domain": {"id": "d", "name": "d"},
            },
            "roles": [{"id": "r", "name": "admin"}],
            "catalog": [
                {
                    "type": "placement",
                    "name": "placement",
                    "id": "c",
                    "endpoints": [
                        {
                            "id": "e",
                            "interface": "internal",
                            "region": "r",
                            "region_id": "r",
                            "url": "http://placement.test",
                        }
                    ],
                }
            ],
        }
    },
}
_STATUSES: ty.Final = (
    *(200, 201, 202, 204, 206, 300, 301, 302, 304, 307, 400, 401, 403, 404),
    *(
        405,
        406,
        409,
        410,
        413,
        418,
        429,
        500,
        501,
        502,
        503,
        504,
        511,
        599,
        999,
    ),
)
_ERROR: ty.Final = {
    "errors": [
        {
            "status": 409,
            "title": "Conflict",
            "detail": "There was a conflict.\n\n update conflict  ",
            "code": "placement.concurrent_update",
            "request_id": "req-1",
        }
    ]
}
_HEADERS: ty.Final = (
    ("Content-Type", "text/html; charset=\x00"),
    ("Content-Type", "application/json; charset=utf-7"),
    ("Content-Type", "application/json; charset=nonsense"),
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br, deflate"),
    ("Location", "http://placement.test/"),
    ("Location", "http://[::1"),
    ("Location", "file:///etc/passwd"),
    ("Location", "//"),
    ("Retry-After", "999999"),
    ("Retry-After", "never"),
    ("OpenStack-API-Version", "placement \x1b[31m"),
    ("X-Subject-Token", ""),
    ("WWW-Authenticate", "Basic realm=\u202e"),
    ("Set-Cookie", "a=b; expires=never; domain=.test"),
)
_RAISED: ty.Final[dict[str, BaseException]] = {
    "refused": requests.ConnectionError(
        ConnectionRefusedError(111, "refused")
    ),
    "cut": requests.exceptions.ChunkedEncodingError("cut"),
    "timeout": requests.ReadTimeout("slow"),
    "tls": requests.exceptions.SSLError("tls"),
    "url": requests.exceptions.InvalidURL("url"),
    "header": requests.exceptions.InvalidHeader("header"),
    "location": urllib3_exceptions.LocationParseError("x"),
    "reset": ConnectionResetError(104, "reset"),
    "unicode": UnicodeError("label too long"),
}


def _body(rng: random.Random, good: bytes) -> bytes:
    """A body with mistakes."""
    way = rng.random()
    if way < 0.05:
        return b""
    if way < 0.1:
        return b"<html><body>\x1b[31mIt works!</body></html>"
    if way < 0.13:
        return b"[" * 200_000
    if way < 0.16:
        return b"9" * 5000
    try:
        value = json.loads(good)
    except ValueError:
        value = {}
    if way < 0.3:
        return mutations.data(rng, good)
    text = mutations.as_json(rng, value)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-16")), "replace")


def answer(rng: random.Random, good: Answer) -> Answer | str:
    """An answer with mistakes, or what is raised in its place."""
    status, headers, body = good
    way = rng.random()
    if way < 0.08:
        return rng.choice(list(_RAISED))
    if way < 0.35:
        status = rng.choice(_STATUSES)
        error = dict(_ERROR) if rng.random() < 0.5 else {}
        body = _body(rng, json.dumps(error).encode())
        if rng.random() < 0.5:
            headers = (*headers, ("Location", "http://placement.test/x"))
    elif way < 0.9:
        body = _body(rng, body)
    if rng.random() < 0.2:
        headers = (*headers, rng.choice(_HEADERS))
    return status, headers, body


def _shown(path: str) -> str:
    parts = urllib.parse.urlsplit(path)
    return parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")


class _Table:
    """What was answered to each request, in the order of asking."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[Answer]] = (
            collections.defaultdict(list)
        )
        self.order: list[Answer] = []

    def add(self, method: str, path: str, given: Answer) -> None:
        self.rows[method, path].append(given)
        self.order.append(given)


def _of_keystone(request: requests.PreparedRequest) -> Answer | None:
    """What Keystone answers; None if it isn't asked."""
    parts = urllib.parse.urlsplit(request.url or "")
    if parts.hostname != "keystone.test":
        return None
    key = (request.method or "", parts.path.rstrip("/"))
    headers = (
        ("X-Subject-Token", "t"),
        ("Content-Type", "application/json"),
    )
    status = 200 if request.method == "GET" else 201
    return status, headers, json.dumps(_KEYSTONE[key]).encode()


def _response(
    transport: adapters.HTTPAdapter,
    request: requests.PreparedRequest,
    given: Answer,
) -> requests.Response:
    """An answer as it comes from a socket, its body yet to be read."""
    status, headers, body = given
    raw = urllib3.HTTPResponse(
        io.BytesIO(body),
        urllib3.HTTPHeaderDict(headers),
        status,
        preload_content=False,
    )
    return transport.build_response(request, raw)


class Service:
    """Answers requests from what was recorded, some otherwise.

    :param table: what is answered
    :param odd: which request, counted from 0, is answered how
    """

    def __init__(
        self, table: _Table, odd: ty.Mapping[int, Answer | str]
    ) -> None:
        self._rows = {key: [*rows] for key, rows in table.rows.items()}
        self._odd = odd
        self._number = 0

    def send(
        self,
        transport: adapters.HTTPAdapter,
        request: requests.PreparedRequest,
        **_more: ty.Any,
    ) -> requests.Response:
        """Answer, in place of :meth:`requests.adapters.HTTPAdapter.send`."""
        key = (request.method or "", _shown(request.url or ""))
        rows = self._rows.get(key, [(404, (), b"{}")])
        given: Answer | str = rows.pop(0) if len(rows) > 1 else rows[0]
        given = self._odd.get(self._number, given)
        self._number += 1
        if isinstance(given, str):
            raise _RAISED[given]
        return _response(transport, request, given)


@contextlib.contextmanager
def _answering(
    send: ty.Callable[..., requests.Response],
) -> ty.Iterator[None]:
    """Have all that this process sends answered so."""

    def sent(
        transport: adapters.HTTPAdapter,
        request: requests.PreparedRequest,
        **more: ty.Any,
    ) -> requests.Response:
        return send(transport, request, **more)

    with mock.patch.object(adapters.HTTPAdapter, "send", sent):
        yield


class Services(kind.Kind):
    """Placement and Keystone, asked by whole commands."""

    name = "services"
    share = 14
    words: ty.Final = (
        ("inventory", "show", "-fjson"),
        ("inventory", "diff"),
        ("inventory", "report"),
        ("inventory", "report", "--dry-run"),
        ("claim", "create", "--instance", _OTHER, "--alias=nic:1"),
        ("claim", "delete", _INSTANCE),
        ("config", "check"),
        ("explain", "0000:25:00.4"),
        ("device", "sync"),
    )

    def begin(self, place: kind.Place) -> None:
        """Record what a real Placement answers to each command."""
        self.made = state_files.Made.make(place)
        for name, section in (("none", _NONE), ("password", _PASSWORD)):
            path = self.made.folder / f"{name}.conf"
            path.write_text(state_files.CONFIGURATION + section)
        self.tables = {
            (way, number): self._recorded(place, way, number)
            for way in ("none", "password")
            for number in range(len(self.words))
        }

    def _run(self, place: kind.Place, way: str, number: int) -> inside.Done:
        return inside.run(
            f"--config-file={self.made.folder}/{way}.conf",
            f"--host-root={self.made.host}",
            f"--state-path={place.work}/state",
            *self.words[number],
        )

    def _recorded(self, place: kind.Place, way: str, number: int) -> _Table:
        """What is answered to one command."""
        table = _Table()
        place.clear()
        state = self.made.copy(place)
        with state_files.placement_of(str(state)):
            real = wsgi.WsgiTransport(
                embedded.application(state),
                {
                    "HTTP_X_ROLES": "admin,service",
                    "HTTP_X_AUTH_TOKEN": "admin",
                },
            )

            def send(
                transport: adapters.HTTPAdapter,
                request: requests.PreparedRequest,
                **_more: ty.Any,
            ) -> requests.Response:
                given = _of_keystone(request)
                if given is None:
                    said = real.send(request)
                    headers = tuple(said.headers.items())
                    given = said.status_code, headers, said.content
                table.add(
                    request.method or "", _shown(request.url or ""), given
                )
                return _response(transport, request, given)

            with _answering(send):
                done = self._run(place, way, number)
        if done.status == 2 or (number != 8 and not table.order):
            raise RuntimeError(f"Placement wasn't asked: {done}")
        return table

    def make(self, rng: random.Random) -> kind.Input:
        """A command, and some answers to it."""
        way = rng.choice(("none", "none", "password"))
        number = rng.randrange(len(self.words))
        order = self.tables[way, number].order
        odd = []
        for _ in range(rng.choice((1, 1, 2, 4))):
            if order:
                at = rng.randrange(len(order))
                odd.append((at, answer(rng, order[at])))
        return kind.Input(((way, number), *odd))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Have the command ask."""
        way, number = "none", 0
        odd: dict[int, Answer | str] = {}
        for first, second in given:
            if isinstance(first, str):
                way, number = first, second
            else:
                odd[first] = second
        self.made.copy(place)
        service = Service(self.tables[way, number], odd)
        with _answering(service.send):
            done = self._run(place, way, number)
        if "s3cret-word" in done.out + done.err:
            raise kind.Fault("a password is printed")
        return done.status < 2


class _Cloud:
    """A cloud whose Placement gives one answer."""

    timeout = 30

    def __init__(self, given: Answer) -> None:
        self._given = given
        self.placement: ty.Any = self
        self.session: ty.Any = self

    def get_project_id(self) -> None:
        """Nobody's."""

    get_user_id = get_project_id

    def request(
        self, path: str, method: str, **_more: ty.Any
    ) -> requests.Response:
        """Answer it."""
        status, headers, body = self._given
        found = requests.Response()
        found.status_code = status
        found.headers.update(headers)
        found._content = body
        return found


_UUID: ty.Final = "33333333-3333-4333-8333-333333333333"
_LISTED: ty.Final = {
    "uuid": _UUID,
    "name": "compute-1",
    "generation": 3,
    "parent_provider_uuid": None,
    "root_provider_uuid": _UUID,
    "links": [],
}
_RECORD: ty.Final = {
    "total": 3,
    "reserved": 0,
    "min_unit": 1,
    "max_unit": 3,
    "step_size": 1,
    "allocation_ratio": 1.0,
}
_GENERATION: ty.Final = {"resource_provider_generation": 3}
_Asked = ty.Callable[[client.PlacementClient], object]
_ASKED: ty.Final[tuple[tuple[_Asked, ty.Any], ...]] = (
    (lambda on: on.find("compute-1"), {"resource_providers": [_LISTED]}),
    (lambda on: on.tree(_UUID, "X"), {"resource_providers": [_LISTED] * 2}),
    (
        lambda on: on.inventories(_UUID),
        _GENERATION | {"inventories": {"CUSTOM_NIC": _RECORD}},
    ),
    (
        lambda on: on.traits(_UUID),
        _GENERATION | {"traits": ["CUSTOM_A", "HW_NIC_SRIOV"]},
    ),
    (lambda on: on.usages(_UUID), _GENERATION | {"usages": {"CUSTOM_NIC": 1}}),
    (
        lambda on: on.consumers(_UUID),
        _GENERATION | {"allocations": {_OTHER: {"resources": {"X": 1}}}},
    ),
    (
        lambda on: on.allocations(_OTHER),
        {
            "allocations": {_UUID: {"resources": {"X": 1}, "generation": 3}},
            "consumer_generation": 2,
            "project_id": "p",
            "user_id": "u",
            "consumer_type": "INSTANCE",
        },
    ),
    (lambda on: on.create(_UUID, "x", None), _LISTED),
    (lambda on: on.put_inventories(_UUID, 3, {}), _GENERATION),
    (lambda on: on.put_traits(_UUID, 3, ["X"]), _GENERATION),
    (lambda on: on.missing_traits(["X", "Y"]), {"traits": ["X"]}),
    (
        lambda on: on.missing_classes(["X"]),
        {"resource_classes": [{"name": "X"}]},
    ),
    (
        lambda on: on.max_microversion(),
        {"versions": [{"id": "v1.0", "max_version": "1.39"}]},
    ),
    (lambda on: on.create_trait("X"), {}),
    (
        lambda on: on.put_allocations(_OTHER, client.Allocations({})),
        {},
    ),
    (
        lambda on: observe.look(on, "compute-1", placement.Memory()),
        {"resource_providers": [_LISTED]},
    ),
    (
        lambda on: on.read(provider.Listed(_UUID, "x", 3, None)),
        _GENERATION | {"inventories": {}, "traits": []},
    ),
)


class Bodies(kind.Kind):
    """One answer to one request to Placement."""

    name = "Placement's bodies"
    share = 24

    def make(self, rng: random.Random) -> kind.Input:
        """A request, and its answer."""
        number = rng.randrange(len(_ASKED))
        good = json.dumps(_ASKED[number][1]).encode()
        given: Answer | str = ""
        while isinstance(given, str):
            given = answer(rng, (200, (), good))
        if rng.random() < 0.1:
            cut = good[: rng.randrange(len(good))]
            return kind.Input(
                ((number, 200, (), cut),),
                len(good) > 2 and number not in {13, 14},
            )
        return kind.Input(((number, *given),))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Ask, and look at what was answered."""
        for number, *said in given:
            on = client.PlacementClient(_Cloud(tuple(said)), "Placement")
            shown.line(str(_ASKED[number][0](on)))
        return True


KINDS: ty.Final[tuple[kind.Kind, ...]] = (Services(), Bodies())
