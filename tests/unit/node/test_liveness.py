# SPDX-License-Identifier: Apache-2.0
"""Whether an instance lives: by what is seen, and by whoever knows."""

import itertools
import os
import pathlib
import sys
import typing as ty
from unittest import mock

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import running
from nova_vfio_variant.host.tree import host_tree, opening
from nova_vfio_variant.node import liveness
from tests import base, sample_hosts

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
YES, NO = liveness.State.YES, liveness.State.NO
UNKNOWN = liveness.State.UNKNOWN

STATUS = """\
<!-- WARNING -->
<domstatus state='running' reason='booted' pid='PID'>
  <domain type='kvm' id='1'>
    <name>instance-0001</name>
    <uuid>UUID</uuid>
  </domain>
</domstatus>
"""


class LivenessCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = sample_hosts.with_igb(root / "host")

    def put(self, place: str, text: str) -> pathlib.Path:
        path = self.host.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *words: str) -> int:
        return self.host.open_file("/dev/null", "anything", words)

    def domain(self, pid: int, uuid: str = ONE, kind: str = "qemu") -> None:
        text = STATUS.replace("PID", str(pid)).replace("UUID", uuid)
        self.put(f"run/libvirt/{kind}/instance-0001.xml", text)

    def processes(self, uuid: str = ONE) -> liveness.State:
        return liveness.Processes(self.host.tree).ask(uuid).state

    def libvirt(self, uuid: str = ONE) -> liveness.State:
        return liveness.Libvirt(self.host.tree).ask(uuid).state


class ProcessesTest(LivenessCase):
    def test_without_a_guest_no_instance_lives(self) -> None:
        self.assertEqual(NO, self.processes())

    def test_a_command_line_names_the_instance(self) -> None:
        for words in (
            ("qemu-system-x86_64", "-uuid", ONE.upper()),
            ("/usr/bin/qemu-kvm", "-name", f"guest={ONE},debug-threads=on"),
            ("/usr/libexec/qemu-kvm", "-name", ONE, "-m", "1"),
            ("cloud-hypervisor", "--platform", f"num_pci=1,uuid={ONE}"),
            ("/bin/cloud-hypervisor-static", f"--platform=uuid={ONE}"),
            # Another name of QEMU's.
            ("/opt/vmm", "-uuid", ONE),
        ):
            pid = self.start(*words)
            self.assertEqual(YES, self.processes(), str(words))
            self.assertEqual(NO, self.processes(TWO), str(words))
            self.host.let_go(pid)
        self.assertEqual(NO, self.processes())

    def test_any_uuid_of_a_guest_counts(self) -> None:
        self.start("qemu-kvm", "-uuid", TWO, "-qmp", f"unix:/vms/{ONE}/qmp")
        self.assertEqual(YES, self.processes())

    def test_a_guest_of_nobody_may_be_anybodys(self) -> None:
        for words in (
            ("qemu-system-x86_64", "-nodefaults"),
            ("cloud-hypervisor", "--api-socket", f"/vms/{TWO}/api"),
            ("qemu-kvm", "-drive", f"file=/images/{TWO},name={TWO}"),
        ):
            pid = self.start(*words)
            self.assertEqual(UNKNOWN, self.processes(), str(words))
            answer = liveness.Processes(self.host.tree).ask(ONE)
            self.assertIn(f"process {pid} runs a guest", answer.why)
            self.host.let_go(pid)

    def test_libvirt_says_whose_guest_it_is(self) -> None:
        for kind in ("qemu", "ch"):
            pid = self.start("cloud-hypervisor", "--api-socket", "fd=3")
            self.domain(pid, TWO, kind)
            self.assertEqual(NO, self.processes())
            self.assertEqual(YES, self.processes(TWO))
            self.host.let_go(pid)

    def test_a_program_that_names_an_instance_runs_no_guest(self) -> None:
        self.start("nova-vfio", "claim", "delete", "--instance", ONE)
        self.assertEqual(NO, self.processes())

    def test_what_cannot_be_read_is_unknown(self) -> None:
        pid = self.start("qemu-kvm", "-uuid", TWO)
        place = self.host.root / f"proc/{pid}/cmdline"
        place.unlink()
        place.mkdir()
        self.assertEqual(UNKNOWN, self.processes())

    def test_processes_that_are_hidden_are_unknown(self) -> None:
        self.start("qemu-kvm", "-uuid", TWO)
        self.host.let_go(1)
        self.assertEqual(UNKNOWN, self.processes())
        self.assertEqual(YES, self.processes(TWO))

    def test_where_no_processes_are_shown_all_is_unknown(self) -> None:
        empty = self.useFixture(fixtures.TempDir()).path
        for tree in (opening.open_tree(empty), host_tree.DirectoryTree("x")):
            answer = liveness.Processes(tree).ask(ONE)
            self.assertEqual(UNKNOWN, answer.state)

    def test_a_look_that_hangs_is_unknown(self) -> None:
        self.useFixture(fixtures.MockPatchObject(running, "_SECONDS", 0.05))
        self.useFixture(
            fixtures.MockPatchObject(
                running, "_said", lambda _: str(os.read(os.pipe()[0], 1))
            )
        )
        answer = liveness.Processes(self.host.tree).ask(ONE)
        self.assertEqual(UNKNOWN, answer.state)
        self.assertIn("did not end", answer.why)


