# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of reconcile; then reconcile again.

Whatever it leaves, the next run ends it: nothing of a gone instance is left in
the store, on the host or in Placement, whoever lives has what it claimed, and
nobody else's type is touched. A run is also killed at its first point, the
next at its second, and so on, until one comes to its end.

What is killed within a write to the host is tried with real processes.
"""

import contextlib
import os
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import node, reconcile
from tests.functional import kill_points, vgpu_case
from tests.functional.cli_case import ONE, TWO
from tests.functional.vgpu_case import OTHER, VF


class ReconcileCrashCase(vgpu_case.VgpuCase):
    #: Whose type is seen to, and whose stays.
    vf, other = VF, OTHER
    #: What stands there in the end.
    wanted = "0"

    def setUp(self) -> None:
        super().setUp()
        self.node = node.Node(["nova.conf"], None, "host", "state")
        self.give_theirs()
        self.guest(TWO)
        self.theirs = self.of_others()
        self.claimed = self.json("claim", "list")

    def give_theirs(self) -> None:
        """Give another instance, which lives, a vGPU."""
        self.give(OTHER, TWO, assignment="theirs")

    def of_others(self) -> list[ty.Any]:
        """What the store has of vGPUs that isn't seen to."""
        return [vgpu for vgpu in self.ours() if vgpu.instance_uuid != ONE]

    def reconcile(self) -> tuple[reconcile.Outcome, ...]:
        """Run it in this process."""
        return self.node.reconciling.run()

    def assert_mended(self, what: str) -> None:
        """The next run leaves nothing to be done."""
        states = {outcome.state for outcome in self.reconcile()}
        self.assertLessEqual(states, {reconcile.State.DONE}, what)
        self.assertEqual((), self.reconcile(), what)
        self.assertEqual(
            (self.wanted, "557"),
            (self.type_of(self.vf), self.type_of(self.other)),
            what,
        )
        self.assertEqual(self.theirs, self.of_others(), what)
        self.assertEqual([], [*self.node.preparation().journal().unsettled])

    def kill_everywhere(
        self, prepare: ty.Callable[[], object], least: int
    ) -> None:
        """Kill it at each of its points."""
        prepare()
        self.kill(self.reconcile, self.assert_mended, least)
        self.kill_on()
        self.assert_mended("killed again and again")

    def kill(
        self,
        command: ty.Callable[[], object],
        look: ty.Callable[[str], object],
        least: int,
    ) -> None:
        """Kill a command at each of its points, of which there are so many."""
        points = kill_points.kill_everywhere(command, look, self.folder)
        self.assertGreaterEqual(points, least)

    def kill_on(self) -> None:
        """Kill it, each time one point later than the last."""
        at = 0
        while kill_points.killed(at, self.reconcile):
            self.assertEqual("557", self.type_of(self.other), str(at))
            at += 1


class FreeCrashTest(ReconcileCrashCase):
    def assert_mended(self, what: str) -> None:
        super().assert_mended(what)
        self.assertEqual(self.claimed, self.json("claim", "list"), what)

    def test_what_is_left_of_an_instance(self) -> None:
        self.kill_everywhere(self.give, 16)

    def test_what_is_killed_within_a_write(self) -> None:
        for after in (False, True):
            for who in ("writer", "both"):
                self.give()
                pid = os.fork()
                if not pid:
                    self.fake.fault(1, crash=who, after=after)
                    self.run_cli("reconcile")
                    os._exit(0)
                os.waitpid(pid, 0)
                self.assert_mended(f"{who}, {after=}")


class OfClaimsCase(ReconcileCrashCase):
    def give_theirs(self) -> None:
        self.other = self.claim(TWO)
        self.age()

    def claim(self, instance: str = ONE) -> str:
        """Claim one."""
        (claim,) = self.node.claims.claim(
            instance, None, vgpu_types=["NVIDIA A16-4Q"]
        )
        (address,) = claim.addresses
        return str(address)

    def of_one(self) -> None:
        """Give the other instance one that is old."""
        self.vf = self.claim()
        self.assertNotEqual(self.other, self.vf)
        self.age_mine()

    def age_mine(self) -> None:
        """Let it be old."""
        self.age()
        self.theirs = self.of_others()


class ClaimCrashTest(OfClaimsCase):
    """The instance is gone."""

    def assert_mended(self, what: str) -> None:
        super().assert_mended(what)
        self.assertEqual(self.theirs, self.ours(), what)
        self.assertEqual(self.claimed, self.json("claim", "list"), what)
        self.assertEqual({}, self.allocations(ONE), what)

    def test_what_an_instance_has_claimed(self) -> None:
        self.kill_everywhere(self.of_one, 22)

    def test_what_a_claim_was_killed_in_the_middle_of(self) -> None:
        self.vf = OTHER if self.other == VF else VF

        def look(what: str) -> None:
            if what != kill_points.NOT_KILLED:
                self.age_mine()
                self.kill_on()
                self.assert_mended(what)

        self.kill(self.claim, look, 26)

    def test_what_an_end_was_killed_in_the_middle_of(self) -> None:
        def end() -> None:
            with contextlib.suppress(exception.ClaimError):
                self.node.claims.release(ONE)

        def look(what: str) -> None:
            if what != kill_points.NOT_KILLED:
                self.age_mine()
                self.assert_mended(what)

        self.of_one()
        self.kill(end, look, 22)


class LostCrashTest(OfClaimsCase):
    """The instance lives, and its VF has lost its type."""

    wanted = "557"

    def test_what_a_claim_has_lost(self) -> None:
        self.of_one()
        self.guest(ONE)
        held = self.allocations(ONE)
        self.kill_everywhere(lambda: self.set_type("0", self.vf), 12)
        self.assertEqual(held, self.allocations(ONE))
        self.assertEqual(
            {ONE, TWO},
            {claim["instance_uuid"] for claim in self.json("claim", "list")},
        )


class DeclaredCrashTest(ReconcileCrashCase):
    """What is declared is set by the next run."""

    wanted = "557"

    def setUp(self) -> None:
        super().setUp()
        self.ok("vgpu", "set", VF, "NVIDIA A16-4Q")
        self.theirs = self.of_others()

    def test_what_is_declared(self) -> None:
        self.kill_everywhere(lambda: self.set_type("0"), 10)
