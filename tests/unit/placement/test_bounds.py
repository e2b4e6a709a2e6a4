# SPDX-License-Identifier: Apache-2.0
"""Whatever a server answers, and however slowly, has an end."""

import contextlib
import http.server
import json
import socketserver
import threading
import time
import typing as ty

import fixtures
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.placement import bounded, client, service
from tests import base
from tests.unit.placement.service_conf import service_conf

Write = ty.Callable[[bytes], object]

UUID = "5f2c1a52-1111-4222-8333-444455556666"
NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
VERSIONS: ty.Any = {
    "versions": [
        {
            "id": "v1.0",
            "status": "CURRENT",
            "min_version": "1.0",
            "max_version": "1.39",
            "links": [{"rel": "self", "href": ""}],
        }
    ]
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
ANSWERS = JSON | st.dictionaries(
    st.sampled_from(
        [
            "allocations",
            "resource_provider_generation",
            "resource_providers",
            "traits",
            "resource_classes",
            "usages",
            "errors",
        ]
    ),
    JSON,
)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    answer: ty.Callable[[Write], None]
    versions: bytes


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers as its server says."""

    server: _Server

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            if self.path == "/":
                body(self.server.versions)(self.wfile.write)
            else:
                self.server.answer(self.wfile.write)

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's

    def log_message(self, *_: ty.Any) -> None:
        """Say nothing."""


def body(data: bytes, status: int = 200) -> ty.Callable[[Write], None]:
    def answer(write: Write) -> None:
        write(
            b"HTTP/1.0 %d X\r\nContent-Type: application/json\r\n\r\n%s"
            % (status, data)
        )

    return answer


def dripping_body(write: Write) -> None:
    write(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        write(b" ")
        time.sleep(0.1)


def dripping_headers(write: Write) -> None:
    write(b"HTTP/1.0 200 OK\r\nX: ")
    for _ in range(1000):
        write(b"x")
        time.sleep(0.1)


def endless(write: Write) -> None:
    write(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        write(b" " * 65536)


def round_and_round(write: Write) -> None:
    """Send on to the same again, after a while."""
    time.sleep(0.3)
    write(b"HTTP/1.0 307 X\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")


def later(write: Write) -> None:
    write(b"HTTP/1.0 503 X\r\nRetry-After: 1000\r\nContent-Length: 0\r\n\r\n")


class BoundsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.versions = json.dumps(VERSIONS).encode()
        self.server.answer = body(b"{}")
        serving = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        serving.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(serving.join)
        self.addCleanup(self.server.shutdown)

    def client(
        self, timeout: int = 30, **options: int
    ) -> client.PlacementClient:
        url = f"http://127.0.0.1:{self.server.server_port}"
        return service.connect(
            service_conf(
                "admin_token",
                auth_type="admin_token",
                endpoint=url,
                endpoint_override=url,
                token="t",
                timeout=timeout,
                **options,
            )
        )

    def refused(
        self, answer: ty.Callable[[Write], None], timeout: int = 30
    ) -> str:
        self.server.answer = answer
        return str(
            self.assertRaises(
                exception.PlacementError,
                self.client(timeout).inventories,
                UUID,
            )
        )

    def test_who_drips_is_not_waited_for(self) -> None:
        for drips in (dripping_body, dripping_headers):
            begun = time.monotonic()
            self.assertIn("timed out", self.refused(drips, timeout=1))
            self.assertLess(time.monotonic() - begun, 10)

    def test_who_sends_on_is_not_followed_for_longer(self) -> None:
        begun = time.monotonic()
        self.assertIn("timed out", self.refused(round_and_round, timeout=1))
        self.assertLess(time.monotonic() - begun, 5)

    def test_where_one_is_sent_on_to_need_not_be_a_whole_url(self) -> None:
        def once(write: Write) -> None:
            self.server.answer = body(b'{"resource_providers": []}')
            write(b"HTTP/1.0 307 X\r\nLocation: there\r\n\r\n")

        asked = self.client()
        self.server.answer = once
        self.assertIsNone(asked.find("x"))

    def test_who_wants_to_be_asked_later_is_not_waited_for(self) -> None:
        asked = self.client(status_code_retries=1)
        self.server.answer = later
        begun = time.monotonic()
        error = self.assertRaises(exception.PlacementError, asked.find, "x")
        self.assertIn("answered 503", str(error))
        self.assertLess(time.monotonic() - begun, 10)

    def test_a_keystone_that_wants_a_token_from_who_asks_for_one(self) -> None:
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.server.answer = body(b"{}", 401)
        self.useFixture(fixtures.Timeout(30, gentle=True))
        asked = service.connect(
            service_conf(
                "password",
                auth_type="password",
                auth_url=f"{url}/identity",
                username="nova",
                password="s3cret",
                timeout=5,
            )
        )
        error = self.assertRaises(exception.PlacementError, asked.find, "x")
        self.assertNotIn("s3cret", str(error))

    def test_an_answer_without_end_is_not_read(self) -> None:
        self.patch(bounded, "MAX_BODY", 1_000_000)
        self.assertIn("larger than 1,000,000 bytes", self.refused(endless))

    def test_what_is_nested_without_end_is_no_answer(self) -> None:
        self.assertIn("nested too deep", self.refused(body(NESTED)))
        self.assertIn("answered 409", self.refused(body(NESTED, 409)))
        self.server.versions = NESTED
        self.refused(body(NESTED))

    def test_what_is_wrong_with_an_answer_is_said(self) -> None:
        for answer, said in (
            ([], "the body is a list, not an object"),
            ({"inventories": {}}, "has no 'resource_provider_generation'"),
            (
                {"resource_provider_generation": True, "inventories": {}},
                "is a boolean, not a whole number",
            ),
            (
                {
                    "resource_provider_generation": 1,
                    "inventories": {"VGPU": {"total": "4"}},
                },
                "'total' in 'VGPU' in 'inventories' in the body is a string",
            ),
            (
                {
                    "resource_provider_generation": 1,
                    "inventories": {"VGPU": {"total": float("inf")}},
                },
                "is inf",
            ),
        ):
            self.assertIn(
                said, self.refused(body(json.dumps(answer).encode()))
            )

    def test_versions_that_are_none_are_no_traceback(self) -> None:
        odd: tuple[ty.Any, ...] = (
            [], {"versions": []}, {"versions": 1}, {"versions": [[]]}, "x",
            None,
        )  # fmt: skip
        for versions in odd:
            self.server.versions = json.dumps(versions).encode()
            self.assertRaises(
                exception.PlacementError, self.client().max_microversion
            )

    def test_no_answer_is_a_traceback(self) -> None:
        asked = self.client()
        self.server.answer = body(b"{}")
        with contextlib.suppress(exception.PlacementError):
            asked.find("x")

        @settings(deadline=None)
        @given(ANSWERS, st.sampled_from([200, 201, 300, 401, 409, 500]))
        def ask_all(found: ty.Any, status: int) -> None:
            self.server.answer = body(json.dumps(found).encode(), status)
            for ask in (
                lambda: asked.find("x"),
                lambda: asked.traits(UUID),
                lambda: asked.usages(UUID),
                lambda: asked.consumers(UUID),
                lambda: asked.allocations(UUID),
                lambda: asked.missing_traits(["A"]),
                lambda: asked.missing_classes(["A"]),
                lambda: asked.create(UUID, "x", None),
                lambda: asked.delete(UUID),
            ):
                with contextlib.suppress(exception.PlacementError):
                    ask()

        ask_all()
