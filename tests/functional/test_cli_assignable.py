# SPDX-License-Identifier: Apache-2.0
"""What is assignable, through the commands that give and take devices."""

import pathlib
import threading
import time

from nova_vfio_variant.testing import fake_host
from tests.functional import check_host, cli_case
from tests.functional.cli_case import ONE, TWO

PF = "0000:21:00.0"
VF, OTHER = "0000:21:10.0", "0000:21:10.2"
_ALIVE = {
    "proc/1/comm": "systemd\n",
    "proc/1/mountinfo": "",
    "proc/1/net/route": "",
    "proc/swaps": "Filename\n",
}


class AssignableCase(cli_case.CliTestCase):
    """A PF with two VFs: one on vfio-pci, one on the host's driver."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        self.fake.add_driver("igbvf", ["8086:10ca"])
        self.fake.add_driver("vfio-pci", vfio=True)
        self.fake.add(PF, "8086:10c9", vfs=7, vf_device="10ca")
        writer = self.fake.writer()
        writer.set_numvfs(PF, 2)
        writer.unbind(VF)
        writer.set_override(VF, "vfio-pci")
        writer.probe(VF)
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'alias = { "name": "vf", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )

    def states(self, command: str = "host list") -> dict[str, str]:
        return {
            row["address"]: row["assignable"]
            for row in self.json(*command.split())
            if row["address"] != PF
        }

    def claim(self, instance: str, *more: str, status: int = 0) -> list[str]:
        words = ("claim", "create", "--instance", instance, "--alias=vf:1")
        if status:
            return [self.run_cli(*words, *more).err]
        (claim,) = self.json(*words, *more)
        return list(claim["addresses"])

    def guest(self, address: str, instance: str) -> int:
        """A guest of an instance that has a function open."""
        pid = self.fake.hold(address, "qemu-system-x86")
        words = f"qemu-system-x86_64\0-uuid\0{instance}\0"
        (self.fake.root / f"proc/{pid}/cmdline").write_text(words)
        return pid


class ClaimTest(AssignableCase):
    def test_what_is_ready_goes_before_what_has_to_be_prepared(self) -> None:
        self.assertEqual({VF: "ready", OTHER: "preparable"}, self.states())
        self.assertEqual([VF], self.claim(ONE))
        self.assertEqual([OTHER], self.claim(TWO))

    def test_what_a_process_has_open_is_given_to_nobody(self) -> None:
        self.guest(VF, TWO)
        self.assertEqual({VF: "blocked", OTHER: "preparable"}, self.states())
        self.assertEqual([OTHER], self.claim(ONE))
        (said,) = self.claim(TWO, status=2)
        self.assertIn("1 blocked: a process has the function open", said)
        self.assertIn(f"1 allocated to instance {ONE}", said)

    def test_what_is_enslaved_is_given_to_nobody(self) -> None:
        net = self.fake.root / f"sys/bus/pci/devices/{OTHER}/net/eth7"
        net.mkdir(parents=True)
        (net / "flags").write_text("0x1003\n")
        self.assertEqual("preparable", self.states()[OTHER])
        (net / "master").symlink_to("../../../../virtual/net/br0")
        self.assertEqual({VF: "ready", OTHER: "blocked"}, self.states())
        self.assertEqual(self.states(), self.states("device list"))
        self.assertEqual([VF], self.claim(ONE))
        (said,) = self.claim(TWO, status=2)
        self.assertIn("VFIO512", said)

    def test_a_false_obstacle_is_overruled_by_hand(self) -> None:
        pid = self.guest(VF, TWO)
        reason = "a test of the card, and done"
        words = ("device", "allow", VF, "--code", "VFIO514")
        self.ok(*words, "--reason", reason)
        self.assertEqual("ready", self.states()[VF])
        shown = self.json("device", "show", VF)
        self.assertIn(reason, str(shown["remarks"]))
        self.assertIn(reason, self.run_cli("explain", VF).out)
        done = self.run_cli("config", "check", "-f", "json")
        self.assertIn("VFIO543", [one["code"] for one in done.json])
        self.ok("device", "disallow", VF)
        self.assertEqual("blocked", self.states()[VF])
        self.fake.let_go(pid)
        self.assertEqual("ready", self.states()[VF])
        self.assertIn(
            "no obstacle that can be overruled",
            self.run_cli(
                *("device", "allow", VF, "--code", "VFIO518"),
                *("--reason", reason),
            ).err,
        )

    def test_a_plan_knows_what_was_overruled(self) -> None:
        net = self.fake.root / f"sys/bus/pci/devices/{OTHER}/net/eth7"
        net.mkdir(parents=True)
        (net / "flags").write_text("0x1003\n")
        (net / "master").symlink_to("../../../../virtual/net/br0")
        self.configure(
            tail=f'[vfio]\nhost_spec = {{ "address": "{OTHER}",'
            ' "driver": "vfio-pci" }\n'
        )
        self.assertEqual(2, self.run_cli("host", "plan").status)
        self.ok(
            *("device", "allow", OTHER, "--code", "VFIO512"),
            *("--reason", "the bridge is a test's"),
        )
        self.assertEqual(1, self.run_cli("host", "plan").status)


class ReleaseTest(AssignableCase):
    def setUp(self) -> None:
        super().setUp()
        self.claim(ONE)
        self.pid = self.guest(VF, ONE)

    def test_what_its_guest_has_open_is_as_it_should_be(self) -> None:
        self.ok("guest", "xml", "--instance", ONE)
        self.assertEqual(0, self.run_cli("explain", ONE).status)
        self.assertEqual("blocked", self.states()[VF])

    def test_it_is_not_given_back_while_it_is_open(self) -> None:
        said = self.refuses("claim", "delete", ONE)
        self.assertIn(f"is open in process {self.pid} (qemu-system", said)
        self.fake.let_go(self.pid)
        self.ok("claim", "delete", ONE)

    def test_it_is_given_back_by_force(self) -> None:
        self.ok("claim", "delete", ONE, "--force")
        self.assertEqual([], self.json("claim", "list"))

    def test_it_is_waited_for(self) -> None:
        def end() -> None:
            time.sleep(1)
            self.fake.let_go(self.pid)

        ending = threading.Thread(target=end)
        ending.start()
        self.ok("claim", "delete", ONE, "--wait", "30")
        ending.join()
        begun = time.monotonic()
        self.claim(TWO)
        self.guest(VF, TWO)
        self.refuses("claim", "delete", TWO, "--wait", "0.2")
        self.assertGreater(time.monotonic() - begun, 0.2)


class ExplainTest(AssignableCase):
    def topics(self, subject: str, status: int = 0) -> dict[str, str]:
        rows = self.json("explain", subject, status=status)
        return {row["topic"]: row["what"] for row in rows}

    def test_all_that_is_known_of_a_device(self) -> None:
        self.assertEqual("nothing is tracked yet", self.topics(VF)["claim"])
        self.claim(ONE)
        found = self.topics(VF)
        self.assertEqual(f"ready for instance {ONE}", found["verdict"])
        self.assertIn("alone", found["group"])
        self.assertIn("nova.conf:7:15, managed yes", found["entry"])
        self.assertIn(f"instance {ONE} has it", found["claim"])
        self.assertIn("total 2, reserved 0, 1 used", found["placement"])
        self.assertEqual(found, self.topics(ONE))

    def test_a_pf_that_nothing_takes(self) -> None:
        found = self.topics(PF, status=1)
        self.assertEqual("blocked", found["verdict"])
        self.assertEqual("no device_spec takes it", found["entry"])
        self.assertEqual("it is not tracked", found["claim"])

    def test_what_is_neither_there_nor_tracked(self) -> None:
        for subject in ("0000:99:00.0", TWO):
            done = self.run_cli("explain", subject)
            self.assertEqual((2, ""), (done.status, done.out))
        self.assertIn(
            "no device is called 'vf'", self.run_cli("explain", "vf").err
        )

    def test_without_any_configuration(self) -> None:
        self.options = ["--host-root=host", "--state-path=state"]
        pathlib.Path("nova.conf").unlink()
        self.assertEqual("ready", self.topics(VF)["verdict"])


class WithheldTest(cli_case.CliTestCase):
    """What is said of devices that are published and not offered."""

    def setUp(self) -> None:
        super().setUp()
        self.host(
            *check_host.card(
                driver="nvidia",
                pf_ids="10de:25b6",
                vf_ids="10de:25b6",
                vf_files={
                    "vfio-dev/vfio9/dev": "509:9",
                    "nvidia/current_vgpu_type": "588",
                    "nvidia/creatable_vgpu_types": "ID : vGPU Name",
                },
            )
        )
        self.declare("0000:25:00.4", "0000:25:00.5")

    def declare(self, *addresses: str, tail: str = "") -> None:
        self.configure(
            *(
                f'device_spec = {{ "address": "{at}", "managed": "no" }}'
                for at in addresses
            ),
            'alias = { "name": "vf", "vendor_id": "10de",'
            ' "product_id": "25b6", "device_type": "type-VF" }',
            tail=tail,
        )

    def take_types(self) -> None:
        for number in (4, 5):
            home = f"host/sys/devices/pci0000:00/0000:25:00.{number}"
            path = pathlib.Path(home, "nvidia/current_vgpu_type")
            path.write_text("0\n")

    def test_nothing_is_called_reserved_that_is_not(self) -> None:
        claim = ("claim", "create", "--instance", ONE, "--alias=vf:1")
        (given,) = self.json(*claim)
        (has,) = given["addresses"]
        self.take_types()
        said = self.ok("inventory", "report").err
        self.assertIn("reserved, for a VF that has no vGPU type", said)
        self.assertNotIn(has, said)
        self.ok("claim", "delete", ONE)
        self.assertIn(has, self.ok("inventory", "report").err)
        self.declare(has)
        (other,) = {"0000:25:00.4", "0000:25:00.5"} - {has}
        for command in ("show", "diff", "report"):
            said = self.run_cli("inventory", command).err
            self.assertIn(f"note: {has}: reserved", said)
            self.assertNotIn(other, said)
        self.declare(has, tail="[vfio]\nreserve_blocked = false\n")
        for command in ("show", "diff", "report"):
            said = self.run_cli("inventory", command).err
            self.assertNotIn("reserved, for", said)

    def test_a_first_report_says_what_it_can_not_know(self) -> None:
        # Processes that are there and can't be looked at.
        closed = pathlib.Path("host/proc/7")
        closed.mkdir(parents=True)
        (closed / "fd").write_text("")
        for name, text in _ALIVE.items():
            path = pathlib.Path("host", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for command in ("diff", "report", "report"):
            said = self.run_cli("inventory", command).err
            self.assertIn("not known: ", said, command)
            self.assertIn("as root", said, command)


class GuestTest(cli_case.CliTestCase):
    """What keeps a guest from starting is said with its elements."""

    def test_what_nobody_binds_is_said(self) -> None:
        self.host(*check_host.card(driver="igbvf"))
        for managed, xml in (("no", 1), ("yes", 0)):
            self.configure(
                'device_spec = { "product_id": "10ca",'
                f' "managed": "{managed}" }}'
            )
            words = ("--address", "0000:25:00.4")
            done = self.ok("guest", "xml", *words, status=xml)
            self.assertEqual(bool(xml), "VFIO540" in done.err)
            # No libvirt binds anything for whoever starts QEMU.
            done = self.ok("guest", "qemu", *words, status=1)
            self.assertIn("VFIO540", done.err)

    def test_a_mate_goes_along_only_if_it_is_given_too(self) -> None:
        gpu, sound = "0000:41:00.0", "0000:41:00.1"
        self.host(
            check_host.Function(gpu, "10de:2204", "030000", "nouveau", 17),
            check_host.Function(
                sound, "10de:1aef", "040300", "snd_hda_intel", 17
            ),
        )
        self.configure(
            *(f'device_spec = {{ "address": "{at}" }}' for at in (gpu, sound)),
            *(
                f'alias = {{ "name": "{name}", "vendor_id": "10de",'
                f' "product_id": "{product}", "device_type": "type-PCI" }}'
                for name, product in (("gpu", "2204"), ("sound", "1aef"))
            ),
        )
        claim = ("claim", "create", "--instance", ONE, "--alias")
        self.ok(*claim, "gpu:1")
        done = self.ok("guest", "xml", "--instance", ONE, status=1)
        self.assertIn(f"{sound} is in IOMMU group 17", done.err)
        self.ok("claim", "delete", ONE)
        self.ok(*claim, "gpu:1,sound:1")
        self.ok("guest", "xml", "--instance", ONE)
