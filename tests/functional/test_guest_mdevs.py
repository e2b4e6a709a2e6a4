# SPDX-License-Identifier: Apache-2.0
"""Mediated devices, and the console of vGPUs, in a guest's arguments."""

import pathlib

from lxml import etree

from nova_vfio_variant.host.decide import mdev_codes
from tests.functional import cli_case, schema_case, vgpu_case

CCW = "sys/devices/virtual/css0/css0/mdev_supported_types/vfio_ccw-io"
NOWHERE = "4f9d9f56-6a53-4b0e-9d20-7dd5bb3b9bd6"


def attributes(element: etree._Element) -> dict[str, str]:
    """Of an element, as text."""
    return {str(name): str(value) for name, value in element.items()}


class GuestMdevCase(schema_case.SchemaCase):
    """A card of vGPUs, the sample mtty, and a subchannel as s390 has them."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = vgpu_case.with_card(self.folder / "host")
        self.fake.add_mdev_parent("mtty", {"mtty-1": 1, "mtty-2": 2}, 24)
        self.fake.add_mdev_parent("css0", {"vfio_ccw-io": 1}, 1)
        self.api(CCW).write_text("vfio-ccw\n")
        self.enterContext(self.fake.plugged_in())
        self.configure(vgpu_case.SPEC, tail="[vfio]\nplacement = embedded\n")

    def api(self, of: str) -> pathlib.Path:
        """The file that says what a type is to a guest."""
        return self.fake.root / of / "device_api"

    def make(self, type_id: str, *words: str) -> str:
        """Make one; its UUID."""
        [row] = self.json("mdev", "create", type_id, "-q", *words)
        return str(row["uuid"])

    def xml(self, *words: str, status: int = 0) -> list[etree._Element]:
        """The elements, which libvirt's schema takes."""
        return self.assert_valid(
            self.ok("guest", "xml", *words, status=status).out
        )


class XmlTest(GuestMdevCase):
    def test_the_model_is_what_the_type_says_that_it_is(self) -> None:
        for type_id, model in (
            ("mtty-2", "vfio-pci"),
            ("vfio_ccw-io", "vfio-ccw"),
        ):
            uuid = self.make(type_id)
            [hostdev] = self.xml("--mdev", uuid.upper())
            self.assertEqual(
                {
                    "mode": "subsystem",
                    "type": "mdev",
                    "managed": "no",
                    "model": model,
                },
                attributes(hostdev),
            )
            self.assertEqual([uuid], hostdev.xpath("source/address/@uuid"))

    def test_an_instance_gets_its_functions_and_its_mdevs(self) -> None:
        self.make("mtty-1")
        mine = {
            self.make("mtty-2", "--instance", cli_case.ONE) for _ in range(2)
        }
        found = self.xml("--instance", cli_case.ONE)
        self.assertEqual(
            mine,
            {
                hostdev.xpath("string(source/address/@uuid)")
                for hostdev in found
            },
        )
        said = self.fails("guest", "xml", "--instance", cli_case.TWO)
        self.assertIn("has claimed nothing", said)

    def test_a_file_is_named_by_the_uuid(self) -> None:
        uuid = self.make("mtty-1")
        self.ok("guest", "xml", "--mdev", uuid, "--output-dir", "out")
        self.assert_valid(pathlib.Path(f"out/{uuid}.xml").read_text())

    def test_one_that_is_open_is_told(self) -> None:
        uuid = self.make("mtty-1")
        self.fake.hold(uuid)
        done = self.ok("guest", "xml", "--mdev", uuid, status=1)
        self.assertIn(f"[{mdev_codes.MDEV_OPEN.id}]", done.err)
        self.assert_valid(done.out)


