# SPDX-License-Identifier: Apache-2.0
"""Mediated devices: read, chosen, and what speaks against them."""

import dataclasses
import pathlib
import typing as ty

import fixtures

from nova_vfio_variant.host.decide import (
    judgement,
    mdev_changes,
    mdev_choice,
    mdev_obstacles,
    plan,
    plausible,
)
from nova_vfio_variant.host.observe import (
    facts,
    function_state,
    mdev,
    scanner,
    use,
)
from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.testing import fake_host
from tests import base

ONE = "c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11"
TWO = "c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a12"
KIND = "mtty/mtty-1"


class TypeTest(base.TestCase):
    def test_numbers_are_read_where_a_driver_writes_them(self) -> None:
        told = mdev.MdevType(
            "nvidia-35",
            description="num_heads=4, frl_config=45, framebuffer=1024M,"
            " max_resolution=5120x2880, max_instance=16",
        )
        self.assertEqual(
            (1024, 16), (told.framebuffer_mib, told.max_instances)
        )
        for text in ("framebuffer=1G", "framebuffer=", "framebuffer: 1024M"):
            untold = mdev.MdevType("x", description=text)
            self.assertIsNone(untold.framebuffer_mib, text)


class MdevsTest(base.TestCase):
    """Two parents of one driver's, and one of another's."""

    def setUp(self) -> None:
        super().setUp()
        self.host = fake_host.FakeHost(
            pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "host"
        )
        for name in ("mtty", "other"):
            self.host.add_mdev_parent(name, {"mtty-1": 1, "mtty-2": 2}, 4)
        self.host.add_mdev_parent("mdpy", {"mdpy-hd": 1}, 1)

    def now(self, **more: ty.Any) -> facts.HostFacts:
        """The host as it is, or with this instead."""
        seen = facts.gather(scanner.scan(self.host.tree))
        return dataclasses.replace(seen, unseen=(), **more)

    def make(self, uuid: str, kind: str = KIND) -> None:
        """As another tool does."""
        self.host.writer().create_mdev(uuid, *mdev_names.parse_kind(kind))

    def order(self, strategy: mdev_choice.Strategy) -> list[str]:
        return [
            parent.name
            for parent in mdev_choice.ordered(self.now(), "mtty-1", strategy)
        ]

    def test_the_parent_is_chosen_as_is_asked_for(self) -> None:
        self.make(ONE, "other/mtty-1")
        self.assertEqual(
            [["other", "mtty"], ["mtty", "other"], ["mtty", "other"]],
            [self.order(one) for one in mdev_choice.Strategy],
        )
        self.make(TWO, "mtty/mtty-2")
        self.assertEqual(
            ["mtty", "other"], self.order(mdev_choice.Strategy.SEPARATE)
        )

    def test_what_tells_no_count_may_have_room(self) -> None:
        place = "sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1"
        (self.host.root / place / "available_instances").write_text("x\n")
        self.assertIn("mtty", self.order(mdev_choice.Strategy.SPREAD))

    def test_a_name_that_several_types_have_is_none(self) -> None:
        mdevs = self.now().mdevs
        self.assertEqual("mdpy-hd", mdev_choice.resolve(mdevs, "mdpy-hd"))
        twice = tuple(mdev.MdevType(one, name="same") for one in ("a", "b"))
        parents = {"p": mdev.Parent("p", "x", None, twice)}
        mdevs = mdev.Mdevs(parents)
        self.assertIsNone(mdev_choice.resolve(mdevs, "same"))

    def test_who_has_it_open_may_have_or_is_not_seen(self) -> None:
        self.make(ONE)
        self.assertEqual((), mdev_obstacles.to_remove(self.now(), ONE, KIND))
        for kind in use.Kind:
            used = {ONE: (use.Use(kind, "somebody"),)}
            (against,) = mdev_obstacles.to_remove(
                self.now(mdev_uses=used), ONE, KIND
            )
            self.assertIn(
                against.code.id,
                ("VFIO524" if kind is use.Kind.UNKNOWN else "VFIO594",),
            )
        (against,) = mdev_obstacles.to_remove(self.now(), ONE, "mdpy/mdpy-hd")
        self.assertIn("it is mtty/mtty-1 by now", against.message)

    def test_where_they_cannot_be_read_none_is_made(self) -> None:
        unread = dataclasses.replace(self.now().mdevs, unread="/sys: no")
        decision = mdev_changes.create(
            self.now(mdevs=unread), ONE, KIND, (), "x"
        )
        self.assertEqual((), decision.plan.changes)
        self.assertEqual("VFIO524", decision.refusals[0].code.id)

    def unfinished(
        self, done: int, *, begun: bool = False
    ) -> judgement.Judgement:
        """What becomes of one with an attribute, of which this was done."""
        (change,) = mdev_changes.create(
            dataclasses.replace(self.now(), mdevs=self.before.mdevs),
            ONE,
            KIND,
            ("x=1",),
            "asked for",
        ).plan.changes
        left = plan.Unfinished(
            1, change, plan.Command.MDEV, done=[*change.steps[:done]]
        )
        if begun:
            left.begun = change.steps[done]
        seen = mdev.now(self.host.tree, ONE)
        return judgement.judge(
            left,
            self.now(),
            function_state.State(mdev=seen),
            forward=(),
            back=change.steps[:1],
            known=None,
        )

    def test_what_is_not_whole_goes_and_what_is_not_ours_stays(self) -> None:
        self.before = self.now()
        verdict = judgement.Verdict
        self.assertEqual(verdict.UNDO, self.unfinished(0).verdict)
        self.make(ONE)
        theirs = self.unfinished(0)
        self.assertEqual((verdict.UNDO, ()), (theirs.verdict, theirs.steps))
        ours = self.unfinished(0, begun=True)
        self.assertEqual(verdict.UNDO, ours.verdict)
        self.assertTrue(ours.steps)
        self.assertTrue(self.unfinished(1).steps)
        self.assertEqual(verdict.FINISH, self.unfinished(2).verdict)

    def test_a_change_that_no_plan_has_is_refused(self) -> None:
        (change,) = mdev_changes.create(
            self.now(), ONE, KIND, ("x=1",), "asked for"
        ).plan.changes
        plausible.check(change)
        state = function_state.State
        for wrong in (
            {"subject": "0000:06:00.0"},
            {"subject": ONE.upper()},
            {"after": state(mdev="../x")},
            {"before": state(mdev="mtty/mtty-2")},
            {"after": state(mdev=KIND, driver="vfio-pci")},
            {"pf": "0000:06:00.0"},
        ):
            forged = dataclasses.replace(change, **wrong)
            self.assertRaises(ValueError, plausible.check, forged)
        none = dataclasses.replace(change, after=change.before)
        self.assertRaises(ValueError, plausible.check, none)
