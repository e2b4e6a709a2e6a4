# SPDX-License-Identifier: Apache-2.0
"""A requests session whose other end is a WSGI application."""

import typing as ty

import requests

from nova_vfio_variant.placement import wsgi
from tests import base

URL = "http://application.invalid"


class Application:
    """Notes what it was asked and answers with it."""

    def __init__(self) -> None:
        self.environ: dict[str, ty.Any] = {}
        self.body = b""
        self.closed = False

    def __call__(
        self, environ: dict[str, ty.Any], start_response: ty.Any
    ) -> "Application":
        self.environ = environ
        length = int(environ["CONTENT_LENGTH"])
        self.body = environ["wsgi.input"].read(length)
        start_response("201 Made It", [("X-Answer", "yes")])
        return self

    def __iter__(self) -> ty.Iterator[bytes]:
        yield b'{"a": '
        yield b"1}"

    def close(self) -> None:
        self.closed = True


class WsgiTransportTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.application = Application()
        self.session = requests.Session()
        self.session.mount(
            URL,
            wsgi.WsgiTransport(self.application, {"HTTP_X_ROLES": "admin"}),
        )

    def test_the_answer_is_the_applications(self) -> None:
        answer = self.session.get(f"{URL}/thing")
        self.assertEqual(201, answer.status_code)
        self.assertEqual("Made It", answer.reason)
        self.assertEqual("yes", answer.headers["x-answer"])
        self.assertEqual({"a": 1}, answer.json())
        self.assertTrue(self.application.closed)

    def test_the_request_is_whole(self) -> None:
        self.session.put(
            f"{URL}/a%20b/c?name=in:x,y",
            json={"k": "é"},
            headers={"X-Auth-Token": "admin"},
        )
        seen = self.application.environ
        self.assertEqual(
            ("PUT", "/a b/c", "name=in:x,y", "application/json", "admin"),
            (
                seen["REQUEST_METHOD"],
                seen["PATH_INFO"],
                seen["QUERY_STRING"],
                seen["CONTENT_TYPE"],
                seen["HTTP_X_AUTH_TOKEN"],
            ),
        )
        self.assertEqual("admin", seen["HTTP_X_ROLES"])
        self.assertEqual(b'{"k": "\\u00e9"}', self.application.body)

    def test_a_request_may_have_no_body(self) -> None:
        self.session.delete(f"{URL}/thing")
        self.assertEqual(b"", self.application.body)
        self.assertNotIn("CONTENT_TYPE", self.application.environ)

    def test_a_body_may_be_text(self) -> None:
        self.session.post(f"{URL}/thing", data="é".encode())
        self.assertEqual("é".encode(), self.application.body)

    def test_a_failure_of_the_application_comes_through(self) -> None:
        def broken(*_: ty.Any) -> ty.Any:
            raise ZeroDivisionError

        self.session.mount(URL, wsgi.WsgiTransport(broken))
        self.assertRaises(ZeroDivisionError, self.session.get, URL)
