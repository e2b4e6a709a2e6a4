# SPDX-License-Identifier: Apache-2.0
"""A nova-api for a test: the real one, in Nova's own interpreter."""

import pathlib
import subprocess
import tempfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import fixtures
import requests

from tests.conformance.interpreter import nova_python

#: As in ``oracle/api.py``, which nothing here can import.
TOKEN = "let-me-in"
#: Since this one nova-api looks at what extra specs say.
STRICT = "2.86"
_TOP = pathlib.Path(__file__).parents[2]
_PATIENCE = 60


class NovaApi(fixtures.Fixture):
    """Serves until the test ends. ``url`` is its endpoint."""

    url: str

    def _setUp(self) -> None:  # noqa: N802 - fixtures' own name
        folder = self.useFixture(fixtures.TempDir()).path
        said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
        self.addCleanup(said.close)
        server = subprocess.Popen(
            [
                nova_python(),
                "-W",
                "ignore",
                "-m",
                "tests.conformance.oracle.api",
                folder,
            ],
            cwd=_TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        self.addCleanup(server.wait, _PATIENCE)
        self.addCleanup(server.stdout.close)  # type: ignore[union-attr] # a pipe
        # It ends with its input.
        self.addCleanup(server.stdin.close)  # type: ignore[union-attr] # likewise
        port = server.stdout.readline().strip()  # type: ignore[union-attr] # likewise
        if not port:
            said.seek(0)
            raise RuntimeError(said.read())
        self.url = f"http://127.0.0.1:{port}/v2.1"

    def post(
        self, path: str, body: Any, microversion: str = "2.1"
    ) -> requests.Response:
        """What it answers."""
        return requests.post(
            f"{self.url}{path}",
            json=body,
            headers={
                "X-Auth-Token": TOKEN,
                "OpenStack-API-Version": f"compute {microversion}",
            },
            timeout=_PATIENCE,
        )

    def add(
        self,
        name: str,
        specs: Mapping[str, str] = MappingProxyType({}),
        microversion: str = "2.1",
        *,
        public: bool = True,
    ) -> requests.Response:
        """Make a flavor; what it answers to its extra specs."""
        made = self.post(
            "/flavors",
            {
                "flavor": {
                    "name": name,
                    "id": name,
                    "ram": 64,
                    "vcpus": 1,
                    "disk": 0,
                    "os-flavor-access:is_public": public,
                }
            },
        )
        made.raise_for_status()
        return self.set(name, specs, microversion)

    def set(
        self, name: str, specs: Mapping[str, str], microversion: str = "2.1"
    ) -> requests.Response:
        """What it answers to extra specs."""
        path = f"/flavors/{name}/os-extra_specs"
        return self.post(path, {"extra_specs": dict(specs)}, microversion)
