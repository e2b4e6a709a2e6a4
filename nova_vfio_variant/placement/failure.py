# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way to Placement, as errors of ours."""

from __future__ import annotations

import re
import typing as ty

from keystoneauth1 import exceptions as ks_exceptions

from nova_vfio_variant import exception

if ty.TYPE_CHECKING:
    import requests

#: In ``http://user:password@host``.
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s]*@")
#: What keystoneauth and openstacksdk let through where a token or the list of
#: versions has another shape than theirs.
NONSENSE = (LookupError, TypeError, AttributeError, RecursionError)
_SEE_OPTIONS = "look at the options in [placement]"
_CONCURRENT_UPDATE = "placement.concurrent_update"


def no_answer(where: str, what: str) -> exception.PlacementUnreachable:
    """What was answered there is nothing that Placement says.

    :param what: is wrong with it
    """
    return exception.PlacementUnreachable(
        f"no answer of Placement's came from {where}: {what}",
        "is the endpoint right?",
    )


class reaching:  # noqa: N801 - reads as a word: with reaching(...)
    """What keystoneauth and openstacksdk raise, as errors of ours.

    :param where: how to call the Placement in a message
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        if error is None:
            return
        # It brings all of openstacksdk, which an embedded Placement needn't.
        from openstack import exceptions as sdk_exceptions

        if isinstance(
            error, (ks_exceptions.Unauthorized, ks_exceptions.Forbidden)
        ):
            raise exception.PlacementDenied(
                f"{self._where} is refused to us: {_line(error)}",
                "look at the credentials in [placement]",
            ) from error
        if isinstance(
            error,
            (
                ks_exceptions.MissingAuthPlugin,
                ks_exceptions.EndpointNotFound,
                ks_exceptions.OptionError,
                ks_exceptions.NoMatchingPlugin,
                sdk_exceptions.ConfigException,
            ),
        ):
            raise exception.PlacementRefused(
                f"{self._where} can't be looked up: {_line(error)}",
                _SEE_OPTIONS,
            ) from error
        if isinstance(
            error, (ks_exceptions.ClientException, sdk_exceptions.SDKException)
        ):
            raise exception.PlacementUnreachable(
                f"{self._where} can't be reached: {cause(error)}"
            ) from error
        if isinstance(error, NONSENSE):
            raise no_answer(
                self._where, "what it says of itself can't be read"
            ) from error
        if isinstance(error, (OSError, ValueError)):
            # What keystoneauth lets through of requests and urllib3: nothing
            # was sent with such a URL, deadline or certificate.
            raise exception.PlacementRefused(
                f"{self._where} can't be used: {_line(error)}",
                _SEE_OPTIONS,
            ) from error


def cause(error: BaseException) -> str:
    """What the system said, for urllib3 says where it was in its own code."""
    text = _line(error)
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError) and at.strerror:
            return f"{text.partition(': ')[0]}: {at.strerror}"
        at = at.__cause__ or at.__context__
    return text


def of(
    where: str,
    method: str,
    path: str,
    answer: requests.Response,
    microversion: str,
) -> exception.PlacementError:
    """Which error an answer is.

    :param where: how to call the Placement in a message
    :param microversion: the one that was asked for
    """
    status = answer.status_code
    said = f"{where} answered {status} to {method} {path}"
    code, detail = _details(answer)
    if detail:
        said += f": {detail}"
    if status in {401, 403}:
        return exception.PlacementDenied(
            said, "look at the credentials in [placement] and their roles"
        )
    if status >= 500:
        return exception.PlacementUnreachable(said)
    if status == 409 and code == _CONCURRENT_UPDATE:
        return exception.PlacementConflict(said)
    if status == 406:
        return exception.PlacementRefused(
            said, f"microversion {microversion} is needed"
        )
    return exception.PlacementRefused(said)


def _details(answer: requests.Response) -> tuple[str, str]:
    """The code and the sentence of an error in Placement's JSON."""
    try:
        first = answer.json()["errors"][0]
        return str(first.get("code", "")), _line(first.get("detail", ""))
    except (*NONSENSE, ValueError):
        return "", ""


def _line(text: object) -> str:
    """The last line that says something: webob puts its own before it."""
    lines = [line.strip() for line in str(text).splitlines()]
    said = next((line for line in reversed(lines) if line), "")
    # keystoneauth's words for an answer that says nothing but its status.
    if said.startswith("None (HTTP "):
        said = said[6:-1]
    return without_password(said)


def without_password(text: str) -> str:
    """The same with ``***`` for each password in a URL.

    As SQLAlchemy shows URLs; keystoneauth and requests show all.
    """
    return _PASSWORD.sub(r"\1***@", text)
