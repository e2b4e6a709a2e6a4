# SPDX-License-Identifier: Apache-2.0
"""One request to Placement, and whether its answer is one of Placement's.

Every request is pinned to one microversion, has a deadline that its session
gives it, and is sent once: what failed on the way may have taken effect, and
only whoever reads again can know. An answer that isn't the expected one
becomes an error of :mod:`nova_vfio_variant.exception`.
"""

from __future__ import annotations

import contextlib
import logging
import typing as ty

from nova_vfio_variant.placement import deadline, failure, shape

if ty.TYPE_CHECKING:
    import requests
    from keystoneauth1 import adapter, session

_LOG = logging.getLogger(__name__)

#: Placement of Xena; the first with types of consumers.
MICROVERSION = "1.38"
Json = dict[str, ty.Any]


class Cloud(ty.Protocol):
    """What is asked of a cloud, such as openstacksdk's Connection."""

    @property
    def session(self) -> session.Session:
        """Who we are there."""

    @property
    def placement(self) -> adapter.Adapter:
        """Sends requests to its Placement."""


class Rest:
    """A service that answers requests with JSON, or with nothing.

    :param cloud: whose Placement
    :param where: how to call it in a message
    """

    def __init__(self, cloud: Cloud, where: str) -> None:
        self._cloud = cloud
        self.where = where

    @property
    def project_id(self) -> str:
        """The project that new consumers belong to."""
        with self._reaching():
            return self._cloud.session.get_project_id() or "nova-vfio"

    @property
    def user_id(self) -> str:
        """The user that new consumers belong to."""
        with self._reaching():
            return self._cloud.session.get_user_id() or "nova-vfio"

    @contextlib.contextmanager
    def _reaching(self) -> ty.Iterator[None]:
        seconds = self._cloud.session.timeout
        with failure.reaching(self.where), deadline.within(seconds):
            yield

    def _json(
        self,
        method: str,
        path: str,
        looks: shape.Shape,
        body: Json | None = None,
        query: dict[str, str] | None = None,
    ) -> Json:
        """Send a request whose answer has a JSON object for a body.

        :param looks: what the object has that is looked at
        """
        answer = self._send(method, path, body, query)
        try:
            found: Json = answer.json()
        except ValueError:
            what = "the body is no JSON"
        except RecursionError:
            what = "the body is nested too deep"
        else:
            self._look(method, path, found, looks)
            return found
        raise failure.no_answer(f"{self.where} to {method} {path}", what)

    def _look(
        self, method: str, path: str, found: Json, looks: shape.Shape
    ) -> None:
        """Refuse an answer of another shape."""
        what = shape.wrong(found, looks)
        if what is not None:
            raise failure.no_answer(f"{self.where} to {method} {path}", what)

    def _do(self, method: str, path: str, body: Json | None = None) -> None:
        """Send a request whose answer has no body, by which it is known."""
        answer = self._send(method, path, body)
        if answer.status_code not in {201, 204}:
            raise failure.no_answer(
                f"{self.where} to {method} {path}",
                f"status {answer.status_code} says nothing was done",
            )

    def _send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        query: dict[str, str] | None = None,
    ) -> requests.Response:
        with self._reaching():
            answer: requests.Response = self._cloud.placement.request(
                path,
                method,
                json=body,
                params=query,
                microversion=MICROVERSION,
                raise_exc=False,
                connect_retries=0,
                status_code_retries=0,
            )
        _LOG.log(
            logging.DEBUG if method == "GET" else logging.INFO,
            "Placement: %s %s: status %d",
            method,
            path,
            answer.status_code,
        )
        if answer.status_code >= 300:
            raise failure.of(self.where, method, path, answer, MICROVERSION)
        return answer
