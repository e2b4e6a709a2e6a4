# SPDX-License-Identifier: Apache-2.0
"""What becomes of a change that a crash left, decided on values."""

import dataclasses

from nova_vfio_variant.host.decide import judgement, plan
from nova_vfio_variant.host.observe import facts, function_state, scanner
from nova_vfio_variant.pci import address as pci_address
from tests import base
from tests.unit.host import plan_case
from tests.unit.host.plan_case import NIC, PF, VF

FINISH, UNDO, LEAVE = judgement.Verdict


def step(
    action: plan.Action, subject: str = NIC, value: str = ""
) -> plan.Step:
    return plan.Step(subject, action, value, "", "")


STEPS = (step(plan.Action.SET_OVERRIDE, value="vfio-pci"),)
BACK = (step(plan.Action.SET_OVERRIDE),)


class ProbesTest(base.TestCase):
    def test_those_of_vfs_that_are_not_known_done_are_left(self) -> None:
        made = step(plan.Action.SET_NUMVFS, PF, "2")
        first, second, own = (
            step(plan.Action.PROBE, name) for name in (NIC, VF, PF)
        )
        change = plan.Change(
            PF,
            plan.What.VFS,
            function_state.State(),
            function_state.State(),
            (made, first, second, own),
        )
        unfinished = plan.Unfinished(
            1, change, plan.Command.APPLY, done=[made, first]
        )
        self.assertEqual((second,), judgement._probes_left(unfinished))


class JudgeTest(plan_case.PlanCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = facts.gather(scanner.scan(self.host.tree))

    def judge(
        self,
        change: plan.Change,
        *,
        forward: tuple[plan.Step, ...] = (),
        back: tuple[plan.Step, ...] = (),
        now: facts.HostFacts | None = None,
        trouble: str | None = None,
        hung: bool = False,
    ) -> judgement.Judgement:
        now = now or self.now
        state = None
        if change.what is not plan.What.MODULE:
            at = pci_address.PciAddress.parse(change.subject)
            state = now.states.get(at)
        return judgement.judge(
            plan.Unfinished(
                1, change, plan.Command.APPLY, trouble=trouble, hung=hung
            ),
            now,
            state,
            forward,
            back,
        )

    def test_a_module_that_is_loaded_is_done(self) -> None:
        state = function_state.State()
        change = plan.Change("igb", plan.What.MODULE, state, state, ())
        found = self.judge(change)
        self.assertEqual(FINISH, found.verdict)
        self.assertEqual("the module is loaded", found.reason)
        other = dataclasses.replace(change, subject="no_such")
        self.assertEqual(UNDO, self.judge(other).verdict)

    def override(self) -> plan.Change:
        """One of a NIC that is on no driver yet."""
        before = self.now.states[pci_address.PciAddress.parse(NIC)]
        after = function_state.State("vfio-pci", "vfio-pci")
        return plan.Change(NIC, plan.What.DRIVER, before, after, STEPS)

    def test_what_nothing_is_left_of_to_do_is_done(self) -> None:
        found = self.judge(self.override())
        self.assertEqual((FINISH, ()), (found.verdict, found.steps))

    def test_what_is_left_is_done_if_nothing_is_in_the_way(self) -> None:
        found = self.judge(self.override(), forward=STEPS)
        self.assertEqual((FINISH, STEPS), (found.verdict, found.steps))

    def test_what_failed_is_taken_back(self) -> None:
        found = self.judge(
            self.override(), forward=STEPS, back=BACK, trouble="EIO"
        )
        self.assertEqual(
            (UNDO, "it failed: EIO", BACK),
            (found.verdict, found.reason, found.steps),
        )

    def test_what_hung_is_tried_again(self) -> None:
        found = self.judge(
            self.override(), forward=STEPS, trouble="it hangs", hung=True
        )
        self.assertEqual(FINISH, found.verdict)

    def test_what_failed_before_it_did_anything_needs_no_way_back(
        self,
    ) -> None:
        found = self.judge(self.override(), forward=STEPS, trouble="EIO")
        self.assertEqual((UNDO, ()), (found.verdict, found.steps))
        self.assertIn("nothing of it is there", found.reason)

    def test_what_is_in_use_stays_as_it_is(self) -> None:
        at = pci_address.PciAddress.parse(NIC)
        now = self.now.knowing(owners={at: "x"})
        unbind = (step(plan.Action.UNBIND),)
        found = self.judge(
            self.override(), forward=unbind, back=unbind, now=now
        )
        self.assertEqual(
            (LEAVE, "instance x has it"), (found.verdict, found.reason)
        )

    def test_of_a_function_that_is_gone_nothing_is_left(self) -> None:
        change = dataclasses.replace(self.override(), subject="0000:77:00.0")
        found = self.judge(change, forward=STEPS)
        self.assertEqual((UNDO, True), (found.verdict, found.gone))

    def test_what_somebody_else_changed_meanwhile_is_left(self) -> None:
        change = self.override()
        at = pci_address.PciAddress.parse(NIC)
        for theirs in (
            function_state.State("theirs"),
            function_state.State(change.before.driver, "theirs"),
        ):
            now = dataclasses.replace(
                self.now, states={**self.now.states, at: theirs}
            )
            found = self.judge(change, forward=STEPS, now=now)
            self.assertEqual(LEAVE, found.verdict)
            self.assertIn(theirs.shown, found.reason)

    def test_a_number_of_vfs_that_nobody_asked_for_is_somebody_elses(
        self,
    ) -> None:
        at = pci_address.PciAddress.parse(PF)
        before = self.now.states[at]
        after = dataclasses.replace(before, numvfs=4)
        four = step(plan.Action.SET_NUMVFS, PF, "4")
        change = plan.Change(PF, plan.What.VFS, before, after, (four,))
        for number, verdict in ((0, FINISH), (4, FINISH), (2, LEAVE)):
            seen = dataclasses.replace(before, numvfs=number)
            now = dataclasses.replace(
                self.now, states={**self.now.states, at: seen}
            )
            found = self.judge(change, forward=(four,), now=now)
            self.assertEqual(verdict, found.verdict, str(number))
            if verdict is LEAVE:
                self.assertIn("it has 2 VFs, and", found.reason)
