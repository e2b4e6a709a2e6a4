# SPDX-License-Identifier: Apache-2.0
"""VFs are made in the way of their vendor, and sysfs has the last word."""

import dataclasses
import os
import pathlib
import typing as ty

import fixtures
import testtools

from nova_vfio_variant import exception
from nova_vfio_variant.host import process, vf_provider
from nova_vfio_variant.host.act import lock, sysfs_writer
from nova_vfio_variant.host.decide import planning
from nova_vfio_variant.host.observe import facts, programs, scanner
from nova_vfio_variant.host.vf_provider import nvidia, sysfs
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed
from nova_vfio_variant.testing import fake_host
from tests import base

CARD = "0000:25:00.0"
#: What sriov-manage does to the files of a host, in so many words.
_TOOL = """#!/bin/sh
cd {root}/sys/bus/pci/devices/{card} || exit 1
echo "$@" >> {log}
if [ -n "{busy}" ] && [ "$(wc -l < {log})" -le "{busy}" ]; then
    echo "Cannot obtain unbindLock" >&2
    exit 1
fi
{also}
rm -f virtfn*
if [ "$1" = -e ]; then
    for n in 0 1 2; do ln -s nowhere virtfn$n; done
    echo 3 > sriov_numvfs
else
    echo 0 > sriov_numvfs
fi
"""


class ProviderTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = fake_host.FakeHost(folder / "host")
        self.host.add_driver("nvidia", ["10de:*:0302*"])
        self.host.add(CARD, "10de:25b6", class_code=0x030200, vfs=3)
        self.writer = self.host.writer()
        self.folder = folder
        self.log_file = folder / "log"
        self.useFixture(fixtures.MonkeyPatch(f"{nvidia.__name__}._PAUSE", 0))
        self.useFixture(
            fixtures.MonkeyPatch(f"{sysfs_writer.__name__}._SETTLE", 0)
        )

    def tool(self, busy: str = "", also: str = "") -> None:
        path = self.host.root / "usr/lib/nvidia/sriov-manage"
        path.parent.mkdir(parents=True)
        path.write_text(
            _TOOL.format(
                root=self.host.root,
                card=CARD,
                log=self.log_file,
                busy=busy,
                also=also,
            )
        )
        path.chmod(0o755)
        # No umask makes it anybody else's.
        for folder in (path.parent, *path.parent.parents[:2]):
            folder.chmod(0o755)

    def card(self) -> observed.PciFunction:
        return observed.PciFunction(
            pci_address.PciAddress.parse(CARD),
            "10de",
            "25b6",
            0x030200,
            driver="nvidia",
            sriov_totalvfs=3,
        )

    def test_each_pf_has_its_vendors_way(self) -> None:
        name, way = vf_provider.of(self.card())
        self.assertEqual("nvidia", name)
        self.assertIsInstance(way, nvidia.NvidiaVfProvider)
        on_vfio = dataclasses.replace(self.card(), driver="vfio-pci")
        name, way = vf_provider.of(on_vfio)
        self.assertEqual("sysfs", name)
        self.assertIsInstance(way, sysfs.SysfsVfProvider)
        self.assertRaises(exception.HostError, vf_provider.named, "somebody's")

    def test_a_card_has_all_its_vfs_or_none(self) -> None:
        way = nvidia.NvidiaVfProvider()
        self.assertIsNone(way.refusal(self.card(), 3))
        self.assertIsNone(way.refusal(self.card(), 0))
        self.assertIn("makes all 3", str(way.refusal(self.card(), 2)))

    def test_vfs_are_made_and_removed_by_the_tool(self) -> None:
        self.tool()
        way = nvidia.NvidiaVfProvider()
        way.set_numvfs(self.writer, CARD, 3)
        self.assertEqual(3, self.writer.numvfs(CARD, 3))
        way.set_numvfs(self.writer, CARD, 0)
        self.assertEqual(0, self.writer.numvfs(CARD, 0))
        self.assertEqual(f"-e {CARD}\n-d {CARD}\n", self.log_file.read_text())

    def refused(self) -> str:
        """Why the tool isn't run."""
        error = self.assertRaises(
            PermissionError,
            nvidia.NvidiaVfProvider().set_numvfs,
            self.writer,
            CARD,
            3,
        )
        self.assertFalse(self.log_file.exists())
        scan = scanner.scan(self.host.tree)
        pf = scan.get(pci_address.PciAddress.parse(CARD))
        assert pf is not None
        told = planning.vfs_refusals(facts.gather(scan), pf, 3)
        self.assertEqual(
            [error.strerror], [finding.message for finding in told]
        )
        return str(error.strerror)

    def test_a_tool_that_others_could_write_is_not_run(self) -> None:
        self.tool()
        tool = self.host.root / "usr/lib/nvidia/sriov-manage"
        for path in (tool, tool.parent, self.host.root / "usr"):
            for mode in (0o775, 0o757):
                path.chmod(mode)
                self.assertEqual(
                    f"{path} can be written by others than its owner",
                    self.refused(),
                )
            path.chmod(0o755)
        elsewhere = self.host.root / "home/sriov-manage"
        elsewhere.parent.mkdir()
        tool.rename(elsewhere)
        tool.symlink_to("/home/sriov-manage")
        elsewhere.chmod(0o777)
        self.writer = self.host.writer()
        self.assertIn("/home/sriov-manage can be written", self.refused())

    def test_a_tool_of_somebody_elses_is_not_run(self) -> None:
        self.tool()
        lstat = os.lstat

        def anothers(path: str) -> os.stat_result:
            found = lstat(path)
            if not path.endswith("sriov-manage"):
                return found
            return os.stat_result((*found[:4], 4711, *found[5:]))

        self.useFixture(
            fixtures.MonkeyPatch(f"{programs.__name__}.os.lstat", anothers)
        )
        self.assertIn("belongs to user 4711, and not", self.refused())

    def test_no_tool_of_a_host_that_is_a_strangers_is_run(self) -> None:
        """Whoever owns all that is below a root could have put it there."""
        self.tool()
        for where in (self.host.root, self.folder):
            self.let_own(where)
            self.assertIn(f"{where} belongs to user 4711", self.refused())

    def let_own(self, place: pathlib.Path) -> None:
        """Let a folder and all that is in it be another user's."""
        for name in ("stat", "lstat"):
            real = getattr(os, name)

            def anothers(
                path: str,
                real: ty.Callable[..., os.stat_result] = real,
                **more: ty.Any,
            ) -> os.stat_result:
                found = real(path, **more)
                if not str(path).startswith(str(place)):
                    return found
                return os.stat_result((*found[:4], 4711, *found[5:]))

            self.useFixture(
                fixtures.MonkeyPatch(
                    f"{programs.__name__}.os.{name}", anothers
                )
            )

    def test_a_tool_sees_nothing_of_who_calls_it(self) -> None:
        for name in ("LD_PRELOAD", "BASH_ENV", "PATH", "LANG", "IFS"):
            self.useFixture(fixtures.EnvironmentVariable(name, "/nowhere"))
        seen = self.folder / "seen"
        self.tool(also=f"/usr/bin/env > {seen}")
        nvidia.NvidiaVfProvider().set_numvfs(self.writer, CARD, 3)
        names = {line.partition("=")[0] for line in seen.open()}
        # Those of the shell itself aside.
        self.assertEqual(
            {"PATH", "LC_ALL"}, names - {"PWD", "OLDPWD", "SHLVL", "_"}
        )

    def test_a_card_that_is_busy_for_a_moment_is_tried_again(self) -> None:
        self.tool(busy="2")
        nvidia.NvidiaVfProvider().set_numvfs(self.writer, CARD, 3)
        self.assertEqual(3, len(self.log_file.read_text().splitlines()))

    def test_a_card_that_stays_busy_is_a_failure_with_its_words(self) -> None:
        self.tool(busy="9")
        error = self.assertRaises(
            OSError,
            nvidia.NvidiaVfProvider().set_numvfs,
            self.writer,
            CARD,
            3,
        )
        self.assertIn("unbindLock", str(error.strerror))
        self.assertEqual(3, len(self.log_file.read_text().splitlines()))

    def test_success_is_what_sysfs_says(self) -> None:
        self.tool(also="exit 0")
        error = self.assertRaises(
            OSError,
            nvidia.NvidiaVfProvider().set_numvfs,
            self.writer,
            CARD,
            3,
        )
        self.assertIn("other than 3 VFs: status 0", str(error.strerror))

    def test_a_card_left_without_driver_gets_it_back(self) -> None:
        bound = self.host.root / f"sys/bus/pci/drivers/nvidia/{CARD}"
        self.tool(also=f"rm driver {bound}")
        nvidia.NvidiaVfProvider().set_numvfs(self.writer, CARD, 3)
        self.assertEqual("nvidia", self.writer.driver(CARD))

    def test_a_card_that_gets_no_driver_is_a_failure(self) -> None:
        bound = self.host.root / f"sys/bus/pci/drivers/nvidia/{CARD}"
        self.tool(also=f"rm driver {bound}")
        self.host.break_driver("nvidia")
        error = self.assertRaises(
            OSError,
            nvidia.NvidiaVfProvider().set_numvfs,
            self.writer,
            CARD,
            3,
        )
        self.assertIn("left it off nvidia", str(error.strerror))

    def run_in_helper(self, deadline: float) -> None:
        """Make three VFs, as a command does, with a group's lock held."""

        def work() -> str:
            nvidia.NvidiaVfProvider().set_numvfs(self.writer, CARD, 3)
            return ""

        with lock.hold(self.folder, ["group-1"], 0) as keep:
            process.run(work, deadline, keep)

    def test_a_tool_whose_helper_was_killed_is_waited_for(self) -> None:
        ended = self.folder / "ended"
        self.tool(also=f"kill -9 $PPID; sleep 0.5; touch {ended}")
        error = self.assertRaises(
            exception.HostStepFailed, self.run_in_helper, 30
        )
        self.assertIn("the helper process was killed", error.message)
        self.assertTrue(ended.exists())

    def test_a_tool_keeps_the_lock_when_all_others_were_killed(self) -> None:
        self.tool(also="kill -9 $PPID; sleep 1.5")
        self.assertRaises(process.Hung, self.run_in_helper, 0.5)
        with testtools.ExpectedException(exception.LockTimeout):
            lock.hold(self.folder, ["group-1"], 0.1).__enter__()
        with lock.hold(self.folder, ["group-1"], 20):
            self.assertEqual(3, self.writer.numvfs(CARD, 3))

    def test_the_tool_is_missing(self) -> None:
        error = self.assertRaises(
            OSError,
            nvidia.NvidiaVfProvider().set_numvfs,
            self.writer,
            CARD,
            3,
        )
        self.assertIn("is in none of /usr/lib/nvidia", str(error.strerror))
