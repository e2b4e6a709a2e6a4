# SPDX-License-Identifier: Apache-2.0
"""Each change is decided once more with its locks held."""

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import apply, undoing
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.host.observe.use import device_files
from tests.unit.host import act_case, acting, plan_case
from tests.unit.host.plan_case import NIC, OTHER, PF, VF

VF_TOO = "0000:21:10.2"
VFS = (VF, VF_TOO)


class MeanwhileCase(act_case.ActCase):
    """Something happens between two changes."""

    def after_the_first(
        self, what: ty.Callable[[], object]
    ) -> host_actor.Actor:
        """Let something happen once the first function is done."""
        actor = self.actor()

        def progress(
            _change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            if (step.subject, step.action, state) == (VF, "probe", "done"):
                what()

        actor.observer = acting.Told(progress)
        return actor


class MeanwhileTest(MeanwhileCase):
    """What happens while other changes are done, or a lock is waited for."""

    def setUp(self) -> None:
        super().setUp()
        self.host.writer().set_numvfs(PF, 2)
        for name in (VF, VF_TOO):
            self.host.writer().set_override(name, "vfio-pci")
            self.host.writer().unbind(name)
            self.host.writer().probe(name)
        self.specs = plan_case.specs(
            *(f'{{"address": "{one}", "driver": "host"}}' for one in VFS)
        )

    def test_what_is_opened_by_then_is_not_touched(self) -> None:
        actor = self.after_the_first(lambda: self.host.hold(VF_TOO))
        told = ty.cast("acting.Told", actor.observer)
        error = self.assertRaises(
            exception.HostRefused,
            apply.apply,
            actor,
            self.specs,
            {},
        )
        self.assertIn(f"{VF_TOO}: /dev/vfio/", error.message)
        self.assertIn("is open in process", error.message)
        self.assertEqual([VF], [change.subject for change in told.changes])
        states = self.states()
        self.assertEqual("igbvf", states[VF].driver)
        self.assertEqual(
            function_state.State("vfio-pci", "vfio-pci"), states[VF_TOO]
        )
        self.assertNotIn(VF_TOO, self.actor().journal.priors)

    def test_what_is_otherwise_by_then_comes_back_as_it_is(self) -> None:
        actor = self.after_the_first(
            lambda: self.host.writer().set_override(VF_TOO, "nobody")
        )
        self.assertEqual((), apply.apply(actor, self.specs).failed)
        self.assertEqual(function_state.State("igbvf"), self.states()[VF_TOO])
        self.assertEqual(
            function_state.State("vfio-pci", "nobody"),
            self.actor().journal.priors[VF_TOO].state,
        )

    def test_what_is_done_by_then_is_not_done_again(self) -> None:
        def bind() -> None:
            self.host.writer().set_override(VF_TOO, "")
            self.host.writer().unbind(VF_TOO)
            self.host.writer().probe(VF_TOO)

        outcome = apply.apply(self.after_the_first(bind), self.specs)
        self.assertEqual((), outcome.failed)
        self.assertEqual([VF], [change.subject for change in outcome.done])
        self.assertNotIn(VF_TOO, self.actor().journal.priors)

    def test_a_restore_looks_again_too(self) -> None:
        apply.apply(self.actor(), self.specs)
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
                self.host.writer().set_override(VF, "vfio-pci")
                self.host.writer().unbind(VF)
                self.host.writer().probe(VF)
                self.written = len(self.host.written)
                self.host.hold(VF)

        actor.observer = acting.Told(progress)
        self.assertEqual((), undoing.restore(actor))
        mine = self.host.written[self.written :]
        self.assertEqual([], [one for one in mine if VF in one])

    def test_a_companion_of_what_is_opened_by_then_is_given_back(self) -> None:
        before = self.states()
        pair = plan_case.specs(act_case.PAIR)
        actor = self.actor()

        def progress(
            _change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            if (step.subject, step.action, state) == (OTHER, "unbind", "done"):
                net = self.host.root / f"sys/bus/pci/devices/{NIC}/net/eth0"
                net.mkdir(parents=True)
                (net / "flags").write_text("0x1003\n")

        actor.observer = acting.Told(progress)
        error = self.assertRaises(
            exception.HostRefused, apply.apply, actor, pair, {}
        )
        self.assertIn(f"{NIC}: ", error.message)
        self.assertEqual(before, self.states())


class LooksTest(act_case.ActCase):
    """A whole look at the host is dear: it grows with the host."""

    def setUp(self) -> None:
        super().setUp()
        self.looks = 0

    def actor(self) -> host_actor.Actor:
        actor = super().actor()
        look = self.by.look

        def counted() -> device_files.OpenFiles:
            self.looks += 1
            return look()

        self.by.look = counted
        return actor

    def of_apply(self, count: int) -> int:
        """How many looks it takes to make VFs and give each a driver."""
        self.looks = 0
        num_vfs = plan_case.FOUR_VFS.replace("4", str(count))
        outcome = self.apply(num_vfs, plan_case.ON_VFIO)
        self.assertEqual((), outcome.failed)
        self.assertEqual(count + 1, len(outcome.done))
        return self.looks

    def test_vfs_that_nobody_has_yet_cost_no_look_each(self) -> None:
        few = self.of_apply(1)
        undoing.restore(self.actor())
        self.assertEqual(few, self.of_apply(6))

    def test_a_function_that_is_taken_from_a_driver_costs_one(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        self.apply(plan_case.ON_VFIO)
        few = self.looks
        self.looks = 0
        self.host.writer().set_numvfs(PF, 0)
        self.host.writer().set_numvfs(PF, 4)
        self.apply(plan_case.ON_VFIO)
        self.assertEqual(few + 3, self.looks)


class WithoutDriverTest(MeanwhileCase):
    """What happens to functions that nobody had when it was decided."""

    def setUp(self) -> None:
        super().setUp()
        writer = self.host.writer()
        writer.set_autoprobe(PF, False)
        writer.set_numvfs(PF, 2)
        for name in (NIC, OTHER):
            if writer.driver(name):
                writer.unbind(name)

    def apply_while(
        self, what: ty.Callable[[], object], *texts: str
    ) -> apply.Applied:
        """Apply, and let something happen once the first VF is done."""
        actor = self.after_the_first(what)
        return apply.apply(actor, plan_case.specs(*texts))

    def bind(self, name: str, driver: str = "igbvf") -> None:
        writer = self.host.writer()
        writer.set_override(name, driver)
        writer.probe(name)
        writer.set_override(name, "")
        self.assertEqual(driver, writer.driver(name))

    def test_what_is_bound_by_then_is_decided_anew(self) -> None:
        outcome = self.apply_while(
            lambda: self.bind(VF_TOO), plan_case.ON_VFIO
        )
        self.assertEqual((), outcome.failed)
        self.assertEqual("vfio-pci", self.states()[VF_TOO].driver)
        self.assertEqual(
            function_state.State("igbvf"),
            self.actor().journal.priors[VF_TOO].state,
        )

    def test_what_is_bound_and_used_by_then_is_not_touched(self) -> None:
        def use() -> None:
            self.bind(VF_TOO)
            net = self.host.root / f"sys/bus/pci/devices/{VF_TOO}/net/eth0"
            net.mkdir(parents=True)
            (net / "flags").write_text("0x1003\n")
            (net / "master").symlink_to("../../../../virtual/net/br0")

        error = self.assertRaises(
            exception.HostRefused, self.apply_while, use, plan_case.ON_VFIO
        )
        self.assertIn(f"{VF_TOO}: ", error.message)
        self.assertEqual(function_state.State("igbvf"), self.states()[VF_TOO])

    def test_what_is_gone_by_then_is_left(self) -> None:
        outcome = self.apply_while(
            lambda: self.host.vanish(VF_TOO), plan_case.ON_VFIO
        )
        self.assertEqual((), outcome.failed)
        self.assertEqual([VF], [change.subject for change in outcome.done])

    def test_a_member_of_its_group_that_is_bound_by_then_counts(self) -> None:
        alone = f'{{"address": "{NIC}", "driver": "vfio-pci"}}'
        error = self.assertRaises(
            exception.HostRefused,
            self.apply_while,
            lambda: self.bind(OTHER, "e1000"),
            plan_case.ON_VFIO,
            alone,
        )
        self.assertIn(f"{OTHER} is in IOMMU group", error.message)
        self.assertEqual(function_state.State(), self.states()[NIC])

    def test_a_member_of_its_group_that_is_not_readable_counts(self) -> None:
        driver = self.host.root / f"sys/bus/pci/devices/{OTHER}/driver"
        error = self.assertRaises(
            exception.HostRefused,
            self.apply_while,
            lambda: driver.write_text("no link"),
            plan_case.ON_VFIO,
            f'{{"address": "{NIC}", "driver": "vfio-pci"}}',
        )
        self.assertIn("on a driver that could not be read", error.message)
        self.assertEqual(function_state.State(), self.states()[NIC])
