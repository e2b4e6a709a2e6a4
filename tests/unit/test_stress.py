# SPDX-License-Identifier: Apache-2.0
"""The stress run notices what is lost, given twice, or not agreed upon."""

import contextlib
import json
import pathlib
import sqlite3
import typing as ty

import fixtures

from tests import base
from tests.stress import model

_PF = "compute-1_0000:25:00.0"
_VF = "0000:25:00.4"
_OTHER = "0000:25:00.5"


class WrongTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.placement = folder / "placement.sqlite"

    def wrong(
        self,
        claims: dict[str, list[str]],
        allocations: dict[str, int],
        *instances: model.Instance,
        status: str = "allocated",
    ) -> list[str]:
        listed = [
            {"instance_uuid": uuid, "addresses": addresses, "status": status}
            for uuid, addresses in claims.items()
        ]
        self.placement.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(self.placement)) as opened:
            opened.executescript(
                "CREATE TABLE resource_providers (id, name);"
                "CREATE TABLE inventories (resource_provider_id, total);"
                "CREATE TABLE allocations"
                " (resource_provider_id, consumer_id, used);"
                f"INSERT INTO resource_providers VALUES (1, '{_PF}');"
                "INSERT INTO inventories VALUES (1, 2);"
            )
            opened.executemany(
                "INSERT INTO allocations VALUES (1, ?, ?)",
                allocations.items(),
            )
            opened.commit()
        return model.wrong(json.dumps(listed), self.placement, instances)

    def test_what_agrees_is_fine(self) -> None:
        has = model.Instance("a", "vf:1", model.Known.HAS, (_VF,))
        unknown = model.Instance("b", "vf:1", model.Known.UNKNOWN)
        without = model.Instance("c", "vf:1")
        self.assertEqual(
            [], self.wrong({"a": [_VF]}, {"a": 1}, has, unknown, without)
        )
        self.assertEqual(
            [],
            self.wrong(
                {"a": [_VF], "b": [_OTHER]}, {"a": 1, "b": 1}, has, unknown
            ),
        )

    def test_each_thing_that_must_not_be_is_told(self) -> None:
        has = model.Instance("a", "vf:1", model.Known.HAS, (_VF,))
        without = model.Instance("a", "vf:1")
        cases: tuple[tuple[list[str], str], ...] = (
            (
                self.wrong({"a": [_VF], "b": [_VF]}, {"a": 1, "b": 1}),
                f"{_VF} has two owners: a, b",
            ),
            (self.wrong({}, {}, has), "a was told that it has"),
            (
                self.wrong({"a": [_OTHER]}, {"a": 1}, has),
                "a was told that it has",
            ),
            (
                self.wrong({"a": [_VF]}, {"a": 1}, without),
                "a gave back all, and has",
            ),
            (self.wrong({"a": [_VF]}, {}), f"a has 1 of {_PF} in the store"),
            (self.wrong({}, {"a": 1}), f"a has 0 of {_PF} in the store"),
            (self.wrong({}, {"a": 3}), f"{_PF}: 3 used of 2"),
            (
                self.wrong({"a": [_VF]}, {"a": 1}, status="claimed"),
                "a: its claim is claimed",
            ),
        )
        for found, said in cases:
            self.assertTrue(
                any(line.startswith(said) for line in found), (said, found)
            )

    def test_what_became_of_what_nobody_knew_is_known_then(self) -> None:
        unknown = model.Instance("a", "vf:1", model.Known.UNKNOWN)
        lost = model.Instance("b", "vf:1", model.Known.UNKNOWN)
        listed: list[dict[str, ty.Any]] = [
            {"instance_uuid": "a", "addresses": [_OTHER, _VF]}
        ]
        model.learn(json.dumps(listed), [unknown, lost])
        self.assertEqual(
            (model.Known.HAS, (_VF, _OTHER)),
            (unknown.known, unknown.addresses),
        )
        self.assertIs(model.Known.HAS_NOT, lost.known)
