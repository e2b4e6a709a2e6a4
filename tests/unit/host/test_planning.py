# SPDX-License-Identifier: Apache-2.0
"""What host_spec wants of each function, and when going back is no change."""

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.decide import plan, restore, wishes
from nova_vfio_variant.host.observe import facts, function_state, scanner
from tests import base
from tests.unit.host import make, plan_case
from tests.unit.host.plan_case import PF, VF


class WishesTest(base.TestCase):
    PF = make.function("0000:21:00.0", sriov_totalvfs=8)
    NIC = make.function("0000:31:01.0")

    def wishes(
        self, *texts: str
    ) -> tuple[dict[str, wishes.Wish], list[finding.Finding]]:
        found, findings = wishes.gather(
            plan_case.specs(*texts), [self.PF, self.NIC]
        )
        return {str(at): one for at, one in found.items()}, list(findings)

    def test_a_number_of_vfs_is_wanted_of_a_pf_alone(self) -> None:
        for more in ("", ', "driver": "host"'):
            every = f'{{"address": "0000:*:*.0", "num_vfs": 4{more}}}'
            found, _ = self.wishes(every)
            self.assertEqual(
                {PF: (4, None)},
                {at: (one.num_vfs, one.driver) for at, one in found.items()},
            )

    def test_a_pf_is_taken_from_its_driver_only_if_that_is_said(self) -> None:
        for more, allowed in (
            ("", False),
            (', "allow_pf": false', False),
            (', "allow_pf": true', True),
        ):
            found, _ = self.wishes(
                f'{{"address": "{PF}", "driver": "vfio-pci"{more}}}'
            )
            self.assertEqual(allowed, found[PF].allow_pf)

    def test_two_entries_may_say_the_same_and_not_otherwise(self) -> None:
        four, five = (
            f'{{"address": "{PF}", "num_vfs": {count}}}' for count in (4, 5)
        )
        self.assertEqual([], self.wishes(four, four)[1])
        found, findings = self.wishes(four, five, five)
        self.assertEqual(4, found[PF].num_vfs)
        self.assertEqual(
            [host_codes.HOST_SPEC_CONFLICT] * 2,
            [one.code for one in findings],
        )
        self.assertRegex(
            findings[0].message,
            rf"^num_vfs of {PF} is 5 here and 4 at <text>:1:1$",
        )


class WayBackTest(plan_case.PlanCase):
    """What goes with a number of VFs waits for it, and nothing else does."""

    def setUp(self) -> None:
        super().setUp()
        self.host.writer().set_numvfs(PF, 2)

    def expected(self, was: int, autoprobe: bool = True) -> dict[str, bool]:
        now = facts.gather(scanner.scan(self.host.tree))
        before = function_state.State("igb", None, was, autoprobe)
        vf = function_state.State("vfio-pci", "vfio-pci")
        found = restore.of_priors(
            {
                PF: plan.Prior(
                    before, None, made=False, vfs_left=frozenset({(2, True)})
                ),
                VF: plan.Prior(vf, PF, made=False),
            },
            now,
            (),
        )
        return {
            one.subject: one.expected
            for one in found.plan.changes
            if one.what is plan.What.DRIVER
        }

    def test_where_the_number_changes_its_vfs_wait(self) -> None:
        for was in (1, 4):
            self.assertEqual({VF: True}, self.expected(was))

    def test_where_only_autoprobe_does_they_do_not(self) -> None:
        self.assertEqual({VF: False}, self.expected(2, autoprobe=False))
