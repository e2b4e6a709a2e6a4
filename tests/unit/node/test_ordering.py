# SPDX-License-Identifier: Apache-2.0
"""Which of several devices a request gets, by the order that it asks for."""

import random
import typing as ty

import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant import source
from nova_vfio_variant.host.decide import assignability, nearness
from nova_vfio_variant.node import choosing, ordering
from nova_vfio_variant.pci import alias, request
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import vgpu_reports
from tests import base
from tests.unit.tracker import samples


def asked(count: int) -> alias.PciRequest:
    spec = alias.Alias("a", source.SourceText.of("{}"), device_type="type-VF")
    return alias.PciRequest("a", count, (spec,), "legacy")


STRATEGIES = st.sampled_from([*request.Strategy, None])


def order(
    strategy: request.Strategy | None, *, closest: bool = False
) -> ordering.Order:
    def path_of(device: tracked.Device) -> nearness.Path:
        card = ordering.card_of(device)
        return nearness.path(
            device.numa_node, f"root{card.bus % 2}", None, str(card)
        )

    return ordering.Order(strategy, closest, path_of)


def vf(card: int, at: int, node: int = 0, **more: ty.Any) -> tracked.Device:
    return samples.vf(
        f"0000:{card:02x}:10.{at}",
        f"0000:{card:02x}:00.0",
        numa_node=node,
        **more,
    )


USED: dict[str, ty.Any] = {
    "status": tracked.Status.CLAIMED,
    "instance_uuid": samples.TWO,
}


class OrderTest(base.TestCase):
    def chosen(
        self,
        devices: ty.Sequence[tracked.Device],
        strategy: request.Strategy | None,
        count: int = 1,
        doubtful: ty.Collection[str] = (),
        *,
        closest: bool = False,
    ) -> list[str]:
        taken = choosing.choose(
            sorted(devices, key=lambda device: device.address),
            {
                device.address: assignability.Verdict()
                for device in devices
                if device.instance_uuid is None
            },
            [asked(count)],
            None,
            {},
            {samples.at(at): vgpu_reports.Health.SUSPECT for at in doubtful},
            order(strategy, closest=closest),
        )
        return [str(one.address) for _, some in taken for one in some]

    def cards(self, *more: ty.Any, **how: ty.Any) -> list[str]:
        return [at[5:7] for at in self.chosen(*more, **how)]

    def test_cards_are_filled_spread_or_kept_apart(self) -> None:
        devices = [
            *(vf(5, at) for at in range(4)),
            vf(6, 0, **USED),
            *(vf(6, at) for at in (1, 2)),
            *(vf(7, at, **USED) for at in (0, 1)),
            *(vf(7, at) for at in (2, 3)),
        ]
        for strategy, expected in (
            (request.Strategy.PACK, ["07", "07", "06"]),
            (request.Strategy.SPREAD, ["05", "05", "06"]),
            (request.Strategy.SEPARATE, ["05", "07", "07"]),
        ):
            self.assertEqual(expected, self.cards(devices, strategy, 3))

    def test_one_numa_node_suffices_where_it_can(self) -> None:
        devices = [
            *(vf(5, at, 0) for at in range(4)),
            *(vf(6, at, 1) for at in range(2)),
            *(vf(7, at, None) for at in range(6)),  # type: ignore[arg-type] # a node that isn't known
        ]
        for count, expected in (
            (1, {"06"}),
            (2, {"06"}),
            (3, {"05"}),
            (5, {"05", "06"}),
        ):
            self.assertEqual(
                expected,
                {*self.cards(devices, request.Strategy.NUMA, count)},
            )

    def test_equal_ones_that_failed_last_come_last(self) -> None:
        devices = [vf(5, at) for at in range(3)]
        for strategy in (*request.Strategy, None):
            for at in range(3):
                bad = f"0000:05:10.{at}"
                self.assertNotIn(bad, self.chosen(devices, strategy, 2, [bad]))

    @hypothesis.given(
        st.lists(
            st.tuples(st.integers(5, 8), st.integers(0, 3), st.booleans()),
            min_size=1,
            max_size=12,
            unique_by=lambda made: made[:2],
        ),
        STRATEGIES,
        st.booleans(),
        st.integers(1, 4),
        st.randoms(use_true_random=False),
    )
    def test_the_order_of_input_changes_nothing(
        self,
        made: list[tuple[int, int, bool]],
        strategy: request.Strategy | None,
        closest: bool,
        count: int,
        chance: random.Random,
    ) -> None:
        devices = [
            vf(card, at, card % 2, **(USED if used else {}))
            for card, at, used in made
        ]
        free = sum(device.instance_uuid is None for device in devices)
        hypothesis.assume(free >= count)
        first = self.chosen(devices, strategy, count, closest=closest)
        self.assertEqual(count, len({*first}))
        chance.shuffle(devices)
        self.assertEqual(
            first, self.chosen(devices, strategy, count, closest=closest)
        )
