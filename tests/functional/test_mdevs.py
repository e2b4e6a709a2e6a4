# SPDX-License-Identifier: Apache-2.0
"""Mediated devices of cards: which is made, what is refused, what stays."""

import contextlib
import dataclasses
import errno
import json
import os
import typing as ty
import uuid
from unittest import mock

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.act import actor
from nova_vfio_variant.host.observe import facts
from nova_vfio_variant.node import mdev_wishes
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import store
from tests.functional import mdev_case
from tests.functional.mdev_case import ATTRIBUTES, CARD, ONE, OTHER, UUID

CREATE: ty.Final = ("mdev", "create", "nvidia-35")


class TypesTest(mdev_case.MdevCase):
    def test_what_a_driver_describes_stands_in_columns(self) -> None:
        first, *_ = self.json("mdev", "types", CARD)
        self.assertEqual(
            ("GRID T4-1B", 1024, 4, 45, "5120x2880", 2, 2),
            tuple(
                first[name]
                for name in (
                    "name",
                    "framebuffer_mib",
                    "num_heads",
                    "frl_config",
                    "max_resolution",
                    "max_instances",
                    "available",
                )
            ),
        )

    def test_lines_of_a_description_are_read_as_gvt_g_writes_them(
        self,
    ) -> None:
        self.fake.add_mdev_parent(
            "gvt",
            {"i915-GVTg_V5_4": 1},
            1,
            texts={
                "i915-GVTg_V5_4": {
                    "name": "GVTg_V5_4",
                    "description": "low_gm_size: 128MB\nhigh_gm_size: 512MB\n"
                    "fence: 4\nresolution: 1920x1200\nweight: 4",
                }
            },
        )
        row, *_ = self.json("mdev", "types", "gvt")
        self.assertIsNone(row["framebuffer_mib"])
        self.assertIn("high_gm_size: 512MB", row["description"])
        shown = self.ok("mdev", "types", "gvt", "--long").out
        self.assertIn("128MB\\nhigh_gm_size", shown.replace("\n", ""))

    def test_parents_of_s390_say_their_interface(self) -> None:
        self.fake.add_mdev_parent(
            "matrix",
            {"vfio_ap-passthrough": 1},
            65536,
            texts={
                "vfio_ap-passthrough": {
                    "name": "VFIO AP Passthrough Device",
                    "device_api": "vfio-ap",
                }
            },
            attributes=("assign_adapter", "assign_domain"),
        )
        (row,) = self.json("mdev", "types", "matrix")
        self.assertEqual(
            ("vfio-ap", 65536), (row["device_api"], row["available"])
        )
        self.ok(
            *("mdev", "create", "vfio_ap-passthrough"),
            *("--attribute=assign_adapter=5", "--attribute=assign_domain=4"),
        )

    def test_a_count_that_is_none_is_not_known(self) -> None:
        place = f"sys/class/mdev_bus/{CARD}/mdev_supported_types/nvidia-35"
        for text in ("", "many", "-1", "0x2", "9" * 12):
            (self.fake.root / place / "available_instances").write_text(text)
            row, *_ = self.json("mdev", "types", CARD)
            self.assertIsNone(row["available"], text)

    def test_files_that_are_missing_are_untold(self) -> None:
        place = f"sys/class/mdev_bus/{CARD}/mdev_supported_types/nvidia-35"
        for name in ("name", "description", "device_api"):
            (self.fake.root / place / name).unlink()
        row, *_ = self.json("mdev", "types", CARD)
        self.assertEqual(
            (None, None, None),
            (row["name"], row["description"], row["device_api"]),
        )
        self.make(CARD)


