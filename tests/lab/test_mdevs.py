# SPDX-License-Identifier: Apache-2.0
"""Mediated devices with libvirt, mdevctl, VDSM's hook and kill -9."""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import uuid

from tests.behaviour.mdev_case import INSTANCE, MdevCase
from tests.lab import libvirt

_CHECKOUT = pathlib.Path(__file__).parents[2]
_GUEST = pathlib.Path(__file__).parent / "guest"
#: The user and the group that oVirt's packages make, vdsm and kvm; and the
#: group that the page makes.
_VDSM, _KVM, _OURS = 36, 36, 964


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


class ToolsTest(MdevCase):
    """With udevd, without which libvirt sees no device come."""

    def setUp(self) -> None:
        self.ran("/lib/systemd/systemd-udevd", "--daemon")
        self.addCleanup(_run, "udevadm", "control", "--exit")
        super().setUp()
        self.uuid = str(uuid.uuid4())

    def ran(self, *words: str) -> str:
        """What a command says that succeeds."""
        ran = _run(*words)
        self.assertEqual(0, ran.returncode, f"{words}: {ran.stdout}")
        return ran.stdout

    def virsh(self, *words: str) -> str:
        """Have libvirt do something."""
        return self.ran("virsh", "-q", *words).strip()

    def states(self) -> dict[str, tuple[str, str]]:
        """The owner and the state of each device."""
        return {
            row["uuid"]: (row["owner"], row["state"]) for row in self.all()
        }

    def file(self, name: str, text: str) -> str:
        """A file with a text."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def test_libvirt_makes_and_keeps_what_a_definition_says(self) -> None:
        libvirt.start()
        words = ("mdev", "definition", self.uuid, "--type", "mtty-2")
        file = self.file("device.xml", self.done(*words).out)
        name = f"mdev_{self.uuid.replace('-', '_')}_mtty"
        self.virsh("nodedev-create", file)
        self.assertEqual({self.uuid: ("other", "there")}, self.states())
        self.virsh("nodedev-destroy", name)
        self.assertEqual({}, self.states())
        self.virsh("nodedev-define", file)
        self.assertEqual({}, self.states())
        self.virsh("nodedev-start", name)
        self.virsh("nodedev-autostart", name)
        self.assertEqual({self.uuid: ("other", "there")}, self.states())
        self.assertIn(
            f"{self.uuid} mtty mtty-2 auto (active)",
            self.ran("mdevctl", "list", "-d"),
        )
        self.virsh("nodedev-destroy", name)
        self.virsh("nodedev-undefine", name)
        self.assertEqual("", self.virsh("nodedev-list", "--cap=mdev", "--all"))

    def test_mdevctl_makes_again_what_is_defined_until_it_is_deleted(
        self,
    ) -> None:
        # Debian 12's rule looks for it there.
        place = pathlib.Path("/usr/sbin/mdevctl")
        words = ("mdev", "create", "mtty-2", "--define")
        self.assertIn(f"runs {place}, which", self.run_command(*words).err)
        place.symlink_to("/usr/bin/mdevctl")
        self.addCleanup(place.unlink)
        row = self.create("mtty-2", "--uuid", self.uuid, "--define")
        line = f"{self.uuid} mtty mtty-2 auto (active)"
        self.assertIn(line, self.ran("mdevctl", "list", "--defined"))
        # As a boot does: the parent goes with its devices, and comes back.
        self.host.rmmod("mtty")
        self.host.modprobe("mtty")
        self.eventually(
            lambda: self.states() == {row["uuid"]: ("ours", "there")}
        )
        self.done("mdev", "delete", self.uuid)
        self.assertEqual("", self.ran("mdevctl", "list", "--defined").strip())

    def test_libvirt_starts_a_domain_with_one_and_plugs_another(self) -> None:
        libvirt.start()
        uuids = [
            self.create("mtty-2", "--instance", INSTANCE)["uuid"]
            for _ in range(2)
        ]
        xml = self.folder / "xml"
        self.done(
            *("guest", "xml", "--instance", INSTANCE),
            *("--output-dir", str(xml)),
        )
        name = "with-mdev"
        domain = libvirt.DOMAIN.format(
            name=name, console=self.folder / "console"
        )
        self.virsh("define", self.file("domain.xml", domain))
        self.addCleanup(libvirt.virsh, "undefine", name)
        self.virsh("attach-device", name, f"{xml}/{uuids[0]}.xml", "--config")
        self.virsh("start", "--paused", name)
        self.addCleanup(libvirt.virsh, "destroy", name)
        self.virsh("attach-device", name, f"{xml}/{uuids[1]}.xml", "--live")
        self.assertEqual([1, 1], [len(row["used_by"]) for row in self.all()])
        told = self.run_command("mdev", "delete", uuids[0])
        self.assertIn("VFIO594", told.err)
        self.virsh("destroy", name)
        for one in uuids:
            self.done("mdev", "delete", one)


class KilledTest(MdevCase):
    def test_what_a_killed_creator_left_is_ended(self) -> None:
        begun = time.monotonic()
        self.create("mtty-1")
        whole = time.monotonic() - begun
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        for _ in range(3):
            creator = self.start(lambda: self.done("mdev", "create", "mtty-1"))
            time.sleep(chance.uniform(0, whole))
            creator.kill()
            creator.reap()
            self.run_command("reconcile", "-f", "json")
            self.assertEqual(
                dict.fromkeys(
                    self.host.names("sys/bus/mdev/devices"), ("ours", "there")
                ),
                {
                    row["uuid"]: (row["owner"], row["state"])
                    for row in self.all()
                },
                f"seed {seed}",
            )
        for row in self.all():
            self.done("mdev", "delete", row["uuid"])
        self.assertEqual([], self.host.names("sys/bus/mdev/devices"))


class VdsmTest(MdevCase):
    """VDSM's user, whom sudo lets start the privileged process and no more."""

    def setUp(self) -> None:
        super().setUp()
        etc = pathlib.Path("/etc")
        for name, line in (
            ("passwd", f"vdsm:x:{_VDSM}:{_KVM}::/var/lib/vdsm:/bin/sh"),
            ("shadow", "vdsm:!:20000:0:99999:7:::"),
            ("group", f"kvm:x:{_KVM}:"),
            ("group", f"nova-vfio:x:{_OURS}:vdsm"),
            ("hosts", "127.0.0.1 localhost lab"),
        ):
            text = (etc / name).read_text()
            if line not in text.splitlines():
                (etc / name).write_text(f"{text}{line}\n")
        # As the page has it.
        page = (_CHECKOUT / "doc/source/admin/privilege.rst").read_text()
        [line] = [one for one in page.splitlines() if "NOPASSWD" in one]
        sudoers = etc / "sudoers.d/nova-vfio"
        sudoers.write_text(line.strip().replace("nova ", "vdsm ", 1) + "\n")
        sudoers.chmod(0o440)
        self.addCleanup(sudoers.unlink)
        (etc / "nova").mkdir(exist_ok=True)
        self.state = pathlib.Path("/var/lib/nova-vfio")
        self.state.mkdir()
        self.addCleanup(shutil.rmtree, self.state)
        os.chown(self.state, 0, _OURS)
        self.state.chmod(0o2770)
        conf = etc / "nova/nova.conf"
        conf.write_text("[vfio]\nstate_group = nova-vfio\n")
        self.addCleanup(conf.unlink)
        shutil.copy(conf, self.folder)
        subprocess.run(["sh", str(_GUEST / "install.sh")], check=True)
        # Others' folders are closed to it.
        folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        self.xml = folder / "domain.xml"
        self.xml.write_text(
            "<domain><name>guest</name><devices></devices></domain>"
        )
        os.chown(self.xml, _VDSM, _KVM)

    def hook(self, event: str) -> None:
        """Run it as VDSM does, and it says nothing."""
        hook = self.xml.parent / event / "50_nova_vfio"
        hook.parent.mkdir()
        hook.symlink_to("/opt/lab/checkout/share/vdsm/50_nova_vfio")
        ran = subprocess.run(
            [hook],
            env={
                "PATH": "/usr/sbin:/usr/bin",
                "_hook_domxml": str(self.xml),
                "vmId": INSTANCE,
                "mdev_type": "mtty-2",
            },
            user=_VDSM,
            group=_KVM,
            extra_groups=[_OURS],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        self.assertEqual((0, ""), (ran.returncode, ran.stdout))

    def test_its_hook_makes_and_removes_devices_without_being_root(
        self,
    ) -> None:
        # As the hook of 2017 had it.
        space = uuid.UUID("8524b17c-f0ca-44a5-9ce4-66fe261e5986")
        one = str(uuid.uuid3(space, "guest"))
        self.hook("before_vm_start")
        text = self.xml.read_text()
        self.assertIn(f'<address uuid="{one}"/>', text)
        self.assertEqual(
            [(one, "ours", INSTANCE)],
            [
                (row["uuid"], row["owner"], row["instance_uuid"])
                for row in self.all()
            ],
        )
        self.hook("before_vm_migrate_destination")
        self.assertEqual(text, self.xml.read_text())
        self.assertEqual([one], [row["uuid"] for row in self.all()])
        self.hook("after_vm_destroy")
        self.assertEqual([], self.all())
