# SPDX-License-Identifier: Apache-2.0
"""What a claim decides of what is recorded."""

from nova_vfio_variant import exception, source
from nova_vfio_variant.node import claims, desired, reporting
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


def request(name: str, count: int) -> alias.PciRequest:
    spec = alias.Alias(name, source.SourceText.of("{}"))
    return alias.PciRequest(name, count, (spec,), "legacy")


class UnfinishedTest(base.TestCase):
    def test_what_a_crash_left_is_finished_by_the_same_claim(self) -> None:
        has = [claim("b", 1, "claimed"), claim("a", 2, "claimed")]
        claims._expect_unfinished(has, [request("a", 2), request("b", 1)])

    def test_an_instance_claims_once(self) -> None:
        for has, wants in (
            # It is finished, or a part of it is.
            ([claim("a", 2, "allocated")], [request("a", 2)]),
            (
                [claim("a", 2, "allocated"), claim("b", 1, "claimed")],
                [request("a", 2), request("b", 1)],
            ),
            # It is another one.
            ([claim("a", 2, "claimed")], [request("a", 1)]),
            ([claim("a", 2, "claimed")], [request("b", 2)]),
            ([claim("a", 2, "claimed")], [request("a", 2), request("b", 1)]),
        ):
            told = self.assertRaises(
                exception.ClaimError, claims._expect_unfinished, has, wants
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