class LibvirtTest(LivenessCase):
    def test_without_libvirt_it_knows_of_no_instance(self) -> None:
        self.assertEqual(NO, self.libvirt())

    def test_a_domain_that_runs_lives(self) -> None:
        self.domain(self.start("qemu-kvm"), ONE.upper())
        self.assertEqual(YES, self.libvirt())
        self.assertEqual(NO, self.libvirt(TWO))

    def test_one_whose_process_is_gone_does_not(self) -> None:
        pid = self.start("qemu-kvm")
        self.domain(pid)
        self.host.let_go(pid)
        self.assertEqual(NO, self.libvirt())

    def test_a_process_that_may_not_be_looked_at_is_alive(self) -> None:
        self.domain(4711)
        real = host_tree.DirectoryTree.folder

        def folder(tree: host_tree.DirectoryTree, rel: str) -> ty.Any:
            if rel == "proc/4711":
                raise PermissionError(1, "Operation not permitted")
            return real(tree, rel)

        with mock.patch.object(host_tree.DirectoryTree, "folder", folder):
            self.assertEqual(YES, self.libvirt())
        self.assertEqual(NO, self.libvirt())

    def test_where_processes_are_hidden_none_is_gone(self) -> None:
        self.domain(4711)
        self.host.let_go(1)
        self.assertEqual(YES, self.libvirt())

    def test_a_domain_that_is_shut_off_keeps_its_devices(self) -> None:
        self.put(
            "etc/libvirt/qemu/instance-0001.xml",
            f"<domain type='kvm'>\n <uuid>{ONE}</uuid>\n</domain>",
        )
        self.assertEqual(YES, self.libvirt())

    def test_a_file_that_says_nothing_makes_all_unknown(self) -> None:
        for place, text in (
            ("run/libvirt/qemu/a.xml", "<domstatus"),
            ("run/libvirt/ch/a.xml", f"<domain><uuid>{TWO}</uuid></domain>"),
            ("etc/libvirt/qemu/a.xml", ""),
        ):
            path = self.put(place, text)
            self.assertEqual(UNKNOWN, self.libvirt(), place)
            path.unlink()
            path.mkdir()
            answer = liveness.Libvirt(self.host.tree).ask(ONE)
            self.assertEqual(UNKNOWN, answer.state, place)
            self.assertIn(f"/{place}", answer.why)
            path.rmdir()
        self.put("run/libvirt/qemu/note.txt", "nothing")
        self.assertEqual(NO, self.libvirt())


class _Says(liveness.Source):
    def __init__(self, *states: liveness.State) -> None:
        self._states = iter(states)

    def ask(self, instance_uuid: str) -> liveness.Answer:
        return liveness.Answer(next(self._states), "it says so")


