# SPDX-License-Identifier: Apache-2.0
"""Single devices beside what is tracked and claimed of them."""

import shlex

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case
from tests.functional.cli_case import ONE

CARDS = ("0000:41:00.0", "0000:42:00.0")
PF, NOWHERE = "0000:21:00.0", "0000:99:00.0"
GUEST = ("qemu-system-x86_64", "-uuid", ONE)


class SingleCase(cli_case.CliTestCase):
    """Two cards on a driver of the host's, and a PF that may have VFs."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        self.fake.add_driver("nvidia", ["10de:2236"])
        self.fake.add_driver("vfio-pci", vfio=True)
        self.fake.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
        self.fake.add(PF, "8086:10c9", vfs=2, vf_device="10ca")
        for card in CARDS:
            self.fake.add(card, "10de:2236", class_code=0x030200)
        self.enterContext(self.fake.plugged_in())
        self.declare()

    def declare(self, managed: str = "yes") -> None:
        self.configure(
            'device_spec = { "vendor_id": "10de", "product_id": "2236",'
            f' "resource_class": "GPU", "managed": "{managed}" }}',
            'alias = { "name": "gpu", "resource_class": "GPU",'
            ' "device_type": "type-PCI" }',
            tail="[vfio]\nplacement = none\n",
        )

    def claim(self, at: str) -> None:
        self.ok("claim", "create", "--instance", ONE, "--device", at)

    def driver(self, at: str) -> str:
        link = self.fake.root / f"sys/bus/pci/devices/{at}/driver"
        return link.resolve().name

    def paste(self, said: str) -> cli_case.Done:
        """Run the command that a hint tells to run."""
        (line,) = [part for part in said.splitlines() if "nova-vfio" in part]
        command = line[line.index("nova-vfio") :].split("'")[0]
        return self.run_cli(*shlex.split(command)[1:])


class FirstTest(SingleCase):
    """Whoever made the store, what nobody has synced yet is told."""

    def seen(self) -> object:
        return (
            [
                (row["address"], row["status"])
                for row in self.json("device", "list")
            ],
            [
                (row["name"], row["count"], row["available"])
                for row in self.json("capabilities")
                if row["kind"] == "class"
            ],
            self.json("device", "show", CARDS[0])["assignable"],
        )

    def test_a_store_that_was_never_synced_tells_what_a_sync_would_track(
        self,
    ) -> None:
        before = self.seen()
        self.assertEqual([("gpu", 2, 2)], before[1])  # type: ignore[index]  # it is a tuple
        self.ok("device", "bind", PF, "--allow-pf")
        self.ok("device", "unbind", PF)
        self.assertTrue(list(self.state.glob("*.sqlite*")))
        self.assertEqual(before, self.seen())
        said = self.ok("device", "list").err
        self.assertIn("nothing is tracked yet", said)
        said = self.ok("explain", CARDS[0], status=1).out
        self.assertIn("nothing is tracked yet", said)
        self.ok("device", "sync")
        self.assertEqual(before, self.seen())
        self.assertNotIn("nothing is tracked", self.ok("device", "list").err)

    def test_one_that_was_synced_with_nothing_stays_empty(self) -> None:
        self.configure(tail="[vfio]\nplacement = none\n")
        self.ok("device", "sync")
        self.declare()
        self.assertEqual([], self.json("device", "list"))


class ClaimedTest(SingleCase):
    """A claimed device comes to its driver, and isn't taken from it."""

    def test_it_is_bound_again_where_its_driver_was_lost(self) -> None:
        self.ok("device", "bind", CARDS[0])
        self.declare(managed="no")
        self.claim(CARDS[0])
        unbind = f"sys/bus/pci/devices/{CARDS[0]}/driver/unbind"
        self.fake.write(unbind, CARDS[0].encode())
        self.ok("device", "bind", CARDS[0])
        self.assertEqual("vfio-pci", self.driver(CARDS[0]))
        self.ok("claim", "prepare", "--instance", ONE)

    def test_it_is_not_taken_from_it(self) -> None:
        self.claim(CARDS[0])
        self.ok("device", "bind", CARDS[0])
        for words in (
            ("bind", CARDS[0], "--driver", "nvidia"),
            ("bind", CARDS[0], "--driver", "host"),
            ("unbind", CARDS[0]),
        ):
            said = self.refuses("device", *words)
            self.assertIn(f"instance {ONE} has it [VFIO518]", said)
        self.assertEqual("vfio-pci", self.driver(CARDS[0]))

    def test_it_stays_on_the_hosts_while_a_process_has_it_open(self) -> None:
        self.claim(CARDS[0])
        path = f"/sys/bus/pci/devices/{CARDS[0]}/resource0"
        self.fake.open_file(path, GUEST[0], GUEST)
        said = self.refuses("device", "bind", CARDS[0])
        self.assertIn("is open in process", said)
        self.assertEqual("nvidia", self.driver(CARDS[0]))


class MendTest(SingleCase):
    """What is told to be done is an option of the very command."""

    def test_a_pf_is_bound_with_the_option_that_is_told(self) -> None:
        said = self.fails("device", "bind", PF)
        self.assertIn("hint: add --allow-pf", said)
        self.assertNotIn("entry", said)
        self.ok("device", "bind", PF, "--allow-pf")

    def test_companions_are_told_as_options(self) -> None:
        self.fake.add(
            "0000:43:00.0", "10de:2236", group=90, class_code=0x030200
        )
        self.fake.add(
            "0000:43:00.1", "8086:10c9", group=90, vfs=2, vf_device="10ca"
        )
        words = ("device", "bind", "0000:43:00.0")
        said = self.fails(*words)
        mend = ("--companion", "0000:43:00.1", "--allow-pf")
        self.assertIn(f"hint: add {' '.join(mend)}", said)
        self.ok(*words, *mend)


class ScrubTest(SingleCase):
    """What can't be scrubbed is told why, with what can be done."""

    def test_a_function_that_is_not_there_is_told_as_such(self) -> None:
        for more in ((), ("--dry-run",)):
            said = self.fails("device", "scrub", NOWHERE, *more)
            self.assertIn(NOWHERE, said)
            self.assertNotIn("reset", said)

    def test_a_reset_is_told_of_where_it_would_be_done(self) -> None:
        said = self.fails("device", "scrub", CARDS[0])
        self.assertEqual(0, self.paste(said).status)
        self.claim(CARDS[0])
        said = self.refuses("device", "scrub", CARDS[0])
        self.assertIn("is not reserved for having been used once", said)
        self.assertNotIn("device reset", said)
        self.assertIn(f"instance {ONE} has it", said)
