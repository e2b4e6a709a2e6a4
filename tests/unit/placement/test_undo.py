# SPDX-License-Identifier: Apache-2.0
"""What was written is put back, and what can't be is named."""

import dataclasses
import typing as ty

import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.placement import diff, memory, provider, undo
from nova_vfio_variant.testing import placement
from nova_vfio_variant.tracker import share
from tests import base
from tests.unit.placement import small

RC = "CUSTOM_A"
TOTAL = 4


class Crash(BaseException):
    """The process ends here: nothing catches this."""


class UndoCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def begin(self) -> None:
        """With nothing written yet."""
        self.client = small.Placement()
        self.known = placement.Memory()
        self.writer = undo.Writer(self.client, self.known)

    def provider(self, name: str, reserved: int = 0) -> provider.Published:
        one = provider.Published(
            f"uuid of {name}",
            name,
            0,
            {RC: {"total": TOTAL, "max_unit": TOTAL, "reserved": reserved}},
            ("CUSTOM_T",),
        )
        self.client.providers[one.uuid] = one
        self.known.put(name, one.uuid, 0, "as it was")
        return one

    def others_write(self, uuid: str) -> None:
        one = self.client.providers[uuid]
        self.client.put_traits(uuid, one.generation, ("CUSTOM_THEIRS",))


class BackTest(UndoCase):
    def test_all_is_put_back_as_it_was(self) -> None:
        old, gone = self.provider("old", 1), self.provider("gone")
        before = dict(self.client.providers), dict(self.known.rows)
        self.writer.create("new", "new", None)
        generation = self.writer.traits(old, None, 0, ("CUSTOM_U",))
        self.writer.inventories(
            old, None, generation, diff.Settled({RC: {"total": 2}}, (), {})
        )
        self.writer.delete(gone, None)
        self.assertEqual([], self.writer.back())
        for uuid, one in before[0].items():
            now = self.client.providers[uuid]
            self.assertEqual(
                (one.inventories, one.traits), (now.inventories, now.traits)
            )
        self.assertEqual(before[0].keys(), self.client.providers.keys())
        self.assertEqual(before[1], self.known.rows)

    def test_what_somebody_else_wrote_since_is_left_and_named(self) -> None:
        one, two = self.provider("one"), self.provider("two")
        for each in (one, two):
            self.writer.traits(each, None, 0, ("CUSTOM_OURS",))
        self.others_write(one.uuid)
        self.assertEqual(["one"], self.writer.back())
        self.assertEqual(
            [("CUSTOM_THEIRS",), ("CUSTOM_T",)],
            [self.client.providers[each.uuid].traits for each in (one, two)],
        )

    def test_a_write_that_was_refused_is_none_of_ours(self) -> None:
        one = self.provider("one")
        self.client.instead = exception.PlacementRefused("no")
        self.assertRaises(
            exception.PlacementRefused,
            self.writer.traits,
            one,
            None,
            0,
            ("CUSTOM_OURS",),
        )
        # With ours it would be as many writes as were made.
        self.others_write(one.uuid)
        self.assertEqual(["one"], self.writer.back())

    def test_each_that_is_refused_is_named_and_the_others_are_put_back(
        self,
    ) -> None:
        one, two = self.provider("one"), self.provider("two")
        for each in (one, two):
            self.writer.traits(each, None, 0, ("CUSTOM_OURS",))
        self.client.instead = exception.PlacementRefused("no")
        self.assertEqual(["two"], self.writer.back())
        self.assertEqual(("CUSTOM_T",), self.client.providers[one.uuid].traits)

    def test_once_placement_is_gone_all_that_are_left_are_named(
        self,
    ) -> None:
        for name in ("one", "two", "three"):
            self.writer.traits(self.provider(name), None, 0, ("CUSTOM_U",))
        self.client.instead = exception.PlacementUnreachable("gone")
        self.assertEqual(["one", "two", "three"], self.writer.back())

    def test_our_share_comes_back_with_what_is_reserved(self) -> None:
        for lost in (False, True):
            one = self.provider("one", 3)
            self.known.put_shares("one", share.of({RC: 1}))
            settled = diff.Settled(
                {RC: {**one.inventories[RC], "reserved": 4}}, (), {RC: 2}
            )
            if lost:
                self.client.behind = exception.PlacementUnreachable("lost")
            read = dataclasses.replace(one, ours={RC: 1})
            writer = undo.Writer(self.client, self.known)
            try:
                writer.inventories(read, None, 0, settled)
            except exception.PlacementUnreachable:
                self.assertTrue(lost)
            self.assertEqual([], writer.back())
            now = self.client.providers[one.uuid]
            self.assertEqual(3, now.inventories[RC]["reserved"])
            self.assertEqual(share.of({RC: 1}), self.known.shares("one"))


