# SPDX-License-Identifier: Apache-2.0
"""When a claim of Nova's that was adopted ends."""

from nova_vfio_variant.node import astray, astray_adopted, liveness
from nova_vfio_variant.tracker import claim_records
from nova_vfio_variant.tracker import device as tracked
from tests import base
from tests.unit.tracker.samples import ONE

RECORD = claim_records.ClaimRecord(
    ONE, "a", tracked.ClaimState.ALLOCATED, "{}", "", {}
)
LIVES = liveness.Answer(liveness.State.YES, "a process runs its guest")
GONE = liveness.Answer(liveness.State.NO)
UNKNOWN = liveness.Answer(liveness.State.UNKNOWN, "no processes are shown")


class DecidedTest(base.TestCase):
    def decided(
        self,
        answer: liveness.Answer,
        allocated: bool | str,
        why_left: str | None = None,
    ) -> tuple[astray.Action, str]:
        found = astray_adopted.decided(RECORD, answer, allocated, why_left)
        assert found is not None
        return found

    def test_what_both_have_is_as_it_should_be(self) -> None:
        for answer in (LIVES, UNKNOWN):
            self.assertIsNone(astray_adopted.decided(RECORD, answer, True))

    def test_it_ends_once_both_have_let_go(self) -> None:
        action, why = self.decided(GONE, False)
        self.assertEqual(astray.Action.FORGET, action)
        self.assertIn("Nova has given back", why)

    def test_what_one_of_them_has_is_left(self) -> None:
        for answer, allocated, said in (
            (GONE, True, "Nova has it allocated still"),
            (LIVES, False, "next update of its resources"),
        ):
            action, why = self.decided(answer, allocated)
            self.assertEqual(astray.Action.LEAVE, action)
            self.assertIn(said, why)

    def test_what_is_not_known_counts_as_had(self) -> None:
        for answer, allocated, said in (
            (UNKNOWN, False, "no processes are shown"),
            (GONE, "it is down", "it is down"),
            (UNKNOWN, "it is down", "it is down"),
        ):
            action, why = self.decided(answer, allocated)
            self.assertEqual(astray.Action.LEAVE, action)
            self.assertIn(said, why)
        self.assertIsNone(astray_adopted.decided(RECORD, LIVES, "it is down"))

    def test_what_is_young_is_left(self) -> None:
        action, why = self.decided(GONE, False, "it was set just now")
        self.assertEqual(
            (astray.Action.LEAVE, "it was set just now"), (action, why)
        )
