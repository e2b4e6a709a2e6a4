# SPDX-License-Identifier: Apache-2.0
"""What should be tracked, and what has to change for it."""

import contextlib
import dataclasses
import tracemalloc
import typing as ty

import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.pci.function import Identity, PciFunction
from nova_vfio_variant.testing import hosts
from nova_vfio_variant.tracker import family, properties, sync
from nova_vfio_variant.tracker.device import Device, Devices, Status, number
from tests import base
from tests.unit.tracker import samples

ONE = samples.ONE
PF = "0000:00:00.0"
VF = "0000:00:00.1"
HOST = hosts.make_functions(1, 2)
VFS = samples.spec(vendor_id="8086", product_id="10ca", managed=False)
ANY_VENDOR = samples.spec(product_id="10ca", managed=False)
PFS = samples.spec(vendor_id="8086", product_id="10c9")


def wanted(spec: ty.Any = VFS, host: ty.Any = HOST) -> Devices:
    return sync.desired([spec], host)


def having(devices: ty.Iterable[Device], **status: Status) -> list[Device]:
    """The devices, with this status at (say) ``vf1``, owned if in use."""
    found = []
    for device in devices:
        name = f"vf{device.address.function}"
        device = dataclasses.replace(
            device, status=status.get(name, Status.AVAILABLE)
        )
        if device.status in family.IN_USE:
            device = dataclasses.replace(device, instance_uuid=ONE)
        found.append(device)
    return found


def after(recorded: ty.Iterable[Device], plan: sync.SyncPlan) -> list[Device]:
    """What is recorded when a plan was applied."""
    kept = {device.address: device for device in recorded}
    for device in (*plan.added, *plan.updated, *plan.kept):
        kept[device.address] = device
    for device in plan.removed:
        del kept[device.address]
    return sorted(kept.values(), key=lambda device: device.address)


class DesiredTest(base.TestCase):
    def test_a_function_becomes_a_device_of_the_spec_that_won(self) -> None:
        first = samples.spec(
            0,
            vendor_id="8086",
            product_id="10ca",
            resource_class="gpu vf",
            traits=["big", "blue"],
            physical_network="net",
            managed=False,
            live_migratable=True,
        )
        self.assertEqual(
            Device(
                samples.at(VF),
                "8086",
                "10ca",
                "type-VF",
                0,
                samples.at(PF),
                "CUSTOM_GPU_VF",
                ("CUSTOM_BIG", "CUSTOM_BLUE"),
                {
                    "physical_network": "net",
                    "managed": "false",
                    "live_migratable": "true",
                },
                extra_info={
                    "managed": "false",
                    "live_migratable": "true",
                    "parent_ifname": "eth0",
                    "driver": "vfio-pci",
                    "vfio_driver": "vfio-pci",
                    "iommu_group": "1",
                },
                identity=Identity("8086", "10ca", physfn=PF),
            ),
            sync.desired([first, dataclasses.replace(VFS, index=1)], HOST)[0],
        )

    def test_a_host_driver_is_no_vfio_driver(self) -> None:
        (device,) = wanted(PFS)
        self.assertEqual(
            {"managed": "true", "driver": "igb", "iommu_group": "0"},
            device.extra_info,
        )
        self.assertEqual("CUSTOM_PCI_8086_10C9", device.resource_class)

    def test_managed_is_said_as_nova_says_it_even_when_unset(self) -> None:
        for managed, text in (
            (None, "true"),
            (True, "true"),
            (False, "false"),
        ):
            spec = dataclasses.replace(VFS, managed=managed)
            self.assertEqual(text, wanted(spec)[0].extra_info["managed"])

    def test_what_no_spec_names_is_not_tracked(self) -> None:
        self.assertEqual(2, len(wanted()))
        self.assertEqual([], list(sync.desired([], HOST)))

    def test_devices_are_found_by_address_and_place(self) -> None:
        devices = wanted()
        self.assertEqual(devices[1], devices.get(samples.at("0000:00:00.2")))
        self.assertIsNone(devices.get(samples.at(PF)))
        self.assertEqual([devices[1]], list(devices[1:]))