class ConsoleTest(GuestMdevCase):
    def test_one_of_a_guests_vgpus_has_the_console(self) -> None:
        mine = [
            self.make("mtty-2", "--instance", cli_case.ONE) for _ in range(2)
        ]
        for option, attributes in (
            ("--display", {"display": "on"}),
            ("--ramfb", {"display": "on", "ramfb": "on"}),
        ):
            found = {
                hostdev.xpath("string(source/address/@uuid)"): {
                    name: hostdev.attrib[name]
                    for name in ("display", "ramfb")
                    if name in hostdev.attrib
                }
                for hostdev in self.xml(
                    *("--instance", cli_case.ONE, option, mine[1])
                )
            }
            self.assertEqual({mine[0]: {}, mine[1]: attributes}, found)

    def test_a_vendors_vgpu_has_it_too(self) -> None:
        self.ok("device", "sync")
        self.fake.writer().set_vgpu_type(vgpu_case.VF, "557")
        words = ("--address", vgpu_case.VF, "--ramfb", vgpu_case.VF)
        done = self.run_cli("guest", "xml", *words)
        [hostdev] = self.assert_valid(done.out)
        self.assertEqual(
            ("pci", "on", "on"),
            tuple(
                hostdev.attrib[name] for name in ("type", "display", "ramfb")
            ),
        )

    def test_what_has_no_display_is_refused(self) -> None:
        uuid = self.make("vfio_ccw-io")
        said = self.fails(*("guest", "xml", "--mdev", uuid, "--display", uuid))
        self.assertIn(f"{uuid} has no display: it is vfio-ccw", said)

    def test_what_is_none_of_the_guests_is_refused(self) -> None:
        uuid = self.make("mtty-1")
        said = self.fails(
            *("guest", "xml", "--mdev", uuid, "--display", NOWHERE)
        )
        self.assertIn(f"{NOWHERE} is no device of this guest", said)
        self.assertIn(f"hint: it has {uuid}", said)

    def test_only_one_option_may_say_it(self) -> None:
        uuid = self.make("mtty-1")
        said = self.fails(
            *("guest", "xml", "--mdev", uuid),
            *("--display", uuid, "--ramfb", uuid),
        )
        self.assertIn("not allowed with", said)


class RefusedTest(GuestMdevCase):
    def test_what_is_no_uuid_or_is_not_there_is_said(self) -> None:
        for text, code in (
            ("{" + NOWHERE + "}", mdev_codes.MDEV_UUID.id),
            (NOWHERE, mdev_codes.NO_MDEV.id),
        ):
            for command in ("xml", "qemu", "cloud-hypervisor"):
                said = self.fails("guest", command, "--mdev", text)
                self.assertIn(f"[{code}]", said)

    def test_a_type_that_does_not_say_what_it_is_is_refused(self) -> None:
        uuid = self.make("vfio_ccw-io")
        for told, shown in (
            ("", "not told"),
            ("vfio-matrix\n", "vfio-matrix"),
        ):
            self.api(CCW).write_text(told)
            said = self.fails("guest", "xml", "--mdev", uuid)
            self.assertIn(f"below css0 is {shown}", said)
            self.assertIn("vfio-pci, vfio-ccw, vfio-ap", said)


class ArgumentsTest(GuestMdevCase):
    def test_qemu_gets_the_folder_in_sysfs(self) -> None:
        for type_id, driver, port in (
            ("mtty-2", "vfio-pci", ",bus=port-{}"),
            ("vfio_ccw-io", "vfio-ccw", ""),
        ):
            uuid = self.make(type_id)
            out = self.ok("guest", "qemu", "--mdev", uuid).out
            self.assertEqual(bool(port), "pcie-root-port" in out)
            self.assertEqual(
                f"{driver},sysfsdev=/sys/bus/mdev/devices/{uuid},"
                f"id=hostdev-{uuid}{port.format(uuid)}",
                out.split()[-1],
            )

    def test_qemus_device_with_a_boot_display_cannot_be_unplugged(
        self,
    ) -> None:
        uuid = self.make("mtty-2")
        out = self.ok("guest", "qemu", "--mdev", uuid, "--ramfb", uuid).out
        self.assertEqual(
            "vfio-pci-nohotplug,"
            f"sysfsdev=/sys/bus/mdev/devices/{uuid},"
            f"id=hostdev-{uuid},bus=port-{uuid},display=on,ramfb=on",
            out.split()[-1],
        )

    def test_cloud_hypervisor_gets_all_in_one_option(self) -> None:
        mine = sorted(
            self.make("mtty-2", "--instance", cli_case.ONE) for _ in range(2)
        )
        self.assertEqual(
            "--device "
            + " ".join(
                f"path=/sys/bus/mdev/devices/{uuid}/,id=hostdev-{uuid}"
                for uuid in mine
            )
            + "\n",
            self.ok(
                "guest", "cloud-hypervisor", "--instance", cli_case.ONE
            ).out,
        )
        uuid = self.make("vfio_ccw-io")
        said = self.fails("guest", "cloud-hypervisor", "--mdev", uuid)
        self.assertIn("takes no vfio-ccw device", said)
