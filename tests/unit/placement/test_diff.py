# SPDX-License-Identifier: Apache-2.0
"""How what is published differs from what should be."""

import dataclasses

from nova_vfio_variant.placement import diff, provider
from tests import base

NAME = "host_0000:25:00.0"


def wanted(
    total: int = 4, reserved: int = 0, **classes: int
) -> provider.Provider:
    inventories = {"CUSTOM_A": provider.Inventory(total, total, reserved)}
    inventories |= {
        name: provider.Inventory(size, size) for name, size in classes.items()
    }
    return provider.Provider(NAME, "host", inventories, ("CUSTOM_T",))


def there(
    total: int = 4, reserved: int = 0, used: int = 0
) -> provider.Published:
    return provider.Published(
        "a uuid",
        NAME,
        1,
        {
            "CUSTOM_A": {
                "total": total,
                "max_unit": total,
                "reserved": reserved,
                "min_unit": 1,
                "step_size": 1,
                "allocation_ratio": 1.0,
            }
        },
        ("CUSTOM_T",),
        {"CUSTOM_A": used},
    )


def blocked_of(
    rp: provider.Provider, blocked: int, unknown: int = 0
) -> provider.Provider:
    return dataclasses.replace(
        rp,
        inventories={
            name: dataclasses.replace(
                inventory, blocked=blocked, unknown=unknown
            )
            for name, inventory in rp.inventories.items()
        },
    )


class DifferenceTest(base.TestCase):
    def test_equal_trees_do_not_differ(self) -> None:
        self.assertEqual((), diff.difference({NAME: there()}, [wanted()]))

    def test_a_new_provider_is_added_field_by_field(self) -> None:
        self.assertEqual(
            (
                diff.Difference("add", NAME, "CUSTOM_A.total", None, 4),
                diff.Difference("add", NAME, "CUSTOM_A.max_unit", None, 4),
                diff.Difference("add", NAME, "CUSTOM_A.reserved", None, 0),
                diff.Difference("add", NAME, "traits", None, ("CUSTOM_T",)),
            ),
            diff.difference({}, [wanted()]),
        )

    def test_a_changed_total_is_an_update_of_that_field_alone(self) -> None:
        self.assertEqual(
            (
                diff.Difference("update", NAME, "CUSTOM_A.total", 4, 6),
                diff.Difference("update", NAME, "CUSTOM_A.max_unit", 4, 6),
            ),
            diff.difference({NAME: there()}, [wanted(6)]),
        )

    def test_traits_that_others_added_are_taken_away_as_nova_does(
        self,
    ) -> None:
        has = dataclasses.replace(there(), traits=("CUSTOM_OTHER", "CUSTOM_T"))
        (change,) = diff.difference({NAME: has}, [wanted()])
        self.assertEqual(
            ("traits", ("CUSTOM_OTHER", "CUSTOM_T"), ("CUSTOM_T",)),
            (change.field, change.published, change.desired),
        )

    def test_the_order_of_traits_is_no_difference(self) -> None:
        has = dataclasses.replace(there(), traits=("CUSTOM_U", "CUSTOM_T"))
        one = dataclasses.replace(wanted(), traits=("CUSTOM_T", "CUSTOM_U"))
        self.assertEqual((), diff.difference({NAME: has}, [one]))

    def test_a_provider_that_nobody_wants_is_deleted(self) -> None:
        changes = diff.difference({NAME: there()}, [])
        self.assertEqual({"delete"}, {change.change for change in changes})
        self.assertEqual({None}, {change.desired for change in changes})

    def test_a_provider_in_use_shrinks_to_what_is_in_use(self) -> None:
        changes = diff.difference({NAME: there(used=1)}, [])
        self.assertEqual({"update"}, {change.change for change in changes})
        self.assertIn(
            diff.Difference("update", NAME, "CUSTOM_A.total", 4, 1), changes
        )


class SettledTest(base.TestCase):
    def test_a_total_stays_at_what_is_in_use_and_says_so(self) -> None:
        what = diff.settled(wanted(1), there(4, used=3))
        self.assertEqual(3, what.inventories["CUSTOM_A"]["total"])
        self.assertEqual(3, what.inventories["CUSTOM_A"]["max_unit"])
        self.assertIn("CUSTOM_A", what.kept[0])

    def test_a_class_that_is_no_longer_wanted_goes_if_none_is_in_use(
        self,
    ) -> None:
        one = provider.Provider(
            NAME, "host", {"CUSTOM_B": provider.Inventory(2, 2)}, ()
        )
        self.assertEqual(
            {"CUSTOM_B"}, set(diff.settled(one, there()).inventories)
        )
        self.assertEqual(
            {"CUSTOM_A", "CUSTOM_B"},
            set(diff.settled(one, there(used=1)).inventories),
        )

    def test_reserved_is_raised_and_never_lowered(self) -> None:
        for has, wants, becomes in ((0, 4, 4), (4, 0, 4), (2, 0, 2)):
            what = diff.settled(wanted(4, wants), there(4, has))
            self.assertEqual(becomes, what.inventories["CUSTOM_A"]["reserved"])

    def test_reserved_does_not_pass_a_smaller_total(self) -> None:
        what = diff.settled(wanted(2), there(4, 4))
        self.assertEqual(2, what.inventories["CUSTOM_A"]["reserved"])

    def test_what_is_blocked_is_reserved_beside_what_others_reserved(
        self,
    ) -> None:
        for has, ours, wants, blocked, unknown, becomes in (
            (0, 0, 0, 2, 0, (2, 2)),
            (2, 2, 0, 0, 0, (0, 0)),
            (3, 2, 0, 1, 0, (2, 1)),
            (3, 2, 0, 0, 1, (2, 1)),
            (3, 2, 0, 0, 4, (3, 2)),
            (1, 0, 0, 4, 0, (4, 3)),
            (4, 3, 0, 4, 0, (4, 3)),
            (4, 3, 0, 0, 0, (1, 0)),
            (4, 4, 4, 0, 0, (4, 0)),
            (0, 0, 4, 1, 0, (4, 0)),
        ):
            what = diff.settled(
                blocked_of(wanted(4, wants), blocked, unknown),
                dataclasses.replace(there(4, has), ours={"CUSTOM_A": ours}),
            )
            self.assertEqual(
                becomes,
                (
                    what.inventories["CUSTOM_A"]["reserved"],
                    what.ours.get("CUSTOM_A", 0),
                ),
            )

    def test_nothing_is_reserved_of_what_somebody_owns(self) -> None:
        nova = dataclasses.replace(
            there(4, 1), traits=("CUSTOM_T", "OWNER_NOVA")
        )
        what = diff.settled(blocked_of(wanted(4), 2), nova)
        self.assertEqual(
            (1, {}), (what.inventories["CUSTOM_A"]["reserved"], what.ours)
        )
        self.assertEqual(
            (), diff.difference({NAME: nova}, [blocked_of(wanted(4), 2)])
        )

    def test_a_new_provider_is_made_with_what_is_blocked(self) -> None:
        what = diff.settled(blocked_of(wanted(4), 2, 1), None)
        self.assertEqual(
            (2, {"CUSTOM_A": 2}),
            (what.inventories["CUSTOM_A"]["reserved"], what.ours),
        )

    def test_what_an_operator_set_survives_a_change_of_total(self) -> None:
        has = there()
        has = dataclasses.replace(
            has,
            inventories={
                "CUSTOM_A": {**has.inventories["CUSTOM_A"], "min_unit": 2}
            },
        )
        what = diff.settled(wanted(6), has)
        self.assertEqual(2, what.inventories["CUSTOM_A"]["min_unit"])
