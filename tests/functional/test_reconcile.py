# SPDX-License-Identifier: Apache-2.0
"""What is left of instances that are gone, and what becomes of it."""

import io
import pathlib
import sys
import typing as ty
from unittest import mock

from nova_vfio_variant.host.tree import host_tree
from tests.functional import vgpu_case
from tests.functional.cli_case import ONE, TWO
from tests.functional.vgpu_case import OTHER, VF


class ReconcileCase(vgpu_case.VgpuCase):
    def reconcile(
        self, *words: str, status: int = 0
    ) -> list[tuple[str, str, str]]:
        """Subject, action and state of each row."""
        rows = self.json("reconcile", *words, status=status)
        return [(row["subject"], row["action"], row["state"]) for row in rows]

    def reason(self, *words: str, status: int = 1) -> str:
        (row,) = self.json("reconcile", *words, status=status)
        return str(row["reason"])

    def left(self, why: str, *words: str) -> None:
        """All stays as it is, and it is told why."""
        before = (self.fake.picture(), self.ours())
        for more in (("--dry-run",), ()):
            self.assertIn(why, self.reason(*words, *more))
        self.assertEqual(before, (self.fake.picture(), self.ours()))


class FreeTest(ReconcileCase):
    def test_what_is_left_of_a_gone_instance_is_freed_once(self) -> None:
        self.give()
        written = len(self.fake.written)
        before = self.recorded()
        self.assertEqual(
            [(VF, "free", "planned")], self.reconcile("--dry-run", status=1)
        )
        self.assert_recorded(before)
        self.assertEqual(written, len(self.fake.written))
        self.assertEqual([(VF, "free", "done")], self.reconcile())
        self.assertEqual(("0", []), (self.type_of(), self.ours()))
        done = self.ok("reconcile")
        self.assertEqual(("", "nothing to do\n"), (done.out, done.err))
        self.assertEqual([], self.reconcile("--dry-run"))

    def test_where_nothing_was_ever_tracked_nothing_is_made(self) -> None:
        self.assertEqual([], self.reconcile())
        self.assertEqual([], self.reconcile("--dry-run"))
        self.assertFalse((self.state / "nova-vfio.sqlite").exists())

    def test_an_instance_that_lives_keeps_what_it_has(self) -> None:
        self.give()
        pid = self.guest(ONE)
        self.assertEqual([], self.reconcile())
        self.fake.let_go(pid)
        pathlib.Path("alive").write_text(f"{TWO}\n{ONE.upper()}\n")
        self.assertEqual([], self.reconcile("--alive", "alive"))
        pathlib.Path("alive").write_text(f"{TWO}\n")
        self.assertEqual(
            [(VF, "free", "done")], self.reconcile("--alive", "alive")
        )

    def test_a_guest_of_nobody_leaves_all(self) -> None:
        self.give()
        self.fake.open_file("/dev/null", "qemu", ("qemu-kvm", "-nodefaults"))
        self.left(f"whether instance {ONE} lives is not known: process")

    def test_what_is_open_is_left(self) -> None:
        self.give()
        pid = self.guest(TWO, VF)
        self.left(f"is open in process {pid} (qemu-system-x86)")

    def test_what_is_young_is_left(self) -> None:
        self.give(minutes=4)
        self.left("less than five minutes ago")

    def test_what_another_tool_made_is_never_touched(self) -> None:
        self.give()
        self.give(OTHER, TWO)
        self.set_type("0", OTHER)
        self.set_type("0")
        self.set_type("558")
        self.fake.exchange(OTHER, "10de:25b8", class_code=0x030200)
        before = self.fake.picture()
        self.assertEqual(
            [(VF, "forget", "done"), (OTHER, "forget", "done")],
            self.reconcile(),
        )
        self.assertEqual(before, self.fake.picture())
        self.assertEqual([], self.ours())
        self.assertEqual([], self.reconcile())

    def test_what_nobody_of_ours_made_is_not_looked_at(self) -> None:
        self.ok("device", "sync")
        self.set_type("557")
        self.assertEqual([], self.reconcile())
        self.assertEqual("557", self.type_of())

    def test_one_owner_after_another_is_told_apart(self) -> None:
        """The function is given away anew just as its type is freed."""
        from nova_vfio_variant.node import reconcile

        self.give()
        real = reconcile.Reconciling._ended

        def meanwhile(this: ty.Any, *args: ty.Any) -> ty.Any:
            self.give(instance=TWO, assignment="another", minutes=10)
            return real(this, *args)

        with mock.patch.object(reconcile.Reconciling, "_ended", meanwhile):
            self.assertIn("it is not as it was", self.reason())
        self.assertEqual("557", self.type_of())
        (row,) = self.ours()
        self.assertEqual("another", row.assignment)

    def test_where_processes_are_hidden_all_is_left(self) -> None:
        self.give()
        real = host_tree.DirectoryTree.folder

        def folder(tree: host_tree.DirectoryTree, rel: str) -> ty.Any:
            if rel.startswith("proc/1"):
                raise PermissionError(1, "Operation not permitted")
            return real(tree, rel)

        with mock.patch.object(host_tree.DirectoryTree, "folder", folder):
            self.left("Operation not permitted")

    def test_a_write_that_fails_is_told_and_tried_again(self) -> None:
        self.give()
        self.give(OTHER, TWO)
        before = self.type_of()
        self.fake.fault(1, errno=5)
        done = self.run_cli("reconcile", "-f", "json")
        self.assertEqual(2, done.status, str(done))
        self.assertEqual(
            ["failed", "done"], [row["state"] for row in done.json]
        )
        self.assertEqual([before, "0"], [self.type_of(), self.type_of(OTHER)])
        self.fake.heal()
        self.assertEqual([(VF, "free", "done")], self.reconcile())