class RefusedTest(mdev_case.MdevCase):
    """One clear line, and nothing is changed."""

    def refused(self, code: str, *words: str) -> str:
        before = self.fake.written
        said = self.fails(*words)
        self.assertIn(f"[{code}]", said)
        self.assertEqual(before, self.fake.written)
        self.assertEqual({}, self.there())
        return said

    def test_each_word_that_is_no_uuid(self) -> None:
        for wrong in (
            "",
            "x",
            UUID[:-1],
            f"{UUID}0",
            f"{UUID}\n",
            f"{{{UUID}}}",
            UUID.replace("-", ""),
            UUID.replace("a", "g"),
            f"urn:uuid:{UUID}",
            f" {UUID}",
            f"{UUID[:8]}_{UUID[9:]}",
            "../" * 12,
            UUID.replace("3", "\u0663"),
        ):
            for words in (
                (*CREATE, f"--uuid={wrong}"),
                ("mdev", "delete", "--", wrong),
            ):
                self.refused("VFIO598", *words)

    def test_a_uuid_in_capitals_is_the_same(self) -> None:
        self.make(CARD, uuid=UUID.upper())
        self.assertEqual({UUID: CARD}, self.there())
        self.ok("mdev", "delete", UUID.upper())

    def test_a_type_that_nobody_offers_and_those_near_it(self) -> None:
        said = self.refused("VFIO587", "mdev", "create", "nvidia-37")
        self.assertIn("nvidia-35", said)

    def test_a_parent_that_is_none(self) -> None:
        said = self.refused("VFIO586", *CREATE, "--parent=0000:08:00.0")
        self.assertIn(CARD, said)

    def test_what_the_kernel_keeps_is_no_attribute(self) -> None:
        for wrong in (
            "remove=1",
            "driver/unbind=x",
            "../x=1",
            "nvidia/../remove=1",
            "/x=1",
            "x",
            "=1",
            "x=",
            "x=a\nb",
        ):
            self.refused("VFIO599", *CREATE, f"--attribute={wrong}")

    def test_a_uuid_that_is_taken_under_any_type(self) -> None:
        self.by_another(UUID, OTHER, "nvidia-36")
        for kind in ("nvidia-35", "nvidia-36"):
            said = self.fails("mdev", "create", kind, f"--uuid={UUID}")
            self.assertIn(
                f"type nvidia-36 below {OTHER} has it [VFIO588]", said
            )
        self.assertEqual({UUID: OTHER}, self.there())
        self.assertEqual({}, self.ours())

    def test_a_word_that_is_empty_is_shown(self) -> None:
        for word in ("uuid", "parent"):
            said = self.fails(*CREATE, f"--{word}=")
            self.assertIn("''", said.splitlines()[0])

    def counted(self, text: str | None, *parents: str) -> None:
        """Let them tell this of how many they take, or nothing."""
        for parent in parents:
            types = f"sys/class/mdev_bus/{parent}/mdev_supported_types"
            place = self.fake.root / types / "nvidia-35/available_instances"
            place.unlink(missing_ok=True)
            if text is not None:
                place.write_text(text)

    def test_a_count_that_is_none(self) -> None:
        for text in (None, "", "\n", "many\n", "-1\n", "0x2\n", "9" * 12):
            self.counted(text, CARD, OTHER)
            said = self.refused("VFIO524", *CREATE)
            self.assertIn(
                f"available_instances of nvidia-35 below {CARD} is no number",
                said,
            )
            self.counted("2\n", CARD, OTHER)

    def test_a_count_that_is_none_keeps_only_its_parent_out(self) -> None:
        self.counted("many\n", CARD)
        self.assertEqual({self.make().uuid: OTHER}, self.there())

    def test_parents_without_the_kernels_bus(self) -> None:
        os.rename(self.fake.root / "sys/bus/mdev", self.folder / "bus")
        before = self.fake.written
        for words in ((), (f"--parent={CARD}",)):
            said = self.fails(*CREATE, *words)
            self.assertIn("[VFIO586]", said)
            self.assertIn("/sys/bus/mdev", said)
        self.assertEqual(before, self.fake.written)

    def test_a_host_whose_kernel_has_none(self) -> None:
        os.rename(self.fake.root / "sys/bus/mdev", self.folder / "bus")
        os.rename(self.fake.root / "sys/class/mdev_bus", self.folder / "class")
        self.assertIn("no mediated devices", self.ok("mdev", "types").err)
        self.assertIn("VFIO586", self.fails(*CREATE))

    def test_names_that_nothing_on_record_may_have(self) -> None:
        """None is made, and no row says so, which nobody would read again."""
        for parent, kind in (("odd", "nvidia 9"), ("o\ndd", "nvidia-9")):
            self.fake.add_mdev_parent(parent, {kind: 1}, 4)
            words = ("mdev", "create", kind, "--parent", parent)
            for more in ((), ("--dry-run",)):
                said = self.refused("VFIO587", *words, *more)
                self.assertIn("is no PARENT/TYPE", said)
            self.refused(
                *("VFIO587", "mdev", "definition", UUID),
                *("--type", kind, "--parent", parent),
            )
        self.assertEqual([], self.json("mdev", "list"))


