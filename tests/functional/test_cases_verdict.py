# SPDX-License-Identifier: Apache-2.0
"""Small hosts on which commands once contradicted each other."""

import json
import pathlib
import tarfile

from tests.functional import cli_case
from tests.functional.cli_case import ONE, TWO

CASES = pathlib.Path(__file__).parent / "cases"


class VerdictCases(cli_case.CliTestCase):
    """Commands on the host and the configuration of a case."""

    def take(
        self, case: str, conf: str = "nova.conf", *, unpacked: bool = False
    ) -> None:
        """Ask about a case from now on."""
        root = CASES / case / "host.tar.gz"
        if unpacked:
            with tarfile.open(root) as members:
                members.extractall("unpacked", filter="fully_trusted")
            root = self.folder / "unpacked"
        self.options = [
            f"--config-file={CASES / case / conf}",
            f"--host-root={root}",
            "--state-path=state",
        ]

    def found(self) -> dict[str, dict[str, str]]:
        """What config check finds, by code."""
        done = self.run_cli("config", "check", "-f", "json")
        return {one["code"]: one for one in done.json}

    def assignable(self) -> dict[str, str]:
        done = self.ok("host", "list", "-f", "json")
        return {one["address"]: one["assignable"] for one in done.json}

    def obstacles(self, address: str) -> str:
        return str(self.ok("host", "show", address, "-f", "json").out)

    def test_another_device_at_an_address(self) -> None:
        case = "address-means-another-device"
        self.take(case, unpacked=True)
        self.exchange("10de", "20b0")
        self.ok("device", "sync")
        self.ok("claim", "create", "--instance", ONE, "--alias", "a100:1")
        self.exchange("1000", "0097")
        address = "0000:82:00.0"
        for line in (
            "device sync",
            "inventory report",
            "config check",
            "inventory diff",
        ):
            done = self.run_cli(*line.split())
            self.assertEqual(1, done.status, str(done))
        said = self.run_cli("device", "sync").err
        self.assertIn("VFIO406", said)
        self.assertIn("1000:0097", said)
        for words in (
            ("guest", "xml", "--instance", ONE),
            ("guest", "qemu", "--address", address),
            ("host", "plan"),
            ("claim", "create", "--instance", TWO, "--alias", "a100:1"),
        ):
            done = self.run_cli(*words)
            self.assertEqual(2, done.status, str(done))
            self.assertEqual("", done.out)
        self.assertEqual("blocked", self.assignable()[address])

    def exchange(self, vendor: str, product: str) -> None:
        """Let the device at the case's address be of these ids."""
        place = self.folder / "unpacked/sys/bus/pci/devices/0000:82:00.0"
        (place / "vendor").write_text(f"0x{vendor}\n")
        (place / "device").write_text(f"0x{product}\n")
        (place / "modalias").write_text(
            f"pci:v0000{vendor.upper()}d0000{product.upper()}"
            "sv00000000sd00000000bc03sc02i00\n"
        )

    def test_nvswitches_are_functions_like_others(self) -> None:
        self.take("nvswitch", "one.conf")
        found = self.found()
        self.assertEqual({"VFIO307"}, set(found))
        self.assertIn(
            "0000:06:00.0 on driver nvid", found["VFIO307"]["message"]
        )
        shown = self.obstacles("0000:05:00.0")
        self.assertNotIn("bridge", json.loads(shown)["obstacles"])
        self.assertIn("VFIO517", shown)
        self.take("nvswitch")
        self.assertEqual(1, self.run_cli("host", "plan").status)
        self.assertEqual(
            {"preparable"},
            {
                state
                for address, state in self.assignable().items()
                if address.startswith("0000:0")
            },
        )

    def test_vfs_of_a_pf_on_vfio_pci(self) -> None:
        self.take("pf-on-vfio-pci-with-vfs")
        self.assertEqual({"VFIO533"}, set(self.found()))
        self.assertEqual({"blocked"}, set(self.assignable().values()))
        suggested = self.ok("config", "suggest").out
        self.assertNotIn("device_spec", suggested)
        self.assertIn("VF token", suggested)

    def test_vgpus_without_a_type(self) -> None:
        self.take("untyped-vgpu")
        found = self.found()
        self.assertEqual({"VFIO311"}, set(found))
        hint = found["VFIO311"]["hint"]
        self.assertIn("The card is full", hint)
        self.assertIn("name only 0000:41:00.4, 0000:41:00.5", hint)
        ready = [
            at for at, state in self.assignable().items() if state == "ready"
        ]
        self.assertEqual(["0000:41:00.4", "0000:41:00.5"], ready)
        self.assertIn("no vGPU type", self.obstacles("0000:41:02.3"))
        (claim,) = self.json(
            "claim", "create", "--instance", ONE, "--alias", "a100-20c:2"
        )
        self.assertEqual(ready, claim["addresses"])
        done = self.run_cli(
            "claim", "create", "--instance", TWO, "--alias", "a100-20c:1"
        )
        self.assertEqual(2, done.status)
        self.assertIn("12 blocked: a VF that has no vGPU type", done.err)
        self.assertIn(f"2 allocated to instance {ONE}", done.err)
        (row,) = self.json("inventory", "show")
        self.assertEqual((14, 12), (row["total"], row["reserved"]))

    def test_a_live_mediated_device(self) -> None:
        for unpacked in (False, True):
            self.take("vf-with-a-live-mdev", unpacked=unpacked)
            found = self.found()["VFIO530"]["message"]
            for said in (
                found,
                self.obstacles("0000:08:00.4"),
                self.run_cli("host", "plan").err,
            ):
                self.assertIn("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", said)
                self.assertIn("process 500 (qemu-system-x86)", said)
            self.assertEqual(2, self.run_cli("host", "plan").status)
            self.assertEqual({"blocked"}, set(self.assignable().values()))

    def test_an_idle_mediated_device(self) -> None:
        self.take("vf-with-a-live-mdev", unpacked=True)
        (self.folder / "unpacked/proc/500/fd/20").unlink()
        self.assertIn("without a word", self.obstacles("0000:08:00.4"))
        self.assertEqual(2, self.run_cli("host", "plan").status)

    def test_what_a_snapshot_can_not_tell(self) -> None:
        self.take("vf-with-a-live-mdev")  # any configuration
        root = CASES / "snapshot-of-one-in-use" / "host.tar.gz"
        self.options = [f"--host-root={root}", "--state-path=state"]
        address = "0000:21:10.0"
        self.assertEqual("blocked", self.assignable()[address])
        self.assertIn("is open in process 100", self.obstacles(address))
        self.ok("host", "snapshot", "taken.tar.gz")
        self.options[0] = "--host-root=taken.tar.gz"
        shown = json.loads(self.obstacles(address))
        self.assertEqual("ready", shown["assignable"])
        self.assertIn("processes", shown["unseen"])
        listed = self.ok("host", "list")
        self.assertIn("doesn't show processes", listed.err)
