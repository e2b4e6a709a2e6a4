# SPDX-License-Identifier: Apache-2.0
"""A fault at each request of a command: its next run puts all right.

Each command is run once to see what it asks Placement. Then it is run with
one fault at one of these requests, for all of both, and once more without.
"""

import enum
import pathlib
import time
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import node
from nova_vfio_variant.pci import alias
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import store as tracker_store
from tests.functional import adopt_case, check_host
from tests.functional.cli_case import ONE
from tests.functional.placement_case import Answer
from tests.functional.service_case import NICS, ServiceCase

NIC = alias.PciRequest("nic", 1, (), "legacy")
CLASS = "CUSTOM_NIC"
#: The service's deadlines, in seconds: the usual one, a short one, and what is
#: longer than that.
USUAL, SHORT, LONGER = 60, 1, 1.3


class Fault(enum.StrEnum):
    """What Placement does at one request."""

    STOPPED = "it is stopped, and answers nothing from then on"
    UNSEEN = "it breaks off, and did what it was asked"
    ERROR = "it answers 500"
    DONE = "it answers 500, and did what it was asked"
    CONFLICT = "it answers 409: a generation moved"
    SLOW = "it answers too late"

    def rule(self, at: int) -> ty.Callable[[str, str], Answer | None]:
        """It happens at the request with this number, from 1."""
        number = 0

        def answer(_method: str, _path: str) -> Answer | None:
            nonlocal number
            number += 1
            if self is Fault.STOPPED and number >= at:
                raise ConnectionResetError  # The server sends nothing.
            if number != at:
                return None
            if self is Fault.SLOW:
                time.sleep(LONGER)
            return {
                Fault.ERROR: Answer(500),
                Fault.DONE: Answer(500, reached=True),
                Fault.UNSEEN: Answer(0, reached=True),
                Fault.CONFLICT: Answer(
                    409, code="placement.concurrent_update"
                ),
            }.get(self)

        return answer


#: Those at a request that changes nothing: the others come to the same.
AT_READS = (Fault.STOPPED, Fault.ERROR, Fault.CONFLICT)


def nothing() -> None:
    """Do nothing."""


def has_seconds(before: int, now: int) -> None:
    """Let the service have another deadline."""
    conf = pathlib.Path("nova.conf")
    text = conf.read_text()
    conf.write_text(text.replace(f"timeout = {before}", f"timeout = {now}"))


class EveryFault:
    """Runs something with each fault at each request."""

    faults: ty.Any

    def agree(self, when: str) -> None:
        """Store and Placement say the same."""
        raise NotImplementedError

    def at_each(
        self,
        act: ty.Callable[[], object],
        prepare: ty.Callable[[], object] = nothing,
        clean: ty.Callable[[], object] = nothing,
    ) -> list[str]:
        """Let all go wrong that can.

        :param act: can be repeated
        :param prepare: before each of its first runs
        :param clean: after each of its last ones
        :returns: what it asks, without the look at versions
        """
        prepare()
        self.faults.seen.clear()
        act()
        requests = [*self.faults.seen]
        self.agree("without a fault")
        clean()
        for number, (method, path) in enumerate(requests, 1):
            for fault in AT_READS if method == "GET" else Fault:
                prepare()
                self.faults.rules[:] = [fault.rule(number)]
                if fault is Fault.SLOW:
                    has_seconds(USUAL, SHORT)
                try:
                    act()
                except exception.VfioVariantError:
                    pass
                finally:
                    self.faults.rules.clear()
                    if fault is Fault.SLOW:
                        has_seconds(SHORT, USUAL)
                act()
                self.agree(f"{method} {path} (request {number}): {fault}")
                clean()
        return [
            f"{method} /{path.split('/')[1]}"
            for method, path in requests
            if path != "/"
        ]


