# SPDX-License-Identifier: Apache-2.0
"""What a claim decides of what is recorded."""

import dataclasses

from nova_vfio_variant import exception, source
from nova_vfio_variant.node import (
    claim_choice,
    claims,
    desired,
    reporting,
    vgpu_choosing,
)
from nova_vfio_variant.pci import alias
from nova_vfio_variant.tracker import device as tracked
from tests import base
from tests.unit.tracker import samples
from tests.unit.tracker.samples import ONE, TWO


def claim(name: str, count: int, status: str) -> tracked.Claim:
    return tracked.Claim(
        ONE,
        name,
        "request",
        tuple(samples.at(f"0000:05:00.{at}") for at in range(count)),
        tracked.Status(status),
    )


def asked(*counts: tuple[str, int]) -> claim_choice.Asked:
    wishes = []
    for name, count in counts:
        spec = alias.Alias(name, source.SourceText.of("{}"))
        request = alias.PciRequest(name, count, (spec,), "legacy")
        wishes.append(vgpu_choosing.Wish(request))
    return claim_choice.Asked(wishes)


class UnfinishedTest(base.TestCase):
    def test_what_a_crash_left_is_finished_by_the_same_claim(self) -> None:
        has = [claim("b", 1, "claimed"), claim("a", 2, "claimed")]
        claims._expect_unfinished(has, asked(("a", 2), ("b", 1)))

    def test_mediated_devices_are_finished_while_one_is_missing(self) -> None:
        mdevs = tracked.Claim(
            ONE, "mtty-1", "", (), tracked.Status.CLAIMED, ("one", "two")
        )
        wanted = claim_choice.Asked((), {"mtty-1": 2})
        claims._expect_unfinished([mdevs], wanted)
        beside = claim_choice.Asked(asked(("a", 2)).wishes, {"mtty-1": 2})
        claims._expect_unfinished([claim("a", 2, "claimed"), mdevs], beside)
        for has, wants in (
            # All are there, or it is less than is asked for.
            (
                [dataclasses.replace(mdevs, status=tracked.Status.ALLOCATED)],
                wanted,
            ),
            ([dataclasses.replace(mdevs, mdevs=("one",))], wanted),
            ([claim("a", 2, "allocated"), mdevs], beside),
        ):
            told = self.assertRaises(
                exception.ClaimError, claims._expect_unfinished, has, wants
            )
            self.assertIn("mtty-1:", told.message)

    def test_an_instance_claims_once(self) -> None:
        for has, wants in (
            # It is finished, or a part of it is.
            ([claim("a", 2, "allocated")], (("a", 2),)),
            (
                [claim("a", 2, "allocated"), claim("b", 1, "claimed")],
                (("a", 2), ("b", 1)),
            ),
            # It is another one.
            ([claim("a", 2, "claimed")], (("a", 1),)),
            ([claim("a", 2, "claimed")], (("b", 2),)),
            ([claim("a", 2, "claimed")], (("a", 2), ("b", 1))),
        ):
            told = self.assertRaises(
                exception.ClaimError,
                claims._expect_unfinished,
                has,
                asked(*wants),
            )
            self.assertIn(f"instance {ONE} already has a:2", told.message)


class OwnersTest(base.TestCase):
    def test_devices_are_told_by_instance(self) -> None:
        mine = [
            samples.vf(f"0000:05:10.{at}", instance_uuid=ONE) for at in (0, 1)
        ]
        theirs = samples.vf("0000:05:10.2", instance_uuid=TWO)
        free = samples.vf("0000:05:10.3")
        self.assertEqual(
            {ONE: mine, TWO: [theirs]},
            reporting._by_owner([mine[0], theirs, free, mine[1]]),
        )


class SpentTest(base.TestCase):
    def test_devices_that_had_their_one_time_are_named(self) -> None:
        self.assertEqual(
            "used once and reserved since: 0000:05:00.0, 0000:05:00.1; once"
            " clean, set reserved to 0 in Placement",
            desired.told_spent(
                [samples.at(f"0000:05:00.{at}") for at in (0, 1)]
            ),
        )