class ReservedCase(UndoCase):
    """Our share beside an operator's, as reports write it."""

    def begin(self) -> None:
        super().begin()
        self.one = self.provider("one")

    def now(self) -> provider.Published:
        """As a report reads it."""
        one: provider.Published = self.client.providers[self.one.uuid]
        return dataclasses.replace(one, ours=memory.ours(self.known, one))

    def report(self, blocked: int, unknown: int = 0) -> None:
        read = self.now()
        desired = provider.Provider(
            "one",
            "root",
            {RC: provider.Inventory(TOTAL, TOTAL, 0, blocked, unknown)},
            ("CUSTOM_T",),
        )
        settled = diff.settled(desired, read)
        if settled.inventories != read.inventories:
            undo.Writer(self.client, self.known).inventories(
                read, None, read.generation, settled
            )
        else:
            self.known.put_shares("one", share.of(settled.ours))

    @property
    def reserved(self) -> int:
        return int(self.now().inventories[RC]["reserved"])

    def operator(self, units: int) -> None:
        """An operator reserves so many more units, or fewer."""
        one = self.now()
        reserved = self.reserved + units
        self.client.put_inventories(
            one.uuid,
            one.generation,
            {RC: {**one.inventories[RC], "reserved": reserved}},
        )


class ReservedTest(ReservedCase):
    def test_blocked_unblocked_the_operators_stays(self) -> None:
        self.operator(1)
        self.report(2)
        self.assertEqual(3, self.reserved)
        self.operator(1)
        self.report(1)
        self.assertEqual(3, self.reserved)
        self.report(0)
        self.assertEqual(2, self.reserved)

    def test_what_is_known_of_nobody_stays_as_it_is(self) -> None:
        self.report(2)
        self.report(0, unknown=2)
        self.assertEqual(2, self.reserved)
        self.report(0, unknown=1)
        self.assertEqual(1, self.reserved)
        self.report(0)
        self.report(0, unknown=2)
        self.assertEqual(0, self.reserved)

    def test_never_above_the_total_nor_anybody_elses(self) -> None:
        self.operator(3)
        self.report(3)
        self.assertEqual(TOTAL, self.reserved)
        self.report(0)
        self.assertEqual(3, self.reserved)

    def test_what_placement_refuses_leaves_our_share_as_it_was(self) -> None:
        self.report(1)
        before = self.known.shares("one")
        self.client.instead = exception.PlacementRefused("no")
        self.assertRaises(exception.PlacementRefused, self.report, 3)
        self.assertEqual(before, self.known.shares("one"))

    def test_once_written_it_is_not_written_again(self) -> None:
        self.report(2)
        generation = self.now().generation
        self.report(2)
        self.report(2)
        self.assertEqual(generation, self.now().generation)

    def test_what_an_operator_took_back_is_not_taken_twice(self) -> None:
        self.operator(1)
        self.report(2)
        self.operator(-2)
        self.report(0)
        self.assertEqual(0, self.reserved)

    def test_after_a_crash_somebody_elses_write_is_never_lowered(
        self,
    ) -> None:
        for crash in ("instead", "behind"):
            self.report(0)
            self.operator(1 - self.reserved)
            setattr(self.client, crash, Crash())
            self.assertRaises(Crash, self.report, 1)
            self.operator(2)
            self.report(0)
            self.assertGreaterEqual(self.reserved, 3)

    @hypothesis.settings(deadline=None, max_examples=300)
    @hypothesis.given(
        st.lists(
            st.tuples(
                st.integers(0, TOTAL),
                st.sampled_from(
                    [
                        (None, None),
                        (None, "conflict"),
                        ("instead", "crash"),
                        ("behind", "crash"),
                    ]
                ),
                st.integers(-1, 1),
                st.booleans(),
            ),
            max_size=12,
        )
    )
    def test_our_share_is_never_lost_nor_doubled(self, steps: ty.Any) -> None:
        self.begin()
        theirs = 0
        for blocked, (when, how), more, touched in steps:
            if how == "conflict":
                self.client.instead = exception.PlacementConflict("moved")
            elif when:
                setattr(self.client, when, Crash())
            try:
                self.report(blocked)
            except (Crash, exception.PlacementConflict):
                if touched:
                    # An allocation, say, moves the generation.
                    self.others_write(self.one.uuid)
                self.client.put_traits(
                    self.one.uuid, self.now().generation, ("CUSTOM_T",)
                )
                self.report(blocked)
            self.client.instead = self.client.behind = None
            self.assertEqual(min(theirs + blocked, TOTAL), self.reserved)
            if 0 <= self.reserved + more <= TOTAL and theirs + more >= 0:
                self.operator(more)
                theirs += more
        self.report(0)
        self.assertEqual(theirs, self.reserved)