class FailingCase(mdev_case.MdevCase):
    def failed(self, why: str, *words: str) -> None:
        """It isn't made, and that is told behind the steps."""
        done = self.run_cli(*CREATE, *words)
        self.assertEqual(2, done.status)
        self.assertIn(why, done.err.splitlines()[-1])
        self.assertEqual({}, self.there())
        self.assertEqual({}, self.ours())


class AttributesTest(FailingCase):
    def words(self) -> list[str]:
        return [f"--attribute={text}" for text in ATTRIBUTES]

    def test_they_are_written_in_the_order_that_is_given(self) -> None:
        self.ok(*CREATE, f"--uuid={UUID}", *self.words())
        self.assertEqual([*ATTRIBUTES], self.attributes(UUID))
        written = [
            line.split(" ")[0].rpartition("/")[2]
            for line in self.fake.written[-3:]
        ]
        self.assertEqual(["create", "vgpu_params", "assign_adapter"], written)

    def test_where_one_fails_the_device_goes(self) -> None:
        for number in (2, 3):
            self.fake.fault(number, errno=errno.EINVAL)
            self.failed("Invalid argument", *self.words())
            self.fake.heal()
        self.ok(*CREATE, f"--uuid={UUID}", *self.words())

    def test_one_that_is_not_there(self) -> None:
        self.failed("no_such", "--attribute=no_such=1")


class FullTest(FailingCase):
    def taken_before(self, kind: str, *cards: str) -> ty.Any:
        """Another tool is faster, each time that we make one."""
        real = fake_host.FakeHost.write

        def write(host: fake_host.FakeHost, rel: str, data: bytes) -> None:
            for card in cards:
                offered = f"sys/class/mdev_bus/{card}/mdev_supported_types"
                types = host.root / offered
                if rel.startswith(offered) and not [
                    *types.glob("*/devices/*")
                ]:
                    for _ in range(2 if kind == "nvidia-35" else 1):
                        new = str(uuid.uuid4()).encode()
                        real(host, f"{offered}/{kind}/create", new)
            real(host, rel, data)

        return mock.patch.object(fake_host.FakeHost, "write", write)

    def test_the_next_parent_is_tried(self) -> None:
        for number, answer in enumerate(
            (errno.ENOSPC, errno.EAGAIN, errno.EINVAL, errno.EUSERS)
        ):
            host = self.folder / f"host{number}"
            self.fake = fake_host.FakeHost(host)
            self.fake.add_driver("nvidia", ["10de:1eb8"])
            for card in (CARD, OTHER):
                self.fake.add(card, "10de:1eb8", class_code=0x030200)
                self.add_parent(card, full=answer)
            self.options[1] = f"--host-root={host}"
            self.options[2] = f"--state-path={self.folder}/state{number}"
            with (
                self.fake.plugged_in(),
                self.taken_before("nvidia-35", CARD),
            ):
                (row,) = self.json(*CREATE)
            self.assertEqual(OTHER, row["parent"], os.strerror(answer))
            self.assertEqual(OTHER, self.there()[row["uuid"]])

    def test_it_is_tried_whenever_a_parent_fills_up(self) -> None:
        real = actor.Actor.look
        looks = 0

        def look(acting: actor.Actor) -> facts.HostFacts:
            """Another tool makes one behind our back, once."""
            nonlocal looks
            seen = real(acting)
            if looks == at:
                with contextlib.suppress(OSError):
                    self.by_another(UUID, CARD, "nvidia-36")
            looks += 1
            return seen

        for at in range(12):
            looks = 0
            with mock.patch.object(actor.Actor, "look", look):
                (row,) = self.json(*CREATE)
            full = UUID in self.there()
            self.assertEqual(OTHER if full else CARD, row["parent"], f"{at}")
            self.assertEqual([row["uuid"]], [*self.ours()], f"{at}")
            self.ok("mdev", "delete", row["uuid"])
            if full:
                self.remove(UUID)
            if at >= looks:
                return
        raise AssertionError

    def test_when_all_turn_out_full_nothing_is_left(self) -> None:
        with self.taken_before("nvidia-36", CARD, OTHER):
            done = self.run_cli(*CREATE)
        self.assertEqual(2, done.status, str(done))
        self.assertEqual({CARD, OTHER}, set(self.there().values()))
        self.assertEqual(2, len(self.there()))
        self.assertEqual({}, self.ours())

    def test_a_card_of_one_type_says_what_is_idle_on_it(self) -> None:
        self.by_another(UUID, CARD, "nvidia-36")
        said = self.fails(*CREATE, f"--parent={CARD}")
        self.assertIn(f"idle there: {UUID} (nvidia-36 of {CARD})", said)
        (row,) = self.json(*CREATE)
        self.assertEqual(OTHER, row["parent"])

    def test_another_error_of_a_parent_with_room_is_told(self) -> None:
        self.fake.fault(1, errno=errno.EIO)
        self.failed("Input/output error")

    def test_of_twenty_creators_as_many_win_as_there_is_room(self) -> None:
        pids = []
        for _ in range(20):
            pid = os.fork()
            if not pid:
                status = 3
                try:
                    with open(os.devnull, "w", encoding="utf-8") as null:
                        os.dup2(null.fileno(), 1)
                        os.dup2(null.fileno(), 2)
                    status = main.main([*self.options, *CREATE])
                finally:
                    os._exit(status)
            pids.append(pid)
        ended = [
            os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids
        ]
        self.assertEqual([0] * 4 + [2] * 16, sorted(ended))
        self.assertEqual(set(self.there()), set(self.ours()))
        self.assertEqual(4, len(self.there()))


