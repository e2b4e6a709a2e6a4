# SPDX-License-Identifier: Apache-2.0
"""Cards that are declared: what is planned is what is done, or refused."""

import json
import pathlib
import re

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case, vgpu_case

PF, OTHER_PF = vgpu_case.PF, "0000:61:00.0"
VFS = tuple(f"0000:41:00.{number}" for number in range(4, 8))
OTHERS = tuple(f"0000:61:00.{number}" for number in range(4, 8))
TYPES = {
    "557": ("NVIDIA A16-4Q", 4096),
    "558": ("NVIDIA A16-8Q", 8192),
    "559": ("NVIDIA A16-8A", 8192),
    "560": ("NVIDIA A16-16Q", 16384),
    "561": ("NVIDIA A16-2QME", 2048),
}
OTHER_TYPES = {
    "1145": ("NVIDIA L40S-1B", 1024),
    "1148": ("NVIDIA L40S-12Q", 12288),
    "1149": ("NVIDIA L40S-24Q", 24576),
}


class DeclaredCase(cli_case.CliTestCase):
    """Two cards whose VFs are yet to be made."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver(
            "nvidia", ["10de:25b6", "10de:25b7"], makes_vfs=True
        )
        for pf, types, room in (
            (PF, TYPES, 16384),
            (OTHER_PF, OTHER_TYPES, 49152),
        ):
            self.fake.add(
                pf,
                "10de:25b6",
                class_code=0x030200,
                vfs=4,
                vf_device="25b7",
                vf_offset=4,
                vf_stride=1,
            )
            self.fake.add_vendor_vgpus(pf, types, room)
        self.enterContext(self.fake.plugged_in())
        self.declare()

    def make_vfs(self) -> None:
        """Make all VFs of both."""
        for pf in (PF, OTHER_PF):
            self.fake.writer().set_numvfs(pf, 4)

    def without_tool(self) -> None:
        """Nobody tells sizes, nor names of what isn't listed."""
        (self.fake.root / "usr/bin/nvidia-smi").unlink()

    def declare(self, *entries: dict[str, object]) -> None:
        """Write host_spec."""
        lines = "".join(
            f"host_spec = {json.dumps(entry)}\n" for entry in entries
        )
        pathlib.Path("nova.conf").write_text(
            f"[DEFAULT]\nhost = compute-1\n[vfio]\n{lines}"
        )

    def file(self, *entries: dict[str, object]) -> str:
        """Write a file for ``vgpu apply``."""
        pathlib.Path("cards.json").write_text(json.dumps(entries))
        return "cards.json"

    def types(self) -> list[str]:
        """The type of each VF that is there."""
        return [
            path.read_text().strip()
            for vf in (*VFS, *OTHERS)
            if (
                path := self.fake.root
                / f"sys/bus/pci/devices/{vf}/nvidia/current_vgpu_type"
            ).exists()
        ]

    def steps(self, done: cli_case.Done) -> list[tuple[str, str]]:
        """What is planned, or was done."""
        return [
            (row["subject"], row["action"])
            # A failure alone is told beside it.
            for row in (done.json if done.out else ())
        ]


