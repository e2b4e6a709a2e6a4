# SPDX-License-Identifier: Apache-2.0
"""What becomes of a change that a crash left in the middle."""

import logging
import os
import typing as ty

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import apply, lock, recover, undoing
from nova_vfio_variant.host.decide import judgement, plan, restore
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import address as pci_address
from tests.unit.host import act_case, acting, plan_case
from tests.unit.host.plan_case import NIC, OTHER, PF, VF

VF_TOO = "0000:21:10.2"


class Crash(BaseException):
    """As if killed: nothing that follows is run."""


def _die(*_args: object) -> None:
    raise Crash


class RecoverTest(act_case.ActCase):
    def crash(self, where: str, *texts: str) -> None:
        """Apply, and die when a step is begun or done."""
        actor = self.actor()
        specs = plan_case.specs(*texts)

        def die(
            _change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            if f"{state} {step}" == where:
                raise Crash

        actor.observer = acting.Told(die)
        self.assertRaises(Crash, apply.apply, actor, specs)
        actor.journal.close()

    def recovered(
        self, owners: dict[pci_address.PciAddress, str] | None = None
    ) -> tuple[judgement.Judgement, ...]:
        self.owners.update(owners or {})
        return recover.recover(self.actor())

    def assert_verdict(
        self,
        verdict: judgement.Verdict,
        found: ty.Sequence[judgement.Judgement],
    ) -> None:
        self.assertEqual([verdict], [judged.verdict for judged in found])

    def test_nothing_is_done_where_nothing_was_left(self) -> None:
        self.assertEqual((), self.recovered())
        self.assertFalse(self.state.exists())

    def test_what_nothing_is_in_the_way_of_is_finished(self) -> None:
        for place, where in enumerate(
            (
                f"begun {NIC} set-override vfio-pci",
                f"done {NIC} set-override vfio-pci",
                f"done {NIC} unbind",
                f"begun {NIC} probe vfio-pci",
                f"done {NIC} probe vfio-pci",
            )
        ):
            self.crash(where, act_case.PAIR)
            self.assertEqual("unfinished", self.actor().journal.account(NIC))
            self.assert_verdict(judgement.Verdict.FINISH, self.recovered())
            self.assertEqual("as declared", self.actor().journal.account(NIC))
            self.assertEqual(
                function_state.State("vfio-pci", "vfio-pci"),
                self.states()[NIC],
            )
            # And a second recovery finds nothing more to do.
            self.assertEqual((), self.recovered(), str(place))
            undoing.restore(self.actor())
            self.assertEqual("as before", self.actor().journal.account(NIC))

    def test_what_is_claimed_meanwhile_is_undone(self) -> None:
        before = self.states()[NIC]
        self.crash(f"done {NIC} set-override vfio-pci", act_case.PAIR)
        nic = pci_address.PciAddress.parse(NIC)
        found = self.recovered({nic: "x"})
        self.assert_verdict(judgement.Verdict.UNDO, found)
        self.assertEqual("instance x has it", found[0].reason)
        self.assertEqual(before, self.states()[NIC])
        self.assertEqual("as before", self.actor().journal.account(NIC))

    def test_a_pf_that_has_vfs_meanwhile_stays_on_its_driver(self) -> None:
        away = (
            '{"address": "0000:21:00.0", "driver": "vfio-pci",'
            ' "allow_pf": true}'
        )
        self.crash(f"done {PF} set-override vfio-pci", away)
        self.host.writer().set_numvfs(PF, 2)
        found = self.recovered()
        self.assert_verdict(judgement.Verdict.UNDO, found)
        self.assertIn("it has 2 VFs", found[0].reason)
        self.assertEqual(
            function_state.State("igb", None, 2, True), self.states()[PF]
        )

    def test_what_somebody_else_changed_is_left_and_reported(self) -> None:
        self.crash(f"done {NIC} unbind", act_case.PAIR)
        self.host.writer().set_override(NIC, "igbvf")
        self.host.writer().probe(NIC)
        before = self.host.picture()
        for _ in range(2):
            found = self.recovered()
            self.assert_verdict(judgement.Verdict.LEAVE, found)
            self.assertIn("somebody else changed it", found[0].reason)
            self.assertRaises(
                exception.HostRefused, undoing.restore, self.actor()
            )
            self.assertEqual(before, self.host.picture())
        self.assertEqual("unfinished", self.actor().journal.account(NIC))

    def test_a_card_that_its_tool_left_off_its_driver_gets_it_back(
        self,
    ) -> None:
        card = "0000:25:00.0"
        self.host.add_driver("nvidia", ["10de:25b6"], makes_vfs=True)
        self.host.add_driver("pci-pf-stub", makes_vfs=True)
        self.host.add(card, "10de:25b6", vfs=3, class_code=0x030200)
        before = self.host.picture()
        tool = self.host.root / "usr/bin/sriov-manage"
        tool.parent.mkdir(parents=True)
        for driver in ("", "pci-pf-stub", "vfio-pci"):
            tool.touch()
            self.crash(
                f"begun {card} set-numvfs 3",
                f'{{"address": "{card}", "num_vfs": 3}}',
            )
            writer = self.host.writer()
            writer.unbind(card)
            if driver:
                writer.set_override(card, driver)
                writer.probe(card)
                writer.set_override(card, "")
            # It can't be finished: the tool is there no longer.
            tool.unlink()
            (found,) = self.recovered()
            if driver == "vfio-pci":
                self.assertEqual(judgement.Verdict.LEAVE, found.verdict)
                self.assertIn("it is on vfio-pci", found.reason)
            else:
                self.assertEqual(judgement.Verdict.UNDO, found.verdict)
                self.assertIn(
                    "sriov-manage is in none of /usr/lib", found.reason
                )
                self.assertEqual(before, self.host.picture())
                self.assertEqual(
                    "as before", self.actor().journal.account(card)
                )

    def test_a_function_that_is_gone_needs_nothing(self) -> None:
        self.crash(f"done {NIC} unbind", act_case.PAIR)
        (self.host.root / "sys/bus/pci/devices" / NIC).unlink()
        found = self.recovered()
        self.assert_verdict(judgement.Verdict.UNDO, found)
        self.assertTrue(found[0].gone)
        self.assertEqual((), self.recovered())
        self.assertNotIn(NIC, self.actor().journal.priors)

    def test_a_function_that_can_not_be_read_is_left_and_remembered(
        self,
    ) -> None:
        self.crash(f"done {NIC} unbind", act_case.PAIR)
        where = self.host.root / "sys/bus/pci/devices" / NIC
        texts = {n: (where / n).read_text() for n in ("modalias", "vendor")}
        for name in texts:
            (where / name).unlink()
        self.assert_verdict(judgement.Verdict.LEAVE, self.recovered())
        actor = self.actor()
        self.assertIn(NIC, actor.journal.priors)
        found = restore.decision(actor.journal.priors, actor.look())
        self.assertIn("can't be read", found.refusals[0].message)
        actor.journal.close()
        for name, text in texts.items():
            (where / name).write_text(text)
        self.assert_verdict(judgement.Verdict.FINISH, self.recovered())

    def test_a_group_that_a_helper_is_busy_with_is_left(self) -> None:
        self.crash(f"done {NIC} unbind", act_case.PAIR)
        # Long enough for a process to start on a machine that is busy.
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.act.actor.LOCK_TIMEOUT", 2
            )
        )
        with lock.hold(self.host.root, ["group-2"], 0):
            found = self.recovered()
        self.assert_verdict(judgement.Verdict.LEAVE, found)
        self.assertIn("still holds the lock", found[0].reason)
        # Killed before it could tell what hangs there.
        self.assertIn("still holds the lock", str(self.quarantined[NIC]))
        self.assert_verdict(judgement.Verdict.FINISH, self.recovered())
        self.assertIsNone(self.quarantined[NIC])

    def test_a_function_that_makes_readers_wait_is_left(self) -> None:
        # As driver_override did on older kernels, while an unbind waits.
        self.crash(f"done {NIC} unbind", act_case.PAIR)
        self.useFixture(fixtures.Timeout(30, gentle=True))
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.act.actor.LOCK_TIMEOUT", 2
            )
        )
        path = self.host.root / "sys/bus/pci/devices" / NIC / "driver_override"
        kept = self.folder / "kept"
        path.rename(kept)
        os.mkfifo(path)
        actor = self.actor()
        told = ty.cast("acting.Told", actor.observer)
        error = self.assertRaises(
            exception.HostStepHung, recover.recover, actor
        )
        self.assertIn(f"{NIC} can't be read", error.message)
        self.assert_verdict(judgement.Verdict.LEAVE, told.judgements)
        self.assertIn("can't be read", str(self.quarantined[NIC]))
        # Whoever waits goes on.
        os.close(os.open(path, os.O_RDWR))
        kept.rename(path)
        self.assert_verdict(judgement.Verdict.FINISH, self.recovered())
        self.assertIsNone(self.quarantined[NIC])

    def test_a_number_of_vfs_is_finished_from_every_point(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        for where in (
            f"begun {PF} set-autoprobe 0",
            f"done {PF} set-autoprobe 0",
            f"done {PF} set-numvfs 0",
            f"begun {PF} set-numvfs 4",
            f"done {PF} set-numvfs 4",
            f"done {PF} set-autoprobe 1",
            "begun 0000:21:10.4 probe",
        ):
            self.crash(
                where,
                plan_case.FOUR_VFS,
                '{"address": "0000:21:10.0", "driver": "vfio-pci"}',
            )
            self.assert_verdict(judgement.Verdict.FINISH, self.recovered())
            states = self.states()
            self.assertEqual(
                function_state.State("igb", None, 4, True), states[PF]
            )
            self.assertEqual("igbvf", states["0000:21:10.6"].driver)
            undoing.restore(self.actor())
            self.assertEqual(2, self.states()[PF].numvfs)

    def test_vfs_whose_change_is_undone_are_what_they_were(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.host.writer().set_override(VF, "vfio-pci")
        self.host.writer().unbind(VF)
        self.host.writer().probe(VF)
        before = self.host.picture()
        self.crash(f"done {PF} set-numvfs 0", plan_case.FOUR_VFS)
        # Four can't be made any more: it is tried, and then taken back.
        self.failing[f"{PF} set-numvfs 4"] = 12
        self.assert_verdict(judgement.Verdict.UNDO, self.recovered())
        self.assertEqual(before, self.host.picture())
        self.assertEqual({}, self.actor().journal.priors)

    def test_new_vfs_have_drivers_though_they_were_to_come_back_quietly(
        self,
    ) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.failing[f"{PF} set-numvfs 4"] = 12
        self.crash(f"done {PF} set-autoprobe 0", plan_case.FOUR_VFS)
        self.assert_verdict(judgement.Verdict.FINISH, self.recovered())
        states = self.states()
        self.assertEqual(
            function_state.State("igb", None, 4, True), states[PF]
        )
        self.assertEqual("igbvf", states["0000:21:10.6"].driver)

    def test_a_vf_that_is_what_it_was_by_itself_is_owed_nothing(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.FOUR_VFS)
        # Going back fails before anything of it takes effect.
        self.failing[f"{PF} set-autoprobe 0"] = 5
        self.assertEqual(1, len(undoing.restore(self.actor())))
        self.recovered()
        known = self.actor().journal
        self.assertEqual(set(), known.owed)
        self.assertEqual("as before", known.account(VF))
        self.assertEqual("as declared", known.account(PF))
        # It goes once more with its PF's VFs.
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual({}, self.actor().journal.priors)
        self.assertEqual(2, self.states()[PF].numvfs)

    def owe(self) -> None:
        """Let both VFs come back by a change that fails, without a driver."""
        self.host.writer().set_numvfs(PF, 2)
        self.failing[f"{PF} set-numvfs 4"] = 5
        self.host.break_driver("igbvf")
        self.assertTrue(self.apply(plan_case.FOUR_VFS).failed)
        self.assertEqual({VF, VF_TOO}, self.actor().journal.owed)

    def test_vfs_that_can_not_be_put_back_are_left_and_reported(self) -> None:
        self.owe()
        for _ in range(2):
            found = self.recovered()
            self.assertEqual(
                [
                    (VF, judgement.Verdict.LEAVE),
                    (VF_TOO, judgement.Verdict.LEAVE),
                ],
                [(judged.change.subject, judged.verdict) for judged in found],
            )
            self.assertIn(f"{VF} probe igbvf: ", found[0].reason)
            self.assertEqual("unfinished", self.actor().journal.account(VF))
        # Nobody else has to wait for them.
        self.assertEqual((), self.apply(act_case.PAIR).failed)
        nics = [pci_address.PciAddress.parse(one) for one in (NIC, OTHER)]
        self.assertEqual((), undoing.restore(self.actor(), nics))
        self.assertEqual("as before", self.actor().journal.account(NIC))
        self.host.break_driver("igbvf", broken=False)
        self.assertEqual((), self.recovered())
        self.assertEqual("igbvf", self.states()[VF].driver)
        self.assertEqual({}, self.actor().journal.priors)

    def test_vfs_that_lost_their_drivers_module_are_left_as_well(self) -> None:
        self.owe()
        self.unload("igbvf", for_ever=True)
        found = self.recovered()
        self.assertEqual(
            [
                (VF, judgement.Verdict.LEAVE),
                (VF_TOO, judgement.Verdict.LEAVE),
            ],
            [(one.change.subject, one.verdict) for one in found],
        )
        self.assertEqual({VF, VF_TOO}, self.actor().journal.owed)

    def test_that_a_module_is_not_loaded_is_told_of_its_vfs(self) -> None:
        self.owe()
        self.unload("igbvf", for_ever=False)
        self.failing["igbvf load-module igbvf"] = 5
        found = self.recovered()
        self.assertEqual({VF, VF_TOO}, {one.change.subject for one in found})
        for one in found:
            self.assertIn("it is not what it was: it is on no", one.reason)
            self.assertIn("igbvf load-module igbvf: ", one.reason)

    def test_of_vfs_that_went_since_nothing_is_owed(self) -> None:
        self.owe()
        self.host.writer().set_numvfs(PF, 0)
        self.assertEqual((), self.recovered())

    def test_what_is_recovered_is_logged(self) -> None:
        self.crash(f"done {NIC} unbind", act_case.PAIR)
        logged = self.useFixture(
            fixtures.FakeLogger("nova_vfio_variant", level=logging.INFO)
        )
        self.recovered()
        self.assertIn(
            f"recovery: finish {NIC}: nothing is in the way", logged.output
        )
        self.assertIn(f"{NIC} probe vfio-pci: done", logged.output)

    def test_what_failed_before_a_write_hangs_is_told(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.failing[f"{PF} set-numvfs 4"] = 5
        self.failing[f"{VF_TOO} probe igbvf"] = 16
        self.host.break_driver("igbvf")
        actor = self.actor()
        told = ty.cast("acting.Told", actor.observer)
        by, real = self.by, self.by.way

        def way(
            step: plan.Step, keep: tuple[int, ...], also: process.Meanwhile
        ) -> str:
            if str(step) == f"{VF} probe igbvf":
                raise process.Hung("it hangs", None)
            return real(step, keep, also)

        by.way = way
        self.assertRaises(
            exception.HostStepHung,
            apply.apply,
            actor,
            plan_case.specs(plan_case.FOUR_VFS),
        )
        first, second = told.failures
        self.assertIn(f"{PF} set-numvfs 4", first)
        self.assertIn(f"{VF_TOO} probe igbvf", second)

    def test_a_vf_that_is_refused_keeps_no_other_from_its_driver(self) -> None:
        self.owe()
        writer = self.host.writer()
        writer.set_override(VF, "vfio-pci")
        writer.probe(VF)
        self.host.break_driver("igbvf", broken=False)
        (found,) = self.recovered()
        self.assertEqual(VF, found.change.subject)
        self.assertIn("somebody else changed it", found.reason)
        self.assertEqual("vfio-pci", self.states()[VF].driver)
        self.assertEqual("igbvf", self.states()[VF_TOO].driver)
        self.assertEqual({VF}, self.actor().journal.owed)

    def test_a_quarantine_ends_with_the_trouble(self) -> None:
        self.failing[f"{NIC} probe vfio-pci"] = 16
        self.failing[f"{NIC} set-override e1000"] = 5
        self.apply(act_case.PAIR)
        self.assertIsNotNone(self.quarantined[NIC])
        found = self.recovered()
        self.assert_verdict(judgement.Verdict.UNDO, found)
        self.assertIn("Input/output error", found[0].reason)
        self.assertIsNone(self.quarantined[NIC])
        self.assertEqual("e1000", self.states()[NIC].driver)

    def test_no_quarantine_is_left_when_its_change_has_ended(self) -> None:
        self.crash(f"done {NIC} unbind", act_case.PAIR)
        actor = self.actor()

        with fixtures.MonkeyPatch(
            "tests.unit.host.act_case.ActCase.isolate", _die
        ):
            self.assertRaises(Crash, recover.recover, actor)
        actor.journal.close()
        self.assert_verdict(judgement.Verdict.FINISH, self.recovered())
        self.assertIsNone(self.quarantined[NIC])

    def test_an_unfinished_restore_is_finished(self) -> None:
        before = self.host.picture()
        self.apply(act_case.PAIR)
        actor = self.actor()

        def die(
            _change: plan.Change, step: plan.Step, state: plan.StepState
        ) -> None:
            if (str(step), state) == (f"{NIC} unbind", plan.StepState.DONE):
                raise Crash

        actor.observer = acting.Told(die)
        self.assertRaises(Crash, undoing.restore, actor)
        self.assert_verdict(judgement.Verdict.FINISH, self.recovered())
        self.assertEqual("as before", self.actor().journal.account(NIC))
        undoing.restore(self.actor())
        self.assertEqual(before, self.host.picture())


class SharedTest(act_case.ActCase):
    def test_apply_waits_for_whoever_is_busy_in_a_group(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.act.actor.LOCK_TIMEOUT", 0.1
            )
        )
        with lock.hold(self.host.root, ["group-2"], 0):
            outcome = self.apply(act_case.PAIR, plan_case.FOUR_VFS)
        self.assertIn("still holds the lock", outcome.failed[0])
        self.assertEqual(4, self.states()[PF].numvfs)
        self.assertEqual("e1000", self.states()[NIC].driver)

    def test_every_action_is_known(self) -> None:
        step = plan.Step(PF, plan.Action.PROBE, "", "", "")
        self.assertEqual(step, plan.Step.of_data(step.as_data()))
        self.assertRaises(
            ValueError,
            plan.Step.of_data,
            {**step.as_data(), "action": "format"},
        )
