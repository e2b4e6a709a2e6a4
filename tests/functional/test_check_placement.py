# SPDX-License-Identifier: Apache-2.0
"""What ``config check`` says of a Placement that is really there."""

import pathlib
import socket

from nova_vfio_variant.placement import client
from nova_vfio_variant.testing import placement
from tests.functional.check_host import card
from tests.functional.cli_case import ONE, THREE, TWO, CliTestCase

SPEC = (
    'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
    ' "managed": "no" }'
)
ALIAS = (
    'alias = { "name": "vf", "vendor_id": "8086", "product_id": "10ca",'
    ' "device_type": "type-VF" }'
)
RC = "CUSTOM_PCI_8086_10CA"
ROOT = "compute-1"
PROVIDER = "compute-1_0000:25:00.0"
GUEST = f"""\
<domstatus state='running'>
  <domain type='kvm' id='1'>
    <name>guest</name>
    <uuid>{THREE}</uuid>
    <devices>
      <hostdev mode='subsystem' type='pci' managed='no'>
        <source>
          <address domain='0x0000' bus='0x25' slot='0x00' function='0x5'/>
        </source>
      </hostdev>
    </devices>
  </domain>
</domstatus>
"""


class EmbeddedTest(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*card(vfs=3))
        self.configure(SPEC, ALIAS)
        self.ok("inventory", "report", status=0)
        self.ok("claim", "create", "--instance", ONE, "--alias", "vf:1")

    def let(self, instance: str, amount: int) -> None:
        """Write an allocation past our commands."""
        listed = self.placement.find(PROVIDER)
        assert listed is not None
        found = self.placement.allocations(instance)
        self.placement.put_allocations(
            instance,
            client.Allocations(
                {listed.uuid: {RC: amount}} if amount else {},
                found.generation,
            ),
        )

    def test_what_we_published_has_no_finding(self) -> None:
        self.assertEqual([], self.json("config", "check"))

    def test_an_allocation_of_another_instance_is_told(self) -> None:
        self.let(TWO, 1)
        self.let(ONE, 0)
        (one, two) = self.json("config", "check", status=1)
        for found, instance, recorded, published in (
            (one, ONE, 1, 0),
            (two, TWO, 0, 1),
        ):
            self.assertEqual("VFIO402", found["code"])
            self.assertEqual(PROVIDER, found["subject"])
            self.assertEqual(
                f"instance {instance} has {recorded} of its devices in the"
                f" store, and {published} in Placement",
                found["message"],
            )
        self.assertEqual([], self.json("config", "check", "--offline"))

    def test_a_guest_that_nobody_claimed_for_is_told(self) -> None:
        path = pathlib.Path("host/run/libvirt/qemu/guest.xml")
        path.parent.mkdir(parents=True)
        path.write_text(GUEST)
        (found,) = self.json("config", "check", status=1)
        self.assertEqual("VFIO403", found["code"])
        self.assertEqual(
            f"guest guest ({THREE}) has 0000:25:00.5"
            " (/run/libvirt/qemu/guest.xml), which nobody claimed",
            found["message"],
        )

    def test_a_guest_that_placement_knows_is_fine(self) -> None:
        """As Nova's are, which has no store of ours."""
        path = pathlib.Path("host/run/libvirt/qemu/guest.xml")
        path.parent.mkdir(parents=True)
        path.write_text(GUEST)
        self.let(THREE, 1)
        codes = [one["code"] for one in self.json("config", "check", status=1)]
        # That the store has no claim for it is another matter.
        self.assertEqual(["VFIO402"], codes)


class ServiceTest(CliTestCase):
    """A cloud's Placement, to which Nova published."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.useFixture(placement.PlacementServer())
        self.direct = self.server.embedded.client
        self.host(*card(vfs=3))
        self.use(self.server.url)

    def use(self, url: str) -> None:
        self.configure(
            SPEC,
            ALIAS,
            tail="[vfio]\nplacement = service\n"
            "[placement]\nauth_type = admin_token\ntoken = admin\n"
            f"endpoint = {url}\nconnect_retries = 0\n",
        )

    def publish(self, total: int, *traits: str) -> None:
        """Publish as Nova would."""
        self.direct.create(ONE, ROOT, None)
        generation = self.direct.create(TWO, PROVIDER, ONE)
        self.direct.create_class(RC)
        self.direct.put_inventories(
            TWO, generation, {RC: {"total": total, "max_unit": total}}
        )
        generation, _ = self.direct.traits(TWO)
        wanted = ("COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA", *traits)
        for name in self.direct.missing_traits(wanted):
            self.direct.create_trait(name)
        self.direct.put_traits(TWO, generation, wanted)

    def test_what_nova_published_of_this_file_has_no_finding(self) -> None:
        self.publish(3)
        self.assertEqual([], self.json("config", "check"))

    def test_what_nova_published_of_another_file_is_told(self) -> None:
        self.publish(2, "CUSTOM_FAST")
        (found,) = self.json("config", "check", status=1)
        self.assertEqual("VFIO401", found["code"])
        self.assertEqual(PROVIDER, found["subject"])
        self.assertEqual(
            f"{RC}.total 2 is published, and 3 would be; {RC}.max_unit 2 is"
            " published, and 3 would be; traits"
            " COMPUTE_MANAGED_PCI_DEVICE,CUSTOM_FAST is published, and"
            " COMPUTE_MANAGED_PCI_DEVICE would be",
            found["message"],
        )
        self.assertEqual([], self.json("config", "check", "--offline"))

    def test_a_cloud_that_was_not_asked_is_told_and_asked(self) -> None:
        self.publish(2)
        conf = pathlib.Path("nova.conf")
        for said in ("", "[vfio]\nplacement = embedded\n"):
            self.use(self.server.url)
            conf.write_text(
                conf.read_text().replace("[vfio]\nplacement = service\n", said)
            )
            (found,) = self.json("config", "check")
            self.assertEqual(
                ("VFIO407", "info"), (found["code"], found["severity"])
            )
            self.assertIn("--placement service", found["hint"])
            (found,) = self.json(
                *("config", "check", "--placement", "service"), status=1
            )
            self.assertEqual("VFIO401", found["code"])
            self.assertEqual([], self.json("config", "check", "--offline"))
            self.assertFalse(self.state.exists())
        self.use(self.server.url)
        (found,) = self.json("config", "check", "--placement=embedded")
        self.assertEqual("VFIO407", found["code"])

    def test_a_placement_that_is_down_is_told(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.use(f"http://127.0.0.1:{port}")
        (found,) = self.json("config", "check", status=1)
        self.assertEqual("VFIO404", found["code"])
        self.assertIn(f"127.0.0.1:{port}", found["message"])
        self.assertEqual([], self.json("config", "check", "--offline"))
