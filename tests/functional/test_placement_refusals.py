# SPDX-License-Identifier: Apache-2.0
"""What a report leaves alone in a real Placement."""

import dataclasses
import typing as ty
import uuid

from nova_vfio_variant import exception
from nova_vfio_variant.placement import (
    provider,
    report,
)
from tests.functional.placement_case import (
    AUTOMATIC,
    ROOT,
    PlacementTestCase,
    ask,
    make,
)


class RefusalTest(PlacementTestCase):
    def others_root(self, *traits: str) -> str:
        root = str(uuid.uuid4())
        self.direct.create(root, ROOT, None)
        if traits:
            self.direct.put_traits(root, 0, traits)
        return root

    def assert_refused(
        self, *desired: provider.Provider, **others: ty.Any
    ) -> exception.InventoryRefused:
        before = self.published()
        self.faults.seen.clear()
        error = self.assertRaises(
            exception.InventoryRefused, self.report, *desired, **others
        )
        self.assertEqual([], self.faults.writes)
        self.assertEqual(before, self.published())
        return error

    def test_a_root_of_others_is_refused_and_compared(self) -> None:
        root = self.others_root()
        theirs = str(uuid.uuid4())
        self.direct.create(theirs, make(2).name, root)
        self.direct.put_traits(theirs, 0, [AUTOMATIC, "OWNER_NOVA"])

        error = self.assert_refused(make(1))

        self.assertIn("not made by us", str(error))
        changes = report.compare(self.client, ask(make(1)), self.known).changes
        self.assertEqual(
            {("add", make(1).name), ("delete", make(2).name)},
            {(change.change, change.provider) for change in changes},
        )

    def test_an_owner_is_no_difference(self) -> None:
        root = self.others_root()
        theirs = str(uuid.uuid4())
        self.direct.create(theirs, make(1).name, root)
        self.direct.create_class("CUSTOM_A16_16A")
        self.direct.put_inventories(
            theirs, 0, {"CUSTOM_A16_16A": {"total": 4, "max_unit": 4}}
        )
        self.direct.put_traits(theirs, 1, [AUTOMATIC, "OWNER_NOVA"])
        self.assertEqual(
            (),
            report.compare(self.client, ask(make(1)), self.known).changes,
        )

    def test_a_root_of_ours_that_got_an_owner_is_refused(self) -> None:
        self.report(make(1))
        root = self.direct.find(ROOT)
        assert root is not None
        self.direct.put_traits(root.uuid, root.generation, ["OWNER_NOVA"])
        self.assertIn("OWNER_NOVA", str(self.assert_refused(make(1, 8))))

    def test_a_provider_of_ours_that_got_an_owner_is_refused(self) -> None:
        self.report(make(1))
        one = self.direct.find(make(1).name)
        assert one is not None
        self.direct.put_traits(
            one.uuid, one.generation, [AUTOMATIC, "OWNER_NOVA"]
        )
        said = str(self.assert_refused(make(1)))
        self.assertIn("OWNER_NOVA", said)
        # An owner is no difference, so there may be none to be shown.
        self.assertNotIn("inventory diff", said)

    def test_an_embedded_root_with_an_owner_is_refused_too(self) -> None:
        self.others_root("OWNER_CYBORG")
        self.assertIn(
            "OWNER_CYBORG", str(self.assert_refused(make(1), embedded=True))
        )

    def test_a_provider_of_others_below_our_root_is_left_alone(self) -> None:
        self.report(make(1))
        root = self.direct.find(ROOT)
        assert root is not None
        self.direct.create(str(uuid.uuid4()), make(2).name, root.uuid)
        self.direct.create(str(uuid.uuid4()), "compute-1_disk", root.uuid)

        self.assert_refused(make(1), make(2))
        self.report()

        self.assertEqual(
            {make(2).name, "compute-1_disk"}, set(self.published())
        )

    def test_in_an_embedded_placement_all_is_ours(self) -> None:
        """The store was lost, and its memory with it."""
        self.report(make(1), make(2))
        self.known.rows.clear()
        self.report(make(1, 8), make(3), embedded=True)
        self.assertEqual({make(1).name, make(3).name}, set(self.published()))

    def test_a_name_that_is_taken_elsewhere_is_refused(self) -> None:
        self.direct.create(str(uuid.uuid4()), make(1).name, None)
        error = self.assertRaises(
            exception.PlacementRefused, self.report, make(1), make(2)
        )
        self.assertIn("already exists", str(error))
        self.assertIsNone(self.direct.find(ROOT))
        self.assertEqual({}, self.known.rows)

    def test_a_layout_is_not_changed_while_there_are_claims(self) -> None:
        self.report(make(1))
        per_class = dataclasses.replace(
            make(1), name=make(1).name + "_CUSTOM_A16_16A"
        )
        self.assert_refused(per_class, layout="per_class", has_claims=True)
        consumer = self.use(make(1))
        self.assert_refused(per_class, layout="per_class")
        free = dataclasses.replace(
            self.direct.allocations(consumer), resources={}
        )
        self.direct.put_allocations(consumer, free)

        self.report(per_class, layout="per_class")

        self.assertEqual([per_class.name], list(self.published()))

    def test_a_standard_trait_that_placement_lacks_is_named(self) -> None:
        error = self.assertRaises(
            exception.PlacementRefused,
            self.report,
            make(1, traits=(AUTOMATIC, "HW_PCI_OF_TOMORROW")),
        )
        self.assertIn("HW_PCI_OF_TOMORROW", str(error))
        self.assertEqual({}, self.published())
