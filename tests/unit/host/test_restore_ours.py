# SPDX-License-Identifier: Apache-2.0
"""Only what is still ours is put back, and only on what it was done to."""

import dataclasses

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import journal, recover, undoing
from nova_vfio_variant.host.decide import (
    apply,
    identity,
    judgement,
    plan,
    restore,
)
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import address as pci_address
from tests.unit.host import act_case, plan_case
from tests.unit.host.plan_case import NIC, OTHER, PF, VF

VF_TOO = "0000:21:10.2"
ON_VFIO = '{"address": "0000:31:01.0", "driver": "vfio-pci"}'


class CountTest(act_case.ActCase):
    """A number of VFs is put back only if it is still what we left."""

    def refused(self, *words: str) -> str:
        """Restore is refused, and nothing is changed."""
        before = self.host.picture()
        error = self.assertRaises(
            exception.HostRefused, undoing.restore, self.actor()
        )
        self.assertEqual(before, self.host.picture())
        self.assertIn(PF, self.actor().journal.priors)
        for word in (
            host_codes.NOT_OURS.id,
            "somebody else changed it",
            *words,
        ):
            self.assertIn(word, error.message)
        return str(error.hint)

    def test_vfs_that_somebody_else_made_are_left(self) -> None:
        self.apply(plan_case.FOUR_VFS)
        self.host.writer().set_numvfs(PF, 0)
        self.host.writer().set_numvfs(PF, 6)
        hint = self.refused(f"{PF}: ", "it has 6 VFs")
        self.assertIn("or restore the others", hint)
        self.assertIn("4 VFs", hint)
        # What it says helps.
        self.host.writer().set_numvfs(PF, 0)
        self.host.writer().set_numvfs(PF, 4)
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual(0, self.states()[PF].numvfs)

    def test_vfs_that_somebody_else_took_away_are_not_made_again(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.FOUR_VFS)
        self.host.writer().set_numvfs(PF, 0)
        self.refused("it has 0 VFs")

    def test_a_number_that_somebody_put_back_is_as_it_was(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.FOUR_VFS)
        self.host.writer().set_numvfs(PF, 0)
        self.host.writer().set_numvfs(PF, 2)
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual({}, self.actor().journal.priors)

    def test_the_others_are_restored_by_their_addresses(self) -> None:
        self.apply(plan_case.FOUR_VFS, act_case.PAIR)
        self.host.writer().set_numvfs(PF, 0)
        self.host.writer().set_numvfs(PF, 6)
        both = [pci_address.PciAddress.parse(one) for one in (NIC, OTHER)]
        self.assertEqual((), undoing.restore(self.actor(), both))
        self.assertEqual("e1000", self.states()[NIC].driver)
        self.assertEqual(6, self.states()[PF].numvfs)

    def test_a_flag_that_somebody_else_wrote_is_left(self) -> None:
        self.apply(plan_case.FOUR_VFS)
        self.host.writer().set_autoprobe(PF, False)
        self.refused("sriov_drivers_autoprobe is 0")
        self.host.writer().set_autoprobe(PF, True)
        self.assertEqual((), undoing.restore(self.actor()))

    def test_a_number_that_we_never_changed_is_left(self) -> None:
        away = (
            '{"address": "0000:21:00.0", "driver": "vfio-pci",'
            ' "allow_pf": true}'
        )
        self.apply(away)
        writer = self.host.writer()
        writer.unbind(PF)
        writer.set_override(PF, "igb")
        writer.probe(PF)
        writer.set_override(PF, "")
        writer.set_numvfs(PF, 3)
        self.refused("it has 3 VFs")

    def test_a_vf_of_somebody_elses_stays_with_all_the_others(self) -> None:
        self.apply(plan_case.FOUR_VFS, plan_case.ON_VFIO)
        writer = self.host.writer()
        writer.set_override(VF_TOO, "igbvf")
        writer.unbind(VF_TOO)
        writer.probe(VF_TOO)
        self.refused(f"VF {VF_TOO} would go with the others", "on igbvf")
        writer.set_override(VF_TOO, "vfio-pci")
        writer.unbind(VF_TOO)
        writer.probe(VF_TOO)
        self.assertEqual((), undoing.restore(self.actor()))

    def test_what_failed_leaves_what_was_somebody_elses(self) -> None:
        self.apply(plan_case.FOUR_VFS)
        self.host.writer().set_numvfs(PF, 0)
        self.host.writer().set_numvfs(PF, 6)
        self.failing[f"{PF} set-numvfs 4"] = 5
        self.assertTrue(self.apply(plan_case.FOUR_VFS).failed)
        self.assertEqual(6, self.states()[PF].numvfs)
        self.refused("it has 6 VFs")

    def test_an_override_after_the_kernels_choice_is_somebody_elses(
        self,
    ) -> None:
        writer = self.host.writer()
        writer.set_override(NIC, "vfio-pci")
        writer.unbind(NIC)
        writer.probe(NIC)
        self.apply('{"address": "0000:31:01.0", "driver": "host"}')
        self.assertEqual("e1000", self.states()[NIC].driver)
        writer.set_override(NIC, "igbvf")
        error = self.assertRaises(
            exception.HostRefused, undoing.restore, self.actor()
        )
        self.assertIn("with the override igbvf", error.message)
        self.assertIn("clear its driver_override", str(error.hint))
        writer.set_override(NIC, "")
        self.assertEqual((), undoing.restore(self.actor()))
        self.assertEqual("vfio-pci", self.states()[NIC].driver)


