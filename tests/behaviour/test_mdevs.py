# SPDX-License-Identifier: Apache-2.0
"""Mediated devices, made and taken away on a host that takes some."""

import errno
import typing as ty
import uuid

from nova_vfio_variant.node import mdev_wishes
from tests.behaviour.mdev_case import INSTANCE, MdevCase

OTHER = "4f9d9f56-6a53-4b0e-9d20-7dd5bb3b9bd6"


class CommandsTest(MdevCase):
    def test_one_is_made_listed_and_removed(self) -> None:
        row = self.create("mtty-2", "--instance", INSTANCE)
        self.assertEqual(mdev_wishes.stable(INSTANCE, 0), row["uuid"])
        [shown] = self.all()
        self.assertEqual(
            ("mtty", "mtty-2", "ours", INSTANCE, "there"),
            tuple(
                shown[name]
                for name in (
                    "parent",
                    "type",
                    "owner",
                    "instance_uuid",
                    "state",
                )
            ),
        )
        self.done("mdev", "delete", row["uuid"])
        self.assertEqual([], self.all())

    def test_types_share_what_their_parent_has(self) -> None:
        before = self.available("mtty")
        self.create("mtty-2")
        after = self.available("mtty")
        self.assertEqual({"mtty-1": 24, "mtty-2": 12}, before)
        self.assertEqual({"mtty-1": 22, "mtty-2": 11}, after)

    def available(self, parent: str) -> dict[str, int]:
        """How many more a parent says that it takes."""
        return {
            row["id"]: row["available"]
            for row in self.done("mdev", "types", parent, "-f", "json").rows
        }

    def test_what_another_tool_made_stays(self) -> None:
        other = str(uuid.uuid4())
        self.write(
            "sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", other
        )
        [shown] = self.all()
        self.assertEqual("other", shown["owner"])
        ran = self.run_command("mdev", "delete", other)
        self.assertEqual(2, ran.status)
        self.assertIn("another tool made it [VFIO596]", ran.err)
        ran = self.run_command("mdev", "create", "mtty-1", "--uuid", other)
        self.assertEqual(2, ran.status)
        self.assertIn("a device of type mtty-1 below mtty has it", ran.err)

    def test_one_that_is_open_is_not_removed(self) -> None:
        row = self.create("mtty-1")
        pid = self.host.hold(row["uuid"])
        ran = self.run_command("mdev", "delete", row["uuid"])
        self.assertEqual(2, ran.status)
        self.assertIn(f"is open in process {pid}", ran.err)
        self.host.let_go(pid)
        self.done("mdev", "delete", row["uuid"])
        self.assertEqual([], self.all())

    def test_what_is_full_is_refused_with_what_is_idle(self) -> None:
        made = [self.create("mdpy-vga") for _ in range(4)]
        ran = self.run_command("mdev", "create", "mdpy-hd")
        self.assertEqual(2, ran.status)
        self.assertIn("mdpy has no room for another mdpy-hd", ran.err)
        self.assertIn(min(row["uuid"] for row in made), ran.err)

    def test_of_twenty_creators_one_gets_the_last(self) -> None:
        for _ in range(3):
            self.create("mdpy-vga")
        creators = [self.start(self.create_or_fail) for _ in range(20)]
        results = [creator.result(200) for creator in creators]
        self.assertEqual([0] + [errno.EBUSY] * 19, sorted(results))
        self.assertEqual(["ours"] * 4, [row["owner"] for row in self.all()])

    def create_or_fail(self) -> None:
        """Raise an error where the command fails."""
        if self.run_command("mdev", "create", "mdpy-xga").status:
            raise OSError(errno.EBUSY, "it failed")


class ReconcileTest(MdevCase):
    def reconciled(self, alive: str = OTHER) -> list[dict[str, ty.Any]]:
        """What ``reconcile`` did."""
        path = self.folder / "alive"
        path.write_text(alive)
        return self.run_command(
            "reconcile", "--alive", str(path), "-f", "json"
        ).rows

    def remove(self, one: str) -> None:
        """As a reboot does."""
        self.write(f"sys/bus/mdev/devices/{one}/remove", "1")

    def test_what_a_living_instance_lost_is_made_again(self) -> None:
        row = self.create("mtty-2", "--instance", INSTANCE)
        self.remove(row["uuid"])
        self.assertEqual(["missing"], [row["state"] for row in self.all()])
        [done] = self.reconciled(INSTANCE)
        self.assertEqual(
            (row["uuid"], "set", "done"),
            (done["subject"], done["action"], done["state"]),
        )
        self.assertEqual(["there"], [row["state"] for row in self.all()])
        self.assertEqual([], self.reconciled(INSTANCE))

    def test_what_an_instance_that_is_gone_had_is_kept_for_five_minutes(
        self,
    ) -> None:
        self.create("mtty-2", "--instance", INSTANCE)
        [left] = self.reconciled()
        self.assertEqual("left", left["state"])
        self.assertIn("less than five minutes ago", left["reason"])
        self.assertEqual(["there"], [row["state"] for row in self.all()])

    def test_what_nobodys_is_made_again_too(self) -> None:
        row = self.create("mdpy-hd")
        self.remove(row["uuid"])
        self.reconciled()
        self.assertEqual(["there"], [row["state"] for row in self.all()])

    def test_what_went_with_its_parent_comes_back_with_it(self) -> None:
        row = self.create("mtty-2", "--instance", INSTANCE)
        self.host.rmmod("mtty")
        self.assertEqual(["missing"], [row["state"] for row in self.all()])
        [left] = self.reconciled(INSTANCE)
        self.assertEqual("left", left["state"])
        self.assertIn("mtty offers no mediated devices", left["reason"])
        self.host.modprobe("mtty")
        [done] = self.reconciled(INSTANCE)
        self.assertEqual(
            (row["uuid"], "done"), (done["subject"], done["state"])
        )
        self.assertEqual(["there"], [row["state"] for row in self.all()])
