# SPDX-License-Identifier: Apache-2.0
"""What a tracked device becomes in a guest's XML."""

from lxml import etree

from nova_vfio_variant import exception
from nova_vfio_variant.guest import libvirt
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.tracker.device import Device
from tests import base

ONE = "1d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"


def device(address: str, managed: bool | None = None) -> Device:
    extra = {} if managed is None else {"managed": str(managed).lower()}
    return Device(
        PciAddress.parse(address),
        "10de",
        "25b6",
        "type-VF",
        None,
        None,
        "CUSTOM_A16_16A",
        extra_info=extra,
    )


def domain(*addresses: str) -> etree._Element:
    root = etree.Element("domain", type="kvm")
    devices = etree.SubElement(root, "devices")
    for address in addresses:
        devices.append(libvirt.hostdev(device(address, managed=True)))
    return root


def devices_in(root: etree._Element) -> list[tuple[str, str]]:
    found = []
    for element in root.iterfind("devices/hostdev"):
        (where,) = element.iterfind("source/address")
        parts = ("domain", "bus", "slot", "function")
        found.append(
            (
                ":".join(where.get(part, "") for part in parts),
                element.get("managed", ""),
            )
        )
    return found


class HostdevTest(base.TestCase):
    def test_an_unmanaged_vf_looks_as_the_spec_shows_it(self) -> None:
        text = libvirt.to_text(
            libvirt.hostdev(device("0000:25:00.4", managed=False))
        )
        self.assertEqual(
            '<hostdev mode="subsystem" type="pci" managed="no">\n'
            '  <driver name="vfio"/>\n'
            "  <source>\n"
            '    <address domain="0x0000" bus="0x25" slot="0x00"'
            ' function="0x4"/>\n'
            "  </source>\n"
            "</hostdev>\n",
            text,
        )

    def test_managed_is_yes_when_the_spec_said_yes_or_nothing(self) -> None:
        for managed in (True, None):
            element = libvirt.hostdev(device("0000:25:00.4", managed))
            self.assertEqual("yes", element.get("managed"))

    def test_a_vmd_domain_keeps_all_its_digits(self) -> None:
        element = libvirt.hostdev(device("10000:01:00.0"))
        self.assertEqual(
            "0x10000", element.xpath("string(source/address/@domain)")
        )

    def test_an_mdev_is_named_by_its_uuid_and_never_managed(self) -> None:
        self.assertEqual(
            '<hostdev mode="subsystem" type="mdev" managed="no"'
            ' model="vfio-pci">\n'
            "  <source>\n"
            '    <address uuid="8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"/>\n'
            "  </source>\n"
            "</hostdev>\n",
            libvirt.to_text(
                libvirt.mdev_hostdev("8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0")
            ),
        )


class MigrationTest(base.TestCase):
    def test_crossing_addresses_are_replaced_at_once(self) -> None:
        first, second, third = (
            "0000:25:00.4",
            "0000:25:00.5",
            "0000:25:00.6",
        )
        moved = libvirt.rewrite_for_migration(
            domain(first, second),
            {
                PciAddress.parse(first): device(second),
                PciAddress.parse(second): device(third, managed=False),
            },
        )
        self.assertEqual(
            [
                ("0x0000:0x25:0x00:0x5", "yes"),
                ("0x0000:0x25:0x00:0x6", "no"),
            ],
            devices_in(moved),
        )

    def test_the_given_document_stays_as_it_was(self) -> None:
        original = domain("0000:25:00.4")
        before = etree.tostring(original)
        libvirt.rewrite_for_migration(
            original,
            {PciAddress.parse("0000:25:00.4"): device("0000:41:10.0")},
        )
        self.assertEqual(before, etree.tostring(original))

    def test_an_address_that_the_domain_lacks_is_an_error(self) -> None:
        error = self.assertRaises(
            exception.ClaimError,
            libvirt.rewrite_for_migration,
            domain("0000:25:00.4"),
            {PciAddress.parse("0000:99:00.0"): device("0000:41:10.0")},
        )
        self.assertIn("0000:99:00.0", str(error))

    def test_devices_of_other_kinds_are_left_alone(self) -> None:
        root = domain("0000:25:00.4")
        root[0].append(
            libvirt.mdev_hostdev("8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0")
        )
        moved = libvirt.rewrite_for_migration(
            root, {PciAddress.parse("0000:25:00.4"): device("0000:41:10.0")}
        )
        self.assertEqual(
            etree.tostring(root[0][1]), etree.tostring(moved[0][1])
        )

    def test_only_the_source_and_managed_of_what_moves_are_replaced(
        self,
    ) -> None:
        # As libvirt gives a running guest: with what it added itself, a
        # device that stays, and a port's device, which Neutron plugs anew.
        inside = "domain='0x0000' bus='0x07' slot='0x00' function='0x0'"
        moves = "domain='0x0000' bus='0x25' slot='0x00' function='0x4'"
        domain_xml = f"""\
<domain type='kvm'><devices>
  <hostdev mode='subsystem' type='pci' managed='no'>
    <driver name='vfio'/>
    <source><address {{0}}/></source>
    <alias name='hostdev0'/>
    <rom bar='off'/>
    <address type='pci' {inside}/>
  </hostdev>
  <hostdev mode='subsystem' type='pci' managed='yes'>
    <source><address {inside}/></source>
    <address type='pci' {moves}/>
  </hostdev>
  <interface type='hostdev' managed='yes'>
    <source><address type='pci' {moves}/></source>
  </interface>
</devices></domain>"""
        moved = libvirt.rewrite_for_migration(
            etree.fromstring(domain_xml.format(moves)),
            {
                PciAddress.parse("0000:25:00.4"): device(
                    "0000:41:10.2", managed=False
                )
            },
        )
        there = "domain='0x0000' bus='0x41' slot='0x10' function='0x2'"
        self.assertEqual(
            etree.tostring(etree.fromstring(domain_xml.format(there))),
            etree.tostring(moved),
        )

    def mdevs(self, *uuids: str) -> etree._Element:
        root = domain("0000:25:00.4")
        for uuid in uuids:
            root[0].append(libvirt.mdev_hostdev(uuid))
        return root

    def test_crossing_mdevs_are_replaced_at_once(self) -> None:
        first, second, third = (f"{n}{ONE[1:]}" for n in "123")
        moved = libvirt.rewrite_for_migration(
            self.mdevs(first, second),
            {PciAddress.parse("0000:25:00.4"): device("0000:41:10.0")},
            {first: second, second.upper(): third},
        )
        self.assertEqual(
            [second, third],
            moved.xpath("devices/hostdev[@type='mdev']/source/address/@uuid"),
        )
        self.assertEqual(
            ["no", "no"],
            moved.xpath("devices/hostdev[@type='mdev']/@managed"),
        )

    def test_an_mdev_without_a_counterpart_is_an_error(self) -> None:
        error = self.assertRaises(
            exception.ClaimError,
            libvirt.rewrite_for_migration,
            self.mdevs(ONE),
            {},
            {},
        )
        self.assertIn(ONE, str(error))

    def test_mdevs_stay_where_none_are_to_move(self) -> None:
        root = self.mdevs(ONE)
        moved = libvirt.rewrite_for_migration(root, {})
        self.assertEqual(etree.tostring(root), etree.tostring(moved))
