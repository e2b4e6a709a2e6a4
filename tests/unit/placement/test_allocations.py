# SPDX-License-Identifier: Apache-2.0
"""What devices amount to in Placement."""

import dataclasses

from nova_vfio_variant.placement import allocations, memory, tree
from tests import base
from tests.unit.placement.devices import make


class AmountsTest(base.TestCase):
    def test_devices_are_counted_by_provider_and_class(self) -> None:
        devices = [
            make("0000:25:00.4"),
            make("0000:25:00.5"),
            make("0000:26:00.0", None, "PGPU"),
        ]
        providers, _ = tree.build(devices, "host")
        self.assertEqual(
            {
                "host_0000:25:00.0": {"CUSTOM_A16_16A": 2},
                "host_0000:26:00.0": {"PGPU": 1},
            },
            allocations.amounts(providers, devices),
        )

    def test_what_is_not_published_amounts_to_nothing(self) -> None:
        network = make("0000:25:00.4", tags={"physical_network": "physnet1"})
        providers, _ = tree.build([network], "host")
        self.assertEqual({}, allocations.amounts(providers, [network]))


class FingerprintTest(base.TestCase):
    def test_it_is_the_same_for_equal_providers(self) -> None:
        one, two = (
            tree.build([make("0000:25:00.4")], "host")[0][0] for _ in range(2)
        )
        self.assertEqual(memory.fingerprint(one), memory.fingerprint(two))

    def test_it_changes_with_whatever_placement_is_told(self) -> None:
        ((one,), _) = tree.build([make("0000:25:00.4")], "host")
        (inventory,) = one.inventories.values()
        others = [
            dataclasses.replace(one, traits=()),
            dataclasses.replace(one, parent="other"),
            *(
                dataclasses.replace(
                    one,
                    inventories={
                        "CUSTOM_A16_16A": dataclasses.replace(
                            inventory, **{field: 7}
                        )
                    },
                )
                for field in ("total", "max_unit", "reserved")
            ),
            dataclasses.replace(one, inventories={"CUSTOM_B": inventory}),
        ]
        marks = {memory.fingerprint(each) for each in (one, *others)}
        self.assertEqual(1 + len(others), len(marks))

    def test_which_devices_stand_behind_it_does_not_matter(self) -> None:
        ((one,), _) = tree.build([make("0000:25:00.4")], "host")
        ((two,), _) = tree.build([make("0000:25:00.5")], "host")
        self.assertEqual(memory.fingerprint(one), memory.fingerprint(two))