class SuspectTest(ReconcileCase):
    def test_who_ended_without_a_report_counts_as_failed(self) -> None:
        self.give()
        self.give(OTHER, TWO, assignment="other")
        words = ("--assignment", "other", "ok")
        self.ok("vgpu", "report", OTHER, *words)
        self.reconcile()
        health = {
            row["address"]: (row["health"], row["instance_uuid"])
            for row in self.json("vgpu", "health")
        }
        self.assertEqual({VF: ("suspect", ONE), OTHER: ("well", TWO)}, health)

    def test_where_nobody_reports_nobody_is_suspect(self) -> None:
        self.give()
        self.reconcile()
        self.assertEqual([], self.json("vgpu", "health"))


class ListTest(ReconcileCase):
    def test_a_list_comes_from_standard_input_too(self) -> None:
        self.give()
        for text, expected in ((f"{ONE}\n", []), ("none\n", [VF])):
            stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
            with mock.patch.object(sys, "stdin", stdin):
                rows = self.reconcile("--alive", "-")
            self.assertEqual(expected, [row[0] for row in rows])

    def test_a_list_that_cannot_be_used_frees_nothing(self) -> None:
        self.give()
        pathlib.Path("bad").write_text(f"{TWO}\nserver-1\n")
        with pathlib.Path("large").open("wb") as file:
            file.truncate(5 << 20)
        for name, told in (
            ("bad", "bad:2: 'server-1' is no UUID"),
            ("gone", "gone: No such file or directory"),
            (".", "Is a directory"),
            ("large", "larger than 4 MiB"),
        ):
            self.assertIn(told, self.refuses("reconcile", "--alive", name))
        self.assertEqual("557", self.type_of())
        stdin = io.TextIOWrapper(io.BytesIO(b"x"))
        with mock.patch.object(sys, "stdin", stdin):
            said = self.refuses("reconcile", "--alive", "-")
        self.assertIn("standard input:1: 'x' is no UUID", said)


