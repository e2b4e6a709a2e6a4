# SPDX-License-Identifier: Apache-2.0
"""``reconcile`` and ``config check``, and guests' mediated devices."""

import pathlib

from nova_vfio_variant.testing import fake_host
from tests.functional import adopt_case, cli_case, mdev_claims_case
from tests.functional.adopt_case import ADOPT, DOMAIN, MDEV, RUNNING
from tests.functional.cli_case import ONE, THREE, TWO
from tests.functional.mdev_claims_case import CARDS


def made_by_another(fake: fake_host.FakeHost, uuid: str) -> None:
    """Make one as another tool does."""
    fake.write(
        f"sys/class/mdev_bus/{CARDS[0]}/mdev_supported_types/nvidia-35/create",
        uuid.encode(),
    )


class Told(cli_case.CliTestCase):
    """What is told of guests' devices."""

    def told(self) -> dict[tuple[str, str], str]:
        """What reconcile tells, and what config check tells the same of."""
        done = self.run_cli("reconcile", "--dry-run", "-f", "json")
        found = {
            (row["subject"], row["what"]): row["reason"]
            for row in done.json
            if "guest" in row["what"]
        }
        unclaimed = {
            subject
            for subject, what in found
            if what.startswith("device of a")
        }
        self.assertEqual(sorted(unclaimed), self.checked())
        return found

    def checked(self) -> list[str]:
        """Of which devices config check tells that nobody claimed them."""
        return [
            found["subject"]
            for found in self.json("config", "check", "--fail-on", "error")
            if found["code"] == "VFIO403"
        ]

    @staticmethod
    def define(instance: str, *uuids: str) -> None:
        """A guest of libvirt's that has these, and runs."""
        path = pathlib.Path("host/run/libvirt/qemu", f"{instance}.xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        devices = "".join(map(MDEV.format, uuids))
        path.write_text(RUNNING.format(DOMAIN.format(instance, devices)))


class GuestTest(Told, mdev_claims_case.MdevClaimsCase):
    def setUp(self) -> None:
        super().setUp()
        self.ok("device", "sync")

    def claimed(self, instance: str = ONE) -> str:
        """The mediated device of a claim."""
        (made,) = self.claim(instance, "--vgpu-type", "nvidia-35")
        return str(made["mdevs"][0])

    def test_whoever_has_claimed_it_may_have_it(self) -> None:
        uuid = self.claimed()
        self.define(ONE, uuid)
        self.opened(uuid, ONE)
        self.assertEqual({}, self.told())

    def test_one_that_another_has_claimed_is_told(self) -> None:
        uuid = self.claimed()
        self.define(TWO, uuid.upper())
        ((subject, said),) = self.told().items()
        self.assertEqual(
            (uuid, "device of a guest that has not claimed it"), subject
        )
        self.assertIn(
            f"guest {TWO} has it, and instance {ONE} has claimed", said
        )
        self.assertIn(f"(/run/libvirt/qemu/{TWO}.xml)", said)
        self.assertEqual(2, len(self.json("mdev", "list")) + 1)

    def test_one_that_nobody_has_claimed_is_told_with_what_to_do(self) -> None:
        made_by_another(self.fake, THREE)
        self.define(ONE, THREE)
        ((subject, said),) = self.told().items()
        self.assertEqual(THREE, subject[0])
        self.assertIn(f"guest {ONE} has it, and nobody has claimed it", said)
        command = f"claim create --instance {ONE} --vgpu-type nvidia-35"
        self.assertIn(f"nova-vfio {command}", said)
        (made,) = self.json(*command.split())
        self.define(ONE, *made["mdevs"])
        self.assertEqual({}, self.told())

    def test_one_of_ours_that_is_nobodys_is_told(self) -> None:
        (made,) = self.json("mdev", "create", "nvidia-35")
        self.define(ONE, made["uuid"])
        self.assertEqual([made["uuid"]], [at for at, _ in self.told()])

    def test_one_that_only_its_process_tells_of_is_told(self) -> None:
        uuid = self.claimed()
        pid = self.opened(uuid, TWO)
        ((subject, said),) = self.told().items()
        self.assertEqual(uuid, subject[0])
        self.assertIn(f"is open in process {pid} (", said)

    def opened(self, uuid: str, instance: str) -> int:
        """A guest that libvirt doesn't know has it open."""
        pid = self.fake.hold(uuid)
        words = ("qemu-system-x86_64", "-uuid", instance)
        text = "".join(f"{word}\0" for word in words)
        (self.fake.root / f"proc/{pid}/cmdline").write_text(text)
        return pid

    def test_one_of_two_guests_is_told(self) -> None:
        uuid = self.claimed()
        self.define(ONE, uuid)
        self.define(TWO, uuid)
        said = self.told()[uuid, "device of two guests"]
        self.assertIn(f"guests {ONE}, {TWO} have it (", said)
        self.assertIn(f"{ONE} has claimed it, and is right", said)

    def test_of_a_card_that_nobody_names_it_is_another_tools(self) -> None:
        self.configure(tail="[vfio]\nplacement = embedded\n")
        self.ok("device", "sync")
        made_by_another(self.fake, THREE)
        self.define(ONE, THREE)
        self.assertEqual({}, self.told())


class NovaTest(Told, adopt_case.AdoptCase):
    """Beside nova-compute, which hands them out."""

    PLACE = "pci_0000_06_00_0"

    def setUp(self) -> None:
        super().setUp()
        self.fake = mdev_claims_case.with_cards(self.folder / "host")
        self.enterContext(self.fake.plugged_in())
        self.declare(
            mdev_claims_case.SPEC,
            mdev_claims_case.ALIAS,
            more="[devices]\nenabled_mdev_types = nvidia-35\n",
        )
        self.nova_publishes(self.PLACE, "VGPU", 4)
        self.ok("device", "sync")
        made_by_another(self.fake, THREE)

    def test_what_nova_gives_is_no_find(self) -> None:
        self.define(ONE, THREE)
        self.assertEqual({}, self.told())

    def test_one_that_nova_gave_to_another_is_told(self) -> None:
        self.nova_allocates({self.PLACE: {"VGPU": 1}})
        self.define(ONE, THREE)
        self.ok(*ADOPT)
        self.assertEqual({}, self.told())
        self.define(TWO, THREE)
        found = self.told()
        self.assertEqual(
            [
                (THREE, "device of a guest that has not claimed it"),
                (THREE, "device of two guests"),
            ],
            sorted(found),
        )
        self.assertIn(f"instance {ONE} has claimed it", min(found.items())[1])
