# SPDX-License-Identifier: Apache-2.0
"""What tracked devices are to be in Placement, without asking it."""

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.node import desired
from nova_vfio_variant.placement import provider
from nova_vfio_variant.tracker import share
from nova_vfio_variant.tracker.device import Device, Status
from tests import base
from tests.unit.tracker import samples

PF = "0000:05:00.0"
FIRST, SECOND, THIRD = (f"0000:05:00.{number}" for number in (2, 3, 4))


def made(
    *devices: Device,
    shared: ty.Collection[str] = (),
    blocked: ty.Collection[str] | None = (),
    unknown: ty.Collection[str] = (),
    **others: ty.Any,
) -> desired.Desired:
    return desired.Desired(
        devices,
        facts.CheckInput(),
        lambda name: {"CUSTOM_NIC": share.Share(1)} if name in shared else {},
        None if blocked is None else set(map(samples.at, blocked)),
        set(map(samples.at, unknown)),
        **others,
    )


def units(of: desired.Desired) -> tuple[int, int, int]:
    (one,) = of.providers
    (inventory,) = one.inventories.values()
    return inventory.total, inventory.blocked, inventory.unknown


class DesiredTest(base.TestCase):
    def test_a_blocked_device_is_reserved_and_withheld(self) -> None:
        of = made(samples.vf(FIRST), samples.vf(SECOND), blocked=[SECOND])
        self.assertEqual((2, 1, 0), units(of))
        self.assertEqual((samples.at(SECOND),), of.withheld)

    def test_a_blocked_device_that_somebody_has_is_not_withheld(self) -> None:
        of = made(
            samples.vf(FIRST, status=Status.ALLOCATED, instance_uuid="one"),
            blocked=[FIRST],
        )
        self.assertEqual((1, 0, 0), units(of))
        self.assertEqual((), of.withheld)

    def test_an_unknown_device_is_counted_apart_and_withheld(self) -> None:
        of = made(samples.vf(FIRST), unknown=[FIRST])
        self.assertEqual((1, 0, 1), units(of))
        self.assertEqual((samples.at(FIRST),), of.withheld)

    def test_with_the_option_off_what_is_blocked_is_offered(self) -> None:
        of = made(
            samples.vf(FIRST),
            samples.vf(SECOND),
            blocked=[FIRST],
            unknown=[SECOND],
            reserve_blocked=False,
        )
        self.assertEqual((2, 0, 0), units(of))
        # Nobody can say of the second one whether it should be.
        self.assertEqual((samples.at(SECOND),), of.withheld)

    def test_where_nobody_looked_what_we_reserved_is_unknown(self) -> None:
        name = "host_0000:05:00.0"
        self.assertEqual(
            (1, 0, 1),
            units(made(samples.vf(FIRST), shared=[name], blocked=None)),
        )
        self.assertEqual(
            (1, 0, 0), units(made(samples.vf(FIRST), blocked=None))
        )

    def test_a_claim_alone_has_not_spent_a_device_for_one_time(self) -> None:
        def reserved(status: Status) -> list[int]:
            of = made(
                samples.pf(
                    PF,
                    status=status,
                    instance_uuid="one",
                    tags={"one_time_use": "true"},
                )
            )
            return [
                inventory.reserved
                for one in of.one_time
                for inventory in one.inventories.values()
            ]

        self.assertEqual([0], reserved(Status.CLAIMED))
        self.assertEqual([1], reserved(Status.ALLOCATED))

    def test_an_ordinary_device_is_none_for_one_time(self) -> None:
        self.assertEqual((), made(samples.vf(FIRST)).one_time)

    def test_only_an_allocated_device_counts_as_allocated(self) -> None:
        for status in Status:
            self.assertEqual(
                status is Status.ALLOCATED,
                made(samples.vf(FIRST, status=status)).is_any_allocated,
            )

    def test_amounts_are_by_provider_and_class(self) -> None:
        devices = (samples.vf(FIRST), samples.vf(SECOND), samples.vf(THIRD))
        self.assertEqual(
            {"host_0000:05:00.0": {"CUSTOM_NIC": 2}},
            made(*devices).amounts(devices[:2]),
        )


class IndescribableTest(base.TestCase):
    """Two classes of one card, which Placement can't have in one provider."""

    def setUp(self) -> None:
        super().setUp()
        self.good = samples.vf("0000:06:00.2", "0000:06:00.0")
        self.bad = (
            samples.vf(FIRST, resource_class="CUSTOM_A"),
            samples.vf(SECOND, resource_class="CUSTOM_B"),
        )
        self.of = made(self.good, *self.bad)

    def test_all_of_them_are_refused(self) -> None:
        self.assertFalse(self.of.is_whole)
        error = self.assertRaises(
            exception.ConfigError, getattr, self.of, "providers"
        )
        self.assertTrue(error.findings)

    def test_the_others_are_described(self) -> None:
        self.of.expect_described([self.good])
        self.assertIn(
            self.good.address,
            {at for one in self.of.described for at in one.addresses},
        )

    def test_one_of_them_alone_is_refused(self) -> None:
        missing = [
            device
            for device in self.bad
            if device.address
            not in {at for one in self.of.described for at in one.addresses}
        ]
        self.assertTrue(missing)
        for device in missing:
            self.assertRaises(
                exception.ConfigError, self.of.expect_described, [device]
            )

    def test_a_port_of_neutrons_is_published_by_nobody(self) -> None:
        port = samples.vf(
            "0000:07:00.2", "0000:07:00.0", tags={"physical_network": "net"}
        )
        self.of.expect_described([port])


class SpentTest(base.TestCase):
    def spent(self, reserved: int, ours: int = 0) -> list[str]:
        device = samples.pf(
            PF,
            tags={"one_time_use": "true"},
        )
        of = made(device)
        (one,) = of.one_time
        (name,) = one.inventories
        there = provider.Published(
            "uuid",
            one.name,
            0,
            {name: {"total": 1, "reserved": reserved}},
            (),
            ours={name: ours},
        )
        found = desired.spent(of.one_time, {one.name: there})
        return [str(at) for at in found]

    def test_what_is_reserved_by_others_had_its_time(self) -> None:
        self.assertEqual([PF], self.spent(1))

    def test_what_is_reserved_by_us_did_not(self) -> None:
        self.assertEqual([], self.spent(1, ours=1))

    def test_what_is_offered_did_not(self) -> None:
        self.assertEqual([], self.spent(0))
