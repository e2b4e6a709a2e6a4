# SPDX-License-Identifier: Apache-2.0
"""Small hosts on which preparing a host once said the wrong thing."""

import contextlib
import io
import pathlib
import re
import typing as ty

from nova_vfio_variant.cli import main
from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case

CASES = pathlib.Path(__file__).parent / "cases"


class HostCase(cli_case.CliTestCase):
    """Commands on a recorded host, and on one that is made of it."""

    case: ty.ClassVar[str]

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost.load(
            self.folder / "host", CASES / self.case / "host.tar.gz"
        )
        self.configured = CASES / self.case / "nova.conf"

    def ask(
        self, *words: str, status: int, root: str = "host"
    ) -> cli_case.Done:
        """Run a command on the fake host."""
        out, err = io.StringIO(), io.StringIO()
        options = (
            f"--config-file={self.configured}",
            f"--host-root={root}",
            "--state-path=state",
        )
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            self.fake.plugged_in(),
        ):
            ended = main.main([*options, *words])
        done = cli_case.Done(words, ended, out.getvalue(), err.getvalue())
        self.assertEqual(status, ended, str(done))
        return done

    def driver(self, address: str) -> str:
        return self.fake.writer().driver(address)

    def take_off(self, address: str, driver: str = "") -> None:
        """Put a function on another driver, or on none."""
        writer = self.fake.writer()
        if writer.driver(address):
            writer.unbind(address)
        if driver:
            writer.set_override(address, driver)
            writer.probe(address)
        writer.set_override(address, "")

    def paste(self, said: str) -> None:
        """Write the companions that a hint names into each host_spec."""
        (found,) = set(re.findall(r'"companions": \[[^]]*\]', said))
        text = self.configured.read_text()
        text = re.sub(r", *\"companions\": \[[^]]*\]", "", text)
        self.configured = self.folder / "pasted.conf"
        self.configured.write_text(
            re.sub(
                r"^(host_spec.*?) *}",
                rf"\1, {found} }}",
                text,
                flags=re.MULTILINE,
            )
        )


class NumvfsEnoentTest(HostCase):
    case = "numvfs-enoent"

    def setUp(self) -> None:
        super().setUp()
        # What makes VFs a recording doesn't show.
        with self.fake._files.held() as memory:
            memory.drivers["i915"].makes_vfs = False

    def test_a_driver_that_makes_no_vfs_is_named(self) -> None:
        done = self.ask("host", "apply", status=2)
        self.assertIn(
            "0000:00:02.0 set-numvfs 2: driver i915 can not make VFs; it was "
            "taken back",
            done.err,
        )
        self.assertNotIn("No such file", done.err)


class PlanBoundAlreadyTest(HostCase):
    case = "plan-bound-already"
    GPU = "0000:5e:00.0"
    LIST = '"companions": ["0000:5e:00.2", "0000:5e:00.3"]'

    def test_the_recording_says_so_too(self) -> None:
        archive = str(CASES / self.case / "host.tar.gz")
        done = self.ask("host", "plan", status=2, root=archive)
        self.assertIn(self.LIST, done.err)

    def test_bound_already_or_not_the_same_is_said(self) -> None:
        bound = self.ask("host", "plan", status=2).err
        self.assertEqual(
            2, bound.count(f"error: {self.GPU}: 0000:5e:00."), bound
        )
        self.assertEqual(4, bound.count(f"add {self.LIST} to have them"))
        self.take_off(self.GPU)
        self.assertEqual(bound, self.ask("host", "plan", status=2).err)

    def test_what_is_pasted_passes_and_is_done(self) -> None:
        self.paste(self.ask("host", "plan", status=2).err)
        done = self.ask("host", "plan", "-f", "json", status=1)
        self.assertEqual(
            {
                ("0000:5e:00.2", "unbind", "bind xhci_hcd"),
                ("0000:5e:00.3", "unbind", "bind nvidia-gpu"),
            },
            {(r["subject"], r["action"], r["undo"]) for r in done.json},
        )
        self.ask("host", "apply", status=0)
        self.ask("host", "plan", status=0)
        self.assertEqual("vfio-pci", self.driver(self.GPU))
        self.assertEqual("", self.driver("0000:5e:00.2"))
        self.ask("host", "restore", status=0)
        self.assertEqual("xhci_hcd", self.driver("0000:5e:00.2"))


class GpuWithAudioAndUsbTest(HostCase):
    case = "gpu-with-audio-and-usb"
    LIST = (
        '"companions": ["0000:01:00.1", "0000:25:00.1", "0000:25:00.2", '
        '"0000:25:00.3"]'
    )

    def boot(self) -> None:
        """As before ``host apply``: each function on the host's driver."""
        for name, ids in (
            ("snd_hda_intel", "10de:1aef"),
            ("xhci_hcd", "10de:1aec"),
            ("nvidia-gpu", "10de:1aed"),
            ("nouveau", "10de:2204"),
        ):
            self.fake.add_driver(name, [ids])
        for address in (
            "0000:01:00.0",
            "0000:01:00.1",
            "0000:25:00.0",
            "0000:25:00.1",
            "0000:25:00.2",
            "0000:25:00.3",
        ):
            writer = self.fake.writer()
            writer.set_override(address, "")
            if writer.driver(address):
                writer.unbind(address)
            writer.probe(address)

    def test_nothing_is_said_where_it_is_as_declared(self) -> None:
        self.configured = CASES / self.case / "good.conf"
        done = self.ask("host", "plan", status=0)
        self.assertEqual("nothing to do\n", done.err)

    def test_the_list_serves_all_groups_of_the_entry(self) -> None:
        self.boot()
        said = self.ask("host", "plan", status=2).err
        self.assertEqual(4, said.count(self.LIST), said)
        self.paste(said)
        self.ask("host", "apply", status=0)
        self.assertEqual("", self.ask("host", "plan", status=0).out)
        self.assertEqual("vfio-pci", self.driver("0000:01:00.0"))

    def test_what_an_entry_has_already_is_in_the_list(self) -> None:
        self.boot()
        text = self.configured.read_text()
        self.configured = self.folder / "some.conf"
        self.configured.write_text(
            text.replace(
                '"driver": "vfio-pci"',
                '"driver": "vfio-pci", "companions": ["0000:01:00.1"]',
            )
        )
        said = self.ask("host", "plan", status=2).err
        self.assertIn(f"in place of its companions write {self.LIST}", said)
        self.paste(said)
        self.ask("host", "plan", status=1)
