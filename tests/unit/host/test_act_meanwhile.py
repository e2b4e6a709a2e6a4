# SPDX-License-Identifier: Apache-2.0
"""Each change is decided once more with its locks held."""

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import act, apply, plan, restore
from tests.unit.host import test_act, test_plan
from tests.unit.host.test_plan import NIC, OTHER, PF, VF

VF_TOO = "0000:21:10.2"
VFS = (VF, VF_TOO)


class MeanwhileTest(test_act.ActCase):
    """What happens while other changes are done, or a lock is waited for."""

    def setUp(self) -> None:
        super().setUp()
        self.host.hands().set_numvfs(PF, 2)
        for name in (VF, VF_TOO):
            self.host.hands().set_override(name, "vfio-pci")
            self.host.hands().unbind(name)
            self.host.hands().probe(name)
        self.specs = test_plan.specs(
            *(f'{{"address": "{one}", "driver": "host"}}' for one in VFS)
        )

    def after_the_first(self, what: ty.Callable[[], object]) -> act.Actor:
        """Let something happen once the first function is done."""
        actor = self.actor()

        def progress(
            _change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            if (step.subject, step.action, state) == (VF, "probe", "done"):
                what()

        actor._progress = progress
        return actor

    def test_what_is_opened_by_then_is_not_touched(self) -> None:
        actor = self.after_the_first(lambda: self.host.hold(VF_TOO))
        outcome = apply.Outcome()
        error = self.assertRaises(
            exception.HostRefused,
            apply.apply,
            actor,
            self.specs,
            {},
            outcome=outcome,
        )
        self.assertIn(f"{VF_TOO}: /dev/vfio/", error.message)
        self.assertIn("is open in process", error.message)
        self.assertEqual([VF], [one.subject for one in outcome.done])
        states = self.states()
        self.assertEqual("igbvf", states[VF].driver)
        self.assertEqual(plan.State("vfio-pci", "vfio-pci"), states[VF_TOO])
        self.assertNotIn(VF_TOO, self.actor().journal.priors)

    def test_what_is_otherwise_by_then_comes_back_as_it_is(self) -> None:
        actor = self.after_the_first(
            lambda: self.host.hands().set_override(VF_TOO, "nobody")
        )
        self.assertEqual([], apply.apply(actor, self.specs, {}).failed)
        self.assertEqual(plan.State("igbvf"), self.states()[VF_TOO])
        self.assertEqual(
            plan.State("vfio-pci", "nobody"),
            self.actor().journal.priors[VF_TOO].state,
        )

    def test_what_is_done_by_then_is_not_done_again(self) -> None:
        def bind() -> None:
            self.host.hands().set_override(VF_TOO, "")
            self.host.hands().unbind(VF_TOO)
            self.host.hands().probe(VF_TOO)

        outcome = apply.apply(self.after_the_first(bind), self.specs, {})
        self.assertEqual([], outcome.failed)
        self.assertEqual([VF], [one.subject for one in outcome.done])
        self.assertNotIn(VF_TOO, self.actor().journal.priors)

    def test_a_restore_looks_again_too(self) -> None:
        apply.apply(self.actor(), self.specs, {})
        actor = self.actor()

        def progress(
            _change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            # The last one that was touched is the first to go back.
            if (step.subject, step.action, state) == (
                VF_TOO,
                "probe",
                "done",
            ):
                self.host.hands().set_override(VF, "vfio-pci")
                self.host.hands().unbind(VF)
                self.host.hands().probe(VF)
                self.written = len(self.host.written)
                self.host.hold(VF)

        actor._progress = progress
        self.assertEqual([], restore.restore(actor, {}))
        mine = self.host.written[self.written :]
        self.assertEqual([], [one for one in mine if VF in one])

    def test_a_companion_of_what_is_opened_by_then_is_given_back(self) -> None:
        before = self.states()
        pair = test_plan.specs(test_act.PAIR)
        actor = self.actor()

        def progress(
            _change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            if (step.subject, step.action, state) == (OTHER, "unbind", "done"):
                net = self.host.root / f"sys/bus/pci/devices/{NIC}/net/eth0"
                net.mkdir(parents=True)
                (net / "flags").write_text("0x1003\n")

        actor._progress = progress
        error = self.assertRaises(
            exception.HostRefused, apply.apply, actor, pair, {}
        )
        self.assertIn(f"{NIC}: ", error.message)
        self.assertEqual(before, self.states())