class DecideTest(base.TestCase):
    def test_at_first_all_are_added(self) -> None:
        plan = sync.decide((), wanted())
        self.assertEqual(tuple(wanted()), plan.added)
        self.assertTrue(plan)

    def test_the_same_again_changes_nothing(self) -> None:
        recorded = having(wanted(), vf1=Status.CLAIMED)
        plan = sync.decide(recorded, wanted())
        self.assertFalse(plan)
        self.assertEqual(recorded, list(plan.unchanged))

    def test_the_order_of_what_is_given_does_not_matter(self) -> None:
        plan = sync.decide(reversed(list(wanted())), reversed(list(wanted())))
        self.assertEqual(tuple(wanted()), tuple(plan.unchanged))

    def test_a_changed_tag_reaches_a_free_device_at_once(self) -> None:
        plan = sync.decide(
            wanted(), wanted(dataclasses.replace(VFS, managed=True))
        )
        self.assertEqual(
            ["true", "true"],
            [device.extra_info["managed"] for device in plan.updated],
        )
        self.assertEqual(0, len(plan.unchanged))

    def test_what_can_not_be_read_stays_as_it_is(self) -> None:
        recorded = having(wanted(), vf2=Status.ALLOCATED)
        seen = [function for function in HOST if str(function.address) == PF]
        both = [device.address for device in recorded]
        plan = sync.decide(recorded, wanted(host=seen), both)
        self.assertEqual(tuple(recorded), plan.unread)
        self.assertEqual(((), ()), (plan.removed, plan.kept))
        self.assertEqual(0, len(plan.unchanged))
        self.assertFalse(plan, "nothing is to be written")

    def test_what_can_not_be_read_is_neither_changed_nor_added(self) -> None:
        first, second = wanted()
        new = wanted(dataclasses.replace(VFS, managed=True))
        plan = sync.decide([first], new, [first.address, second.address])
        self.assertEqual((first,), plan.unread)
        self.assertEqual(((), ()), (plan.added, plan.updated))
        plan = sync.decide([first], new, [first.address])
        self.assertEqual((first,), plan.unread)
        self.assertEqual((new[1],), plan.added)

    def test_a_changed_tag_waits_for_a_device_in_use(self) -> None:
        recorded = having(wanted(), vf1=Status.ALLOCATED)
        new = wanted(
            dataclasses.replace(VFS, managed=True, resource_class="b")
        )
        plan = sync.decide(recorded, new)
        waiting = plan.updated[0]
        self.assertEqual("false", waiting.extra_info["managed"])
        self.assertEqual(
            {
                "resource_class": "CUSTOM_B",
                "extra_info": {
                    "managed": "true",
                    "parent_ifname": "eth0",
                },
            },
            waiting.pending,
        )
        recorded = after(recorded, plan)
        self.assertFalse(sync.decide(recorded, new))
        families = family.Families(recorded)
        families.free(samples.at(VF), ONE)
        self.assertEqual(new[0], families[samples.at(VF)])

    def test_a_tag_that_changes_back_waits_no_longer(self) -> None:
        recorded = having(wanted(), vf1=Status.CLAIMED)
        changed = wanted(dataclasses.replace(VFS, managed=True))
        waiting = after(recorded, sync.decide(recorded, changed))
        self.assertEqual(
            recorded, after(waiting, sync.decide(waiting, wanted()))
        )

    def test_what_the_host_does_to_a_device_in_use_does_not_wait(self) -> None:
        host = [
            dataclasses.replace(function, driver="igbvf", vfio=False)
            for function in HOST
        ]
        recorded = having(wanted(host=host), vf1=Status.ALLOCATED)
        plan = sync.decide(recorded, wanted())
        self.assertEqual("vfio-pci", plan.updated[0].extra_info["driver"])
        self.assertIsNone(plan.updated[0].pending)
        self.assertFalse(sync.decide(after(recorded, plan), wanted()))

    def test_a_free_device_that_vanished_is_removed(self) -> None:
        plan = sync.decide(wanted(), wanted(host=HOST[:2]))
        self.assertEqual(
            ["0000:00:00.2"], [str(d.address) for d in plan.removed]
        )
        self.assertEqual([VF], [str(d.address) for d in plan.unchanged])

    def test_a_device_that_vanished_in_use_is_kept_until_freed(self) -> None:
        recorded = having(wanted(), vf1=Status.CLAIMED)
        plan = sync.decide(recorded, wanted(host=HOST[:1]))
        self.assertEqual(
            ({}, ONE), (plan.kept[0].pending, plan.kept[0].instance_uuid)
        )
        recorded = after(recorded, plan)
        again = sync.decide(recorded, wanted(host=HOST[:1]))
        self.assertEqual(plan.kept, again.kept)
        families = family.Families(recorded)
        families.free(samples.at(VF))
        self.assertEqual(
            [Status.REMOVED], [device.status for device in families.changes()]
        )

    def test_a_kept_device_that_comes_back_stays(self) -> None:
        recorded = having(wanted(), vf1=Status.CLAIMED)
        gone = after(recorded, sync.decide(recorded, wanted(host=HOST[:1])))
        back = after(gone, sync.decide(gone, wanted()))
        self.assertEqual(recorded, back)

    def test_a_new_vf_below_an_allocated_pf_is_unavailable(self) -> None:
        recorded = having(wanted(PFS), vf0=Status.ALLOCATED)
        both = sync.desired([PFS, dataclasses.replace(VFS, index=1)], HOST)
        plan = sync.decide(recorded, both)
        self.assertEqual(
            [Status.UNAVAILABLE] * 2, [device.status for device in plan.added]
        )

    def test_a_new_pf_of_a_claimed_vf_is_unclaimable(self) -> None:
        recorded = having(wanted(), vf1=Status.CLAIMED)
        both = sync.desired([PFS, dataclasses.replace(VFS, index=1)], HOST)
        plan = sync.decide(recorded, both)
        self.assertEqual(
            [Status.UNCLAIMABLE], [device.status for device in plan.added]
        )

    def test_a_vf_whose_pf_is_lost_from_sight_is_not_free_beside_it(
        self,
    ) -> None:
        both = [PFS, dataclasses.replace(VFS, index=1)]
        recorded = having(
            sync.desired(both, HOST),
            vf0=Status.CLAIMED,
            vf1=Status.UNCLAIMABLE,
            vf2=Status.UNCLAIMABLE,
        )
        blind = [
            dataclasses.replace(function, physfn=None) for function in HOST
        ]
        plan = sync.decide(recorded, sync.desired(both, blind))
        self.assertFalse(plan, "they stay as they are, unclaimable")
        self.assertEqual(
            recorded[1:], [exchange.device for exchange in plan.exchanged]
        )

    def test_a_pf_that_stops_to_look_like_one_stays_blocked(self) -> None:
        both = [PFS, dataclasses.replace(VFS, index=1)]
        recorded = having(
            sync.desired(both, HOST),
            vf0=Status.UNAVAILABLE,
            vf1=Status.ALLOCATED,
        )
        blind = [
            dataclasses.replace(function, sriov_totalvfs=0)
            for function in HOST
        ]
        plan = sync.decide(recorded, sync.desired(both, blind))
        self.assertEqual(Status.UNAVAILABLE, plan.updated[0].status)

    def test_a_plain_card_in_place_of_a_pf_is_no_pf(self) -> None:
        recorded = having(wanted(), vf1=Status.CLAIMED)
        card = dataclasses.replace(
            HOST[0], product_id="1572", sriov_totalvfs=0, sriov_numvfs=0
        )
        plan = sync.decide(
            recorded, wanted(samples.spec(vendor_id="8086"), [card])
        )
        self.assertEqual(
            [Status.AVAILABLE], [device.status for device in plan.added]
        )
        families = family.Families(after(recorded, plan))
        families.claim(samples.at(PF), samples.TWO)
        families.free(samples.at(VF), ONE)
        self.assertEqual(Status.CLAIMED, families[samples.at(PF)].status)

    def test_memory_stays_below_four_kib_a_device(self) -> None:
        host = hosts.make_functions(16, 64)
        recorded = wanted(host=host)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        tracemalloc.reset_peak()
        begun, _ = tracemalloc.get_traced_memory()
        sync.decide(recorded, wanted(host=host))
        _, peak = tracemalloc.get_traced_memory()
        self.assertLess((peak - begun) / len(recorded), 4096)