class AnotherDeviceTest(act_case.ActCase):
    """What stands on record of one card is not done to another."""

    def swap(self, name: str, ids: str = "1000:0097") -> None:
        """Put another card in the place of one, as it is now."""
        place = self.host.root / "sys/bus/pci/devices" / name
        vendor, _, device = ids.partition(":")
        (place / "vendor").write_text(f"0x{vendor}\n")
        (place / "device").write_text(f"0x{device}\n")
        text = (place / "modalias").read_text()
        (place / "modalias").write_text(
            f"pci:v0000{vendor.upper()}d0000{device.upper()}"
            + text[text.index("sv") :]
        )

    def test_restore_leaves_it_and_says_where_the_other_is(self) -> None:
        self.apply(act_case.PAIR)
        self.swap(NIC)
        before = self.host.picture()
        error = self.assertRaises(
            exception.HostRefused, undoing.restore, self.actor()
        )
        self.assertIn(
            f"{NIC}: the journal is about 8086:100e there, and there is "
            "1000:0097 now [VFIO560]",
            error.message.replace(", subsystem 0000:0000", ""),
        )
        self.assertIn(f"may be at {OTHER} now", str(error.hint))
        self.assertEqual((), recover.recover(self.actor()))
        self.assertIn(NIC, self.actor().journal.priors)
        self.assertEqual(before, self.host.picture())
        # The others can be restored, and it too once it is there again.
        other = pci_address.PciAddress.parse(OTHER)
        self.assertEqual((), undoing.restore(self.actor(), [other]))
        self.assertEqual("e1000", self.states()[OTHER].driver)
        self.swap(NIC, "8086:100e")
        self.assertEqual((), undoing.restore(self.actor()))

    def test_it_stays_on_record_though_it_is_as_the_other_was(self) -> None:
        before = self.states()[NIC]
        self.apply(act_case.PAIR)
        writer = self.host.writer()
        writer.set_override(NIC, "")
        writer.unbind(NIC)
        writer.probe(NIC)
        self.assertEqual(before, self.states()[NIC])
        self.swap(NIC)
        undoing.settle(self.actor(), [NIC])
        self.assertIn(NIC, self.actor().journal.priors)

    def test_a_vf_that_went_with_others_is_one_of_its_pfs(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.FOUR_VFS)
        self.swap(PF)
        actor = self.actor()
        found = restore.decision(actor.journal.priors, actor.look(), [VF])
        self.assertEqual(
            [(host_codes.ANOTHER_DEVICE_JOURNALLED, VF)],
            [(refusal.code, refusal.subject) for refusal in found.refusals],
        )
        self.assertIn(f"of its PF {PF}: ", found.refusals[0].message)
        self.assertEqual((), found.plan.changes)

    def test_a_vf_at_whose_address_another_of_its_pf_is_comes_back(
        self,
    ) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.apply(plan_case.ON_VFIO)
        self.apply(plan_case.ON_VFIO, plan_case.FOUR_VFS)
        actor = self.actor()
        priors = dict(actor.journal.priors)
        noted = priors[VF].identity
        assert noted is not None
        other = dataclasses.replace(noted, vf_index=1)
        priors[VF] = dataclasses.replace(priors[VF], identity=other)
        self.assertEqual((), identity.of_prior(VF, priors, actor.look()))
        # Without its PF on record it is another.
        del priors[PF]
        (found,) = identity.of_prior(VF, priors, actor.look())
        self.assertIn("VF 1 of", found.message)

    def test_apply_refuses_it(self) -> None:
        self.apply(act_case.PAIR)
        writer = self.host.writer()
        writer.set_override(NIC, "")
        writer.unbind(NIC)
        writer.probe(NIC)
        self.swap(NIC)
        before = self.host.picture()
        error = self.assertRaises(
            exception.HostRefused, self.apply, act_case.PAIR
        )
        self.assertIn("[VFIO560]", error.message)
        self.assertEqual(before, self.host.picture())
        # Of others nothing is said.
        actor = self.actor()
        now = actor.look()
        wanted = apply.decision(plan_case.specs(plan_case.FOUR_VFS), now)
        self.assertEqual(
            wanted, identity.checked(wanted, actor.journal.priors, now)
        )

    def test_recover_leaves_it(self) -> None:
        actor = self.actor()
        now = actor.look()
        wanted = apply.decision(
            plan_case.specs(
                '{"address": "0000:31:*.0", "driver": "vfio-pci"}'
            ),
            now,
        )
        for change in wanted.plan.changes:
            number = actor.journal.begin(change, plan.Command.APPLY)
            actor.journal.step(journal.Kind.BEGUN, number, change.steps[0])
        actor.journal.close()
        self.swap(NIC)
        before = self.states()[NIC]
        self.host.vanish(OTHER)
        found = recover.recover(self.actor())
        self.assertEqual(
            [(NIC, judgement.Verdict.LEAVE), (OTHER, judgement.Verdict.UNDO)],
            [(judged.change.subject, judged.verdict) for judged in found],
        )
        self.assertIn("there is 1000:0097", found[0].reason)
        self.assertTrue(found[1].gone)
        self.assertEqual(before, self.states()[NIC])

    def test_a_restore_that_was_begun_is_of_the_same_function(self) -> None:
        self.apply(act_case.PAIR)
        actor = self.actor()
        wanted = restore.decision(actor.journal.priors, actor.look())
        (change,) = [
            planned
            for planned in wanted.plan.changes
            if planned.subject == NIC
        ]
        # As older journals have it.
        change = dataclasses.replace(change, identity=None)
        actor.journal.begin(change, plan.Command.RESTORE)
        actor.journal.close()
        self.swap(NIC)
        before = self.host.picture()
        (found,) = recover.recover(self.actor())
        self.assertEqual(judgement.Verdict.LEAVE, found.verdict)
        self.assertEqual(before, self.host.picture())

    def test_what_is_gone_is_told_once(self) -> None:
        self.apply(act_case.PAIR, plan_case.FOUR_VFS, plan_case.ON_VFIO)
        self.host.vanish(NIC)
        self.host.vanish(PF)
        found = recover.recover(self.actor())
        self.assertEqual(
            [PF, NIC],
            [judged.change.subject for judged in found if judged.gone],
        )
        self.assertEqual((), recover.recover(self.actor()))
        self.assertEqual([OTHER], [*self.actor().journal.priors])
        # Who names it is told too.
        actor = self.actor()
        named = restore.decision(actor.journal.priors, actor.look(), [NIC])
        self.assertEqual(
            [host_codes.NOTHING_MEANT],
            [refusal.code for refusal in named.refusals],
        )

    def test_vfs_that_we_made_and_that_went_are_not_missed(self) -> None:
        self.apply(plan_case.FOUR_VFS, plan_case.ON_VFIO)
        self.host.writer().set_numvfs(PF, 0)
        self.assertEqual((), recover.recover(self.actor()))
        self.assertEqual({}, self.actor().journal.priors)


class RecoverTest(act_case.ActCase):
    def test_an_override_of_somebody_elses_on_the_way_to_the_kernels_choice(
        self,
    ) -> None:
        before = function_state.State("vfio-pci", "vfio-pci")
        to = function_state.State(function_state.KERNELS_CHOICE)
        for state, strange in (
            (before, False),
            (function_state.State("vfio-pci", None), False),
            (function_state.State(None, None), False),
            (function_state.State("e1000", None), False),
            (function_state.State("igbvf", "igbvf"), True),
            (function_state.State(None, "igbvf"), True),
            (function_state.State("e1000", "vfio-pci"), False),
        ):
            self.assertEqual(strange, state.is_strange(before, to), str(state))
