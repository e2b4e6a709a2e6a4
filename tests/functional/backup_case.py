# SPDX-License-Identifier: Apache-2.0
"""A store that is copied into a file."""

import contextlib
import pathlib
import sqlite3

from nova_vfio_variant.tracker import sqlite
from tests.functional import check_host, cli_case

ONE, TWO = cli_case.ONE, cli_case.TWO
FILE = "kept/store.backup"
DECLARED = (
    'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
    (
        'alias = { "name": "nic", "vendor_id": "8086",'
        ' "product_id": "10ca", "device_type": "type-VF" }'
    ),
)


class BackupCase(cli_case.CliTestCase):
    """A store with four devices, one of them claimed."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(0x21, vfs=4))
        self.configure(*DECLARED)
        pathlib.Path("kept").mkdir(mode=0o700)
        self.store = self.state / sqlite.NAME
        self.claim(ONE)

    def claim(self, instance: str) -> None:
        self.ok(
            *("claim", "create", "--instance", instance, "--alias", "nic:1")
        )

    def dump(self, path: pathlib.Path | None = None) -> list[str]:
        """What a store says, but for how often it was written."""
        with contextlib.closing(sqlite3.connect(path or self.store)) as link:
            return sorted(
                line
                for line in link.iterdump()
                if not line.startswith(
                    ('INSERT INTO "generation"', 'INSERT INTO "providers"')
                )
            )

    def instances(self) -> set[str]:
        return {row["instance_uuid"] for row in self.json("claim", "list")}

    def counts(self, *words: str, status: int = 0) -> dict[str, list[int]]:
        return {
            row["what"]: [row["now"], row["then"]]
            for row in self.json("store", "restore", *words, status=status)
        }
