# SPDX-License-Identifier: Apache-2.0
"""A real Placement for tests: in process, and on a loopback port.

Needs ``fixtures``, which the package itself doesn't.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import typing as ty

import fixtures
from oslo_db.sqlalchemy import enginefacade
from placement import db_api, policy
from placement.objects import resource_class, trait

from nova_vfio_variant.placement import embedded
from nova_vfio_variant.tracker import share

if ty.TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from nova_vfio_variant.placement import client

    Middleware = ty.Callable[[WSGIApplication], WSGIApplication]


@dataclasses.dataclass(frozen=True, slots=True)
class Remembered:
    """One provider of ours (``placement.memory.Remembered``)."""

    uuid: str
    generation: int | None
    fingerprint: str | None


class Memory:
    """A memory of providers that lasts as long as the test.

    It is a ``placement.memory.ProviderMemory``.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Remembered] = {}
        self.reserved: dict[str, share.Shares] = {}

    def get(self, name: str) -> Remembered | None:
        """The provider with this name, or None."""
        return self.rows.get(name)

    def put(
        self,
        name: str,
        uuid: str,
        generation: int | None,
        fingerprint: str | None,
    ) -> None:
        """Remember a provider."""
        self.rows[name] = Remembered(uuid, generation, fingerprint)

    def forget(self, name: str) -> None:
        """Forget a provider."""
        self.rows.pop(name, None)
        self.reserved.pop(name, None)

    def names(self) -> list[str]:
        """The names of all that are remembered."""
        return list(self.rows)

    def shares(self, name: str) -> share.Shares:
        """What of a provider's inventories we reserved, by class."""
        return self.reserved.get(name, {})

    def put_shares(self, name: str, shares: share.Shares) -> None:
        """Remember that."""
        self.reserved[name] = dict(shares)


class EmbeddedPlacement(fixtures.Fixture):
    """An embedded Placement that ends with the test.

    A process has one embedded Placement for as long as it lives. This makes
    it forget that, so that each test has its own; code under test that calls
    ``embedded.connect`` with this state path gets the same one.

    :param state_path: None for a new temporary folder
    :ivar state_path: the folder
    """

    def __init__(self, state_path: str | None = None) -> None:
        super().__init__()
        self.state_path = state_path or ""

    def _setUp(self) -> None:  # noqa: N802 - fixtures' own name
        if not self.state_path:
            self.state_path = self.useFixture(fixtures.TempDir()).path
        self._forget()
        manager = db_api.placement_context_manager
        fresh = enginefacade.transaction_context()
        self.addCleanup(manager.patch_factory(fresh))
        self.addCleanup(fresh.dispose_pool)
        self.addCleanup(self._forget)

    @functools.cached_property
    def client(self) -> client.PlacementClient:
        """A client of it, which starts it."""
        return embedded.connect(self.state_path)

    @staticmethod
    def _forget() -> None:
        """Undo what Placement and we do once a process."""
        db_api.configure.reset()
        policy.reset()
        trait._TRAITS_SYNCED = False  # noqa: SLF001 - as in Placement's own
        resource_class._RESOURCE_CLASSES_SYNCED = False  # noqa: SLF001
        embedded._configured = None  # noqa: SLF001 - ours
        embedded._application = None  # noqa: SLF001


class PlacementServer(fixtures.Fixture):
    """The same Placement on a loopback port, token ``admin``.

    :param middleware: given the WSGI application, what to serve instead
    :ivar embedded: the :class:`EmbeddedPlacement` behind it
    :ivar url: where it answers
    """

    def __init__(
        self,
        middleware: Middleware | None = None,
    ) -> None:
        super().__init__()
        self._middleware = middleware

    def _setUp(self) -> None:  # noqa: N802 - fixtures' own name
        self.embedded = self.useFixture(EmbeddedPlacement())
        server = embedded.serve(self.embedded.state_path)
        if self._middleware is not None:
            behind = embedded.application(self.embedded.state_path)
            server.set_app(self._middleware(behind))
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
