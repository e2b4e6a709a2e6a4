# SPDX-License-Identifier: Apache-2.0
"""Which requests fit, and which devices they get, as in PciDeviceStats."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant import exception, source
from nova_vfio_variant.pci import alias, pools
from nova_vfio_variant.tracker import device
from tests import base
from tests.unit.pci import make

SOCKETS = {0: 0, 1: 0, 2: 1, 3: 1}


def _ask(count: int = 1, policy: str = "legacy", **wanted: Any) -> Any:
    """A request for VFs of one product, unless it says otherwise."""
    wanted = {
        "vendor_id": "10de",
        "product_id": "25b6",
        "device_type": "type-VF",
    } | wanted
    spec = alias.Alias("a", source.SourceText.of("{}"), **wanted)
    return alias.PciRequest("a", count, (spec,), policy)


def _vfs(
    bus: str, count: int, node: int | None = None, **facts: Any
) -> list[device.Device]:
    """The VFs of a card, without their PF."""
    return [
        make.tracked(dataclasses.replace(function, numa_node=node), **facts)
        for function in make.card(bus, count)[1:]
    ]


def _family(bus: str, vfs: int) -> list[device.Device]:
    """A PF and its VFs, all of one product."""
    pf, *rest = make.card(bus, vfs)
    pf = dataclasses.replace(pf, product_id="25b6")
    return [make.tracked(one) for one in (pf, *rest)]


def _taken(
    free: pools.Pools[device.Device], *requests: Any, **where: Any
) -> list[list[str]]:
    return [
        [str(tracked_device.address)[5:] for tracked_device in devices]
        for _, devices in free.consume(requests, **where)
    ]


def _addresses(free: pools.Pools[device.Device]) -> list[list[str]]:
    return [[str(place)[5:] for place in pool.devices] for pool in free.pools]


class PoolingTest(base.TestCase):
    def test_there_is_a_pool_for_each_physical_function(self) -> None:
        free = pools.Pools.of([*_vfs("25", 2), *_vfs("26", 1)])
        self.assertEqual(
            [["25:00.4", "25:00.5"], ["26:00.4"]], _addresses(free)
        )

    def test_a_tag_that_differs_parts_the_vfs_of_one_pf(self) -> None:
        one, other = _vfs("25", 2)
        other = dataclasses.replace(other, tags={"managed": "false"})
        self.assertEqual(
            [["25:00.4"], ["25:00.5"]],
            _addresses(pools.Pools.of([one, other])),
        )

    def test_pools_with_few_tags_come_first(self) -> None:
        free = pools.Pools.of(
            [
                *_vfs("25", 1, tags={"managed": "true", "trusted": "true"}),
                *_vfs("26", 1, tags={"managed": "true"}),
                *_vfs("27", 1),
                *_vfs("28", 1, tags={"managed": "false"}),
            ]
        )
        self.assertEqual(
            [["27:00.4"], ["26:00.4"], ["28:00.4"], ["25:00.4"]],
            _addresses(free),
        )

    def test_a_tag_that_holds_a_list_is_a_tag_like_any_other(self) -> None:
        free = pools.Pools.of(_vfs("25", 2, tags={"x": [1, {"y": 2}]}))
        self.assertEqual([["25:00.4", "25:00.5"]], _addresses(free))

    def test_only_available_devices_are_free(self) -> None:
        free = pools.Pools.of(_vfs("25", 2, status=device.Status.UNCLAIMABLE))
        self.assertEqual([], free.pools)


class ClassTest(base.TestCase):
    """What Placement decides where there is a scheduler."""

    def setUp(self) -> None:
        super().setUp()
        self.devices = [
            dataclasses.replace(
                tracked_device, resource_class=of, traits=traits
            )
            for tracked_device, of, traits in zip(
                _vfs("25", 3),
                ("CUSTOM_A", "CUSTOM_B", "CUSTOM_PCI_10DE_25B6"),
                (("CUSTOM_T", "CUSTOM_U"), (), ()),
                strict=True,
            )
        ]

    def _got(self, *requests: Any) -> list[str]:
        free = pools.Pools.of(self.devices, by_class=True)
        return [
            str(tracked_device.address)
            for _, devices in free.consume(requests)
            for tracked_device in devices
        ]

    def test_an_alias_gets_devices_of_its_class(self) -> None:
        self.assertEqual(
            ["0000:25:00.5", "0000:25:00.4"],
            self._got(_ask(resource_class="b"), _ask(resource_class="A")),
        )

    def test_an_alias_gets_devices_with_all_its_traits(self) -> None:
        self.assertEqual(
            ["0000:25:00.4"], self._got(_ask(traits=("t", "CUSTOM_U")))
        )
        self.assertRaises(
            exception.NotEnoughDevices, self._got, _ask(traits=("t", "v"))
        )

    def test_one_alternative_has_to_fit_as_a_whole(self) -> None:
        one = _ask(resource_class="B", traits=("T",))
        other = _ask(resource_class="A", vendor_id="8086")
        both = dataclasses.replace(one, specs=(*one.specs, *other.specs))
        self.assertRaises(exception.NotEnoughDevices, self._got, both)

    def test_without_a_class_any_will_do_unless_placement_decides(
        self,
    ) -> None:
        self.assertEqual(3, len(self._got(_ask(3))))
        self.assertEqual(
            ["0000:25:00.6"], self._got(_ask(1, in_placement=True))
        )


class FilterTest(base.TestCase):
    def _fits(self, devices: Sequence[Any], *requests: Any) -> bool:
        return pools.Pools.of(devices).fits(requests)

    def test_as_many_as_there_are_fit_and_no_more(self) -> None:
        both = [*_vfs("25", 2), *_vfs("26", 2)]
        self.assertTrue(self._fits(both, _ask(3), _ask(1)))
        self.assertFalse(self._fits(both, _ask(3), _ask(2)))
        self.assertFalse(self._fits([], _ask()))

    def test_ids_and_type_must_be_those_of_the_alias(self) -> None:
        devices = _vfs("25", 1)
        others: list[dict[str, Any]] = [
            {"vendor_id": "8086"},
            {"product_id": "25b7"},
            {"device_type": "type-PCI"},
            {"device_type": "type-PF"},
            {"capability_type": "pci"},
        ]
        for wanted in others:
            self.assertFalse(self._fits(devices, _ask(**wanted)))
        self.assertTrue(self._fits(devices, _ask(device_type=None)))

    def test_any_of_an_aliases_alternatives_will_do(self) -> None:
        other = _ask(product_id="25b7")
        both = dataclasses.replace(other, specs=other.specs + _ask().specs)
        self.assertTrue(self._fits(_vfs("25", 1), both))

    def test_a_pf_is_given_only_to_who_asks_for_one(self) -> None:
        pf = _family("25", 0)
        self.assertFalse(self._fits(pf, _ask(device_type=None)))
        self.assertTrue(self._fits(pf, _ask(device_type="type-PF")))

    def test_what_another_host_manages_is_never_given(self) -> None:
        for value, fits in (("yes", False), (True, False), ("no", True)):
            devices = _vfs("25", 1, tags={"remote_managed": value})
            self.assertEqual(fits, self._fits(devices, _ask()))

    def test_vdpa_devices_are_never_given(self) -> None:
        devices = _vfs("25", 1, dev_type="vdpa")
        self.assertFalse(self._fits(devices, _ask(device_type=None)))

    def test_live_migratable_must_be_said_as_asked(self) -> None:
        for tag, yes, no in (
            ({"live_migratable": "true"}, True, False),
            ({"live_migratable": "false"}, False, True),
            ({}, False, False),
        ):
            devices = _vfs("25", 1, tags=tag)
            self.assertEqual(
                yes, self._fits(devices, _ask(live_migratable=True))
            )
            self.assertEqual(
                no, self._fits(devices, _ask(live_migratable=False))
            )
            self.assertTrue(self._fits(devices, _ask()))


class NumaTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # Two VFs on each of nodes 0, 1 and 2, and two on no known node.
        self.devices = [
            *_vfs("25", 2, 0),
            *_vfs("26", 2, 1),
            *_vfs("27", 2, 2),
            *_vfs("28", 2, None),
        ]

    def _most(self, policy: str, **where: Any) -> int:
        """How many devices can be had at once."""
        free = pools.Pools.of(self.devices)
        return max(
            (n for n in range(1, 9) if free.fits([_ask(n, policy)], **where)),
            default=0,
        )

    def test_each_policy_reaches_as_far_as_novas(self) -> None:
        for policy, most in (
            ("required", 2),
            ("socket", 4),
            ("legacy", 4),
            ("preferred", 8),
        ):
            self.assertEqual(
                most, self._most(policy, numa_cells=[0], sockets=SOCKETS)
            )

    def test_without_guest_nodes_all_are_near(self) -> None:
        self.assertEqual(8, self._most("required", numa_cells=None))
        self.assertEqual(8, self._most("required", numa_cells=[]))

    def test_the_socket_policy_needs_every_nodes_socket(self) -> None:
        for sockets in (None, SOCKETS | {3: None}):
            self.assertEqual(
                2, self._most("socket", numa_cells=[0], sockets=sockets)
            )

    def test_whatever_the_policy_near_devices_go_first(self) -> None:
        for policy in ("required", "socket", "legacy", "preferred"):
            free = pools.Pools.of(self.devices)
            self.assertEqual(
                [["26:00.5"]],
                _taken(free, _ask(1, policy), numa_cells=[1], sockets=SOCKETS),
            )

    def test_preferred_takes_near_ones_then_unknown_then_far(self) -> None:
        free = pools.Pools.of(self.devices)
        self.assertEqual(
            [["27:00.5", "27:00.4", "28:00.5", "28:00.4", "25:00.5"]],
            _taken(free, _ask(5, "preferred"), numa_cells=[2]),
        )

    def test_a_refusal_names_the_nodes_and_the_policy(self) -> None:
        free = pools.Pools.of(self.devices)
        error = self.assertRaises(
            exception.NotEnoughDevices,
            free.consume,
            [_ask(3, "required")],
            numa_cells=[1],
        )
        self.assertEqual(
            "alias 'a': 3 asked for, and 2 can be given by NUMA policy "
            "required near node 1",
            str(error),
        )


class ConsumeTest(base.TestCase):
    def test_the_last_device_of_the_first_pool_goes_first(self) -> None:
        free = pools.Pools.of([*_vfs("25", 3), *_vfs("26", 2)])
        self.assertEqual(
            [["25:00.6", "25:00.5"], ["25:00.4", "26:00.5"]],
            _taken(free, _ask(2), _ask(2)),
        )

    def test_a_vf_takes_its_pf_along_and_a_pf_its_vfs(self) -> None:
        free = pools.Pools.of([*_family("25", 2), *_family("26", 2)])
        self.assertEqual(
            [["25:00.5"], ["26:00.0"]],
            _taken(free, _ask(), _ask(device_type="type-PF")),
        )
        self.assertEqual([["25:00.4"], []], _addresses(free))

    def test_a_refusal_leaves_the_pools_as_they_were(self) -> None:
        free = pools.Pools.of([*_family("25", 2), *_family("26", 2)])
        before = _addresses(free)
        for requests in (
            [_ask(3), _ask(device_type="type-PF")],
            [_ask(device_type="type-PF"), _ask(3)],
            [_ask(5)],
        ):
            self.assertRaises(
                exception.NotEnoughDevices, free.consume, requests
            )
            self.assertEqual(before, _addresses(free))
        self.assertEqual(4, len(_taken(free, _ask(4))[0]))

    @given(
        st.lists(
            st.tuples(
                st.integers(1, 4),
                st.sampled_from(("type-VF", "type-PF", None)),
                st.sampled_from(("required", "legacy", "preferred")),
            ),
            max_size=4,
        ),
        st.lists(st.integers(0, 1), max_size=2),
    )
    def test_no_device_is_given_twice_and_families_stay_apart(
        self, asked: list[tuple[int, Any, str]], cells: list[int]
    ) -> None:
        devices = [*_family("25", 3), *_family("26", 2), *_vfs("27", 2, 1)]
        free = pools.Pools.of(devices)
        requests = [_ask(n, policy, device_type=t) for n, t, policy in asked]
        fits = free.fits(requests, numa_cells=cells)
        try:
            answer = free.consume(requests, numa_cells=cells)
        except exception.NotEnoughDevices:
            return
        # Without a type, PFs that count as near are left out only afterwards;
        # consuming has removed them, counting has not. So it is in Nova.
        self.assertTrue(fits or any(t is None for _, t, _ in asked))
        given_away = [
            tracked_device
            for _, devices in answer
            for tracked_device in devices
        ]
        self.assertEqual([n for n, _, _ in asked], [len(d) for _, d in answer])
        places = {tracked_device.address for tracked_device in given_away}
        self.assertEqual(len(given_away), len(places))
        self.assertFalse(
            [
                tracked_device
                for tracked_device in given_away
                if tracked_device.parent_addr in places
            ]
        )


class ProviderTest(base.TestCase):
    """Placement has chosen; the pools follow it."""

    def setUp(self) -> None:
        super().setUp()
        self.devices = [
            *_vfs("25", 2, extra_info={"rp_uuid": "A"}),
            *_vfs("26", 2, extra_info={"rp_uuid": "B"}),
            *_vfs("27", 2),
        ]

    def test_devices_come_from_the_chosen_providers(self) -> None:
        free = pools.Pools.of(self.devices)
        self.assertEqual(
            [["25:00.5", "26:00.5"]],
            _taken(free, _ask(2), rp_uuids=[["B", "A"]]),
        )

    def test_a_request_that_placement_was_not_asked_for_is_free(self) -> None:
        free = pools.Pools.of(self.devices)
        self.assertEqual(
            [["26:00.5"], ["25:00.5", "25:00.4"]],
            _taken(free, _ask(1), _ask(2), rp_uuids=[["B"], []]),
        )

    def test_a_provider_without_enough_free_devices_is_refused(self) -> None:
        free = pools.Pools.of(self.devices)
        for chosen in (["A", "A", "A"], ["C"]):
            self.assertFalse(free.fits([_ask(len(chosen))], rp_uuids=[chosen]))

    def test_counts_go_down_from_one_request_to_the_next(self) -> None:
        free = pools.Pools.of(self.devices)
        chosen = [["A", "A"], ["A"]]
        self.assertFalse(free.fits([_ask(2), _ask(1)], rp_uuids=chosen))
        self.assertTrue(free.fits([_ask(2)], rp_uuids=chosen))

    def test_a_provider_whose_devices_differ_in_tags_is_refused(self) -> None:
        one, other = _vfs("25", 2, extra_info={"rp_uuid": "A"})
        other = dataclasses.replace(other, tags={"managed": "false"})
        free = pools.Pools.of([one, other])
        self.assertFalse(free.fits([_ask()], rp_uuids=[["A"]]))
        error = self.assertRaises(
            exception.NotEnoughDevices,
            free.consume,
            [_ask()],
            rp_uuids=[["A"]],
        )
        self.assertIn("differ in their tags", str(error))