class ExchangeTest(base.TestCase):
    """Another card stands where a tracked one was."""

    def setUp(self) -> None:
        super().setUp()
        self.host = [
            dataclasses.replace(function, vf_index=n - 1 if n else None)
            for n, function in enumerate(HOST)
        ]
        self.other = [
            dataclasses.replace(function, vendor_id="15b3")
            if str(function.address) == VF
            else function
            for function in self.host
        ]

    def decide(
        self,
        recorded: ty.Iterable[Device],
        host: ty.Sequence[PciFunction],
        spec: ty.Any = None,
        accepted: ty.Sequence[str] = (),
    ) -> sync.SyncPlan:
        there = {function.address: function for function in host}
        return sync.decide(
            recorded,
            wanted(spec or ANY_VENDOR, host),
            there=there.get,
            accepted=[samples.at(one) for one in accepted],
        )

    def test_its_device_stays_as_it_is_and_is_named(self) -> None:
        for status in (
            Status.AVAILABLE,
            Status.CLAIMED,
            Status.ALLOCATED,
            Status.UNCLAIMABLE,
        ):
            recorded = having(wanted(host=self.host), vf1=status)
            plan = self.decide(recorded, self.other)
            self.assertFalse(
                [
                    device
                    for device in plan.updated
                    if str(device.address) == VF
                ]
            )
            (one,) = plan.exchanged
            self.assertEqual(
                (recorded[0], self.other[1].identity, "15b3"),
                (one.device, one.now, one.desired and one.desired.vendor_id),
            )
            self.assertNotIn(recorded[0], plan.unchanged)

    def test_one_that_nothing_names_any_more_is_named_while_in_use(
        self,
    ) -> None:
        for status in (Status.CLAIMED, Status.ALLOCATED):
            recorded = having(wanted(host=self.host), vf1=status)
            plan = self.decide(recorded, self.other, VFS)
            self.assertEqual(((), ()), (plan.kept, plan.updated))
            (one,) = plan.exchanged
            self.assertEqual((recorded[0], None), (one.device, one.desired))
        free = list(wanted(host=self.host))
        plan = self.decide(free, self.other, VFS)
        self.assertEqual(((free[0],), ()), (plan.removed, plan.exchanged))

    def test_what_was_the_same_all_along_is_no_other(self) -> None:
        facts: ty.Any = ("subsystem", "8086:0001"), ("serial_number", "00-01")
        for fact, value in facts:
            told = [
                dataclasses.replace(function, **{fact: value})
                for function in self.host
            ]
            for status in (Status.AVAILABLE, Status.ALLOCATED):
                recorded = having(wanted(host=self.host), vf1=status)
                plan = sync.decide(recorded, wanted(host=told))
                self.assertEqual((), plan.exchanged)
                self.assertEqual(
                    {value},
                    {
                        getattr(device.identity, fact)
                        for device in plan.updated
                    },
                )
                known = after(recorded, plan)
                self.assertFalse(sync.decide(known, wanted(host=told)))
                # A kernel that says less takes nothing from it.
                again = sync.decide(known, wanted(host=self.host))
                self.assertFalse(again)
                self.assertEqual(2, len(again.unchanged))
                another: ty.Any = {fact: "another"}
                others = [
                    dataclasses.replace(function, **another)
                    for function in self.host
                ]
                self.assertEqual(
                    2, len(sync.decide(known, wanted(host=others)).exchanged)
                )

    def test_another_vf_of_the_same_pf_is_another_device(self) -> None:
        moved = [
            dataclasses.replace(function, vf_index=function.vf_index + 1)
            if function.vf_index is not None
            else function
            for function in self.host
        ]
        plan = sync.decide(wanted(host=self.host), wanted(host=moved))
        self.assertEqual(2, len(plan.exchanged))

    def test_one_that_an_older_version_tracked_is_what_is_seen_now(
        self,
    ) -> None:
        for status, named in (
            (Status.AVAILABLE, False),
            (Status.CLAIMED, True),
            (Status.ALLOCATED, True),
        ):
            old = [
                dataclasses.replace(device, identity=None)
                for device in having(wanted(host=self.host), vf1=status)
            ]
            same = self.decide(old, self.host)
            self.assertEqual((), same.exchanged)
            self.assertEqual(
                [function.identity for function in self.host[1:]],
                [device.identity for device in same.updated],
            )
            other = self.decide(old, self.other)
            self.assertEqual(named, bool(other.exchanged))

    def test_a_free_one_is_accepted_when_somebody_says_so(self) -> None:
        recorded = having(wanted(host=self.host))
        plan = self.decide(recorded, self.other, accepted=[VF])
        self.assertEqual((), plan.exchanged)
        (now,) = plan.updated
        self.assertEqual(
            ("15b3", self.other[1].identity), (now.vendor_id, now.identity)
        )
        self.assertFalse(self.decide(after(recorded, plan), self.other))

    def test_one_that_somebody_has_is_not_accepted(self) -> None:
        recorded = having(wanted(host=self.host), vf1=Status.ALLOCATED)
        for spec in (None, VFS):
            error = self.assertRaises(
                exception.InvalidDeviceStatus,
                self.decide,
                recorded,
                self.other,
                spec,
                [VF],
            )
            self.assertIn(f"claim delete --instance {ONE}", str(error))

    def test_one_that_is_no_other_is_not_accepted(self) -> None:
        for place in (VF, "0000:99:00.0"):
            error = self.assertRaises(
                exception.InvalidDeviceStatus,
                self.decide,
                list(wanted(host=self.host)),
                self.host,
                None,
                [place],
            )
            self.assertIn("nothing to accept", str(error))