class PlanTest(DeclaredCase):
    def assert_as_planned(self, *words: str) -> cli_case.Done:
        """A plan says what its command does then, and why it doesn't."""
        plan = self.run_cli(*words, "--dry-run", "-f", "json")
        done = self.run_cli(*words, "-f", "json")
        if plan.status == 2:
            self.assertEqual(2, done.status, f"{plan}\n{done}")
            self.assertEqual([], self.steps(done), f"{plan}\n{done}")
            self.assertEqual(plan.err, done.err)
        else:
            self.assertEqual(0, done.status, f"{plan}\n{done}")
            # The last VF that is freed may have its new type at once.
            self.assertEqual(
                sorted(self.steps(plan)), sorted(self.steps(done))
            )
        return plan

    def test_vfs_that_are_not_there_are_planned_as_they_will_be(self) -> None:
        vfs: dict[str, object] = {"address": PF, "num_vfs": 4}

        def card(**counts: int) -> dict[str, object]:
            named = {
                f"NVIDIA A16-{name[1:]}": count
                for name, count in counts.items()
            }
            return {"address": PF, "vgpu_types": named}

        def vf(number: int, word: str) -> dict[str, object]:
            return {"address": VFS[number], "vgpu_type": word}

        for status, entries in (
            (1, [card(_8Q=2)]),
            (1, [card(_4Q=3)]),
            (1, [card(_4Q=1, _8Q=1) | {"heterogeneous": True}]),
            (1, [vf(2, "A16-2Q"), vf(0, "none")]),
            (1, [vf(2, "559"), vf(0, "558")]),
            (2, [card(_8Q=3)]),
            (2, [card(_4Q=1, _8Q=1)]),
            (2, [card(_4Q=5)]),
            (2, [card(_9Q=1)]),
            (2, [vf(0, "A16-9Q")]),
            (2, [vf(0, "A16-8Q"), vf(1, "A16-4Q")]),
            (2, [vf(0, "560"), vf(1, "560")]),
        ):
            with self.subTest(entries=entries):
                self.fake.writer().set_numvfs(PF, 0)
                self.declare(vfs, *entries)
                plan = self.assert_as_planned("host", "apply")
                self.assertEqual(status, plan.status, str(plan))
                if status == 2:
                    self.assertEqual([], self.types())

    def test_a_card_that_nobody_looked_at_is_planned_as_it_will_be(
        self,
    ) -> None:
        self.make_vfs()
        for counts in (
            {"558": 3},
            {"558": 1, "557": 1},
            {"557": 5},
            {"557": 4},
            {"560": 1},
            {"561": 1},
        ):
            with self.subTest(counts=counts):
                file = self.file({"address": PF, "vgpu_types": counts})
                self.assert_as_planned("vgpu", "apply", file)

    def test_what_others_carved_before_we_looked_is_told_by_the_tool(
        self,
    ) -> None:
        self.make_vfs()
        for vf in VFS[:2]:
            self.fake.writer().set_vgpu_type(vf, "558")
        file = self.file({"address": PF, "vgpu_types": {"A16-4Q": 4}})
        self.assert_as_planned("vgpu", "apply", file)
        self.assertEqual(["557"] * 4, self.types()[:4])

    def test_vfs_that_were_made_are_remembered_before_they_are_carved(
        self,
    ) -> None:
        """What they list is gone once the card is full."""
        self.without_tool()
        self.declare(
            {"address": PF, "num_vfs": 4},
            {"address": PF, "vgpu_types": {"NVIDIA A16-8Q": 2}},
        )
        plan = self.json("host", "plan", status=1)
        self.assertEqual(
            [
                (PF, "set-numvfs 4"),
                (VFS[0], "set-vgpu-type NVIDIA A16-8Q"),
                (VFS[1], "set-vgpu-type NVIDIA A16-8Q"),
            ],
            [(row["subject"], row["action"]) for row in plan],
        )
        self.ok("host", "apply")
        self.ok("host", "plan")
        self.assertIn(
            "A16-16Q", {row["name"][7:] for row in self.json("vgpu", "types")}
        )

    def test_what_a_card_is_made_anew_with_is_planned(self) -> None:
        self.make_vfs()
        file = self.file(
            {
                "address": PF,
                "vgpu_types": {"557": 1, "558": 1},
                "heterogeneous": True,
            }
        )
        for card in ("vgpu", "apply", file), ("vgpu", "recycle", PF):
            self.assert_as_planned(*card)

    def test_a_tool_that_comes_later_is_asked_later(self) -> None:
        self.make_vfs()
        tool = self.fake.root / "usr/bin/nvidia-smi"
        text = tool.read_text()
        tool.unlink()
        for vf in VFS[:2]:
            self.ok("vgpu", "set", vf, "557")
        file = self.file({"address": PF, "vgpu_types": {"558": 2}})
        self.assertIn(
            "nobody tells the framebuffer",
            self.run_cli("vgpu", "apply", file).err,
        )
        tool.write_text(text)
        tool.chmod(0o755)
        self.ok("vgpu", "apply", file)
        self.assertEqual(["558", "558", "0", "0"], self.types()[:4])