class ClaimTest(ReconcileCase):
    """A claim whose instance is gone goes with its vGPU."""

    def setUp(self) -> None:
        super().setUp()
        words = ("claim", "create", "--vgpu-type", "NVIDIA A16-8Q")
        (claim,) = self.json(*words, "--instance", ONE)
        (self.vf,) = claim["addresses"]

    def test_it_is_given_back_whole(self) -> None:
        self.assertEqual("558", self.type_of(self.vf))
        self.left("less than five minutes ago")
        self.age()
        self.assertEqual([(self.vf, "free", "done")], self.reconcile())
        self.assertEqual("0", self.type_of(self.vf))
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual([], self.ours())
        self.assertEqual({}, self.allocations(ONE))

    def test_two_of_one_instance_go_together(self) -> None:
        self.ok("claim", "delete", ONE)
        self.json(
            *("claim", "create", "--vgpu-type", "NVIDIA A16-8Q:2"),
            *("--instance", ONE),
        )
        self.age()
        self.ok(
            *("vgpu", "report", VF, "ok"),
            *("--assignment", self.ours()[0].assignment),
        )
        self.assertEqual(
            [(VF, "free", "done"), (OTHER, "free", "done")], self.reconcile()
        )
        self.assertEqual(["0", "0"], [self.type_of(), self.type_of(OTHER)])
        health = {
            row["address"]: row["health"]
            for row in self.json("vgpu", "health")
        }
        self.assertEqual({VF: "well", OTHER: "suspect"}, health)

    def test_one_whose_type_is_gone_is_given_back_too(self) -> None:
        self.age()
        self.set_type("0", self.vf)
        self.assertEqual([(self.vf, "forget", "done")], self.reconcile())
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(ONE))

    def test_what_was_left_by_force_is_offered_again(self) -> None:
        pid = self.guest(ONE, self.vf)
        self.ok("inventory", "report")
        self.ok("claim", "delete", ONE, "--force")
        self.fake.let_go(pid)
        self.age()
        self.assertEqual([(self.vf, "free", "done")], self.reconcile())
        self.ok("inventory", "diff")

    def test_what_was_left_by_force_and_changed_since_is_left(self) -> None:
        pid = self.guest(ONE, self.vf)
        self.ok("claim", "delete", ONE, "--force")
        self.fake.let_go(pid)
        self.age()
        self.set_type("0", self.vf)
        self.set_type("557", self.vf)
        self.assertIn("somebody gave it type 557", self.reason(status=0))
        self.assertEqual(("557", []), (self.type_of(self.vf), self.ours()))


