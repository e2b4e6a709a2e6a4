# SPDX-License-Identifier: Apache-2.0
"""Which devices a claim gets, and what is said of those that it doesn't."""

import dataclasses
import typing as ty

from nova_vfio_variant import exception, finding, source
from nova_vfio_variant.host.decide import assignability, codes
from nova_vfio_variant.node import choosing
from nova_vfio_variant.pci import alias
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import vgpu_reports
from tests import base
from tests.unit.tracker import samples
from tests.unit.tracker.samples import ONE

READY = assignability.Verdict()


def told(code: finding.Code, hint: str | None = None) -> finding.Finding:
    return finding.Finding(code, "why", subject="it", hint=hint)


PREPARABLE = assignability.Verdict(preparing=(told(codes.NOT_BOUND),))
BLOCKED = assignability.Verdict((told(codes.IS_OPEN),))
UNKNOWN = assignability.Verdict(
    unknown=(told(codes.NOT_KNOWN, "be root"),),
)


def vf(at: int, **facts: ty.Any) -> tracked.Device:
    return samples.vf(f"0000:05:10.{at}", **facts)


def request(count: int = 1, policy: str = "legacy") -> alias.PciRequest:
    spec = alias.Alias(
        "a",
        source.SourceText.of("{}"),
        vendor_id="8086",
        product_id="10ca",
        device_type="type-VF",
    )
    return alias.PciRequest("a", count, (spec,), policy)


