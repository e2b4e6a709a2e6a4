# SPDX-License-Identifier: Apache-2.0
"""What is planned, and refused, where only some functions are meant."""

from nova_vfio_variant.host.decide import codes as host_codes
from tests.unit.host.plan_case import FOUR_VFS, NIC, ON_VFIO, PF, VF, PlanCase

NIC_ON_VFIO = '{"address": "0000:31:01.0", "driver": "vfio-pci"}'


class OnlyTest(PlanCase):
    def nothing_else(self, *texts: str) -> None:
        """With these entries too, only the PF's VFs are made."""
        found = self.decision(FOUR_VFS, *texts, only=(PF,))
        self.assertEqual(((), ()), (found.refusals, found.findings))
        self.assertEqual(
            [PF], [change.subject for change in found.plan.changes]
        )

    def told(self, *texts: str, only: tuple[str, ...]) -> list[str]:
        """What there is to say of the functions that are meant."""
        found = self.decision(*texts, only=only)
        self.assertEqual((), found.findings)
        self.assertEqual(
            {host_codes.NOTHING_MEANT},
            {refusal.code for refusal in found.refusals},
        )
        return [
            f"{refusal.subject}: {refusal.message}"
            for refusal in found.refusals
        ]

    def test_what_is_against_others_is_left_out(self) -> None:
        self.nothing_else(NIC_ON_VFIO)

    def test_entries_of_others_that_fit_nothing_are_left_out(self) -> None:
        self.nothing_else(
            '{"address": "0000:99:00.0", "driver": "vfio-pci"}',
            NIC_ON_VFIO.replace("}", ', "companions": ["0000:99:00.0"]}'),
            '{"address": "0000:31:01.0", "num_vfs": 2}',
            ON_VFIO.replace("vfio-pci", "nobody"),
        )

    def test_others_that_disagree_are_left_out(self) -> None:
        self.nothing_else(NIC_ON_VFIO, NIC_ON_VFIO.replace("vfio-pci", "host"))
        found = self.decision(FOUR_VFS, FOUR_VFS.replace("4", "5"), only=(PF,))
        self.assertEqual(
            [host_codes.HOST_SPEC_CONFLICT],
            [finding.code for finding in found.findings],
        )

    def test_one_behind_others_is_changed_alone(self) -> None:
        both = '{"address": "0000:31:*.0", "driver": "vfio-pci"}'
        found = self.decision(both, NIC_ON_VFIO, only=(NIC,))
        self.assertEqual(
            [NIC], [change.subject for change in found.plan.changes]
        )
        self.host.writer().set_numvfs(PF, 2)
        found = self.decision(ON_VFIO, only=("0000:21:10.2",))
        self.assertEqual(
            ["0000:21:10.2"],
            [change.subject for change in found.plan.changes],
        )

    def test_a_function_that_is_not_there(self) -> None:
        self.assertEqual(
            ["0000:99:00.0: this host has no such function"],
            self.told(
                FOUR_VFS,
                '{"address": "0000:99:00.0", "driver": "host"}',
                only=("0000:99:00.0",),
            ),
        )

    def test_a_function_that_no_entry_names(self) -> None:
        self.assertEqual(
            [f"{NIC}: no entry of host_spec names it"],
            self.told(FOUR_VFS, only=(PF, NIC)),
        )

    def test_a_vf_that_is_yet_to_be_made(self) -> None:
        self.assertEqual(
            [f"{VF}: it is a VF that {PF} is yet to have"],
            self.told(FOUR_VFS, ON_VFIO, only=(VF,)),
        )
        found = self.decision(FOUR_VFS, ON_VFIO, only=(PF, VF))
        self.assertEqual((), found.refusals)
        self.assertEqual(
            [PF, VF], [change.subject for change in found.plan.changes]
        )

    def test_a_vf_of_a_pf_whose_number_stays_for_now(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        found = self.decision(FOUR_VFS, ON_VFIO, only=(VF,))
        self.assertEqual((), found.refusals)
        self.assertEqual(
            [f"{VF} set-override vfio-pci", f"{VF} unbind"],
            [str(step) for step in found.plan.ready[0].steps[:2]],
        )
