# SPDX-License-Identifier: Apache-2.0
"""The tracker's database is never Nova's."""

import pathlib
import tempfile

from nova_vfio_variant import exception
from nova_vfio_variant.check import render
from nova_vfio_variant.conf import database, loader
from tests import base

OURS = "[database]\nconnection = mysql+pymysql://tracker\n"
NOVAS = (
    "[database]\nconnection = mysql+pymysql://nova\n"
    "[api_database]\nconnection = mysql+pymysql://nova_api\n"
)


class Connection(base.TestCase):
    def connection(self, *contents: str) -> str | None:
        folder = pathlib.Path(tempfile.mkdtemp())
        for number, content in enumerate(contents):
            (folder / f"{number}.conf").write_text(content)
        return database.connection(loader.load([], [str(folder)]))

    def test_without_a_connection_the_state_path_is_used(self) -> None:
        self.assertIsNone(self.connection("[DEFAULT]\n"))

    def test_a_connection_is_taken(self) -> None:
        self.assertEqual("mysql+pymysql://tracker", self.connection(OURS))

    def test_nova_s_own_connection_is_not(self) -> None:
        self.assertIsNone(self.connection(NOVAS))

    def test_neither_is_one_in_a_file_of_nova_s(self) -> None:
        # As Debian's nova-compute has it.
        self.patch(database, "NOVAS", pathlib.PurePath(tempfile.gettempdir()))
        self.assertIsNone(self.connection(OURS))

    def test_a_file_of_ours_wins_over_nova_s(self) -> None:
        self.assertEqual(
            "mysql+pymysql://tracker", self.connection(NOVAS, OURS)
        )

    def test_a_database_in_memory_would_keep_nothing(self) -> None:
        for url in (
            "sqlite://",
            "sqlite+pysqlite:///",
            "sqlite:///:memory:",
            "sqlite:///file::memory:?uri=true",
            "sqlite:///file:x?mode=memory&cache=shared&uri=true",
        ):
            error = self.assertRaises(
                exception.ConfigError,
                self.connection,
                f"[database]\nconnection = {url}\n",
            )
            (found,) = error.findings
            assert found.location is not None
            self.assertEqual(
                (2, 14), (found.location.line, found.location.column)
            )
            self.assertIn("in memory", found.message)

    def test_a_file_of_sqlite_is_taken(self) -> None:
        for url in ("sqlite:////var/memory.db", "sqlite:///memory"):
            self.assertEqual(
                url, self.connection(f"[database]\nconnection = {url}\n")
            )

    def test_what_is_no_url_is_refused_without_its_password(self) -> None:
        for url in ("bogus", "sqlite:", "mysql://u:s3cr@t@h:port/d"):
            error = self.assertRaises(
                exception.ConfigError,
                self.connection,
                f"[database]\nconnection = {url}\n",
            )
            (found,) = error.findings
            self.assertIn(":2:14: error: connection: this is no", str(found))
            self.assertNotIn("s3cr", render.text([found]))

    def test_a_wrong_value_is_refused_with_its_place(self) -> None:
        error = self.assertRaises(
            exception.ConfigError,
            self.connection,
            "[database]\nmax_pool_size = many\n",
        )
        place = error.findings[0].location
        assert place is not None
        self.assertEqual((2, 17), (place.line, place.column))
