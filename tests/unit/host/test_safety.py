# SPDX-License-Identifier: Apache-2.0
"""What is looked at before anything is taken from somebody."""

import functools
import typing as ty

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import actor as act_actor
from nova_vfio_variant.host.act import apply, lock, recover, undoing
from nova_vfio_variant.host.decide import (
    assignability,
    judgement,
    plan,
    planning,
    restore,
)
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import facts, function_state, scanner
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address
from tests.unit.host import act_case, acting, plan_case
from tests.unit.host.plan_case import NIC, OTHER, PF, VF

VF_TOO = "0000:21:10.2"


def parsed(*names: str) -> list[pci_address.PciAddress]:
    return [pci_address.PciAddress.parse(name) for name in names]


class ClaimedPfTest(act_case.ActCase):
    """A PF that an instance has keeps its VFs as they are."""

    def setUp(self) -> None:
        super().setUp()
        self.owners = dict.fromkeys(parsed(PF), "x")

    def unchanged(self, work: ty.Callable[[], object]) -> str:
        """It is refused, and nothing is written."""
        before, written = self.host.picture(), self.host.written
        error = self.assertRaises(exception.HostRefused, work)
        self.assertEqual(before, self.host.picture())
        self.assertEqual(written, self.host.written)
        return error.message

    def test_apply_makes_it_no_other_vfs(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        said = self.unchanged(
            lambda: apply.apply(
                self.actor(), plan_case.specs(plan_case.FOUR_VFS)
            )
        )
        self.assertIn(f"{PF}: instance x has it [VFIO518]", said)

    def test_apply_makes_it_no_first_vfs(self) -> None:
        self.unchanged(
            lambda: apply.apply(
                self.actor(), plan_case.specs(plan_case.FOUR_VFS)
            )
        )

    def test_restore_puts_no_number_back(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        owners = self.owners
        self.owners = {}
        self.apply(plan_case.FOUR_VFS)
        self.owners = owners
        for only in ([], parsed(PF)):
            said = self.unchanged(
                functools.partial(undoing.restore, self.actor(), only)
            )
            self.assertIn(f"{PF}: instance x has it [VFIO518]", said)

    def test_recover_makes_it_no_vfs(self) -> None:
        actor = self.actor()
        wanted = planning.vfs_change(
            now := actor.look(),
            ty.cast("ty.Any", now.scan.get(parsed(PF)[0])),
            function_state.State("igb", None, 4, True),
            "asked for",
            quietly=False,
        )
        actor.journal.begin(wanted, plan.Command.APPLY)
        actor.journal.close()
        before = self.host.picture()
        (found,) = recover.recover(self.actor())
        self.assertEqual(judgement.Verdict.UNDO, found.verdict)
        self.assertIn("instance x has it", found.reason)
        self.assertEqual(before, self.host.picture())

    def test_that_somebody_uses_it_is_no_reason(self) -> None:
        # Its interface is up, as that of every PF with VFs.
        actor = self.actor()
        now = actor.look()
        pf = now.scan.get(parsed(PF)[0])
        assert pf is not None
        nobodys = now.knowing(owners={})
        hung = nobodys.knowing(quarantined={pf.address: "it hung"})
        for known, expected in (
            (nobodys, []),
            (now, [host_codes.IS_CLAIMED]),
            (hung, [host_codes.IS_QUARANTINED]),
        ):
            found = planning.vfs_refusals(known, pf, 4)
            self.assertEqual(expected, [finding.code for finding in found])


class VgpuTest(act_case.ActCase):
    """A VF keeps the vGPU type that it got after host apply."""

    def give_type(self, address: str) -> None:
        place = self.host.root / paths.DEVICES / address / "nvidia"
        place.mkdir()
        (place / "current_vgpu_type").write_text("470\n")

    def test_restore_leaves_it_and_its_pf(self) -> None:
        self.apply(plan_case.FOUR_VFS)
        self.give_type(VF)
        before = self.host.picture()
        error = self.assertRaises(
            exception.HostRefused, undoing.restore, self.actor()
        )
        self.assertIn("vGPU type 470", error.message)
        self.assertEqual(before, self.host.picture())

    def test_restore_leaves_it_on_its_driver(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.ON_VFIO)
        self.give_type(VF)
        error = self.assertRaises(
            exception.HostRefused,
            undoing.restore,
            self.actor(),
            parsed(VF),
        )
        self.assertIn("[VFIO561]", error.message)
        self.assertEqual("vfio-pci", self.states()[VF].driver)

    def test_recover_leaves_it(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        actor = self.actor()
        wanted = restore.decision({}, actor.look())
        self.assertFalse(wanted.plan)
        to = function_state.State("vfio-pci", "vfio-pci")
        actor.journal.begin(
            plan.Change(
                VF,
                plan.What.DRIVER,
                function_state.State("igbvf"),
                to,
                planning.driver_steps(
                    VF, function_state.State("igbvf"), to, "asked for"
                ),
                PF,
            ),
            plan.Command.APPLY,
        )
        actor.journal.close()
        self.give_type(VF)
        (found,) = recover.recover(self.actor())
        self.assertEqual(judgement.Verdict.UNDO, found.verdict)
        self.assertIn("vGPU type 470", found.reason)
        self.assertEqual("igbvf", self.states()[VF].driver)


class ModuleGoneTest(act_case.ActCase):
    """The driver that a function was on has gone since host apply."""

    def on_vfio(self) -> None:
        both = '{"address": "0000:31:*.0", "driver": "vfio-pci"}'
        self.assertEqual((), self.apply(both, plan_case.FOUR_VFS).failed)

    def test_it_is_loaded_again_before_its_functions_come_back(self) -> None:
        before = self.states()
        self.on_vfio()
        self.unload("e1000", for_ever=False)
        actor = self.actor()
        found = restore.decision(actor.journal.priors, actor.look())
        (first, *others) = found.plan.changes
        self.assertEqual(
            (plan.What.MODULE, "e1000"), (first.what, first.subject)
        )
        self.assertEqual(
            {NIC: True, OTHER: True, PF: False},
            {change.subject: change.expected for change in others},
        )
        actor.journal.close()
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual(before, self.states())

    def test_without_its_module_it_stays_and_the_others_go_back(self) -> None:
        before = self.states()
        self.on_vfio()
        self.unload("e1000", for_ever=True)
        failed = undoing.restore(self.actor())
        self.assertEqual(2, len(failed), str(failed))
        for name in (NIC, OTHER):
            (why,) = [one for one in failed if one.startswith(name)]
            self.assertIn("probe e1000", why)
            self.assertIn("it was taken back", why)
            self.assertEqual("vfio-pci", self.states()[name].driver)
            self.assertIn(name, self.actor().journal.priors)
        self.assertEqual(before[PF], self.states()[PF])


class FirstVfTest(act_case.ActCase):
    """A PF whose first VF is missing has the others as they are."""

    def setUp(self) -> None:
        super().setUp()
        self.host.writer().set_numvfs(PF, 3)
        self.host.vanish(VF)

    def test_it_counts_as_missing_and_the_others_as_what_they_are(
        self,
    ) -> None:
        tree = self.host.tree
        found = scanner.scan(tree)
        (pf,) = [
            function
            for function in found.functions
            if str(function.address) == PF
        ]
        self.assertEqual(2, pf.sriov_numvfs)
        self.assertEqual(2, function_state.count_vfs(tree, PF))
        state = function_state.state_now(tree, PF)
        assert state is not None
        self.assertEqual(2, state.numvfs)
        self.assertEqual(
            [(VF_TOO, 1), ("0000:21:10.4", 2)],
            [
                (str(function.address), function.vf_index)
                for function in found.functions
                if function.physfn is not None
            ],
        )

    def test_where_it_would_be_is_known(self) -> None:
        now = self.actor().look()
        pf = now.scan.get(parsed(PF)[0])
        assert pf is not None
        found = planning.predicted(now, pf, 2)
        self.assertEqual(
            [VF, VF_TOO], [str(function.address) for function in found or ()]
        )
        self.assertEqual((), planning.predicted(now, pf, 0))

    def test_the_others_go_with_it(self) -> None:
        change = restore.decision({}, self.actor().look())
        self.assertFalse(change.plan)
        now = self.actor().look()
        pf = now.scan.get(parsed(PF)[0])
        assert pf is not None
        changed = planning.vfs_change(
            now,
            pf,
            function_state.State("igb", None, 3, True),
            "",
            quietly=False,
        )
        self.assertEqual({VF_TOO, "0000:21:10.4"}, set(changed.lost))


class LockTest(act_case.ActCase):
    def held(self, key: str) -> exception.LockTimeout:
        hold = functools.partial(lock.hold, self.host.root)
        with hold([key], 0):
            return self.assertRaises(
                exception.LockTimeout, hold([key], 0).__enter__
            )

    def test_who_waits_is_told_what_for(self) -> None:
        whole = self.held(lock.HOST)
        self.assertNotIn("or a write of its", whole.message)
        self.assertIn("wait for it to end", str(whole.hint))
        group = self.held("group-1")
        self.assertIn("or a write of its to the host,", group.message)
        self.assertIn("whoever has the device open", str(group.hint))

    def test_a_vf_is_served_by_its_pfs_lock_too(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        tree = self.host.tree
        group = str(tree.readlink(f"{paths.DEVICES}/{VF}/iommu_group"))
        mine = f"group-{group.rpartition('/')[2]}"
        self.assertEqual({mine, "group-1"}, lock.that_serve(tree, VF))
        self.assertEqual({"group-1"}, lock.that_serve(tree, PF))


class OwedTest(act_case.ActCase):
    def test_vfs_that_came_with_another_number_are_owed_nothing(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.host.writer().set_override(VF, "vfio-pci")
        self.host.writer().unbind(VF)
        self.host.writer().probe(VF)
        self.assertEqual((), self.apply(plan_case.FOUR_VFS).failed)
        known = self.actor().journal
        self.assertIn(VF, known.priors)
        self.assertEqual(set(), known.owed)
        self.assertEqual((), recover.recover(self.actor()))
        self.assertEqual("igbvf", self.states()[VF].driver)

    def test_vfs_that_we_made_are_never_owed(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.FOUR_VFS, plan_case.ON_VFIO)
        # With their PF's own number two of them come back, as they were.
        actor = self.actor()
        now = actor.look()
        (change,) = [
            planned
            for planned in restore.decision(
                actor.journal.priors, now
            ).plan.changes
            if planned.subject == PF
        ]
        self.assertTrue(
            actor.do(
                change,
                plan.Command.RESTORE,
                now.scan,
                lambda now: restore.decision(actor.journal.priors, now),
            )
        )
        self.assertEqual({VF, VF_TOO}, actor.journal.owed)


class HoldersTest(act_case.ActCase):
    def test_who_has_it_open_is_named_and_nobody_else(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.ON_VFIO)
        pid = self.host.hold(VF)
        actor = self.actor()
        seen = actor.look().scan
        for name, expected in (
            (VF, f"process {pid} (qemu-system-x86)"),
            (VF_TOO, "no process is seen to have it open"),
            (PF, f"process {pid} (qemu-system-x86)"),
        ):
            change = plan.Change(
                name,
                plan.What.DRIVER,
                function_state.State(),
                function_state.State(),
                (),
                lost={VF: function_state.State()} if name == PF else {},
            )
            self.assertIn(
                expected,
                act_actor._holders(actor._by, actor.tree, change, seen),
            )


class MovingVfsTest(act_case.ActCase):
    def test_vfs_wait_for_their_pfs_number_and_made_ones_go_with_it(
        self,
    ) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.ON_VFIO)
        self.apply(plan_case.ON_VFIO, plan_case.FOUR_VFS)
        actor = self.actor()
        found = restore.decision(actor.journal.priors, actor.look())
        self.assertEqual(
            {PF: False, VF: True, VF_TOO: True},
            {change.subject: change.expected for change in found.plan.changes},
        )


class OutcomeTest(act_case.ActCase):
    def test_what_comes_of_it_is_told_as_it_comes(self) -> None:
        actor = self.actor()
        told = ty.cast("acting.Told", actor.observer)
        found = apply.apply(actor, plan_case.specs(plan_case.FOUR_VFS))
        self.assertEqual([PF], [change.subject for change in found.done])
        self.assertEqual([PF], [change.subject for change in told.changes])


class PlanTest(plan_case.PlanCase):
    def test_only_what_is_meant_is_looked_at(self) -> None:
        absent = '{"address": "0000:99:00.0", "driver": "vfio-pci"}'
        here = plan_case.FOUR_VFS.replace(
            "}", ', "companions": ["0000:99:00.0"]}'
        )
        found = self.decision(plan_case.FOUR_VFS, absent, only=(PF,))
        self.assertEqual((), found.findings)
        found = self.decision(here, only=(PF,))
        self.assertEqual(
            [host_codes.HOST_SPEC_ABSENT],
            [finding.code for finding in found.findings],
        )

    def test_vfs_that_can_not_be_told_come_quietly_if_somebody_waits(
        self,
    ) -> None:
        (self.host.root / paths.DEVICES / PF / "sriov_offset").unlink()
        (nic,) = ('{"address": "0000:31:*.0", "driver": "vfio-pci"}',)
        for text, quietly in (
            (nic, False),
            (plan_case.ON_VFIO, True),
            (plan_case.ON_VFIO.replace("vfio-pci", "host"), False),
        ):
            found = self.decision(plan_case.FOUR_VFS, text)
            (change,) = [
                planned
                for planned in found.plan.changes
                if planned.what is plan.What.VFS
            ]
            self.assertEqual(
                quietly,
                "set-autoprobe" in [step.action for step in change.steps],
                text,
            )

    def test_a_vf_that_is_left_to_the_kernel_gets_its_choice(self) -> None:
        change = self.decision(
            plan_case.FOUR_VFS,
            f'{{"address": "{VF}", "driver": "vfio-pci"}}',
            f'{{"address": "{VF_TOO}", "driver": "host"}}',
        ).plan.changes[0]
        self.assertIn(f"{VF_TOO} probe", [str(one) for one in change.steps])
        self.assertNotIn(f"{VF} probe", [str(one) for one in change.steps])

    def test_a_pf_with_vfs_is_shown_as_none_for_a_guest(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        now = facts.gather(scanner.scan(self.host.tree))
        pf = now.scan.get(parsed(PF)[0])
        assert pf is not None
        found = assignability.verdict(pf, now).blocking
        self.assertEqual(
            [host_codes.PF_HAS_VFS], [finding.code for finding in found]
        )


class MeanwhileTest(act_case.ActCase):
    def test_a_function_whose_group_is_another_by_now_is_left(self) -> None:
        actor = self.actor()
        look = actor.look
        looks: list[None] = []

        def moved() -> facts.HostFacts:
            looks.append(None)
            if len(looks) == 2:
                place = self.host.root / paths.DEVICES / NIC
                with self.host._files.held():
                    files = self.host._files
                    at = files.device(NIC)
                    files.leave_group(at)
                    files.join_group(at, 9)
                self.assertTrue(place.exists())
            return look()

        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.act.actor.Actor.look",
                lambda _actor: moved(),
            )
        )
        outcome = apply.apply(
            actor,
            plan_case.specs(
                '{"address": "0000:31:01.0", "driver": "e1000"}',
                '{"address": "0000:31:*.0", "driver": "vfio-pci"}',
            )[1:],
        )
        self.assertIn(
            f"{NIC}: its IOMMU group changed meanwhile", outcome.failed[0]
        )
