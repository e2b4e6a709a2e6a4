# SPDX-License-Identifier: Apache-2.0
"""A transport for requests that ends in a WSGI application.

What wsgi-intercept does by replacing http.client for the whole process, done
for one session alone.
"""

from __future__ import annotations

import io
import sys
import typing as ty
import urllib.parse

import requests
from requests import adapters, structures

if ty.TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


class WsgiTransport(adapters.BaseAdapter):
    """Answers each request with what a WSGI application answers.

    Deadlines, proxies and certificates mean nothing here.

    :param application: called in the caller's thread
    :param environ: added to the environment of each request
    """

    def __init__(
        self,
        application: WSGIApplication,
        environ: ty.Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._application = application
        self._environ = dict(environ or {})

    def send(
        self,
        request: requests.PreparedRequest,
        *_ignored: ty.Any,
        **_unused: ty.Any,
    ) -> requests.Response:
        """Call the application and give its answer."""
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str,
            headers: list[tuple[str, str]],
            exc_info: ty.Any = None,
        ) -> ty.Callable[[bytes], object]:
            if exc_info and begun:
                begun.clear()
            begun.append((status, headers))
            return written.append

        written: list[bytes] = []
        chunks = self._application(self._request(request), start_response)
        try:
            written.extend(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        status, headers = begun[0]
        code, _, reason = status.partition(" ")
        answer = requests.Response()
        answer.status_code = int(code)
        answer.reason = reason
        answer.headers = structures.CaseInsensitiveDict(headers)
        answer.raw = io.BytesIO(b"".join(written))
        answer.request = request
        answer.url = request.url or ""
        return answer

    def close(self) -> None:
        """Nothing is held open."""

    def _request(self, request: requests.PreparedRequest) -> dict[str, ty.Any]:
        """The request as WSGI has it (PEP 3333)."""
        url = urllib.parse.urlsplit(request.url or "")
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        if not isinstance(body, bytes):
            raise TypeError("a body of a stream is not sent from here")
        environ: dict[str, ty.Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote(url.path, "latin-1"),
            "QUERY_STRING": url.query,
            "SERVER_NAME": url.hostname,
            "SERVER_PORT": str(url.port or 80),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": url.scheme,
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in request.headers.items():
            key = name.upper().replace("-", "_")
            if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
                key = f"HTTP_{key}"
            environ[key] = (
                value.decode("latin-1") if isinstance(value, bytes) else value
            )
        return environ | {"CONTENT_LENGTH": str(len(body))} | self._environ
