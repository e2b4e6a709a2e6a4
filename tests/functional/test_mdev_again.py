# SPDX-License-Identifier: Apache-2.0
"""``mdev create --instance`` where the instance has some on record."""

import contextlib
import dataclasses
import typing as ty

from nova_vfio_variant.node import mdev_wishes
from nova_vfio_variant.tracker import mdevs, store
from tests.functional import kill_points, mdev_case
from tests.functional.mdev_case import ATTRIBUTES, ONE, OTHER, TWO, UUID


class AgainTest(mdev_case.MdevCase):
    def create(self, **more: ty.Any) -> mdevs.OurMdev:
        return self.make(**{"instance_uuid": ONE, **more})

    def lost(self, **more: ty.Any) -> mdevs.OurMdev:
        """One that is on record, and not there any more."""
        made = self.create(**more)
        self.remove(made.uuid)
        return made

    def test_one_that_was_killed_anywhere_comes_back_with_its_uuid(
        self,
    ) -> None:
        self.mdevs().delete(self.create().uuid)
        stable = mdev_wishes.stable(ONE, 0)
        at = 0
        while kill_points.killed(at, self.create):
            whole = stable in self.there()
            self.create()
            self.assertEqual({*self.ours()}, {*self.there()}, f"point {at}")
            self.assertIn(stable, self.there(), f"point {at}")
            if not whole:
                # Nothing tells that it was not asked for twice, else.
                self.assertEqual(1, len(self.there()), f"point {at}")
            for uuid in self.there():
                self.mdevs().delete(uuid)
            at += 1
        self.assertGreater(at, 8)

    def test_what_is_lost_is_made_before_another_one(self) -> None:
        first, second = self.create(), self.create()
        for uuid in (first.uuid, second.uuid):
            self.remove(uuid)
        made = {self.create().uuid for _ in range(2)}
        self.assertEqual({first.uuid, second.uuid}, made)
        # With all alive it is asked for on purpose.
        self.assertEqual(mdev_wishes.stable(ONE, 2), self.create().uuid)

    def test_one_behind_a_number_that_is_free_is_found(self) -> None:
        made = [self.create() for _ in range(3)]
        for gone in made[:2]:
            self.ok("mdev", "delete", gone.uuid)
        self.remove(made[2].uuid)
        self.assertEqual(made[2].uuid, self.create().uuid)
        self.assertEqual([made[2].uuid], [*self.ours()])

    def test_its_assignment_stays_its_owners(self) -> None:
        lost = self.lost()
        self.assertEqual(lost.assignment, self.create().assignment)
        given = self.lost(uuid=UUID)
        again = self.create(uuid=UUID)
        self.assertEqual(given.assignment, again.assignment)
        self.remove(UUID)
        another = self.create(uuid=UUID, instance_uuid=TWO)
        self.assertNotEqual(given.assignment, another.assignment)

    def test_what_is_asked_for_otherwise_is_another_one(self) -> None:
        lost = self.lost()
        (row,) = self.json(
            *("mdev", "create", "nvidia-36", "--parent", OTHER),
            *("--instance", ONE),
        )
        self.assertEqual(mdev_wishes.stable(ONE, 1), row["uuid"])
        made = self.create(attributes=ATTRIBUTES)
        self.assertEqual(mdev_wishes.stable(ONE, 2), made.uuid)
        self.assertEqual(lost, self.ours()[lost.uuid])

    def test_one_whose_uuid_was_given_is_only_that_ones(self) -> None:
        self.lost(uuid=UUID)
        self.assertEqual(mdev_wishes.stable(ONE, 0), self.create().uuid)
        self.assertIn(UUID, self.ours())

    def test_one_that_is_being_removed_is_not_made_again(self) -> None:
        lost = self.lost()
        with contextlib.closing(store.Store.open(self.state)) as opened:
            opened.mdevs.put(dataclasses.replace(lost, assignment=""))
        self.assertEqual(mdev_wishes.stable(ONE, 1), self.create().uuid)

    def test_where_it_cant_be_made_its_row_stays(self) -> None:
        lost = self.lost()
        for words in ((), ("--uuid", lost.uuid)):
            self.fake.fault(1, errno=5)
            done = self.run_cli(
                *("mdev", "create", "nvidia-35", "--instance", ONE), *words
            )
            self.fake.heal()
            self.assertEqual(2, done.status, str(done))
            self.assertEqual({lost.uuid: lost}, self.ours())
