# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of a claim with a vGPU type, and of its end.

Whatever was killed, nobody's type is lost, what is ours is known as ours, the
same command again ends what was begun, and nothing is left once the claim is
gone.
"""

import contextlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import node
from nova_vfio_variant.tracker import device as tracked
from tests.functional import claimed_vgpus, kill_points

ONE, VFS = claimed_vgpus.ONE, claimed_vgpus.VFS
#: Another tool's, on the last VF.
THEIRS: ty.Final = "560"


class CrashTest(claimed_vgpus.OnDemand):
    def setUp(self) -> None:
        super().setUp()
        self.fake.writer().set_vgpu_type(VFS[3], THEIRS)
        self.node = node.Node(["nova.conf"], None, "host", "state")
        self.create()
        self.delete()

    def create(self) -> None:
        """Claim one."""
        self.node.claims.claim(ONE, "q8:1")

    def delete(self) -> None:
        """End it."""
        self.node.claims.release(ONE)

    def assert_nothing_astray(self, at: int) -> None:
        """Each type is another's, or on record with whom it is for."""
        rows = {str(row.address): row for row in self.rows()}
        for vf, kind in zip(VFS, self.types(), strict=True):
            if vf == VFS[3]:
                self.assertEqual(THEIRS, kind, f"point {at}")
            elif kind != "0":
                self.assertIn(vf, rows, f"point {at}")
                self.assertEqual(
                    ("558", ONE), (rows[vf].type_id, rows[vf].instance_uuid)
                )

    def assert_clean(self, at: int) -> None:
        """Nothing of the claim is left."""
        self.assertEqual(["0", "0", "0", THEIRS], self.types(), f"point {at}")
        self.assertEqual((), self.rows(), f"point {at}")
        self.assertEqual((), self.node.devices.claims(), f"point {at}")
        self.assertEqual({}, self.allocations(ONE), f"point {at}")

    def test_a_claim_killed_anywhere_is_ended_by_the_same_or_a_report(
        self,
    ) -> None:
        at = 0
        while kill_points.killed(at, self.create):
            self.assert_nothing_astray(at)
            if at % 2 and self.node.devices.claims():
                self.node.reporting.report()
            else:
                with contextlib.suppress(exception.ClaimError):
                    # It has all already.
                    self.create()
            (claim,) = self.node.devices.claims()
            self.assertEqual(tracked.Status.ALLOCATED, claim.status)
            (row,) = self.rows()
            self.assertEqual(claim.addresses, (row.address,))
            self.assertEqual("558", self.type_of(str(row.address)))
            self.assertEqual(1, len(self.allocations(ONE)), f"point {at}")
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

    def test_an_end_killed_anywhere_is_ended_by_the_same_command(
        self,
    ) -> None:
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