class OfOursTest(EveryFault, ServiceCase):
    """Providers of ours in a service."""

    def setUp(self) -> None:
        super().setUp()
        self.point_at(self.server.url, f"timeout = {USUAL}\n")
        self.root = "host"
        self.report()
        every = self.get("/resource_providers")["resource_providers"]
        self.of_vfs = {
            one["name"]: one["uuid"]
            for one in every
            if one["parent_provider_uuid"]
        }

    @property
    def node(self) -> node.Node:
        return node.Node(["nova.conf"], None, self.root, "state")

    def agree(self, when: str) -> None:
        """The units of each instance are the devices that it has."""
        with tracker_store.Store.open(self.state, read_only=True) as store:
            devices = tuple(store.devices())
            records = store.claim_records.all()
        has: dict[str, dict[str, int]] = {}
        for device in devices:
            if device.instance_uuid is not None:
                of_it = has.setdefault(f"compute-1_{device.parent_addr}", {})
                of_it[CLASS] = of_it.get(CLASS, 0) + 1
        self.assertEqual(has, self.allocations(ONE), when)
        for name in self.of_vfs:
            used = self.get(f"/resource_providers/{self.of_vfs[name]}/usages")
            units = has.get(name, {}).get(CLASS, 0)
            self.assertEqual(units, used["usages"].get(CLASS, 0), when)
        self.assertEqual(bool(has), ONE in records, when)
        for record in records.values():
            self.assertEqual(tracked.ClaimState.PREPARED, record.state, when)
        self.assertEqual((), self.node.placement.diff().changes, when)

    def create(self) -> None:
        self.node.claims.claim(ONE, "nic:2")

    def delete(self) -> None:
        self.node.claims.release(ONE)

    def report(self) -> None:
        self.node.reporting.report()

    def reconcile(self) -> None:
        self.node.reconciling.run()

    def half_made(self) -> None:
        """A claim that is on disk alone."""
        with tracker_store.Store.open(self.state) as store:
            store.claim(ONE, [(NIC, [next(iter(store.devices()))])])

    def test_a_claim(self) -> None:
        self.assertEqual(
            [
                "GET /resource_providers",
                "GET /allocation_candidates",
                "GET /resource_providers",
                "GET /allocations",
                "PUT /allocations",
            ],
            self.at_each(self.create, clean=self.delete),
        )

    def test_its_end(self) -> None:
        self.assertEqual(
            ["GET /allocations", "PUT /allocations"],
            self.at_each(self.delete, self.create),
        )

    def test_a_report(self) -> None:
        """With a card that has more VFs by now, or fewer, and a claim."""
        check_host.build(
            pathlib.Path("larger"),
            [
                *check_host.card(vfs=2, driver=None),
                *check_host.card(0x26, vfs=3),
            ],
        )
        self.create()

        def change() -> None:
            self.root = "larger" if self.root == "host" else "host"

        asked = self.at_each(self.report, change)
        self.assertIn("PUT /resource_providers", asked)

    def test_a_report_that_finishes_a_claim(self) -> None:
        asked = self.at_each(self.report, self.half_made, self.delete)
        self.assertEqual(["PUT /allocations"], [*filter(is_write, asked)])

    def test_a_reconciliation_that_finishes_a_claim(self) -> None:
        asked = self.at_each(self.reconcile, self.half_made, self.delete)
        self.assertEqual(["PUT /allocations"], [*filter(is_write, asked)])


def is_write(request: str) -> bool:
    """Whether a request changes anything."""
    return not request.startswith("GET")


class OfNovasTest(EveryFault, adopt_case.AdoptCase):
    """Providers of Nova's, of which nothing changes."""

    CARD = "0000:25:00.0"

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        self.declare(NICS[0], NICS[2], timeout=USUAL)
        self.nova_publishes(self.CARD, CLASS, 2)
        self.nova_allocates({self.CARD: {CLASS: 2}})
        self.guest("0000:25:00.4", "0000:25:00.5")
        self.node = node.Node(["nova.conf"], None, "host", "state")
        self.before = self.published(), self.get(f"/allocations/{ONE}")

    def agree(self, when: str) -> None:
        """The claim has what Nova gave, and Placement is as it was."""
        (claim,) = self.node.devices.claims()
        self.assertEqual(2, len(claim.addresses), when)
        self.assertEqual(tracked.ClaimState.ALLOCATED, claim.state, when)
        now = self.published(), self.get(f"/allocations/{ONE}")
        self.assertEqual(self.before, now, when)

    def test_an_adoption(self) -> None:
        asked = self.at_each(
            lambda: self.node.adopting.adopt(ONE),
            clean=lambda: self.node.claims.release(ONE),
        )
        self.assertEqual([], [*filter(is_write, asked)])
        self.assertEqual(3, len(asked))
