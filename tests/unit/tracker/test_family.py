# SPDX-License-Identifier: Apache-2.0
"""A PF and its VFs exclude each other, whatever is done in which order."""

import dataclasses
import typing as ty

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.tracker import family
from nova_vfio_variant.tracker.device import Device, Status
from tests import base
from tests.unit.tracker import samples

ONE, TWO = samples.ONE, samples.TWO
PF = samples.at("0000:05:00.0")
VF1 = samples.at("0000:05:00.1")
VF2 = samples.at("0000:05:00.2")


def card(**status: Status) -> list[Device]:
    return [
        samples.pf(status=status.get("pf", Status.AVAILABLE)),
        samples.vf(str(VF1), status=status.get("vf1", Status.AVAILABLE)),
        samples.vf(str(VF2), status=status.get("vf2", Status.AVAILABLE)),
    ]


class FamilyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.families = family.Families(card())

    def statuses(self) -> list[str]:
        return [
            str(self.families[address].status) for address in (PF, VF1, VF2)
        ]

    def refused(self, text: str, call: ty.Any, *args: ty.Any) -> None:
        error = self.assertRaises(exception.InvalidDeviceStatus, call, *args)
        self.assertEqual(text, str(error))

    def test_a_claimed_pf_makes_its_vfs_unclaimable(self) -> None:
        self.families.claim(PF, ONE)
        self.assertEqual(
            ["claimed", "unclaimable", "unclaimable"], self.statuses()
        )
        self.families.allocate(PF, ONE)
        self.assertEqual(
            ["allocated", "unavailable", "unavailable"], self.statuses()
        )
        self.families.free(PF, ONE)
        self.assertEqual(["available"] * 3, self.statuses())

    def test_a_claimed_vf_makes_its_pf_unclaimable_until_the_last(
        self,
    ) -> None:
        self.families.claim(VF1, ONE)
        self.families.claim(VF2, TWO)
        self.assertEqual(
            ["unclaimable", "claimed", "claimed"], self.statuses()
        )
        self.families.allocate(VF1, ONE)
        self.assertEqual(
            ["unavailable", "allocated", "claimed"], self.statuses()
        )
        self.families.free(VF1)
        # As Nova has it: the PF is as it was until the last VF is free.
        self.assertEqual(
            ["unavailable", "available", "claimed"], self.statuses()
        )
        self.families.free(VF2)
        self.assertEqual(["available"] * 3, self.statuses())

    def test_a_vf_that_carries_a_vdpa_device_blocks_its_pf_too(self) -> None:
        self.families = family.Families(
            [
                dataclasses.replace(device, dev_type="vdpa")
                if device.dev_type == "type-VF"
                else device
                for device in card()
            ]
        )
        self.families.claim(VF1, ONE)
        self.assertEqual(
            ["unclaimable", "claimed", "available"], self.statuses()
        )

    def test_a_claim_knows_its_owner_request_and_alias(self) -> None:
        self.families.claim(VF1, ONE, TWO, "nic")
        device = self.families[VF1]
        self.assertEqual(
            (ONE, TWO, "nic"),
            (device.instance_uuid, device.request_id, device.alias_name),
        )
        self.families.free(VF1, ONE)
        device = self.families[VF1]
        self.assertEqual(
            (None, None, None),
            (device.instance_uuid, device.request_id, device.alias_name),
        )

    def test_a_claimed_device_is_not_claimed_twice(self) -> None:
        self.families.claim(VF1, ONE)
        self.refused(
            f"device 0000:05:00.1 is claimed by instance {ONE}, not available",
            self.families.claim,
            VF1,
            TWO,
        )

    def test_a_vf_is_not_claimed_while_its_pf_is_anothers(self) -> None:
        self.families = family.Families(card(pf=Status.ALLOCATED))
        self.refused(
            "device 0000:05:00.1 can't be used while its PF 0000:05:00.0 is"
            " allocated",
            self.families.claim,
            VF1,
            TWO,
        )

    def test_a_pf_is_not_claimed_while_a_vf_is_anothers(self) -> None:
        self.families = family.Families(card(vf2=Status.CLAIMED))
        self.refused(
            "device 0000:05:00.0 can't be used while its VF 0000:05:00.2 is"
            " claimed",
            self.families.claim,
            PF,
            TWO,
        )

    def test_claiming_a_pf_mends_a_vf_that_was_left_blocked(self) -> None:
        self.families = family.Families(card(vf1=Status.UNAVAILABLE))
        self.families.claim(PF, ONE)
        self.assertEqual(
            ["claimed", "unclaimable", "unclaimable"], self.statuses()
        )

    def test_a_device_is_allocated_only_to_who_claimed_it(self) -> None:
        self.families.claim(VF1, ONE)
        self.refused(
            f"device 0000:05:00.1 is claimed by instance {ONE}, not {TWO}",
            self.families.allocate,
            VF1,
            TWO,
        )

    def test_a_device_is_freed_only_by_its_owner(self) -> None:
        self.families.claim(VF1, ONE)
        self.refused(
            f"device 0000:05:00.1 is claimed by instance {ONE}, not {TWO}",
            self.families.free,
            VF1,
            TWO,
        )

    def test_a_free_device_is_not_freed(self) -> None:
        self.refused(
            "device 0000:05:00.1 is available, not allocated or claimed",
            self.families.free,
            VF1,
        )

    def test_a_device_in_use_is_not_removed(self) -> None:
        self.families.claim(VF1, ONE)
        self.assertRaises(
            exception.InvalidDeviceStatus, self.families.remove, VF1
        )

    def test_a_blocked_device_may_be_removed(self) -> None:
        self.families.claim(VF1, ONE)
        self.families.remove(PF)
        self.families.free(VF1)
        self.assertRaises(
            exception.DeviceNotFound, self.families.__getitem__, PF
        )
        self.assertEqual("available", self.families[VF1].status)

    def test_an_unknown_device_is_named(self) -> None:
        error = self.assertRaises(
            exception.DeviceNotFound,
            self.families.claim,
            samples.at("10000:01:00.0"),
            ONE,
        )
        self.assertIn("10000:01:00.0", str(error))

    def test_what_waited_is_applied_when_a_device_is_freed(self) -> None:
        self.families = family.Families(
            [
                samples.vf(
                    str(VF1),
                    status=Status.CLAIMED,
                    instance_uuid=ONE,
                    extra_info={"managed": "true", "driver": "vfio-pci"},
                    pending={
                        "resource_class": "CUSTOM_NEW",
                        "extra_info": {"managed": "false"},
                    },
                )
            ]
        )
        self.families.free(VF1)
        device = self.families[VF1]
        self.assertEqual("CUSTOM_NEW", device.resource_class)
        self.assertFalse(device.managed)
        self.assertEqual("vfio-pci", device.extra_info["driver"])
        self.assertIsNone(device.pending)

    def test_a_kept_device_goes_when_it_is_freed(self) -> None:
        devices = card(pf=Status.UNCLAIMABLE, vf1=Status.CLAIMED)
        devices[1] = dataclasses.replace(devices[1], pending={})
        self.families = family.Families(devices)
        self.families.free(VF1)
        self.assertEqual(
            {"0000:05:00.0": "available", "0000:05:00.1": "removed"},
            {
                str(device.address): str(device.status)
                for device in self.families.changes()
            },
        )

    def test_a_blocked_device_takes_what_waited_when_it_is_unblocked(
        self,
    ) -> None:
        devices = card(pf=Status.CLAIMED, vf1=Status.UNCLAIMABLE)
        devices[1] = dataclasses.replace(
            devices[1], pending={"dev_type": "type-PCI", "parent_addr": None}
        )
        self.families = family.Families(devices)
        self.families.free(PF)
        self.assertEqual("type-PCI", self.families[VF1].dev_type)
        self.families.claim(VF1, ONE)
        self.assertEqual("available", self.families[PF].status)

    def test_only_what_changed_is_given_back(self) -> None:
        self.families.claim(VF1, ONE)
        self.families.claim(VF2, ONE)
        self.assertEqual(
            {PF, VF1, VF2},
            {device.address for device in self.families.changes()},
        )
        self.assertEqual((), family.Families(card()).changes())