class BadFileTest(DeclaredCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_vfs()
        self.fake.writer().set_vgpu_type(VFS[0], "557")

    def refused(self, text: str) -> str:
        """Why a file is refused, by all that read it; nothing is changed."""
        pathlib.Path("cards.json").write_text(text)
        before = self.fake.picture()
        said = {
            self.fails("vgpu", *words)
            for words in (
                ("apply", "cards.json", "--dry-run"),
                ("apply", "cards.json"),
                ("assert", "cards.json"),
            )
        }
        self.assertEqual(before, self.fake.picture())
        self.assertEqual(1, len(said), str(said))
        return said.pop()

    def test_what_is_wrong_has_its_place_and_a_mend_for_a_file(self) -> None:
        card = f'"address": "{PF}"'
        for text, place, said in (
            ("", "", "cards.json is empty"),
            ("[1]", ":1:2:", "cards.json holds a number"),
            ('"x"', ":1:1:", 'write { "address": "0000:25:00.0", "vgpu'),
            (f"{{{card}}}", ":1:1:", "has no vGPU type"),
            ("[", ":1:1:", "Close them."),
            (f"{{{card}}} # two", ":1:", "JSON has no comments"),
            (f"{{{card}}}\n{{{card}}}", ":2:1:", "in one list, [{...}, {"),
            (f'{{{card}, "num_vfs": 2}}', ":1:29:", "not about vGPUs"),
            (f'{{{card}, "vgpu_typ": 2}}', ":1:29:", "'vgpu_typ' in cards"),
            (f'{{{card}, "vgpu_types": {{"557": NaN}}}}', ":1:", "a number"),
        ):
            with self.subTest(text=text):
                err = self.refused(text)
                self.assertIn(f"cards.json{place}", err)
                self.assertIn(said, err)
                self.assertNotIn('num_vfs": 4', err)
                self.assertNotIn("Remove the line", err)
                self.assertNotIn("indented", err)
                self.assertNotIn("option", err)

    def test_what_stands_twice_is_refused_where_it_stands(self) -> None:
        for rest, place in (
            ('"vgpu_types": {"557": 1, "557": 2}', 44),
            ('"vgpu_types": {"557": 1}, "vgpu_types": {"557": 2}', 29),
            ('"address": "0000:61:00.0", "vgpu_types": {}', 2),
            ('"address": {"bus": "41", "bus": "61"}, "vgpu_types": {}', 2),
        ):
            text = f'{{"address": "{PF}", {rest}}}'
            with self.subTest(text=text):
                err = self.refused(text)
                self.assertIn(f"cards.json:1:{place}: error: key", err)
                self.assertIn("stands again further on [", err)
                pathlib.Path("nova.conf").write_text(
                    f"[vfio]\nhost_spec = {text}\n"
                )
                for words in (("host", "plan"), ("host", "apply")):
                    self.assertIn(
                        f"nova.conf:2:{place + 12}: error: key",
                        self.fails(*words),
                    )
                self.assertIn(
                    f"nova.conf:2:{place + 12}: error: key",
                    self.run_cli("config", "check").out,
                )
        err = self.refused(
            f'{{"address": "{PF}", "vgpu_types": {{"557": 1, "A16-4Q": 2}}}}'
        )
        self.assertIn("'557' and 'A16-4Q' are one type", err)


class ReasonTest(DeclaredCase):
    def refused(self, *words: str) -> str:
        """Why nothing is done; nothing is changed."""
        before = self.fake.picture()
        said = self.run_cli(*words)
        self.assertEqual(2, said.status, str(said))
        self.assertEqual(before, self.fake.picture())
        for line in said.err.splitlines():
            self.assertRegex(line, "^(error|hint): ")
        return said.err

    def paste(self, err: str) -> None:
        """Run the commands that a mend names."""
        commands = re.findall("nova-vfio (vgpu set [^;\\n]*)", err)
        self.assertNotEqual([], commands, err)
        for command in commands:
            self.ok(*command.split())

    def test_a_mend_that_frees_works_when_it_is_pasted(self) -> None:
        self.make_vfs()
        for vf in VFS[:2]:
            self.ok("vgpu", "set", vf, "558")
        err = self.refused("vgpu", "set", VFS[2], "558")
        self.assertIn("NVIDIA A16-8Q (558): the card is full", err)
        self.paste(err)
        self.ok("vgpu", "set", VFS[2], "558")
        mixed = self.file({"address": PF, "heterogeneous": True})
        err = self.refused("vgpu", "apply", mixed)
        self.paste(err)
        self.ok("vgpu", "apply", mixed)
        self.ok("vgpu", "set", VFS[0], "557")
        self.declare({"address": PF, "num_vfs": 0})
        self.paste(self.refused("host", "apply"))
        self.assertEqual(["0"] * 8, self.types())
        self.ok("host", "apply")

    def test_what_is_in_the_way_is_freed_by_hand_where_nobody_tells(
        self,
    ) -> None:
        self.make_vfs()
        self.without_tool()
        for vf in VFS[:2]:
            self.ok("vgpu", "set", vf, "557")
        file = self.file({"address": PF, "vgpu_types": {"558": 2}})
        self.paste(self.refused("vgpu", "apply", file))
        self.ok("vgpu", "apply", file)

    def test_why_a_type_is_not_there_is_said(self) -> None:
        self.assertIn(
            "its VFs aren't made", self.refused("vgpu", "set", PF, "557")
        )
        self.make_vfs()
        place = self.fake.root / "sys/bus/pci/devices" / VFS[3] / "nvidia"
        for text, said in (
            ("", "its list is empty"),
            ("ID    : vGPU Name\n", "its list is empty"),
            ("\x1b[2Jwhat\n", "line 1 of its creatable_vgpu_types is"),
        ):
            (place / "creatable_vgpu_types").write_text(text)
            err = self.refused("vgpu", "set", VFS[3], "557")
            self.assertIn(said, err)
            self.assertNotIn("\x1b", err)
        for words, said in (
            ((PF, "557"), f"name a VF, such as {VFS[0]}"),
            ((VFS[0], "L40S-12Q"), f"and {OTHER_PF} is"),
            ((VFS[0], "0"), "did you mean none"),
            ((VFS[0], "A16-8"), "did you mean NVIDIA A16-8Q"),
        ):
            self.assertIn(said, self.refused("vgpu", "set", *words))
        file = self.file({"address": VFS[0], "vgpu_types": {"557": 1}})
        self.assertIn(
            f"name the card's PF, {PF}", self.refused("vgpu", "apply", file)
        )

    def test_a_second_card_that_is_wrong_leaves_the_first_alone(self) -> None:
        self.make_vfs()
        for vf in VFS[:2]:
            self.ok("vgpu", "set", vf, "558")
        self.ok("vgpu", "set", OTHERS[0], "1149")
        pid = self.fake.hold(OTHERS[0])
        first: dict[str, object] = {"address": PF, "vgpu_types": {"557": 4}}
        for second in (
            {"address": OTHER_PF, "vgpu_types": {"1149": 3}},
            {"address": OTHER_PF, "vgpu_types": {"1148": 1}},
            {"address": OTHER_PF, "heterogeneous": True},
            {"address": OTHERS[0], "vgpu_type": "none"},
            {"address": OTHERS[1], "vgpu_type": "1148"},
            {"address": OTHER_PF, "vgpu_types": {"1145": 1, "1148": 1}},
        ):
            with self.subTest(second=second):
                for entries in ((first, second), (second, first)):
                    self.refused("vgpu", "apply", self.file(*entries))
        self.fake.let_go(pid)
        self.ok("vgpu", "apply", self.file(first))

    def test_counts_that_grow_and_shrink_leave_what_is_in_use(self) -> None:
        self.make_vfs()
        for counts, expected in (
            (1, ["557", "0", "0", "0"]),
            (3, ["557", "557", "557", "0"]),
        ):
            self.ok(
                "vgpu",
                "apply",
                self.file({"address": PF, "vgpu_types": {"557": counts}}),
            )
            self.assertEqual(expected, self.types()[:4])
        self.fake.hold(VFS[2])
        one = self.file({"address": PF, "vgpu_types": {"557": 1}})
        self.ok("vgpu", "apply", one)
        self.assertEqual(["0", "0", "557", "0"], self.types()[:4])
        self.ok("vgpu", "assert", one)
        two = self.file({"address": PF, "vgpu_types": {"557": 2}})
        self.ok("vgpu", "apply", two)
        self.assertEqual(["557", "0", "557", "0"], self.types()[:4])
