# SPDX-License-Identifier: Apache-2.0
"""What is reserved for being blocked, beside what others reserved."""

import dataclasses
import pathlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import context, desired, inventory
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.placement import provider, report
from nova_vfio_variant.testing import placement
from nova_vfio_variant.tracker import share
from nova_vfio_variant.tracker import store as tracker_store
from tests.functional import check_host, cli_case
from tests.functional.card_conf import CLASS_ALIAS, CLASS_SPEC
from tests.functional.placement_case import (
    Answer,
    Crash,
    Dying,
    PlacementTestCase,
    ask,
    make,
)

RC = "CUSTOM_A16_16A"


def blocked(units: int, total: int = 4) -> provider.Provider:
    return dataclasses.replace(
        make(1),
        inventories={RC: provider.Inventory(total, total, blocked=units)},
    )


class DyingMemory(placement.Memory):
    """A memory whose process is killed when it remembers a share.

    :param living: with what it begins
    :param at: the number of that time
    :param after: it is killed after it was remembered, not before
    """

    def __init__(
        self, living: placement.Memory, at: int, *, after: bool
    ) -> None:
        super().__init__()
        self.rows, self.reserved = living.rows, living.reserved
        self._left = at
        self._after = after

    def put_shares(self, name: str, shares: share.Shares) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Crash
        super().put_shares(name, shares)
        if self._left == 0:
            raise Crash