class DecisionTest(base.TestCase):
    def before(
        self, reserved: int, ours: int, generation: int = 7
    ) -> provider.Published:
        return provider.Published(
            "a uuid",
            "one",
            generation,
            {RC: {"total": TOTAL, "reserved": reserved}},
            (),
            ours={RC: ours} if ours else {},
        )

    def test_a_write_is_remembered_with_what_tells_whether_it_was_done(
        self,
    ) -> None:
        self.assertEqual(
            {RC: share.Share(1, share.Write(3, 7, 2, 4))},
            undo.begun(self.before(2, 1), {RC: {"reserved": 4}}, {RC: 3}),
        )

    def test_a_class_of_which_nothing_was_ours_begins_with_nothing(
        self,
    ) -> None:
        self.assertEqual(
            {"CUSTOM_B": share.Share(0, share.Write(2, 7, 0, 2))},
            undo.begun(
                self.before(0, 0),
                {"CUSTOM_B": {"reserved": 2}},
                {"CUSTOM_B": 2},
            ),
        )

    def test_a_class_that_goes_takes_our_share_along(self) -> None:
        self.assertEqual(
            {RC: share.Share(1, share.Write(0, 7, 1, 0))},
            undo.begun(self.before(1, 1), {}, {}),
        )

    def test_where_our_share_stays_nothing_is_begun(self) -> None:
        self.assertEqual(
            {RC: share.Share(1)},
            undo.begun(self.before(1, 1), {RC: {"reserved": 3}}, {RC: 1}),
        )

    def test_more_generations_than_writes_are_somebody_elses(self) -> None:
        was = self.before(0, 0, generation=7)
        for generation, writes, others in (
            (7, 0, False),
            (7, 2, False),  # refused, or not done
            (9, 2, False),
            (10, 2, True),
            (8, 0, True),
        ):
            now = provider.Listed("a uuid", "one", generation, None)
            self.assertEqual(others, undo.is_anothers(was, now, writes))


class ShareTest(base.TestCase):
    def test_a_write_of_which_nobody_knows_is_settled_by_reading(
        self,
    ) -> None:
        begun = share.Share(1, share.Write(3, 7, 2, 4))
        for generation, reserved, units in (
            (7, 2, 1),  # not done
            (8, 4, 3),  # done
            (9, 4, 3),  # and somebody else wrote something else
            (8, 2, 1),  # somebody else wrote, and ours was refused
            (8, 5, 1),  # likewise
            (9, 5, 1),  # nobody knows: the least
            (9, 0, 0),
        ):
            self.assertEqual(units, begun.now(generation, reserved))
        same = share.Share(1, share.Write(3, 7, 4, 4))
        self.assertEqual([1, 3], [same.now(one, 4) for one in (7, 8)])
        self.assertEqual(2, share.Share(2).now(9, 5))
        self.assertEqual(1, share.Share(2).now(9, 1))