class DeclaredTest(ReconcileCase):
    """What is declared and gone is set again, and nothing else."""

    def declare(self, *entries: str) -> None:
        lines = "".join(f"host_spec = {entry}\n" for entry in entries)
        self.configure(
            vgpu_case.SPEC, tail=f"[vfio]\nplacement = embedded\n{lines}"
        )

    def test_a_type_of_host_spec(self) -> None:
        self.declare(f'{{ "address": "{VF}", "vgpu_type": "NVIDIA A16-4Q" }}')
        self.assertEqual(
            [(VF, "set", "planned")], self.reconcile("--dry-run", status=1)
        )
        self.assertEqual("0", self.type_of())
        self.assertEqual([(VF, "set", "done")], self.reconcile())
        self.assertEqual("557", self.type_of())
        self.assertEqual([], self.reconcile())

    def test_counts_come_back_to_the_same_functions(self) -> None:
        self.declare(
            f'{{ "address": "{vgpu_case.PF}",'
            ' "vgpu_types": { "NVIDIA A16-8Q": 1 } }'
        )
        self.set_type("558", OTHER)
        self.ok("host", "apply")
        self.assertEqual(["0", "558"], [self.type_of(), self.type_of(OTHER)])
        self.set_type("0", OTHER)
        self.assertEqual([(OTHER, "set", "done")], self.reconcile())
        self.assertEqual(["0", "558"], [self.type_of(), self.type_of(OTHER)])

    def test_what_was_set_by_hand(self) -> None:
        self.ok("vgpu", "set", VF, "NVIDIA A16-4Q")
        self.assertEqual([], self.reconcile())
        self.set_type("0")
        self.assertEqual([(VF, "set", "done")], self.reconcile())
        self.assertEqual("557", self.type_of())
        self.ok("vgpu", "set", VF, "none")
        self.assertEqual([], self.reconcile())

    def test_another_tools_type_stays(self) -> None:
        self.declare(f'{{ "address": "{VF}", "vgpu_type": "NVIDIA A16-4Q" }}')
        self.ok("host", "apply")
        self.set_type("0")
        self.set_type("558")
        self.left("it has vGPU type 558, and another is declared")

    def test_what_is_open_stays_as_it_is(self) -> None:
        self.declare(f'{{ "address": "{VF}", "vgpu_type": "NVIDIA A16-4Q" }}')
        self.fake.open_file(f"/sys/bus/pci/devices/{VF}/config")
        self.left("is open in process")

    def test_one_that_cannot_be_keeps_nothing_else_from_being_done(
        self,
    ) -> None:
        self.declare(
            f'{{ "address": "{VF}", "vgpu_type": "NVIDIA A16-99Q" }}',
            f'{{ "address": "{OTHER}", "vgpu_type": "NVIDIA A16-4Q" }}',
        )
        self.give()
        rows = self.reconcile(status=1)
        self.assertIn((VF, "free", "done"), rows)
        self.assertIn("leave", [action for _, action, _ in rows])
        self.assertEqual("0", self.type_of())

    def test_a_declaration_that_does_not_parse_is_told(self) -> None:
        self.declare(f'{{ "address": "{VF}", "vgpu_type": 7 }}')
        self.give()
        rows = self.reconcile(status=1)
        self.assertEqual((VF, "free", "done"), rows[0])
        self.assertEqual([("leave", "left")], [row[1:] for row in rows[1:]])


