# SPDX-License-Identifier: Apache-2.0
"""What speaks against taking a function from its driver."""

import dataclasses

from nova_vfio_variant.host.decide import refusal
from nova_vfio_variant.host.observe import facts, scanner, use
from nova_vfio_variant.pci import address as pci_address
from tests.unit.host import plan_case


class ErrorTest(plan_case.PlanCase):
    def test_it_names_the_first_and_how_many_more(self) -> None:
        entry = f'{{"address": "{plan_case.NIC}", "driver": "vfio-pci"}}'
        (found,) = self.decision(entry).refusals
        told = [refusal.error([found] * number) for number in (1, 3)]
        self.assertEqual(refusal.line(found), told[0].message)
        self.assertEqual(f"{refusal.line(found)}, and 2 more", told[1].message)
        self.assertEqual((found,) * 3, told[1].findings)


class UnseenTest(plan_case.PlanCase):
    """Processes that can't be seen may have open what is on a driver."""

    def found(self, *lost: str, driver: str | None = "e1000e") -> int:
        known = facts.gather(scanner.scan(self.host.tree))
        known = dataclasses.replace(known, unseen=(use.PROCESSES,))
        seen = known.scan.get(pci_address.PciAddress.parse(plan_case.NIC))
        assert seen is not None
        function = dataclasses.replace(
            seen, driver=driver, lost=frozenset(lost)
        )
        return len(refusal.unseen(known, function))

    def test_one_on_a_driver_may_be_in_use(self) -> None:
        self.assertEqual(1, self.found())

    def test_one_on_no_driver_is_not(self) -> None:
        self.assertEqual(0, self.found(driver=None))

    def test_one_whose_driver_is_not_known_may_be(self) -> None:
        self.assertEqual(1, self.found("driver", driver=None))
