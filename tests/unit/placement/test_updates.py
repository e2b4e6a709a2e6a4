# SPDX-License-Identifier: Apache-2.0
"""What a report does to each provider, and in which order."""

import typing as ty

from nova_vfio_variant.placement import provider, updates
from nova_vfio_variant.testing import placement
from tests import base

RC = "CUSTOM_A"


def wanted(
    name: str = "one", total: int = 4, traits: tuple[str, ...] = ("CUSTOM_T",)
) -> provider.Provider:
    return provider.Provider(
        name, "root", {RC: provider.Inventory(total, total)}, traits
    )


def there(
    name: str = "one",
    total: int = 4,
    used: int = 0,
    traits: tuple[str, ...] = ("CUSTOM_T",),
) -> provider.Published:
    record = {"total": total, "max_unit": total, "reserved": 0}
    return provider.Published(
        f"uuid of {name}",
        name,
        1,
        {RC: record} if total else {},
        traits,
        {RC: used},
    )


def listed(name: str, uuid: str | None = None) -> provider.Listed:
    return provider.Listed(uuid or f"uuid of {name}", name, 1, "uuid of root")


def seen(*children: provider.Listed) -> updates.Seen:
    return updates.Seen(None, {one.name: one for one in children}, {})


def remembering(*names: str) -> placement.Memory:
    known = placement.Memory()
    for name in names:
        known.put(name, f"uuid of {name}", 1, None)
    return known


class StepTest(base.TestCase):
    def test_what_is_as_it_should_be_changes_nothing(self) -> None:
        one = updates.of(wanted(), there())
        self.assertEqual(((), True, False), (one.changes, one.done, one.goes))

    def test_what_nobody_desires_or_uses_goes(self) -> None:
        one = updates.of(None, there())
        self.assertTrue(one.goes)
        self.assertEqual({"delete"}, {row.change for row in one.changes})

    def test_what_nobody_desires_but_somebody_uses_stays_as_it_is(
        self,
    ) -> None:
        one = updates.of(None, there(used=1))
        self.assertFalse(one.goes)
        self.assertEqual(1, one.settled.inventories[RC]["total"])
        self.assertEqual(("CUSTOM_T",), one.traits)
        self.assertFalse(one.done)

    def test_what_is_kept_for_its_users_is_not_done(self) -> None:
        self.assertFalse(updates.of(wanted(total=1), there(used=2)).done)
        self.assertTrue(updates.of(wanted(total=2), there(used=2)).done)

    def test_traits_are_those_that_are_desired_where_any_are(self) -> None:
        one = updates.of(wanted(traits=("CUSTOM_U",)), there())
        self.assertEqual(("CUSTOM_U",), one.traits)


class UsagesTest(base.TestCase):
    def test_usages_are_needed_where_a_total_falls_or_a_class_goes(
        self,
    ) -> None:
        for desired, published, needed in (
            (wanted(total=4), there(total=4), False),
            (wanted(total=5), there(total=4), False),
            (wanted(total=3), there(total=4), True),
            (None, there(total=4), True),
            (None, there(total=0), False),
            (provider.Provider("one", "root", {}, ()), there(), True),
        ):
            self.assertEqual(needed, updates.may_shrink(desired, published))


class OrderTest(base.TestCase):
    def names(self, *found: updates.ProviderUpdate) -> list[str]:
        return [one.name for one in updates.in_order(found)]

    def test_nothing_is_offered_twice_nor_before_it_is_described(self) -> None:
        going = updates.of(None, there("z goes"))
        empty = updates.of(None, there("y old root", total=0))
        shrinks = updates.of(wanted("x shrinks", 2), there("x shrinks"))
        grows = updates.of(wanted("b grows", 6), there("b grows"))
        new = updates.of(wanted("a new"), None)
        self.assertEqual(
            ["z goes", "y old root", "x shrinks", "b grows", "a new"],
            self.names(new, grows, shrinks, empty, going),
        )

    def test_what_can_not_shrink_for_its_users_is_no_room_for_others(
        self,
    ) -> None:
        stays = updates.of(wanted("z", 2), there("z", used=4))
        grows = updates.of(wanted("a", 6), there("a"))
        self.assertEqual(["a", "z"], self.names(stays, grows))

    def test_a_class_that_is_replaced_shrinks(self) -> None:
        other = provider.Provider(
            "z", "root", {"CUSTOM_B": provider.Inventory(4, 4)}, ()
        )
        self.assertEqual(
            ["z", "a"],
            self.names(
                updates.of(wanted("a", 6), there("a")),
                updates.of(other, there("z")),
            ),
        )

    def test_among_their_like_they_go_by_name(self) -> None:
        new = [updates.of(wanted(name), None) for name in "cab"]
        self.assertEqual(["a", "b", "c"], self.names(*new))


class WordsTest(base.TestCase):
    def test_only_what_changes_needs_its_words(self) -> None:
        same = updates.of(wanted(), there())
        self.assertEqual((set(), set()), updates.words([same]))
        new = updates.of(wanted("new", traits=("CUSTOM_N",)), None)
        self.assertEqual(({RC}, {"CUSTOM_N"}), updates.words([same, new]))

    def test_what_goes_needs_no_words(self) -> None:
        gone = updates.of(None, there())
        self.assertEqual((set(), set()), updates.words([gone]))

    def test_what_is_kept_for_its_users_needs_its_class(self) -> None:
        kept = updates.of(None, there(used=1))
        self.assertEqual(({RC}, set()), updates.words([kept]))


class OursTest(base.TestCase):
    known: ty.ClassVar = remembering("root", "a", "b", "gone")

    def test_what_we_made_and_nobody_desires_is_superfluous(self) -> None:
        tree = seen(listed("a"), listed("b"), listed("others"))
        self.assertEqual({"b"}, updates.superfluous(tree, {"a"}, self.known))

    def test_one_of_the_same_name_that_we_did_not_make_is_not_ours(
        self,
    ) -> None:
        tree = seen(listed("b", "another uuid"))
        self.assertFalse(updates.is_ours(tree, "b", self.known))
        self.assertEqual(set(), updates.superfluous(tree, (), self.known))

    def test_what_is_neither_there_nor_desired_is_forgotten(self) -> None:
        self.assertEqual(
            {"gone"},
            updates.forgotten(seen(listed("a")), "root", ["b"], self.known),
        )
