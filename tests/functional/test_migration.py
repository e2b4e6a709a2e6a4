# SPDX-License-Identifier: Apache-2.0
"""What of an instance can move with it, and where to."""

import shutil

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case
from tests.functional.cli_case import ONE, TWO

PF = "0000:21:00.0"
VFS = ("0000:21:10.0", "0000:21:10.2")
BASE = f"sys/bus/pci/devices/{PF}/"
SPEC = (
    'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
    ' "managed": "no", "live_migratable": "yes" }'
)


class MovingCase(cli_case.CliTestCase):
    """A card with four VFs on a variant driver, of which some are claimed.

    The driver is one that nobody has told of, so that it is never a no.
    """

    DRIVER = "igb_vfio_pci"

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(self.make_host("host").plugged_in())
        self.declare()

    def make_host(self, name: str) -> fake_host.FakeHost:
        host = fake_host.FakeHost(self.folder / name)
        host.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        host.add_driver(self.DRIVER, ["8086:10ca"], vfio=True)
        host.add_alias(
            "vfio_pci:v00008086d000010CAsv*sd*bc*sc*i*", self.DRIVER
        )
        host.add(
            PF,
            "8086:10c9",
            vfs=4,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        host.writer().set_numvfs(PF, 4)
        return host

    def declare(self, spec: str = SPEC, head: str = "") -> None:
        self.configure(
            spec,
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
            head=head,
            tail="[vfio]\nplacement = embedded\n",
        )

    def claim(self, *devices: str, instance: str = ONE) -> None:
        words = [word for device in devices for word in ("--device", device)]
        self.ok("claim", "create", "--instance", instance, *words)

    def tell(self, *features: str, of: str = VFS[0]) -> None:
        """Let the kernel tell of a VF; without features it can't migrate."""
        folder = self.folder / "host/sys/kernel/debug/vfio" / of
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if features:
            (folder / "migration").mkdir()
            text = "".join(f"{feature}\n" for feature in features)
            (folder / "migration/features").write_text(text)


class CheckTest(MovingCase):
    def answers(self, status: int = 0) -> list[tuple[str, bool | None, str]]:
        return [
            (row["answer"], row["p2p"], row["reason"])
            for row in self.json(
                "migration", "check", "--instance", ONE, status=status
            )
        ]

    def test_a_driver_s_name_is_possible_and_the_kernel_s_word_a_yes(
        self,
    ) -> None:
        self.claim(VFS[0])
        ((answer, p2p, why),) = self.answers()
        self.assertEqual(("possible", None), (answer, p2p))
        self.assertIn("igb_vfio_pci", why)
        self.tell("stop-copy", "p2p")
        ((answer, p2p, why),) = self.answers()
        self.assertEqual(("yes", True), (answer, p2p))
        self.assertIn("p2p, stop-copy", why)
        self.tell()
        ((answer, _, why),) = self.answers(1)
        self.assertEqual("no", answer)
        self.assertIn("the kernel says", why)

    def test_several_need_p2p_in_all(self) -> None:
        self.claim(*VFS)
        self.tell("stop-copy", "p2p")
        self.tell("stop-copy", of=VFS[1])
        (first, _, _), (second, _, why) = self.answers(1)
        self.assertEqual(("yes", "no"), (first, second))
        self.assertIn("P2P", why)

    def test_what_is_not_declared_does_not_move(self) -> None:
        for says, told in (
            ("", "doesn't say"),
            (', "live_migratable": "no"', "says live_migratable no"),
        ):
            self.declare(SPEC.replace(', "live_migratable": "yes"', says))
            self.claim(VFS[0])
            ((answer, _, why),) = self.answers(1)
            self.assertEqual("no", answer)
            self.assertIn(told, why)
            self.ok("claim", "release", "--instance", ONE)

    def test_post_copy_is_told_and_a_file_that_permits_it(self) -> None:
        self.claim(VFS[0])
        words = ("migration", "check", "--instance", ONE)
        self.assertIn("never with post-copy", self.ok(*words).err)
        self.declare(
            head="[libvirt]\nlive_migration_permit_post_copy = true\n"
        )
        said = self.ok(*words, status=1).err
        self.assertIn("live_migration_permit_post_copy", said)

    def test_who_has_nothing_is_told_so(self) -> None:
        self.claim(VFS[0], instance=TWO)
        said = self.refuses("migration", "check", "--instance", ONE)
        self.assertIn("has claimed nothing", said)


class PlanTest(MovingCase):
    def setUp(self) -> None:
        super().setUp()
        self.there = self.make_host("there")
        self.words = ("migration", "plan", "--instance", ONE, "--to", "there")

    def test_each_finds_a_place_and_its_claim_is_the_first_step(self) -> None:
        self.claim(*VFS)
        before = self.recorded()
        done = self.ok(*self.words, "-f", "json")
        self.assertEqual(
            [(VFS[0], VFS[0], False), (VFS[1], VFS[1], False)],
            [(row["device"], row["to"], row["managed"]) for row in done.json],
        )
        self.assertIn(
            f"1. on the target: nova-vfio claim create --instance {ONE}"
            f" --device {VFS[0]} --device {VFS[1]}\n",
            done.err,
        )
        self.assert_recorded(before)

    def test_a_place_is_one_that_is_ready(self) -> None:
        self.claim(VFS[0])
        unbind = f"sys/bus/pci/drivers/{self.DRIVER}/unbind"
        self.there.write(unbind, VFS[0].encode())
        (row,) = self.json(*self.words)
        self.assertEqual(VFS[1], row["to"])

    def test_the_other_host_s_own_file_counts(self) -> None:
        self.claim(VFS[0])
        own = (self.folder / "nova.conf").read_text()
        (self.folder / "own.conf").write_text(
            own.replace('"managed": "no"', '"managed": "yes"')
        )
        (row,) = self.json(*self.words, "--to-config-file", "own.conf")
        self.assertTrue(row["managed"])
        (self.folder / "own.conf").write_text(
            own.replace(', "live_migratable": "yes"', "")
        )
        done = self.ok(*self.words, "--to-config-file", "own.conf", status=1)
        self.assertIn("finds no place", done.err)
        self.assertIn("doesn't say live_migratable", done.err)
        self.assertNotIn("claim create", done.err)

    def test_what_can_not_move_is_not_planned(self) -> None:
        self.claim(VFS[0])
        self.tell()
        done = self.ok(*self.words, status=1)
        self.assertIn(f"{VFS[0]} can't move: the kernel says", done.err)


class PfTest(cli_case.CliTestCase):
    """A PF whose VFs were made by a driver that knows nothing of them."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("4xxx", ["8086:10c9"], makes_vfs=True)
        self.fake.add_driver("pci-pf-stub", makes_vfs=True)
        self.fake.add_driver("qat_vfio_pci", ["8086:10ca"], vfio=True)
        self.fake.add(
            PF,
            "8086:10c9",
            vfs=2,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        for path, data in (
            (f"{BASE}driver_override", b"pci-pf-stub"),
            ("sys/bus/pci/drivers/4xxx/unbind", PF.encode()),
            ("sys/bus/pci/drivers_probe", PF.encode()),
            (f"{BASE}sriov_numvfs", b"2"),
        ):
            self.fake.write(path, data)
        self.enterContext(self.fake.plugged_in())

    def declare(self, vfs: int) -> None:
        self.configure(
            SPEC,
            tail="[vfio]\nplacement = embedded\n"
            f'host_spec = {{ "address": "{PF}", "num_vfs": {vfs} }}\n',
        )

    def test_its_mend_works_as_it_is_written(self) -> None:
        self.declare(2)
        (found,) = self.json("config", "check", status=1)
        self.assertEqual("VFIO320", found["code"])
        _, bind = found["hint"].split("; then nova-vfio ")
        self.declare(0)
        self.ok("host", "apply")
        self.ok(*bind.partition(",")[0].split())
        self.declare(2)
        self.ok("host", "apply")
        self.assertEqual([], self.json("config", "check"))
