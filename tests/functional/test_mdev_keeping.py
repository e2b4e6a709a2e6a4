# SPDX-License-Identifier: Apache-2.0
"""Mediated devices that mdevctl is to make again at boot."""

import json
import pathlib

from nova_vfio_variant.node import mdev_wishes
from tests.functional import mdev_case
from tests.functional.mdev_case import CARD, ONE

CREATE = ("mdev", "create", "nvidia-35", "--instance", ONE)
UUID = mdev_wishes.stable(ONE, 0)
#: Does as mdevctl 1.2, whose answers are its own.
_MDEVCTL = """#!/bin/sh
for word; do
    case $word in
    --uuid=*) uuid=${word#*=} ;;
    --parent=*) parent=${word#*=} ;;
    --jsonfile=*) file=${word#*=} ;;
    esac
done
place=ROOT/etc/mdevctl.d/$parent
case $1 in
define)
    [ -e ROOT/idle ] && exit 0
    if [ -e $place/$uuid ]; then
        echo "Error: Cowardly refusing to overwrite existing config" \\
            "for $parent/$uuid"
        exit 1
    fi
    mkdir -p $place && cat $file > $place/$uuid ;;
undefine)
    [ -e ROOT/idle ] && exit 0
    [ ! -e ROOT/broken ] && rm $place/$uuid ;;
esac
"""
#: As all versions of it have it, and Debian 12 as well.
_RULE = """\
ACTION=="change", ENV{MDEV_STATE}=="registered", TEST=="/etc/mdevctl.d/$kernel",\
 RUN+="/bin/sh -c '{ /usr/sbin/mdevctl start-parent-mdevs %k 2>&3; } 3>&1'"
"""


class KeepingCase(mdev_case.MdevCase):
    """Two cards, and mdevctl."""

    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.fake.root)
        self.tool = self.root / "usr/sbin/mdevctl"
        self.tool.parent.mkdir(parents=True, exist_ok=True)
        self.tool.write_text(_MDEVCTL.replace("ROOT", str(self.root)))
        self.tool.chmod(0o755)
        rules = self.root / "usr/lib/udev/rules.d"
        rules.mkdir(parents=True)
        self.rule = rules / "60-mdevctl.rules"
        self.rule.write_text(_RULE)
        self.file = self.root / "etc/mdevctl.d" / CARD / UUID

    def states(self) -> list[str]:
        """Of the devices."""
        return [row["state"] for row in self.json("mdev", "list")]


class KeepingTest(KeepingCase):
    def test_what_is_defined_is_made_and_goes_with_its_definition(
        self,
    ) -> None:
        words = (*CREATE, "--define")
        plan = self.ok(*words, "--dry-run", status=1)
        self.assertIn(f"mdevctl defines {UUID} then", plan.err)
        self.assertFalse(self.file.exists())
        self.ok(*words)
        self.assertEqual(
            {"mdev_type": "nvidia-35", "start": "auto", "attrs": []},
            json.loads(self.file.read_text()),
        )
        plan = self.ok("mdev", "delete", UUID, "--dry-run", status=1)
        self.assertIn(f"mdevctl's definition of {UUID} goes too", plan.err)
        self.assertTrue(self.file.exists())
        self.ok("mdev", "delete", UUID)
        self.assertFalse(self.file.exists())
        self.assertEqual([], self.states())

    def test_another_tools_definition_stays_and_none_is_made(self) -> None:
        self.file.parent.mkdir(parents=True)
        text = '{"mdev_type": "nvidia-35", "start": "manual", "attrs": []}'
        self.file.write_text(text)
        said = self.ok(*CREATE, "--define", status=2).err
        self.assertIn("Cowardly refusing", said)
        self.assertEqual([], self.states())
        self.ok(*CREATE)
        self.ok("mdev", "delete", UUID)
        self.assertEqual(text, self.file.read_text())

    def test_one_that_it_does_not_keep_is_told_and_not_made(self) -> None:
        idle = self.root / "idle"
        idle.touch()
        said = self.ok(*CREATE, "--define", status=2).err
        self.assertIn("mdevctl define", said)
        self.assertIn(f"/etc/mdevctl.d/{CARD}/{UUID}", said)
        self.assertEqual([], self.states())
        idle.unlink()
        self.ok(*CREATE, "--define")

    def test_one_that_it_does_not_forget_is_told_and_stays_ours(self) -> None:
        self.ok(*CREATE, "--define")
        idle = self.root / "idle"
        idle.touch()
        said = self.ok("mdev", "delete", UUID, status=2).err
        self.assertIn("mdevctl undefine", said)
        self.assertIn(f"/etc/mdevctl.d/{CARD}/{UUID}", said)
        self.assertEqual(["removing"], self.states())
        idle.unlink()
        self.ok("reconcile")
        self.assertFalse(self.file.exists())

    def test_where_udev_starts_another_file_none_is_made(self) -> None:
        place = self.root / "usr/bin/mdevctl"
        place.parent.mkdir(exist_ok=True)
        self.tool.rename(place)
        said = self.fails(*CREATE, "--define")
        self.assertIn("runs /usr/sbin/mdevctl, which isn't there", said)
        self.assertIn('ln -s "$(command -v mdevctl)" /usr/sbin/mdevctl', said)
        self.tool.symlink_to("../bin/mdevctl")
        self.ok(*CREATE, "--define")

    def test_where_udev_has_no_rule_none_is_made(self) -> None:
        self.rule.unlink()
        said = self.fails(*CREATE, "--define")
        self.assertIn("udev has no rule of its", said)
        self.assertEqual([], self.states())

    def test_without_mdevctl_none_is_made(self) -> None:
        self.tool.unlink()
        for more in ((), ("--dry-run",)):
            said = self.fails(*CREATE, "--define", *more)
            self.assertIn("mdevctl is in none of", said)
            self.assertIn("install the package mdevctl", said)
        self.assertEqual([], self.states())

    def test_a_definition_that_stays_is_ended_by_reconcile(self) -> None:
        self.ok(*CREATE, "--define")
        broken = self.root / "broken"
        broken.touch()
        said = self.ok("mdev", "delete", UUID, status=2).err
        self.assertIn("mdevctl undefine", said)
        self.assertEqual(["removing"], self.states())
        broken.unlink()
        self.ok("reconcile")
        self.assertEqual([], self.states())
        self.assertFalse(self.file.exists())
