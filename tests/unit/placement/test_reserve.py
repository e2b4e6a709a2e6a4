# SPDX-License-Identifier: Apache-2.0
"""Which units nobody can be given."""

from nova_vfio_variant.placement import memory, reserve, tree
from nova_vfio_variant.tracker.device import Device, Status
from tests import base
from tests.unit.tracker import samples

PF = "0000:05:00.0"


def vfs(*statuses: Status) -> list[Device]:
    return [
        samples.vf(
            f"0000:05:00.{number}",
            PF,
            status=status,
            resource_class=f"CUSTOM_{'AB'[number % 2]}",
        )
        for number, status in enumerate(statuses, start=2)
    ]


class ReserveTest(base.TestCase):
    def marked(
        self,
        devices: list[Device],
        *blocked: int,
        unknown: tuple[int, ...] = (),
    ) -> dict[str, tuple[int, int, int]]:
        made, _ = tree.build(devices, "n1", "per_class")
        return {
            name: (inventory.total, inventory.blocked, inventory.unknown)
            for of_it in reserve.marked(
                made,
                devices,
                {samples.at(f"0000:05:00.{place}") for place in blocked},
                {samples.at(f"0000:05:00.{place}") for place in unknown},
            )
            for name, inventory in of_it.inventories.items()
        }

    def test_free_devices_are_counted_by_class(self) -> None:
        self.assertEqual(
            {"CUSTOM_A": (3, 2, 1), "CUSTOM_B": (3, 1, 0)},
            self.marked(vfs(*[Status.AVAILABLE] * 6), 2, 3, 4, unknown=(6,)),
        )

    def test_what_somebody_has_does_not_count(self) -> None:
        devices = vfs(
            Status.CLAIMED,
            Status.AVAILABLE,
            Status.ALLOCATED,
            Status.UNCLAIMABLE,
        )
        self.assertEqual(
            {"CUSTOM_A": (2, 0, 0), "CUSTOM_B": (2, 1, 1)},
            self.marked(devices, 2, 3, 4, unknown=(2, 5)),
        )

    def test_what_is_blocked_for_sure_is_not_unknown(self) -> None:
        self.assertEqual(
            {"CUSTOM_A": (1, 1, 0)},
            self.marked(vfs(Status.AVAILABLE), 2, unknown=(2,)),
        )

    def test_a_provider_of_which_all_is_fine_has_the_print_it_had(
        self,
    ) -> None:
        devices = vfs(Status.AVAILABLE)
        (made,), _ = tree.build(devices, "n1", "per_class")
        (same,) = reserve.marked([made], devices, {samples.at(PF)})
        self.assertEqual(memory.fingerprint(made), memory.fingerprint(same))
        at = {devices[0].address}
        prints = {
            memory.fingerprint(reserve.marked([made], devices, *sets)[0])
            for sets in (((), ()), (at, ()), ((), at))
        }
        self.assertEqual(3, len(prints))
