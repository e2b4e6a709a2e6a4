# SPDX-License-Identifier: Apache-2.0
"""``vgpu set``, ``apply``, ``assert`` and ``recycle`` as they are typed."""

import errno
import json
import os

from tests.functional import cli_case, vgpu_case


class SetTest(vgpu_case.VgpuCase):
    def rows(self, *words: str) -> list[str]:
        """What was done, as ``SUBJECT ACTION STATE``."""
        return [
            f"{row['subject']} {row['action']} {row['state']}"
            for row in self.json(*words)
        ]

    def file(self, text: str) -> str:
        path = self.folder / "cards.json"
        path.write_text(text)
        return str(path)

    def fails(self, *words: str) -> str:
        """What a command says that fails, and changes nothing."""
        before = [self.type_of(vgpu_case.VF), self.type_of(vgpu_case.OTHER)]
        ran = self.run_cli(*words)
        self.assertEqual(2, ran.status, ran.err)
        self.assertNotIn("Traceback", ran.err)
        self.assertEqual(
            before, [self.type_of(vgpu_case.VF), self.type_of(vgpu_case.OTHER)]
        )
        return ran.err

    def test_what_is_set_is_on_record_and_is_taken_back(self) -> None:
        self.assertEqual(
            [f"{vgpu_case.VF} set-vgpu-type 557 done"],
            self.rows("vgpu", "set", vgpu_case.VF, "A16-4Q"),
        )
        (ours,) = self.ours()
        self.assertEqual(("557", "declared"), (ours.type_id, ours.origin))
        self.ok("host", "restore")
        self.assertEqual("0", self.type_of())

    def test_none_forgets_it(self) -> None:
        self.ok("vgpu", "set", vgpu_case.VF, "557")
        self.ok("vgpu", "set", vgpu_case.VF, "none")
        self.assertEqual([], self.ours())

    def test_a_dry_run_says_so_and_writes_nothing(self) -> None:
        ran = self.run_cli("vgpu", "set", vgpu_case.VF, "557", "--dry-run")
        self.assertEqual(1, ran.status, ran.err)
        self.assertEqual("0", self.type_of())
        self.assertFalse(self.state.joinpath("host-journal").exists())

    def test_what_makes_no_sense_is_one_line(self) -> None:
        for word, said in (
            ("A16-4X", "did you mean NVIDIA A16-4Q"),
            ("999", "no"),
            ("", "no"),
            ("x" * 5000, "no"),
            ("\x1b[31m", "no"),
        ):
            err = self.fails("vgpu", "set", vgpu_case.VF, word)
            self.assertIn(said, err)
            self.assertNotIn("\x1b", err)
        self.assertIn(
            "VFIO571", self.fails("vgpu", "set", vgpu_case.PF, "557")
        )
        self.fails("vgpu", "set", "0000:99:00.0", "557")

    def test_a_file_that_does_not_parse_has_its_place(self) -> None:
        for text, place in (
            ("", "cards.json"),
            ('[{"address": "0000:41:00.0",\n "vgpu_types": }]', ":2:"),
            (f'{{"address": "{vgpu_case.PF}", "num_vfs": 2}}', ":1:"),
            (
                f'{{"address": "{vgpu_case.PF}", "vgpu_types": {{"4X": 1}}}}',
                ":1:",
            ),
            (
                f'{{"address": "{vgpu_case.PF}", "vgpu_types": {{"557": 9}}}}',
                "VFIO566",
            ),
        ):
            path = self.file(text)
            self.assertIn(place, self.fails("vgpu", "apply", path), text)
            self.assertIn(place, self.fails("vgpu", "assert", path), text)
        self.assertIn("No such file", self.fails("vgpu", "apply", "/none"))

    def test_a_reboot_gives_each_vf_its_type_again(self) -> None:
        entry = {"address": vgpu_case.PF, "vgpu_types": {"557": 1}}
        path = self.file(json.dumps(entry))
        # Laid where it is, and not where it would be laid first.
        self.set_type("557", vgpu_case.OTHER)
        self.ok("vgpu", "apply", path)
        self.set_type("0", vgpu_case.OTHER)
        self.assertEqual(
            [f"{vgpu_case.OTHER} set-vgpu-type 557 done"],
            self.rows("vgpu", "apply", path),
        )

    def test_what_was_freed_in_vain_has_its_type_again(self) -> None:
        for vf in (vgpu_case.VF, vgpu_case.OTHER):
            self.ok("vgpu", "set", vf, "558")
        entry = {"address": vgpu_case.PF, "vgpu_types": {"557": 2}}
        self.fake.fault(3, errno=errno.EIO)
        err = self.fails("vgpu", "apply", self.file(json.dumps(entry)))
        self.assertIn(os.strerror(errno.EIO), err)
        self.assertIn("it is offered still", err)

    def test_nothing_is_freed_for_what_nobody_knows_to_fit(self) -> None:
        """Without nvidia-smi nobody tells how large types are."""
        (self.fake.root / "usr/bin/nvidia-smi").unlink(missing_ok=True)
        for vf in (vgpu_case.VF, vgpu_case.OTHER):
            self.ok("vgpu", "set", vf, "557")
        before = self.fake.picture()
        entry = {"address": vgpu_case.PF, "vgpu_types": {"558": 2}}
        err = self.fails("vgpu", "apply", self.file(json.dumps(entry)))
        self.assertIn("nobody tells the framebuffer", err)
        self.assertEqual(before, self.fake.picture())

    def test_what_was_restored_is_set_by_nobody_again(self) -> None:
        self.ok("vgpu", "set", vgpu_case.VF, "557")
        self.ok("host", "restore")
        self.assertEqual("0", self.type_of())
        self.assertEqual([], self.ours())
        self.ok("reconcile")
        self.assertEqual("0", self.type_of())

    def test_what_others_set_stays_theirs_when_a_card_is_made_anew(
        self,
    ) -> None:
        place = f"sys/bus/pci/devices/{vgpu_case.OTHER}/nvidia"
        self.fake.write(f"{place}/current_vgpu_type", b"558\n")
        self.ok("vgpu", "recycle", vgpu_case.PF)
        self.assertEqual("558", self.type_of(vgpu_case.OTHER))
        self.assertEqual([], self.ours())

    def test_a_card_is_made_anew_with_its_types(self) -> None:
        self.ok("vgpu", "set", vgpu_case.OTHER, "558")
        self.assertEqual(
            [
                f"{vgpu_case.OTHER} set-vgpu-type 0 done",
                f"{vgpu_case.PF} set-numvfs 0 done",
                f"{vgpu_case.PF} set-numvfs 2 done",
                f"{vgpu_case.OTHER} set-vgpu-type 558 done",
            ],
            self.rows("vgpu", "recycle", vgpu_case.PF),
        )

    def test_whoever_has_anything_of_the_card_keeps_it(self) -> None:
        self.ok("vgpu", "set", vgpu_case.OTHER, "558")
        pid = self.fake.open_file("/dev/nvidia0", "nv-hostengine")
        self.assertIn(
            f"process {pid} (nv-hostengine)",
            self.fails("vgpu", "recycle", vgpu_case.PF),
        )
        # A type is given beside it.
        self.ok("vgpu", "set", vgpu_case.VF, "558")
        self.fake.let_go(pid)
        self.fake.hold(vgpu_case.VF)
        self.assertIn("qemu", self.fails("vgpu", "recycle", vgpu_case.PF))

    def test_a_claim_keeps_a_vf_as_it_is(self) -> None:
        self.ok(
            "claim",
            "create",
            "--instance",
            cli_case.ONE,
            "--vgpu-type",
            "557",
        )
        for words in (
            ("set", vgpu_case.VF, "none"),
            ("recycle", vgpu_case.PF),
        ):
            self.assertIn(cli_case.ONE, self.fails("vgpu", *words))
