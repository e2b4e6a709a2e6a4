# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of what makes, removes and reconciles mediated devices.

Whatever was killed, what is there is on record, the same command again or
reconcile ends what was begun, no attribute is left out, and another tool's
stays.
"""

import contextlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import reconcile
from tests.functional import kill_points, mdev_case
from tests.functional.mdev_case import ATTRIBUTES, CARD, ONE, OTHER, UUID

#: Another tool's.
THEIRS: ty.Final = "5a9d3f0e-6d3f-4f5c-8f39-9d1a3a2d7b10"


class CrashTest(mdev_case.MdevCase):
    def setUp(self) -> None:
        super().setUp()
        self.by_another(THEIRS, OTHER)
        self.guest(ONE)
        # What only a first run writes.
        self.create()
        self.delete()

    def create(self) -> None:
        """Make one."""
        self.make(CARD, uuid=UUID, instance_uuid=ONE, attributes=ATTRIBUTES)

    def delete(self) -> None:
        """Take it away."""
        self.mdevs().delete(UUID)

    def reconcile(self) -> tuple[reconcile.Outcome, ...]:
        """Mend what is astray."""
        return self.node().reconciling.run()

    def assert_on_record(self, what: str) -> None:
        """Another tool's is there, and else none that nobody knows."""
        there = self.there()
        self.assertEqual(OTHER, there.pop(THEIRS), what)
        self.assertLessEqual(set(there), set(self.ours()), what)

    def assert_made(self, what: str) -> None:
        """It is there, as a whole, and once."""
        self.assertEqual({UUID: CARD, THEIRS: OTHER}, self.there(), what)
        self.assertEqual([UUID], [*self.ours()], what)
        self.assertEqual([*ATTRIBUTES], self.attributes(UUID), what)
        self.assert_settled(what)

    def assert_gone(self, what: str) -> None:
        """Nothing of it is left."""
        self.assertEqual({THEIRS: OTHER}, self.there(), what)
        self.assertEqual({}, self.ours(), what)
        self.assert_settled(what)

    def assert_settled(self, what: str) -> None:
        """The journal has nothing that isn't ended."""
        journal = self.node().preparation().journal()
        self.assertEqual({}, journal.unfinished, what)

    def test_a_create_killed_anywhere_is_ended_by_the_same_command(
        self,
    ) -> None:
        at = 0
        while kill_points.killed(at, self.create):
            self.assert_on_record(f"point {at}")
            with contextlib.suppress(exception.HostRefused):
                # It is there as a whole already.
                self.create()
            self.assert_made(f"point {at}")
            self.delete()
            self.assert_gone(f"point {at}")
            at += 1
        self.assertGreater(at, 12)

    def test_a_create_killed_anywhere_is_ended_by_reconcile(self) -> None:
        at = 0
        while kill_points.killed(at, self.create):
            known = self.ours()
            self.reconcile()
            if known:
                self.assert_made(f"point {at}")
                self.delete()
            self.assert_gone(f"point {at}")
            at += 1
        self.assertGreater(at, 12)

    def test_a_create_killed_anywhere_can_be_taken_back(self) -> None:
        at = 0
        while kill_points.killed(at, self.create):
            if self.ours():
                self.delete()
            self.assert_gone(f"point {at}")
            at += 1
        self.assertGreater(at, 12)

    def test_a_delete_killed_anywhere_is_ended_by_the_same_command(
        self,
    ) -> None:
        at = 0
        self.create()
        while kill_points.killed(at, self.delete):
            self.assert_on_record(f"point {at}")
            if self.ours():
                self.delete()
            self.assert_gone(f"point {at}")
            self.create()
            at += 1
        self.assert_gone("not killed")
        self.assertGreater(at, 5)

    def test_a_delete_killed_anywhere_is_ended_by_reconcile(self) -> None:
        at = 0
        self.create()
        while kill_points.killed(at, self.delete):
            what = f"point {at}"
            ours = self.ours().get(UUID)
            self.reconcile()
            if ours is None or ours.goes:
                self.assert_gone(what)
                self.create()
            else:
                self.assert_made(what)
            at += 1
        self.assert_gone("not killed")
        self.assertGreater(at, 5)

    def test_reconcile_killed_anywhere_makes_what_is_missing(self) -> None:
        def lose() -> None:
            if UUID in self.there():
                self.remove(UUID)

        self.create()
        self.kill_reconcile(lose, self.assert_made)

    def test_reconcile_killed_anywhere_frees_what_is_left(self) -> None:
        def leave() -> None:
            self.make(CARD, uuid=UUID, instance_uuid=mdev_case.TWO)
            self.age()

        self.kill_reconcile(leave, self.assert_gone)

    def kill_reconcile(
        self,
        prepare: ty.Callable[[], object],
        assert_mended: ty.Callable[[str], None],
    ) -> None:
        """Kill it at each of its points, and let the next one end it."""
        at = 0
        prepare()
        while kill_points.killed(at, self.reconcile):
            what = f"point {at}"
            self.assert_on_record(what)
            states = {outcome.state for outcome in self.reconcile()}
            self.assertLessEqual(states, {reconcile.State.DONE}, what)
            self.assertEqual((), self.reconcile(), what)
            assert_mended(what)
            prepare()
            at += 1
        assert_mended("not killed")
        self.assertGreater(at, 5)
