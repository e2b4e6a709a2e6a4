# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way to Placement, told as errors of ours."""

import json
import typing as ty

import requests
from keystoneauth1 import exceptions as ks_exceptions
from openstack import exceptions as sdk_exceptions

from nova_vfio_variant import exception
from nova_vfio_variant.placement import failure
from tests import base


def answer(status: int, text: str = "") -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = text.encode()
    return made


def error(status: int, code: str = "", detail: str = "") -> requests.Response:
    return answer(
        status, json.dumps({"errors": [{"code": code, "detail": detail}]})
    )


class AnswerTest(base.TestCase):
    def told(self, given: requests.Response) -> exception.PlacementError:
        return failure.of("Placement", "GET", "/x", given, "1.39")

    def test_each_status_is_an_error_of_its_own(self) -> None:
        conflict = "placement.concurrent_update"
        for status, code, kind in (
            (401, "", exception.PlacementDenied),
            (403, "", exception.PlacementDenied),
            (404, "", exception.PlacementRefused),
            (400, conflict, exception.PlacementRefused),
            (406, "", exception.PlacementRefused),
            (409, "", exception.PlacementRefused),
            (409, conflict, exception.PlacementConflict),
            (499, "", exception.PlacementRefused),
            (500, "", exception.PlacementUnreachable),
            (503, "", exception.PlacementUnreachable),
        ):
            self.assertIs(kind, type(self.told(error(status, code))), code)

    def test_the_sentence_of_the_answer_is_told(self) -> None:
        self.assertEqual(
            "Placement answered 404 to GET /x: no such thing",
            self.told(error(404, "", "head\n\n no such thing \n")).message,
        )

    def test_a_microversion_that_is_needed_is_named(self) -> None:
        self.assertEqual(
            "microversion 1.39 is needed", self.told(error(406)).hint
        )
        self.assertIsNone(self.told(error(404)).hint)

    def test_an_answer_that_is_no_error_of_placements_is_told_bare(
        self,
    ) -> None:
        for text in (
            "",
            "<html>",
            "[]",
            "null",
            "{}",
            '{"errors": []}',
            '{"errors": [1]}',
            '{"errors": {}}',
            '{"errors": null}',
        ):
            self.assertEqual(
                "Placement answered 404 to GET /x",
                self.told(answer(404, text)).message,
                text,
            )


class ReachingTest(base.TestCase):
    def told(self, error: BaseException) -> ty.Any:
        with failure.reaching("Placement"):
            raise error

    def test_nothing_is_told_of_nothing(self) -> None:
        with failure.reaching("Placement"):
            pass

    def test_each_error_is_one_of_ours(self) -> None:
        for given, kind, said in (
            (ks_exceptions.Unauthorized("x"), "Denied", "is refused to us"),
            (ks_exceptions.Forbidden("x"), "Denied", "is refused to us"),
            (ks_exceptions.MissingAuthPlugin("x"), "Refused", "looked up: x"),
            (ks_exceptions.EndpointNotFound("x"), "Refused", "looked up: x"),
            (ks_exceptions.OptionError("x"), "Refused", "looked up: x"),
            (sdk_exceptions.ConfigException("x"), "Refused", "looked up: x"),
            (ks_exceptions.ConnectFailure("x"), "Unreachable", "reached: x"),
            (sdk_exceptions.SDKException("x"), "Unreachable", "reached: x"),
            (OSError("x"), "Refused", "can't be used: x"),
            (ValueError("x"), "Refused", "can't be used: x"),
        ):
            told = self.assertRaises(
                exception.PlacementError, self.told, given
            )
            self.assertEqual(f"Placement{kind}", type(told).__name__)
            self.assertIn(said, told.message)

    def test_what_is_none_of_placements_goes_on(self) -> None:
        self.assertRaises(ZeroDivisionError, self.told, ZeroDivisionError("x"))

    def test_the_systems_own_words_are_told(self) -> None:
        cause = OSError(111, "Connection refused")
        above = ks_exceptions.ConnectFailure("Unable: HTTPConnection(...)")
        between = RuntimeError("between")
        above.__cause__ = between
        between.__context__ = cause
        told = self.assertRaises(
            exception.PlacementUnreachable, self.told, above
        )
        self.assertTrue(
            told.message.endswith("reached: Unable: Connection refused"),
            told.message,
        )

    def test_an_answer_without_words_is_told_by_its_status(self) -> None:
        told = self.assertRaises(
            exception.PlacementError,
            self.told,
            ks_exceptions.Unauthorized("None (HTTP 401)"),
        )
        self.assertIn("refused to us: HTTP 401", told.message)

    def test_passwords_are_not_told(self) -> None:
        self.assertEqual(
            "http://me:***@host/ and mysql://a:***@b",
            failure.without_password(
                "http://me:secret@host/ and mysql://a:b@c@b"
            ),
        )
