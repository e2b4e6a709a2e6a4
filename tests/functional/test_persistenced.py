# SPDX-License-Identifier: Apache-2.0
"""nvidia-persistenced is stopped and started again only where that is asked."""

import pathlib
import subprocess
import time

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case

AT = "0000:43:00.0"
BIND = ("device", "bind", AT, "--driver", "vfio-pci")
STOP = "--stop-persistenced"
#: Does with one process, which is the daemon, what systemd would.
_SYSTEMCTL = """#!/bin/sh
[ $1 = is-active ] || echo $1 >> ROOT/asked
case $1 in
is-active) [ -e ROOT/runs ] ;;
stop)
    [ -e ROOT/idle ] && exit 0
    rm -rf ROOT/proc/PID ROOT/runs
    while [ -e ROOT/hangs ]; do sleep 0.05; done ;;
start) [ ! -e ROOT/broken ] && touch ROOT/runs ;;
esac
"""


class PersistencedTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("nvidia", ["10de:1bb3"])
        self.fake.add_driver("vfio-pci", vfio=True)
        self.fake.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
        self.fake.add(AT, "10de:1bb3", class_code=0x030200, driver="nvidia")
        self.fake.add_device_file(AT, "misc/nvidia0", "195:0")
        pid = self.fake.open_file("/dev/nvidia0", "nvidia-persiste")
        self.root = pathlib.Path(self.fake.root)
        tool = self.root / "usr/bin/systemctl"
        tool.parent.mkdir(parents=True, exist_ok=True)
        tool.write_text(
            _SYSTEMCTL.replace("ROOT", str(self.root)).replace("PID", str(pid))
        )
        tool.chmod(0o755)
        (self.root / "runs").touch()
        self.enterContext(self.fake.plugged_in())
        self.configure()

    @property
    def asked(self) -> list[str]:
        """What systemd was asked to do."""
        path = self.root / "asked"
        return path.read_text().split() if path.exists() else []

    def runs(self) -> bool:
        return (self.root / "runs").exists()

    def test_one_that_is_said_to_be_stopped_and_runs_is_told(self) -> None:
        (self.root / "idle").touch()
        said = self.ok(*BIND, STOP, status=2).err
        self.assertIn("it is still active", said)
        self.assertTrue(self.runs())

    def test_who_does_not_ask_is_told_its_name(self) -> None:
        said = self.fails(*BIND)
        self.assertIn("nvidia-persistenced", said)
        self.assertIn(f"nova-vfio device bind {AT} {STOP}", said)
        self.assertEqual([], self.asked)

    def test_it_is_stopped_before_and_started_after(self) -> None:
        done = self.ok(*BIND, STOP)
        self.assertIn("nvidia-persistenced is stopped", done.err)
        self.assertIn("nvidia-persistenced is started again", done.err)
        self.assertEqual(["stop", "start"], self.asked)
        self.ok("device", "reset", AT, STOP)
        self.ok("device", "unbind", AT, STOP)
        self.assertEqual(["stop", "start"] * 3, self.asked)
        self.assertEqual([], self.json("reconcile"))

    def test_it_is_started_after_a_step_that_fails(self) -> None:
        self.fake.fault(1, errno=5)
        self.ok(*BIND, STOP, status=2)
        self.assertTrue(self.runs())

    def test_one_that_does_not_run_is_not_started(self) -> None:
        (self.root / "runs").unlink()
        self.fails(*BIND, STOP)
        self.assertEqual([], self.asked)

    def test_a_dry_run_stops_nothing(self) -> None:
        self.fails(*BIND, STOP, "--dry-run")
        self.assertEqual([], self.asked)

    def test_one_that_does_not_start_is_told_until_it_does(self) -> None:
        (self.root / "broken").touch()
        done = self.ok(*BIND, STOP, status=2)
        self.assertIn("systemctl start nvidia-persistenced", done.err)
        (row,) = self.json("reconcile", status=2)
        self.assertEqual(
            ("nvidia-persistenced", "recover", "failed"),
            (row["subject"], row["action"], row["state"]),
        )
        (self.root / "broken").unlink()
        done = self.ok("host", "recover")
        self.assertIn("started again", done.err)
        self.assertEqual([], self.json("reconcile"))

    def test_a_command_that_was_killed_has_it_started_by_the_next(
        self,
    ) -> None:
        for starts in (("host", "recover"), ("reconcile",), BIND):
            hangs = self.root / "hangs"
            hangs.touch()
            words = [str(cli_case.PROGRAM), *self.options, *BIND, STOP]
            with subprocess.Popen(words, stderr=subprocess.PIPE) as killed:
                for _ in range(600):
                    if not self.runs():
                        break
                    time.sleep(0.05)
                killed.kill()
                hangs.unlink()
            self.assertFalse(self.runs())
            (row,) = self.json("reconcile", "--dry-run", status=1)
            self.assertEqual("nvidia-persistenced", row["subject"])
            self.assertEqual("planned", row["state"])
            self.assertFalse(self.runs())
            self.ok(*starts)
            self.assertTrue(self.runs())
            self.assertEqual([], self.json("reconcile"))

    def test_after_a_reboot_it_is_systemds_again(self) -> None:
        (self.root / "broken").touch()
        self.ok(*BIND, STOP, status=2)
        place = self.root / "proc/sys/kernel/random/boot_id"
        place.unlink()
        place.write_text("11111111-aaaa-bbbb-cccc\n")
        self.assertEqual([], self.json("reconcile"))