class LivenessTest(LivenessCase):
    def test_a_yes_goes_before_an_unknown_and_that_before_a_no(self) -> None:
        for states in itertools.product(liveness.State, repeat=3):
            said = liveness.Liveness([_Says(state) for state in states])
            expected = next(
                state for state in (YES, UNKNOWN, NO) if state in states
            )
            self.assertEqual(expected, said.ask(ONE).state, str(states))

    def test_each_is_asked_once_about_an_instance(self) -> None:
        said = liveness.Liveness([_Says(NO, YES)])
        self.assertEqual(NO, said.ask(ONE).state)
        self.assertEqual(NO, said.ask(ONE.upper()).state)
        self.assertEqual(YES, said.ask(TWO).state)

    def test_where_nobody_is_asked_it_is_unknown(self) -> None:
        self.assertEqual(UNKNOWN, liveness.Liveness(()).ask(ONE).state)

    def test_one_that_cannot_be_asked_is_unknown(self) -> None:
        class Broken(liveness.Source):
            def ask(self, instance_uuid: str) -> liveness.Answer:
                if instance_uuid == ONE:
                    raise RuntimeError("it has no database")
                return ty.cast("liveness.Answer", None)

        said = liveness.Liveness([Broken(self.host.tree)])
        answer = said.ask(ONE)
        self.assertEqual(UNKNOWN, answer.state)
        self.assertIn("Broken: it has no database", answer.why)
        self.assertEqual(UNKNOWN, said.ask(TWO).state)
        said = liveness.Liveness([_Says(NO)], ["source x: it is not there"])
        self.assertEqual(UNKNOWN, said.ask(ONE).state)

    def test_those_installed_look_at_the_host_and_the_list(self) -> None:
        tree = self.host.tree
        self.assertEqual(NO, liveness.Liveness.of(tree).ask(ONE).state)
        listed = liveness.Liveness.of(tree, [ONE])
        self.assertEqual(YES, listed.ask(ONE).state)
        self.assertEqual(NO, listed.ask(TWO).state)
        self.start("qemu-kvm", "-uuid", TWO)
        self.assertEqual(YES, liveness.Liveness.of(tree, [ONE]).ask(TWO).state)


class InstalledTest(LivenessCase):
    """Sources of others, as packages bring them."""

    def install(self, entry: str, module: str = "") -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (folder / "a_source.py").write_text(module)
        info = folder / "a_source-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: a-source\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            f"[{liveness.NAMESPACE}]\nmine = {entry}\n"
        )
        self.useFixture(
            fixtures.MonkeyPatch("sys.path", [*sys.path, str(folder)])
        )
        self.addCleanup(sys.modules.pop, "a_source", None)
        # It is looked for once a process.
        self.useFixture(
            fixtures.MonkeyPatch(
                "stevedore.extension.ExtensionManager.ENTRY_POINT_CACHE", {}
            )
        )

    def test_one_is_asked_beside_ours(self) -> None:
        self.install(
            "a_source:Mine",
            "from nova_vfio_variant.node import liveness\n"
            "class Mine(liveness.Source):\n"
            "    def ask(self, instance_uuid):\n"
            f"        mine = instance_uuid == {ONE!r}\n"
            "        state = liveness.State('yes' if mine else 'no')\n"
            "        return liveness.Answer(state, 'mine')\n",
        )
        said = liveness.Liveness.of(self.host.tree)
        self.assertEqual(liveness.Answer(YES, "mine"), said.ask(ONE))
        self.assertEqual(NO, said.ask(TWO).state)

    def test_one_that_cannot_be_loaded_makes_all_unknown(self) -> None:
        for entry, module in (
            ("a_source:Missing", ""),
            ("a_source:Mine", "class Mine:\n    pass\n"),
        ):
            self.install(entry, module)
            answer = liveness.Liveness.of(self.host.tree).ask(ONE)
            self.assertEqual(UNKNOWN, answer.state)
            self.assertIn("source mine: ", answer.why)
            sys.modules.pop("a_source", None)


class ListTest(base.TestCase):
    def test_a_list_has_a_uuid_a_line(self) -> None:
        text = f"{ONE}\n\n  {TWO.upper()}  \r\n{ONE}".encode()
        self.assertEqual({ONE, TWO}, liveness.parse(text, "f"))
        self.assertEqual(frozenset(), liveness.parse(b"none\n", "f"))

    def test_a_list_that_is_empty_says_nothing_of_anybody(self) -> None:
        """As of a program that failed."""
        for text in (b"", b"\n \n", f"none\n{ONE}\n".encode()):
            error = self.assertRaises(
                exception.VfioVariantError, liveness.parse, text, "f"
            )
            self.assertIn("'none'", error.hint or "")

    def test_a_line_that_is_none_is_told_with_its_place(self) -> None:
        for text, told in (
            (f"{ONE}\nnova\n", "f:2: 'nova' is no UUID"),
            (b"\xff\n".decode("latin-1"), "f:1:"),
            ("a\nb\nc", "f:1: 'a' is no UUID, and 2 more lines"),
            ("a" * 5000, "characters more"),
        ):
            error = self.assertRaises(
                exception.VfioVariantError,
                liveness.parse,
                text.encode("latin-1"),
                "f",
            )
            self.assertIn(told, error.message)
            self.assertLess(len(error.message), 2000)