class LostTest(ReconcileCase):
    """What a claim that stands has lost is set again, as after a reboot."""

    def setUp(self) -> None:
        super().setUp()
        (claim,) = self.create(ONE, "NVIDIA A16-8Q")
        (self.vf,) = claim["addresses"]
        self.other = OTHER if self.vf == VF else VF
        self.set_type("0", self.vf)

    def create(self, instance: str, word: str) -> list[dict[str, ty.Any]]:
        words = ("claim", "create", "--vgpu-type", word)
        return ty.cast(
            "list[dict[str, ty.Any]]",
            self.json(*words, "--instance", instance),
        )

    def test_while_its_instance_lives(self) -> None:
        self.guest(ONE)
        (before,) = self.ours()
        self.age()
        self.assertEqual(
            [(self.vf, "set", "planned")],
            self.reconcile("--dry-run", status=1),
        )
        self.assertEqual("0", self.type_of(self.vf))
        self.assertEqual([(self.vf, "set", "done")], self.reconcile())
        self.assertEqual("558", self.type_of(self.vf))
        self.assertEqual([], self.reconcile())
        (row,) = self.ours()
        self.assertEqual(before.assignment, row.assignment)
        # It is as young as any that was set just now.
        self.assertGreaterEqual(row.since, before.since)
        self.ok("claim", "delete", ONE)
        self.assertEqual("0", self.type_of(self.vf))

    def test_while_nobody_knows_whether_it_lives(self) -> None:
        self.fake.open_file("/dev/null", "qemu", ("qemu-kvm", "-nodefaults"))
        self.assertEqual([(self.vf, "set", "done")], self.reconcile())

    def test_not_while_it_is_open(self) -> None:
        self.guest(ONE)
        self.fake.open_file(f"/sys/bus/pci/devices/{self.vf}/config")
        self.left("is open in process")

    def test_another_tools_type_stays_and_is_told(self) -> None:
        self.guest(ONE)
        self.set_type("557", self.vf)
        self.left(
            f"instance {ONE} has claimed it, and somebody gave it type 557"
        )

    def test_another_device_in_its_place_is_told(self) -> None:
        self.guest(ONE)
        self.fake.exchange(self.vf, "10de:25b8", class_code=0x030200)
        self.left("and another device is in its place")

    def test_what_has_no_room_any_more_is_told(self) -> None:
        self.guest(ONE)
        self.set_type("557", self.other)
        done = self.run_cli("reconcile", "-f", "json")
        self.assertEqual(2, done.status, str(done))
        (row,) = done.json
        self.assertEqual("failed", row["state"])
        self.assertIn("is not offered NVIDIA A16-8Q", row["reason"])

    def test_nobody_else_is_given_its_framebuffer_meanwhile(self) -> None:
        rows = {
            row["name"]: (row["existing"], row["available"], row["why"])
            for row in self.json("vgpu", "types")
        }
        self.assertEqual(
            (0, 0, "the card holds vGPUs of another framebuffer size"),
            rows["NVIDIA A16-4Q"],
        )
        self.assertEqual((0, 1, None), rows["NVIDIA A16-8Q"])
        words = ("claim", "create", "--instance", TWO, "--vgpu-type")
        self.refuses(*words, "NVIDIA A16-4Q")
        self.refuses(*words, "NVIDIA A16-8Q:2")
        self.refuses("vgpu", "set", self.other, "NVIDIA A16-4Q")
        self.assertEqual("0", self.type_of(self.other))
        self.create(TWO, "NVIDIA A16-8Q")
        self.assertEqual("558", self.type_of(self.other))
        self.guest(ONE)
        self.guest(TWO)
        self.assertEqual([(self.vf, "set", "done")], self.reconcile())

    def test_placement_counts_it_as_used_and_not_as_reserved(self) -> None:
        self.ok("inventory", "report")
        self.assertEqual(
            {"CUSTOM_VGPU_FB_MIB": 8192, "CUSTOM_VGPU_VF": 1},
            {
                name: amount
                for of_provider in self.allocations(ONE).values()
                for name, amount in of_provider.items()
                if name.startswith("CUSTOM_VGPU_")
            },
        )
        reserved = {
            row["resource_class"]: row["reserved"]
            for row in self.json("inventory", "show")
        }
        self.assertEqual(0, reserved["CUSTOM_VGPU_FB_MIB"])


class MixedTest(ReconcileCase):
    """A card of several sizes, after a reboot."""

    def test_its_mode_comes_first_and_the_largest_type_next(self) -> None:
        self.configure(
            vgpu_case.SPEC,
            tail="[vfio]\nplacement = embedded\nhost_spec = {"
            f' "address": "{vgpu_case.PF}", "heterogeneous": true }}\n',
        )
        self.ok("host", "apply")
        found = {}
        for instance, word in ((ONE, "4Q"), (TWO, "8Q")):
            (claim,) = self.json(
                *("claim", "create", "--instance", instance),
                *("--vgpu-type", f"NVIDIA A16-{word}"),
            )
            (found[word],) = claim["addresses"]
            self.guest(instance)
        for count in (0, 2):
            self.fake.writer().set_numvfs(vgpu_case.PF, count)
        self.assertEqual(["0", "0"], [self.type_of(), self.type_of(OTHER)])
        self.assertEqual(
            [
                (vgpu_case.PF, "set", "done"),
                (found["8Q"], "set", "done"),
                (found["4Q"], "set", "done"),
            ],
            self.reconcile(),
        )
        self.assertEqual("557", self.type_of(found["4Q"]))
        self.assertEqual("558", self.type_of(found["8Q"]))
        self.assertEqual([], self.reconcile())