CARDS = [
    device
    for bus in ("05", "06")
    for device in (
        samples.pf(f"0000:{bus}:00.0"),
        *(
            samples.vf(f"0000:{bus}:00.{n}", f"0000:{bus}:00.0")
            for n in (1, 2, 3)
        ),
    )
]
# A VF whose PF is not tracked, and a function without any.
LONERS = [
    samples.vf("0000:07:00.1", "0000:07:00.0"),
    samples.pci("00ff:00:00.0"),
]

addresses = st.sampled_from([device.address for device in CARDS + LONERS])
instances = st.sampled_from([ONE, TWO])


class Exclusion(stateful.RuleBasedStateMachine):
    """Anything that anybody may ask for, and what must hold after it."""

    def __init__(self) -> None:
        super().__init__()
        self.families = family.Families(CARDS + LONERS)
        self.owners: dict[ty.Any, str] = {}

    def attempt(self, operation: str, *args: ty.Any) -> bool:
        """Do it on a copy, which is kept only if it succeeds."""
        tried = family.Families(self.devices())
        try:
            getattr(tried, operation)(*args)
        except (exception.InvalidDeviceStatus, exception.DeviceNotFound):
            return False
        self.families = tried
        return True

    def devices(self) -> list[Device]:
        found = []
        for device in CARDS + LONERS:
            try:
                found.append(self.families[device.address])
            except exception.DeviceNotFound:
                continue
        return found

    @stateful.rule(address=addresses, instance=instances)
    def claim(self, address: ty.Any, instance: str) -> None:
        if self.attempt("claim", address, instance):
            assert address not in self.owners
            self.owners[address] = instance

    @stateful.rule(address=addresses, instance=instances)
    def allocate(self, address: ty.Any, instance: str) -> None:
        if self.attempt("allocate", address, instance):
            assert self.owners.get(address, instance) == instance
            self.owners[address] = instance

    @stateful.rule(address=addresses, instance=instances)
    def free(self, address: ty.Any, instance: str) -> None:
        mine = self.owners.get(address) == instance
        assert self.attempt("free", address, instance) == mine
        if mine:
            del self.owners[address]

    @stateful.rule(address=addresses)
    def remove(self, address: ty.Any) -> None:
        if self.attempt("remove", address):
            assert address not in self.owners

    @stateful.rule(device=st.sampled_from(CARDS + LONERS))
    def come_back(self, device: Device) -> None:
        if device not in self.devices() and device.address not in {
            tracked_device.address for tracked_device in self.devices()
        }:
            self.families.put(device)
            self.families.rate(device.address)

    @stateful.invariant()
    def a_pf_and_its_vfs_are_never_both_owned(self) -> None:
        owned = {d.address for d in self.devices() if d.instance_uuid}
        assert owned == set(self.owners)
        assert not any(
            device.parent_addr in owned
            for device in self.devices()
            if device.address in owned
        )

    @stateful.invariant()
    def who_is_blocked_has_a_relative_in_use(self) -> None:
        devices = self.devices()
        for device in devices:
            assert (device.status in family.IN_USE) == bool(
                device.instance_uuid
            )
            if device.status in family.BLOCKED:
                assert any(
                    tracked_device.status in family.IN_USE
                    for tracked_device in devices
                    if device.address == tracked_device.parent_addr
                    or device.parent_addr == tracked_device.address
                ), device

    def teardown(self) -> None:
        """When all is given back, all is available."""
        for address in list(self.owners):
            self.families.free(address)
        assert {d.status for d in self.devices()} <= {Status.AVAILABLE}


ExclusionTest = Exclusion.TestCase
ExclusionTest.settings = hypothesis.settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
