# SPDX-License-Identifier: Apache-2.0
"""A transport for requests whose answers have an end.

A timeout of requests is one between bytes: who sends one a second is waited
for until the last, however many they are.
"""

from __future__ import annotations

import threading
import typing as ty
from urllib import parse

import requests
from requests import adapters

from nova_vfio_variant.placement import deadline

if ty.TYPE_CHECKING:
    from keystoneauth1 import session

#: Bytes that a body may have, unpacked; a tree of 1,000 providers has 1 MiB.
MAX_BODY: ty.Final = 64 * 1024 * 1024
#: Bytes between two looks at whether somebody still waits.
_CHUNK = 4096


class BoundedTransport(adapters.BaseAdapter):
    """Hands requests to another transport, and waits only so long.

    A request is sent by a thread of its own: what is looked up, connected
    and read has a deadline then, whoever drips its bytes. A thread that
    nobody waits for ends by itself, and keeps no process alive.

    :param inner: sends, and reads what is sent back
    :param identity: the URL of who gives tokens
    """

    def __init__(
        self, inner: adapters.BaseAdapter, identity: str | None = None
    ) -> None:
        super().__init__()
        self._inner = inner
        self._identity = identity

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: ty.Any = None,
        verify: bool | str = True,
        cert: ty.Any = None,
        proxies: ty.Any = None,
    ) -> requests.Response:
        """Send it, and read its answer to the end.

        :param stream: no matter: it is read here
        :param timeout: seconds for all of it, if no deadline is sooner
        :raises requests.ReadTimeout: it took longer
        :raises requests.RequestException: or the body is too large, or what
            the other transport raises
        """
        left = deadline.left()
        if left == 0:
            raise requests.ReadTimeout(request=request)
        if left is not None and (not timeout or 0 < left < timeout):
            timeout = left
        done: list[requests.Response] = []
        failed: list[BaseException] = []
        given_up = threading.Event()

        def work() -> None:
            try:
                answer = self._inner.send(
                    request,
                    stream=True,
                    timeout=timeout,
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
                _read(answer, given_up)
                self._expect_no_wish_for_a_token(answer)
                _lead_on(answer)
                done.append(answer)
            except BaseException as error:  # noqa: BLE001 - raised below
                failed.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        # The other transport says what is wrong with one that is negative.
        worker.join(timeout if timeout and timeout > 0 else None)
        if done:
            return done[0]
        if failed:
            raise failed[0]
        given_up.set()
        raise requests.ReadTimeout(
            f"no whole answer came within {timeout:g} seconds",
            request=request,
        )

    def _expect_no_wish_for_a_token(self, answer: requests.Response) -> None:
        """Refuse a Keystone that wants a token from who has none yet.

        keystoneauth asks it for its versions while it holds its own lock,
        and for that would then wait for that lock, for ever
        (``BaseIdentityPlugin.get_access``).
        """
        asked = answer.request
        if (
            answer.status_code == 401
            and asked.method == "GET"
            and "X-Auth-Token" not in asked.headers
            and self._identity
            and str(asked.url).startswith(self._identity)
        ):
            raise requests.RequestException(
                "it wants a token from who asks for its versions",
                request=asked,
                response=answer,
            )

    def close(self) -> None:
        """Close the other transport."""
        self._inner.close()


def mount(us: session.Session) -> None:
    """Let all that a session asks have an end."""
    # A plug-in that asks nobody for a token has no such URL.
    identity = getattr(us.auth, "auth_url", None)
    for prefix, transport in list(us.session.adapters.items()):
        us.session.mount(prefix, BoundedTransport(transport, identity))


def _read(answer: requests.Response, given_up: threading.Event) -> None:
    """Read the body, so that requests finds it read."""
    body = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        body += chunk
        if given_up.is_set() or len(body) > MAX_BODY:
            answer.close()
            raise requests.RequestException(
                f"the answer is larger than {MAX_BODY:,} bytes",
                request=answer.request,
                response=answer,
            )
    # requests has no public way to give an answer its body.
    answer._content = bytes(body)  # noqa: SLF001


def _lead_on(answer: requests.Response) -> None:
    """Say in full where a redirect leads: keystoneauth needs it so."""
    where = answer.headers.get("location")
    if where and answer.url:
        answer.headers["location"] = parse.urljoin(answer.url, where)