class ReservedTest(PlacementTestCase):
    def read(self) -> provider.Published:
        listed = self.direct.find(make(1).name)
        assert listed is not None
        return self.direct.read(listed)

    @property
    def reserved(self) -> int:
        return int(self.read().inventories[RC]["reserved"])

    def operator(self, units: int) -> None:
        """An operator reserves so many more."""
        one = self.read()
        record = one.inventories[RC]
        record = {**record, "reserved": int(record["reserved"]) + units}
        self.direct.put_inventories(one.uuid, one.generation, {RC: record})

    def test_blocked_unblocked_the_operators_stays(self) -> None:
        self.report(blocked(1))
        self.assertEqual(1, self.reserved)
        self.operator(1)
        self.report(blocked(2))
        self.assertEqual(3, self.reserved)
        self.report(blocked(0))
        self.assertEqual(1, self.reserved)

    def test_each_change_is_one_write_and_the_same_again_is_none(
        self,
    ) -> None:
        self.report(blocked(0))
        for units in (2, 1, 0):
            with self.faults.counted():
                (change,) = self.report(blocked(units)).changes
            self.assertEqual(
                (f"{RC}.reserved", units), (change.field, change.desired)
            )
            self.assertEqual(1, len(self.faults.writes))
            with self.faults.counted():
                self.assertEqual((), self.report(blocked(units)).changes)
            self.assertEqual([], self.faults.writes)

    def test_never_above_the_total(self) -> None:
        self.report(blocked(0))
        self.operator(3)
        self.report(blocked(4))
        self.assertEqual(4, self.reserved)
        self.report(blocked(2, total=2))
        self.assertEqual(2, self.reserved)
        self.report(blocked(0, total=4))
        # What an operator reserved of more than there was is cut, as ever.
        self.assertEqual(2, self.reserved)

    def test_a_placement_that_was_lost_gets_it_again(self) -> None:
        self.report(blocked(2))
        self.direct.delete(self.read().uuid)
        self.report(blocked(1))
        self.assertEqual(1, self.reserved)
        self.report(blocked(0))
        self.assertEqual(0, self.reserved)

    def test_a_compare_and_a_dry_run_show_it_and_write_nothing(self) -> None:
        self.report(blocked(0))
        self.faults.seen.clear()
        for result in (
            report.compare(self.client, ask(blocked(2)), self.known),
            report.report(
                self.client, ask(blocked(2)), self.known, dry_run=True
            ),
        ):
            (change,) = result.changes
            self.assertEqual((0, 2), (change.published, change.desired))
        self.assertEqual([], self.faults.writes)
        self.assertEqual({}, dict(self.known.shares(make(1).name)))

    def test_after_a_crash_anywhere_it_is_neither_lost_nor_doubled(
        self,
    ) -> None:
        self.client = self.direct
        self.report(blocked(0))
        self.operator(1)
        points = 0
        for before, after in ((0, 2), (3, 1)):
            at, later = 1, False
            while self.dies(before, after, at, later=later):
                at, later = (at + 1, False) if later else (at, True)
                points += 1
        # The intent, the write and what came of it, before and after each.
        self.assertEqual(2 * 3 * 2, points)

    def dies(self, before: int, after: int, at: int, *, later: bool) -> bool:
        """A process dies at one of its writes; the next one goes on.

        :returns: whether it died
        """
        self.report(blocked(before))
        self.assertEqual(1 + before, self.reserved)
        memory: ty.Any = self.known
        client = self.client
        if at == 2:
            client = Dying(self.client, 1, after=later)
        else:
            memory = DyingMemory(self.known, (at + 1) // 2, after=later)
        died = False
        try:
            report.report(client, ask(blocked(after)), memory)
        except Crash:
            died = True
        self.known.rows, self.known.reserved = memory.rows, memory.reserved
        self.report(blocked(after))
        self.assertEqual(1 + after, self.reserved)
        self.report(blocked(0))
        self.assertEqual(1, self.reserved)
        return died and at < 4

    def test_after_a_failure_it_is_what_it_was(self) -> None:
        self.report(blocked(1))
        self.operator(1)
        for reached in (False, True):
            left = [1]

            def rule(
                method: str,
                _: str,
                left: list[int] = left,
                reached: bool = reached,
            ) -> Answer | None:
                if method == "GET" or not left[0]:
                    return None
                left[0] -= 1
                return Answer(500, reached=reached)

            self.faults.rules[:] = [rule]
            self.assertRaises(
                exception.PlacementUnreachable, self.report, blocked(3)
            )
            self.assertEqual(2, self.reserved)
            self.faults.rules.clear()
            self.report(blocked(2))
            self.assertEqual(3, self.reserved)
            self.report(blocked(1))
            self.assertEqual(2, self.reserved)


class NodeTest(cli_case.CliTestCase):
    """The same through a node's store, with the sets that a verdict gives."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=4))
        self.configure(CLASS_SPEC, CLASS_ALIAS)
        self.ok("inventory", "report")
        self.first, self.second = (
            pci_address.PciAddress.parse(f"0000:25:00.{number}")
            for number in (4, 5)
        )

    def report(
        self,
        *blocked: pci_address.PciAddress,
        unknown: ty.Collection[pci_address.PciAddress] = (),
        judged: bool = True,
    ) -> tuple[int, int]:
        """Report, and say what is shown and what is there."""
        on = context.Context(["nova.conf"], [], "host", "state")
        with tracker_store.Store.open(pathlib.Path("state")) as store:
            published = inventory.Publication(
                on.conf,
                on.state_path,
                desired.Desired(
                    tuple(store.devices()),
                    on.declared,
                    store.provider_memory.shares,
                    blocked if judged else None,
                    unknown,
                    reserve_blocked=bool(on.conf.vfio.reserve_blocked),
                ),
                store.provider_memory,
            )
            (shown,) = published.view().desired
            published.report()
            self.assertEqual((), published.compare().changes)
        listed = self.placement.find(shown.name)
        assert listed is not None
        record = self.placement.read(listed).inventories["CUSTOM_NIC"]
        self.assertEqual(4, record["total"])
        return (
            shown.inventories["CUSTOM_NIC"].reserved,
            int(record["reserved"]),
        )

    def test_blocked_unblocked_the_operators_stays(self) -> None:
        self.assertEqual((2, 2), self.report(self.first, self.second))
        self.reserve("compute-1_0000:25:00.0", 3)
        self.assertEqual((2, 2), self.report(self.first, unknown=[]))
        self.assertEqual(
            (2, 2), self.report(unknown=[self.first, self.second])
        )
        self.assertEqual((1, 1), self.report())

    def test_what_somebody_has_stays_given(self) -> None:
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:1")
        (claim,) = self.json("claim", "list")
        (text,) = claim["addresses"]
        both = pci_address.PciAddress.parse(text), self.first
        self.assertEqual((1, 1), self.report(*both))
        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual((2, 2), self.report(*both))

    def test_where_nobody_looked_it_stays_as_it_is(self) -> None:
        self.assertEqual((0, 0), self.report(judged=False))
        self.report(self.first, self.second)
        self.assertEqual((2, 2), self.report(judged=False))
        self.assertEqual((1, 1), self.report(self.first))

    def test_switched_off_ours_is_given_back(self) -> None:
        self.assertEqual((2, 2), self.report(self.first, self.second))
        self.reserve("compute-1_0000:25:00.0", 3)
        self.configure(
            CLASS_SPEC, CLASS_ALIAS, tail="[vfio]\nreserve_blocked = false\n"
        )
        self.assertEqual((1, 1), self.report(self.first, self.second))
