# SPDX-License-Identifier: Apache-2.0
"""The playbook of the documentation, run by Ansible on two hosts of files."""

import json
import os
import pathlib
import re
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
import sys
from nova_vfio_variant.cli import main
from nova_vfio_variant.testing import fake_host
root = sys.argv[sys.argv.index("--host-root") + 1]
with fake_host.FakeHost(root).plugged_in():
    sys.exit(main.main())
"""
_CONF = """
[DEFAULT]
host = {node}
[pci]
device_spec = {{ "vendor_id": "8086", "product_id": "10ca", "managed": "no" }}
"""
#: Where the nodes have their files; {{ node }} is a folder.
_VARIABLES = {
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
    "nova_vfio_config_dir": "{{ node }}/etc/nova-vfio",
    "nova_vfio_config_files": ["{{ node }}/nova.conf"],
    "nova_vfio_options": [
        *("--host-root", "{{ node }}/host"),
        *("--state-path", "{{ node }}/state"),
    ],
    "nova_vfio_publish": True,
    "nova_vfio_track": True,
    "nova_vfio_unit_defaults": "{{ node }}/nova-vfio-host",
    "nova_vfio_unit_dir": "{{ node }}/etc/systemd",
    "nova_vfio_unit_source": str(transcripts.CHECKOUT / "etc/systemd"),
}


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
        program = self.folder / "nova-vfio"
        program.write_text(_PROGRAM)
        program.chmod(0o755)
        (playbook,) = (
            block
            for block in transcripts.blocks(_PAGE.read_text())
            if block.name == "prepare.yml"
        )
        (self.folder / "prepare.yml").write_text("\n".join(playbook.lines))
        (self.folder / "variables.json").write_text(
            json.dumps({**_VARIABLES, "nova_vfio_program": str(program)})
        )
        lines = ["[compute]"]
        self.hosts = {}
        for node in _NODES:
            place = self.folder / node
            place.mkdir()
            (place / "nova.conf").write_text(_CONF.format(node=node))
            self.hosts[node] = sample_hosts.with_igb(place / "host")
            lines.append(f"{node} ansible_connection=local node={place}")
        (self.folder / "inventory").write_text("\n".join(lines) + "\n")

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
                "ANSIBLE_ROLES_PATH": f"{transcripts.CHECKOUT}/share/ansible/roles",
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
            named = re.match(r"TASK \[nova_vfio : (.*)\]", line)
            task = named[1] if named else task
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
        self.assertEqual(hosts, self.pictures())
        self.assertEqual(files, self.files())
        run = self.play()
        self.assertEqual(0, run.status, run.said)
        for node in _NODES:
            self.assertEqual("vfio-pci", self.driver(node))
            self.assertIn("Prepare the host", check.changed[node])
            self.assertIn("Prepare the host", run.changed[node])
            self.assertIn("Publish the devices", run.changed[node])
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

    def test_its_unit_runs_what_the_unit_runs(self) -> None:
        place = transcripts.CHECKOUT
        unit = place / "etc/systemd/nova-vfio-host.service"
        drop_in = place / (
            "share/ansible/roles/nova_vfio/templates/program.conf.j2"
        )
        commands = [
            re.findall(
                r"^Exec(?:Start|Stop)=.+$",
                re.sub(r"\\\n *", "", path.read_text()).replace(
                    "{{ nova_vfio_program }}", "/usr/bin/nova-vfio"
                ),
                re.MULTILINE,
            )
            for path in (unit, drop_in)
        ]
        self.assertEqual(2, len(commands[0]))
        self.assertEqual(commands[0], commands[1])

    def test_what_is_refused_fails_its_node_alone_and_is_said(self) -> None:
        self.hosts["compute-2"].add("0000:21:00.1", "8086:10c9", group=1)
        spec = self.folder / "compute-2/nova.conf"
        spec.write_text(
            spec.read_text() + "[vfio]\n"
            'host_spec = { "address": "0000:77:00.0", "num_vfs": 1 }\n'
        )
        check = self.play("--check")
        self.assertEqual(2, check.status, check.said)
        self.assertRegex(check.said, r"compute-1 +: ok=\d+ .*failed=0")
        self.assertRegex(check.said, r"compute-2 +: ok=\d+ .*failed=1")
        self.assertIn("VFIO504", check.said)