functions = st.builds(
    dataclasses.replace,
    st.sampled_from(hosts.make_functions(2, 3)),
    driver=st.sampled_from([None, "igbvf", "vfio-pci"]),
    vfio=st.booleans(),
    iommu_group=st.sampled_from([None, 1, 2]),
    numa_node=st.sampled_from([None, 0]),
)
whole_hosts = st.lists(functions, unique_by=lambda f: f.address).map(
    lambda found: sorted(found, key=lambda f: f.address)
)
all_specs = st.lists(
    st.builds(
        lambda entry, managed: {**entry, "managed": managed},
        st.sampled_from(
            [
                {"product_id": "10ca"},
                {"product_id": "10c9"},
                {"resource_class": "a"},
                {"physical_network": "net", "traits": ["x"]},
            ]
        ),
        st.sampled_from([True, False, None]),
    ),
    max_size=3,
).map(
    lambda entries: [
        samples.spec(index, **entry) for index, entry in enumerate(entries)
    ]
)


class AnyHostTest(base.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(all_specs, whole_hosts)
    def test_a_mark_is_that_of_the_device_it_stands_for(
        self, specs: ty.Any, host: list[PciFunction]
    ) -> None:
        devices = sync.desired(specs, host)
        for device in devices:
            self.assertEqual(
                properties.mark(device), devices.marks[number(device.address)]
            )

    @hypothesis.settings(deadline=None)
    @hypothesis.given(
        st.tuples(all_specs, whole_hosts),
        st.tuples(all_specs, whole_hosts),
        st.data(),
    )
    def test_one_sync_is_enough_and_freeing_all_ends_at_what_is_desired(
        self, before: ty.Any, now: ty.Any, data: st.DataObject
    ) -> None:
        families = family.Families(sync.desired(*before))
        recorded = list(sync.desired(*before))
        for device in recorded:
            if data.draw(st.booleans()):
                # Where a relative of it was claimed before.
                with contextlib.suppress(exception.InvalidDeviceStatus):
                    families.claim(device.address, ONE)
        recorded = [families[device.address] for device in recorded]
        new = sync.desired(*now)
        plan = sync.decide(recorded, new)
        self.assertEqual(
            len({*map(number, (d.address for d in recorded)), *new.marks}),
            sum(
                map(
                    len,
                    (
                        plan.added,
                        plan.updated,
                        plan.removed,
                        plan.unchanged,
                        plan.kept,
                    ),
                )
            ),
        )
        recorded = after(recorded, plan)
        again = sync.decide(recorded, new)
        self.assertEqual(
            ((), (), (), plan.kept),
            (again.added, again.updated, again.removed, again.kept),
        )
        families = family.Families(recorded)
        for device in recorded:
            if device.instance_uuid:
                families.free(device.address)
        end = {device.address: device for device in recorded}
        end.update({device.address: device for device in families.changes()})
        self.assertEqual(
            list(new),
            [
                device
                for device in end.values()
                if device.status != Status.REMOVED
            ],
        )
