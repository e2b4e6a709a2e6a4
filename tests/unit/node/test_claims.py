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
from nova_vfio_variant.tracker import claim_records
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


def record(
    wants: claim_choice.Asked | None,
    state: tracked.ClaimState = tracked.ClaimState.PREPARED,
) -> claim_records.ClaimRecord:
    return claim_records.ClaimRecord(
        ONE, TWO, state, None if wants is None else wants.as_json, ""
    )


class SameClaimTest(base.TestCase):
    def test_the_same_is_that_one_wherever_it_is_in_its_life(self) -> None:
        has = [claim("b", 1, "claimed"), claim("a", 2, "claimed")]
        wants = asked(("a", 2), ("b", 1))
        for state in tracked.ClaimState:
            with self.subTest(state):
                if state is tracked.ClaimState.RELEASING:
                    self.assertRaises(
                        exception.ClaimError,
                        claims.expect_same,
                        record(wants, state),
                        has,
                        wants,
                    )
                else:
                    claims.expect_same(record(wants, state), has, wants)
                    turned = asked(("b", 1), ("a", 2))
                    claims.expect_same(record(wants, state), has, turned)

    def test_an_older_versions_is_known_by_its_counts(self) -> None:
        mdevs = tracked.Claim(
            ONE, "mtty-1", "", (), tracked.Status.CLAIMED, ("one", "two")
        )
        beside = claim_choice.Asked(asked(("a", 2)).wishes, {"mtty-1": 2})
        for kept in (None, record(None)):
            claims.expect_same(kept, [claim("a", 2, "claimed"), mdevs], beside)
            told = self.assertRaises(
                exception.ClaimError,
                claims.expect_same,
                kept,
                [dataclasses.replace(mdevs, mdevs=("one",))],
                claim_choice.Asked((), {"mtty-1": 2}),
            )
            self.assertIn("mtty-1:1", told.message)

    def test_another_one_is_refused(self) -> None:
        wants = asked(("a", 2))
        for other in (
            asked(("a", 1)),
            asked(("b", 2)),
            asked(("a", 2), ("b", 1)),
            claim_choice.Asked(wants.wishes, {"mtty-1": 1}),
        ):
            told = self.assertRaises(
                exception.ClaimError,
                claims.expect_same,
                record(wants),
                [claim("a", 2, "allocated")],
                other,
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
            " clean, set reserved to 0 in Placement, or let 'nova-vfio device"
            " scrub 0000:05:00.0' reset one",
            desired.told_spent(
                [samples.at(f"0000:05:00.{at}") for at in (0, 1)]
            ),
        )