class OwnersTest(mdev_case.MdevCase):
    def test_a_stable_uuid_comes_back_for_another_assignment(self) -> None:
        first = self.make(CARD, instance_uuid=ONE)
        self.assertEqual(mdev_wishes.stable(ONE, 0), first.uuid)
        self.ok("mdev", "delete", first.uuid)
        again = self.make(CARD, instance_uuid=ONE)
        self.assertEqual(first.uuid, again.uuid)
        said = self.fails(
            "mdev", "delete", again.uuid, f"--assignment={first.assignment}"
        )
        self.assertIn("VFIO596", said)
        self.assertEqual({again.uuid: CARD}, self.there())
        self.ok(
            "mdev", "delete", again.uuid, f"--assignment={again.assignment}"
        )

    def test_each_of_an_instance_has_a_number(self) -> None:
        made = [self.make(instance_uuid=ONE).uuid for _ in range(3)]
        self.assertEqual(
            [mdev_wishes.stable(ONE, number) for number in range(3)], made
        )

    def test_what_another_tool_made_anew_is_not_removed(self) -> None:
        self.make(CARD, uuid=UUID)
        self.remove(UUID)
        self.by_another(UUID, OTHER, "nvidia-36")
        self.assertIn("VFIO596", self.fails("mdev", "delete", UUID))
        self.assertEqual({UUID: OTHER}, self.there())

    def test_a_parent_that_went_away_is_waited_for(self) -> None:
        self.make(CARD, uuid=UUID, instance_uuid=ONE)
        self.guest(ONE)
        self.fake.rmmod("nvidia")
        self.assertEqual(
            ["missing"], [row["state"] for row in self.json("mdev", "list")]
        )
        (left,) = json.loads(self.run_cli("reconcile", "-f", "json").out)
        self.assertEqual("left", left["state"])
        self.assertIn("offers no mediated devices", left["reason"])
        self.fake.modprobe("nvidia")
        for card in (CARD, OTHER):
            self.fake.write("sys/bus/pci/drivers_probe", card.encode())
        (done,) = json.loads(self.run_cli("reconcile", "-f", "json").out)
        self.assertEqual("done", done["state"])
        self.assertEqual({UUID: CARD}, self.there())


class AnotherCardTest(mdev_case.MdevCase):
    """An address alone says nothing of the card that has it by now."""

    def test_nothing_is_made_again_on_another_card(self) -> None:
        self.make(CARD, uuid=UUID, instance_uuid=ONE)
        self.remove(UUID)
        made = self.ours()[UUID]
        assert made.identity is not None
        was = dataclasses.replace(made.identity, product_id="1eb9")
        with contextlib.closing(store.Store.open(self.state)) as opened:
            opened.mdevs.put(dataclasses.replace(made, identity=was))
        self.guest(ONE)
        (left,) = json.loads(self.run_cli("reconcile", "-f", "json").out)
        self.assertEqual(
            ("left", "another card is in its parent's place"),
            (left["state"], left["reason"]),
        )
        self.assertEqual({}, self.there())
