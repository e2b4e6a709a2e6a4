# SPDX-License-Identifier: Apache-2.0
"""What is assignable, through the commands that give and take devices."""

import pathlib
import threading
import time

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case
from tests.functional.cli_case import ONE, TWO

PF = "0000:21:00.0"
VF, OTHER = "0000:21:10.0", "0000:21:10.2"


class AssignableCase(cli_case.CliTestCase):
    """A PF with two VFs: one on vfio-pci, one on the host's driver."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        self.fake.add_driver("igbvf", ["8086:10ca"])
        self.fake.add_driver("vfio-pci", vfio=True)
        self.fake.add(PF, "8086:10c9", vfs=7, vf_device="10ca")
        hands = self.fake.hands()
        hands.set_numvfs(PF, 2)
        hands.unbind(VF)
        hands.set_override(VF, "vfio-pci")
        hands.probe(VF)
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
            "neither a full PCI address", self.run_cli("explain", "vf").err
        )

    def test_without_any_configuration(self) -> None:
        self.options = ["--host-root=host", "--state-path=state"]
        pathlib.Path("nova.conf").unlink()
        self.assertEqual("ready", self.topics(VF)["verdict"])
