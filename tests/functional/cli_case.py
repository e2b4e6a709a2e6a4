# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio`` run as a user runs it, in a folder of its own."""

import contextlib
import dataclasses
import difflib
import io
import json
import logging
import os
import pathlib
import re
import shlex
import sqlite3
import subprocess
import sys
import typing as ty
import warnings

import fixtures

from nova_vfio_variant.cli import main
from nova_vfio_variant.placement import client
from nova_vfio_variant.testing import placement
from tests import base, sample_hosts
from tests.functional import check_host

EXAMPLES = pathlib.Path(__file__).parents[2] / "etc/nova-vfio"
PROGRAM = pathlib.Path(sys.executable).with_name("nova-vfio")
ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
THREE = "33333333-3333-4333-8333-333333333333"


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that ended."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def json(self) -> ty.Any:
        return json.loads(self.out)

    def __str__(self) -> str:
        return (
            f"$ nova-vfio {shlex.join(self.words)}\n"
            f"{self.out}{self.err}(status {self.status})"
        )


class RestoredLogging(fixtures.Fixture):
    """Whatever sets up logging meanwhile is undone."""

    def _setUp(self) -> None:  # noqa: N802 - fixtures' own name
        root = logging.getLogger()
        levels = {
            one: one.level
            for one in root.manager.loggerDict.values()
            if isinstance(one, logging.Logger)
        }
        handlers, level, hook = [*root.handlers], root.level, sys.excepthook

        def restore() -> None:
            sys.excepthook = hook
            root.handlers[:] = handlers
            root.setLevel(level)
            for one in root.manager.loggerDict.values():
                if isinstance(one, logging.Logger):
                    one.setLevel(levels.get(one, logging.NOTSET))

        self.addCleanup(restore)


class CliTestCase(base.TestCase):
    """Commands in process, with ``nova.conf``, ``host`` and ``state`` here.

    Placement is the embedded one of ``state``, unless a file says otherwise.
    """

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(RestoredLogging())
        memory = fixtures.TempDir(sample_hosts.MEMORY)
        self.folder = pathlib.Path(self.useFixture(memory).path).resolve()
        self.state = self.folder / "state"
        self.addCleanup(os.chdir, pathlib.Path.cwd())
        os.chdir(self.folder)
        self.embedded = self.useFixture(
            placement.EmbeddedPlacement(str(self.state))
        )
        #: The options before every command.
        self.options = [
            "--config-file=nova.conf",
            "--host-root=host",
            "--state-path=state",
        ]

    def configure(self, *pci: str, head: str = "", tail: str = "") -> None:
        """Write nova.conf: [pci] with these lines, more before and behind."""
        lines = "".join(f"{line}\n" for line in pci)
        pathlib.Path("nova.conf").write_text(
            f"[DEFAULT]\nhost = compute-1\n{head}"
            "[filter_scheduler]\npci_in_placement = true\n"
            f"[pci]\nreport_in_placement = true\n{lines}{tail}"
        )

    def host(self, *functions: check_host.Function) -> None:
        """Make the host of these."""
        check_host.build(pathlib.Path("host"), functions)

    def run_cli(self, *words: str) -> Done:
        """Run one command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            # As in a process of its own, without what test runners add.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            try:
                status: ty.Any = main.main([*self.options, *words])
            except SystemExit as end:
                status = end.code or 0
        done = Done(words, status, out.getvalue(), err.getvalue())
        self.assertNotIn("Traceback", done.err)
        return done

    def ok(self, *words: str, status: int = 0) -> Done:
        """Run a command that has to end so."""
        done = self.run_cli(*words)
        self.assertEqual(status, done.status, str(done))
        return done

    def json(self, *words: str, status: int = 0) -> ty.Any:
        """What a command gives as JSON."""
        return self.ok(*words, "-f", "json", status=status).json

    def fails(self, *words: str) -> str:
        """Run a command that has to fail; what it says about that.

        That is one line with the error, and perhaps one with a hint.
        """
        done = self.ok(*words, status=2)
        self.assertEqual("", done.out)
        self.assertTrue(done.err.startswith("error: "), str(done))
        return done.err

    def refuses(self, *words: str) -> str:
        """The same, and it leaves store and Placement as they were."""
        before = self.recorded()
        said = self.fails(*words)
        self.assert_recorded(before)
        return said

    def assert_recorded(self, before: list[str]) -> None:
        """Nothing was written since :meth:`recorded` gave this."""
        changed = difflib.unified_diff(before, self.recorded(), n=0)
        self.assertEqual("", "\n".join(changed))

    def recorded(self) -> list[str]:
        """Every row of store and Placement, and the files that there are.

        All but the store's generation: what is written and taken back moves
        it twice. And but the digest of what was last found equal, which is
        written anew where something can't be known any more.
        """
        found = sorted(
            file.name
            for file in self.state.glob("*")
            if not file.name.endswith(("-shm", "-wal", ".lock"))
        )
        for path in (
            self.state / "nova-vfio.sqlite",
            pathlib.Path(self.embedded.state_path, "placement.sqlite"),
        ):
            if path.exists():
                with contextlib.closing(
                    sqlite3.connect(f"file:{path}?mode=rw", uri=True)
                ) as opened:
                    found += [
                        re.sub("'[0-9a-f]{64}'", "DIGEST", row)
                        for row in opened.iterdump()
                        # Of the last sync, not of what it found.
                        if not row.startswith(
                            (
                                'INSERT INTO "generation"',
                                "INSERT INTO \"meta\" VALUES('synced'",
                            )
                        )
                    ]
        return found

    @property
    def placement(self) -> client.PlacementClient:
        """The embedded Placement, asked without our commands."""
        return self.embedded.client

    def get(self, path: str) -> ty.Any:
        """Ask Placement's REST API."""
        answer = self.placement._cloud.placement.get(path, microversion="1.38")
        answer.raise_for_status()
        return answer.json()

    def published(self) -> dict[str, dict[str, ty.Any]]:
        """Totals, usage and traits of each provider, by its name."""
        found = {}
        for one in self.get("/resource_providers")["resource_providers"]:
            own = f"/resource_providers/{one['uuid']}"
            inventories = self.get(f"{own}/inventories")["inventories"]
            found[one["name"]] = {
                "total": {
                    name: record["total"]
                    for name, record in inventories.items()
                },
                "used": self.get(f"{own}/usages")["usages"],
                "traits": sorted(self.get(f"{own}/traits")["traits"]),
            }
        return found

    def reserve(self, name: str, units: int) -> None:
        """Let an operator reserve so many units of a provider."""
        listed = self.placement.find(name)
        assert listed is not None
        read = self.placement.read(listed)
        self.placement.put_inventories(
            read.uuid,
            read.generation,
            {
                of: {**record, "reserved": units}
                for of, record in read.inventories.items()
            },
        )

    def allocations(self, consumer: str) -> dict[str, dict[str, int]]:
        """What Placement gives a consumer, by the provider's name."""
        names = {
            one["uuid"]: one["name"]
            for one in self.get("/resource_providers")["resource_providers"]
        }
        return {
            names[uuid]: record["resources"]
            for uuid, record in self.get(f"/allocations/{consumer}")[
                "allocations"
            ].items()
        }


def program(*words: str, **more: ty.Any) -> "subprocess.CompletedProcess[str]":
    """Run the installed program."""
    return subprocess.run(
        [PROGRAM, *words],
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        **more,
    )
