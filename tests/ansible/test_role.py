# SPDX-License-Identifier: Apache-2.0
"""The playbook of the documentation, run by Ansible on two hosts of files."""

import configparser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing as ty

import fixtures

from tests import base, sample_hosts, transcripts

_PAGE = transcripts.CHECKOUT / "doc/source/admin/ansible.rst"
_NODES = ("compute-1", "compute-2")
_VF = "0000:21:10.0"
#: The installed program, for hosts that answer writes as a kernel does.
_PROGRAM = f"""#!{sys.executable}
import os
import sys
from nova_vfio_variant.cli import main
from nova_vfio_variant.conf import files
from nova_vfio_variant.testing import fake_host
root = sys.argv[sys.argv.index("--host-root") + 1]
files.NOVA_FOLDER = os.path.dirname(root) + files.NOVA_FOLDER
files.FOLDER = os.path.dirname(root) + files.FOLDER
with fake_host.FakeHost(root).plugged_in():
    sys.exit(main.main())
"""
_CONF = """
[DEFAULT]
host = {node}
"""
_SPEC = """
[pci]
device_spec = { "vendor_id": "8086", "product_id": "10ca", "managed": "no" }
"""
#: Of no function of the hosts.
_REFUSED = """
[vfio]
host_spec = { "address": "0000:77:00.0", "num_vfs": 1 }
"""
#: Where the nodes have their files; {{ node }} is a folder.
_VARIABLES = {
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
    "nova_vfio_config_dir": "{{ node }}/etc/nova-vfio",
    "nova_vfio_nova_dir": "{{ node }}/etc/nova",
    "nova_vfio_options": [
        *("--host-root", "{{ node }}/host"),
        *("--state-path", "{{ node }}/state"),
    ],
    "nova_vfio_publish": True,
    "nova_vfio_track": True,
    "nova_vfio_unit_defaults": "{{ node }}/nova-vfio-host",
    "nova_vfio_unit_dir": "{{ node }}/etc/systemd",
}
_INSTALL = [
    "Make the folder of the configuration",
    "Say what the host is to be",
    "Make the folders of the units",
    "Copy the unit, and what lets Nova wait for it",
    "Say where the program is",
    "Say which files the unit reads",
    "Have it start at boot",
]
#: Told of new units, as the role's own handler is.
_HANDLER = """
  handlers:
    - name: Note it
      listen: nova-vfio units changed
      ansible.builtin.file:
        path: "{{ node }}/told"
        state: touch
        mode: "0644"
"""


def _installed(prefix: pathlib.Path) -> pathlib.Path:
    """Lay out what a wheel brings for Ansible, and say where roles are."""
    read = configparser.ConfigParser()
    read.read(transcripts.CHECKOUT / "setup.cfg")
    for line in read["files"]["data_files"].strip().splitlines():
        place, source = line.split(" = ")
        if place.startswith("share/nova-vfio/"):
            shutil.copytree(
                transcripts.CHECKOUT / source.removesuffix("/*"),
                prefix / place,
            )
    return prefix / "share/nova-vfio/ansible/roles"


class Played(ty.NamedTuple):
    """What Ansible said.

    :param changed: the tasks that changed something, of each node
    """

    status: int
    said: str
    changed: dict[str, list[str]]


class RoleTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.roles = _installed(self.folder / "usr")
        program = self.folder / "bin/nova-vfio"
        program.parent.mkdir()
        program.write_text(_PROGRAM)
        program.chmod(0o755)
        (playbook,) = (
            block
            for block in transcripts.blocks(_PAGE.read_text())
            if block.name == "prepare.yml"
        )
        (self.folder / "prepare.yml").write_text(
            "\n".join(playbook.lines) + _HANDLER
        )
        (self.folder / "variables.json").write_text(
            json.dumps(
                {**_VARIABLES, "nova_vfio_bin_dir": str(program.parent)}
            )
        )
        lines = ["[compute]"]
        self.hosts = {}
        for node in _NODES:
            place = self.folder / node
            self.write(node, "etc/nova/nova.conf", _CONF.format(node=node))
            self.write(node, "etc/nova/nova.conf.d/pci.conf", _SPEC)
            self.hosts[node] = sample_hosts.with_igb(place / "host")
            lines.append(f"{node} ansible_connection=local node={place}")
        (self.folder / "inventory").write_text("\n".join(lines) + "\n")

    def write(self, node: str, name: str, text: str) -> None:
        path = self.folder / node / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def play(self, *words: str) -> Played:
        done = subprocess.run(
            [
                pathlib.Path(sys.executable).with_name("ansible-playbook"),
                *("-i", "inventory", "-e", "@variables.json", *words),
                "prepare.yml",
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_HOME": str(self.folder / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_ROLES_PATH": str(self.roles),
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": str(transcripts.CHECKOUT),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        changed: dict[str, list[str]] = {node: [] for node in _NODES}
        task = ""
        for line in done.stdout.splitlines():
            named = re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\]", line)
            task = named[1].removeprefix("nova_vfio : ") if named else task
            found = re.match(r"changed: \[([^\]]*)\]", line)
            if found and changed[found[1]][-1:] != [task]:
                changed[found[1]].append(task)
        return Played(done.returncode, done.stdout, changed)

    def pictures(self) -> dict[str, dict[str, str]]:
        return {node: host.picture() for node, host in self.hosts.items()}

    def files(self) -> set[str]:
        """All that is there, but for what the hosts themselves are made of."""
        return {
            str(path.relative_to(self.folder))
            for node in _NODES
            for path in (self.folder / node).rglob("*")
            if "host" not in path.relative_to(self.folder / node).parts[:1]
        }

    def driver(self, node: str) -> str:
        link = self.hosts[node].root / f"sys/bus/pci/devices/{_VF}/driver"
        return link.readlink().name

    def test_a_check_says_what_a_run_does_and_a_second_run_does_nothing(
        self,
    ) -> None:
        hosts, files = self.pictures(), self.files()
        check = self.play("--check")
        self.assertEqual(0, check.status, check.said)
        self.assertNotIn("WARNING", check.said)
        self.assertEqual(hosts, self.pictures())
        self.assertEqual(files, self.files())
        run = self.play()
        self.assertEqual(0, run.status, run.said)
        # What isn't made yet can't be looked at.
        prepared = [*_INSTALL, "Note it", "Prepare the host"]
        for node in _NODES:
            self.assertEqual(prepared, check.changed[node])
            self.assertEqual(
                [*prepared, "Track the devices", "Publish the devices"],
                run.changed[node],
            )
            self.assertEqual("vfio-pci", self.driver(node))
            link = self.folder / (
                f"{node}/etc/systemd/multi-user.target.wants/"
                "nova-vfio-host.service"
            )
            self.assertTrue(link.exists())
        hosts, files = self.pictures(), self.files()
        again = self.play()
        self.assertEqual(0, again.status, again.said)
        self.assertEqual({node: [] for node in _NODES}, again.changed)
        self.assertEqual(hosts, self.pictures())
        self.assertEqual(files, self.files())

    def test_on_a_prepared_host_a_check_says_all_that_a_run_does(
        self,
    ) -> None:
        self.play()
        for node in _NODES:
            shutil.rmtree(self.folder / node / "state")
        check = self.play("--check")
        self.assertEqual(0, check.status, check.said)
        run = self.play()
        self.assertEqual(0, run.status, run.said)
        self.assertEqual(check.changed, run.changed)
        self.assertIn("Track the devices", run.changed["compute-1"])

    def test_what_is_refused_fails_its_node_alone_and_is_said(self) -> None:
        """It stands in a file of the operator's beside the role's own."""
        self.write("compute-2", "etc/nova-vfio/more.conf", _REFUSED)
        for words in (("--check",), ()):
            played = self.play(*words)
            self.assertEqual(2, played.status, played.said)
            self.assertRegex(played.said, r"compute-1 +: ok=\d+ .*failed=0")
            self.assertRegex(played.said, r"compute-2 +: ok=\d+ .*failed=1")
            self.assertIn("VFIO504", played.said)
            # Its unit is there, and systemd was told.
            self.assertEqual(
                [*_INSTALL[1:], "Note it"], played.changed["compute-2"]
            )

    def test_files_that_are_named_are_read_alone(self) -> None:
        """As with Kolla-Ansible."""
        self.write("compute-1", "etc/nova/nova.conf", "[pci\n")
        self.write("compute-1", "kolla/nova.conf", _CONF.format(node="kolla"))
        named = json.dumps(
            {"nova_vfio_config_files": ["{{ node }}/kolla/nova.conf"]}
        )
        for words in (("--check",), ()):
            played = self.play("--limit", "compute-1", "-e", named, *words)
            self.assertEqual(0, played.status, played.said)
        place = self.folder / "compute-1"
        self.assertIn(
            f" --config-file {place}/kolla/nova.conf"
            f" --config-dir {place}/etc/nova-vfio\n",
            (place / "nova-vfio-host").read_text(),
        )

    def test_what_ends_a_play_ends_its_check(self) -> None:
        """An error that the host's own part has nothing to do with."""
        self.write(
            "compute-1",
            "etc/nova/nova.conf.d/pci.conf",
            '[pci]\ndevice_spec = { "address": "0000:7f:00.0" }\n'
            'alias = { "name": "a", "device_type": "type-X" }\n',
        )
        for fail_on, status in (("error", 2), ("never", 0)):
            for words in (("--check",), ()):
                played = self.play(
                    *("--limit", "compute-1", *words),
                    *("-e", f"nova_vfio_fail_on={fail_on}"),
                    *("-e", '{"nova_vfio_track": false}'),
                    *("-e", '{"nova_vfio_publish": false}'),
                )
                self.assertEqual(status, played.status, played.said)

    def test_a_clone_has_what_it_copies(self) -> None:
        self.roles = transcripts.CHECKOUT / "share/ansible/roles"
        played = self.play("--check", "--limit", "compute-1")
        self.assertEqual(0, played.status, played.said)

    def test_its_unit_looks_for_the_program_as_the_example_says(self) -> None:
        played = self.play("--limit", "compute-1")
        self.assertEqual(0, played.status, played.said)
        drop_ins = "systemd/nova-vfio-host.service.d"
        example = transcripts.CHECKOUT / f"etc/{drop_ins}/venv.conf.example"
        made = self.folder / f"compute-1/etc/{drop_ins}/program.conf"
        self.assertEqual(
            re.findall(
                r"^[^#\n].*$",
                example.read_text().replace(
                    "/opt/nova-vfio/bin", str(self.folder / "bin")
                ),
                re.MULTILINE,
            ),
            re.findall(
                r"^[^#\n].*$",
                made.read_text().replace('"', ""),
                re.MULTILINE,
            ),
        )
