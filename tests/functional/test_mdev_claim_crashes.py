# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of a claim with mediated devices, and of its end.

Whatever was killed, what is there is on record with whom it is for, the same
command again ends what was begun, and nothing is left once the claim is gone.
"""

import contextlib

from nova_vfio_variant import exception
from nova_vfio_variant.node import node
from nova_vfio_variant.tracker import device as tracked
from tests.functional import kill_points, mdev_claims_case
from tests.functional.mdev_claims_case import CARDS, ONE

THEIRS = "c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11"


class CrashTest(mdev_claims_case.MdevClaimsCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake.writer().create_mdev(THEIRS, CARDS[0], "nvidia-36")
        self.node = node.Node(["nova.conf"], None, "host", "state")
        self.create()
        self.delete()

    def create(self) -> None:
        """Claim two, of which the first card takes one."""
        self.node.claims.claim(ONE, None, vgpu_types=["nvidia-36:2"])

    def delete(self) -> None:
        """End it."""
        self.node.claims.release(ONE)

    def assert_nothing_astray(self, at: int) -> None:
        """All that is there is another's, or on record with whom it is for."""
        there = self.there()
        self.assertIn(THEIRS, there, f"point {at}")
        rows = {row.uuid: row.instance_uuid for row in self.rows()}
        for uuid in there.keys() - {THEIRS}:
            self.assertEqual(ONE, rows.get(uuid), f"point {at}")

    def assert_clean(self, at: int) -> None:
        """Nothing of the claim is left."""
        self.assertEqual([THEIRS], [*self.there()], f"point {at}")
        self.assertEqual((), self.rows(), f"point {at}")
        self.assertEqual((), self.node.devices.claims(), f"point {at}")

    def test_a_claim_killed_anywhere_is_ended_by_the_same(self) -> None:
        at = 0
        while kill_points.killed(at, self.create):
            self.assert_nothing_astray(at)
            with contextlib.suppress(exception.ClaimError):
                # It has all already.
                self.create()
            (claim,) = self.node.devices.claims()
            self.assertEqual(tracked.Status.ALLOCATED, claim.status)
            self.assertEqual({*claim.mdevs, THEIRS}, {*self.there()})
            self.delete()
            self.assert_clean(at)
            at += 1
        self.assertGreater(at, 15)

    def test_a_claim_killed_anywhere_can_be_taken_back(self) -> None:
        at = 0
        while kill_points.killed(at, self.create):
            if self.node.devices.claims():
                self.delete()
            self.assert_clean(at)
            at += 1
        self.assertGreater(at, 15)

    def test_an_end_killed_anywhere_is_ended_by_the_same_command(self) -> None:
        at = 0
        self.create()
        while kill_points.killed(at, self.delete):
            self.assert_nothing_astray(at)
            if self.node.devices.claims():
                self.delete()
            self.assert_clean(at)
            self.create()
            at += 1
        self.assert_clean(at)
        self.assertGreater(at, 8)
