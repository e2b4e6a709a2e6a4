# SPDX-License-Identifier: Apache-2.0
"""The Placement that runs in our own process."""

import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import uuid

import fixtures
import requests

from nova_vfio_variant import exception
from nova_vfio_variant.placement import embedded
from nova_vfio_variant.testing import placement as fixture
from tests import base
from tests.functional import claimants


def listening() -> set[str]:
    """Sockets that this process has open."""
    found = set()
    for path in pathlib.Path("/proc/self/fd").iterdir():
        try:
            what = str(path.readlink())
        except FileNotFoundError:
            continue
        if what.startswith("socket:"):
            found.add(what)
    return found


class EmbeddedTest(base.TestCase):
    def start(
        self, state_path: str | None = None
    ) -> fixture.EmbeddedPlacement:
        return self.useFixture(fixture.EmbeddedPlacement(state_path))

    def test_it_answers_without_a_socket(self) -> None:
        before = listening()
        running = self.start()
        running.client.create(str(uuid.uuid4()), "host", None)
        self.assertIsNotNone(running.client.find("host"))
        self.assertEqual(before, listening())

    def test_a_user_of_the_service_role_may_reshape(self) -> None:
        running = self.start()
        made = str(uuid.uuid4())
        running.client.create(made, "host", None)
        inventories = {"PGPU": {"total": 3}}
        running.client._send(
            "POST",
            "/reshaper",
            {
                "inventories": {
                    made: {
                        "resource_provider_generation": 0,
                        "inventories": inventories,
                    }
                },
                "allocations": {},
            },
        )
        self.assertIn("PGPU", running.client.inventories(made)[1])

    def test_what_the_operator_has_stays_unread_and_untouched(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        theirs = folder / "operators.sqlite"
        text = f"[placement_database]\nconnection = sqlite:///{theirs}\n"
        home = pathlib.Path.home()
        for place in (folder, home, home / ".placement"):
            place.mkdir(exist_ok=True)
            (place / "placement.conf").write_text(text)
            (place / "policy.yaml").write_text(
                '"placement:resource_providers:create": "!"\n'
            )
        for name, value in (
            ("OS_PLACEMENT_CONFIG_DIR", str(folder)),
            ("OS_PLACEMENT_DATABASE__CONNECTION", f"sqlite:///{theirs}"),
            ("OS_API__AUTH_STRATEGY", "keystone"),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))

        running = self.start()
        running.client.create(str(uuid.uuid4()), "host", None)

        self.assertFalse(theirs.exists())
        self.assertEqual(["placement.sqlite"], os.listdir(running.state_path))

    def test_nobody_else_may_read_its_database(self) -> None:
        running = self.start()
        running.client.find("host")
        mode = embedded.database(running.state_path).stat().st_mode
        self.assertEqual(0o600, mode & 0o777)

    def test_what_was_written_is_there_for_the_next_process(self) -> None:
        path = self.useFixture(fixtures.TempDir()).path
        with fixture.EmbeddedPlacement(path) as first:
            first.client.create(str(uuid.uuid4()), "host", None)
        with fixture.EmbeddedPlacement(path) as second:
            self.assertIsNotNone(second.client.find("host"))

    def test_a_path_may_have_any_characters(self) -> None:
        path = self.useFixture(fixtures.TempDir()).join("a $b %20 ?c=d #e")
        os.mkdir(path)
        self.start(path).client.find("host")
        self.assertEqual(["placement.sqlite"], os.listdir(path))

    def test_a_second_one_in_another_state_path_is_an_error(self) -> None:
        running = self.start()
        running.client.find("host")
        other = self.useFixture(fixtures.TempDir()).path
        error = self.assertRaises(
            exception.PlacementError, embedded.connect, other
        )
        self.assertIn(running.state_path, str(error))
        self.assertEqual([], os.listdir(other))

    def test_the_same_state_path_gives_the_same_placement(self) -> None:
        running = self.start()
        running.client.create(str(uuid.uuid4()), "host", None)
        again = embedded.connect(running.state_path)
        self.assertIsNotNone(again.find("host"))

    def test_a_garbled_database_is_named_and_left(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        embedded.database(folder).write_bytes(b"garbage " * 1000)
        error = self.assertRaises(
            exception.PlacementError, getattr, self.start(folder), "client"
        )
        self.assertIn(str(embedded.database(folder)), str(error))
        self.assertNotIn("\n", str(error))
        self.assertEqual(
            b"garbage " * 1000, embedded.database(folder).read_bytes()
        )

    def test_a_database_of_a_newer_placement_is_refused(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        with fixture.EmbeddedPlacement(folder) as older:
            older.client.find("host")
        with sqlite3.connect(embedded.database(folder)) as link:
            link.execute("UPDATE alembic_version SET version_num = 'newer'")
        link.close()
        error = self.assertRaises(
            exception.PlacementError, getattr, self.start(folder), "client"
        )
        self.assertIn("newer", str(error))

    def test_a_link_to_itself_is_no_folder(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "loop")
        path.symlink_to("loop")
        self.assertRaises(
            exception.PlacementError, embedded.connect, str(path)
        )

    def test_a_folder_that_is_not_there_is_an_error(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).join("missing")
        self.assertRaises(
            exception.PlacementError, getattr, self.start(folder), "client"
        )


class PortTest(base.TestCase):
    def test_a_port_that_was_asked_for_is_on_the_loopback(self) -> None:
        server = self.useFixture(fixture.PlacementServer())
        answer = requests.get(
            f"{server.url}/resource_providers",
            headers={"X-Auth-Token": "admin"},
            timeout=30,
        )
        self.assertEqual({"resource_providers": []}, answer.json())
        self.assertTrue(server.url.startswith("http://127.0.0.1:"))

    def test_without_a_token_it_refuses(self) -> None:
        server = self.useFixture(fixture.PlacementServer())
        answer = requests.get(f"{server.url}/resource_providers", timeout=30)
        self.assertEqual(401, answer.status_code)


class TogetherTest(base.TestCase):
    def test_twenty_that_claim_ten_at_once_get_exactly_ten(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        told = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.functional.claimants",
                folder,
                "10",
                "20",
            ],
            stdout=subprocess.PIPE,
            check=True,
            timeout=500,
        )
        self.assertEqual(
            {"claimed": 10, "PlacementRefused": 10}, json.loads(told.stdout)
        )
        running = self.useFixture(fixture.EmbeddedPlacement(folder))
        published = running.client.find(claimants.NAME)
        assert published is not None
        self.assertEqual(
            {claimants.CLASS: 10}, running.client.usages(published.uuid)
        )
        self.assertEqual(10, len(running.client.consumers(published.uuid)))