class ChooseTest(base.TestCase):
    def choose(
        self,
        *given: tuple[tracked.Device, assignability.Verdict | None],
        count: int = 1,
        cells: ty.Sequence[int] | None = None,
        policy: str = "legacy",
        doubtful: ty.Mapping[str, vgpu_reports.Health] | None = None,
    ) -> list[int]:
        taken = choosing.choose(
            [device for device, _ in given],
            {
                device.address: answer
                for device, answer in given
                if answer is not None
            },
            [request(count, policy)],
            cells,
            {0: 0, 1: 1},
            {samples.at(at): state for at, state in (doubtful or {}).items()},
        )
        return [
            device.address.function
            for _, devices in taken
            for device in devices
        ]

    def refused(
        self,
        *given: tuple[tracked.Device, assignability.Verdict | None],
        **how: ty.Any,
    ) -> exception.NotEnoughDevices:
        return self.assertRaises(
            exception.NotEnoughDevices, self.choose, *given, **how
        )

    def test_one_on_which_a_guest_failed_goes_last(self) -> None:
        given = [(vf(at), READY) for at in (1, 2, 3)]
        suspect = {"0000:05:10.3": vgpu_reports.Health.SUSPECT}
        self.assertEqual([3, 2, 1], self.choose(*given, count=3))
        self.assertEqual(
            [2, 1, 3], self.choose(*given, count=3, doubtful=suspect)
        )
        # Who needs no preparing goes first all the same.
        given = [(vf(1), PREPARABLE), (vf(3), READY)]
        self.assertEqual([3], self.choose(*given, doubtful=suspect))

    def test_a_whole_card_on_which_a_guest_failed_goes_last(self) -> None:
        given = [
            (samples.pci(f"0000:05:00.{at}", product_id="10ca"), READY)
            for at in (1, 2, 3)
        ]
        given = [
            (dataclasses.replace(device, dev_type="type-VF"), answer)
            for device, answer in given
        ]
        for at in (1, 2, 3):
            bad = {f"0000:05:00.{at}": vgpu_reports.Health.SUSPECT}
            for count in (1, 2):
                chosen = self.choose(*given, count=count, doubtful=bad)
                self.assertNotIn(at, chosen)
            chosen = self.choose(*given, count=3, doubtful=bad)
            self.assertEqual(at, chosen[-1])

    def test_a_card_with_a_quarantined_one_goes_last(self) -> None:
        given = [
            (vf(1), READY),
            (vf(2), BLOCKED),
            (vf(6, parent="0000:06:00.0"), READY),
            (vf(7, parent="0000:06:00.0"), READY),
        ]
        self.assertEqual([1, 7, 6], self.choose(*given, count=3))
        bad = {"0000:05:10.2": vgpu_reports.Health.QUARANTINED}
        self.assertEqual([7, 6, 1], self.choose(*given, count=3, doubtful=bad))

    def test_what_is_ready_goes_before_what_is_to_be_prepared(self) -> None:
        given = (
            (vf(0), READY),
            (vf(1), PREPARABLE),
            (vf(2), READY),
            (vf(3), PREPARABLE),
        )
        for count, taken in (
            (1, {2}),
            (2, {0, 2}),
            (3, {0, 2, 3}),
            (4, {0, 1, 2, 3}),
        ):
            self.assertEqual(taken, {*self.choose(*given, count=count)})

    def test_what_is_to_be_prepared_is_taken_if_nothing_is_ready(self) -> None:
        self.assertEqual([0], self.choose((vf(0), PREPARABLE)))

    def test_what_is_blocked_or_unknown_is_given_to_nobody(self) -> None:
        for answer in (BLOCKED, UNKNOWN, None):
            self.assertEqual([1], self.choose((vf(0), answer), (vf(1), READY)))
            self.refused((vf(0), answer))

    def test_reasons_are_counted_and_the_most_common_is_first(self) -> None:
        error = self.refused(
            (vf(0), BLOCKED),
            (vf(1), BLOCKED),
            (vf(2), UNKNOWN),
            (
                vf(3, instance_uuid=ONE, status=tracked.Status.ALLOCATED),
                None,
            ),
            (vf(4, status=tracked.Status.UNAVAILABLE), None),
        )
        what = f"{codes.IS_OPEN.title} [{codes.IS_OPEN.id}]"
        self.assertIn(f"; 2 blocked: {what}, 1 unknown: ", error.message)
        self.assertIn(f"1 allocated to instance {ONE}", error.message)
        self.assertIn(
            "1 unavailable, for its PF or a VF of it is in use", error.message
        )

    def test_four_reasons_are_named_and_the_others_counted(self) -> None:
        instances = [f"{at}" * 8 for at in range(1, 7)]
        for count, more in ((4, ""), (5, ", and 1 more"), (6, ", and 2 more")):
            error = self.refused(
                *(
                    (
                        vf(
                            at,
                            instance_uuid=instances[at],
                            status=tracked.Status.ALLOCATED,
                        ),
                        None,
                    )
                    for at in range(count)
                )
            )
            self.assertTrue(
                error.message.endswith(f"instance {instances[3]}{more}"),
                error.message,
            )

    def test_what_lets_the_unknown_be_known_is_told(self) -> None:
        self.assertEqual(
            "be root",
            self.refused((vf(0), BLOCKED), (vf(1), UNKNOWN)).hint,
        )
        self.assertNotEqual("be root", self.refused((vf(0), BLOCKED)).hint)

    def test_those_on_another_node_are_named_by_it(self) -> None:
        error = self.refused((vf(0, numa_node=0), READY), cells=[1])
        self.assertIn("; 1 on NUMA node 0", error.message)
        # Where that is in nobody's way it isn't said.
        error = self.refused(
            (vf(0, numa_node=0), BLOCKED), cells=[1], policy="preferred"
        )
        self.assertNotIn("on NUMA node", error.message)

    def test_those_that_only_have_the_ids_are_told(self) -> None:
        pf = dataclasses.replace(samples.pf(), product_id="10ca")
        error = self.refused((pf, READY))
        self.assertIn("; 1 of another type, class or trait", error.message)

    def test_that_nothing_has_the_ids_is_told(self) -> None:
        for other in ({"product_id": "1"}, {"vendor_id": "1"}):
            error = self.refused((vf(0, **other), READY))
            self.assertIn(
                "no tracked device has the ids that it asks for",
                error.message,
            )
