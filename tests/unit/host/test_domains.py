# SPDX-License-Identifier: Apache-2.0
"""Descriptions of guests are read, and nothing that they lead to."""

import pathlib

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import domains
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import address as pci_address
from tests import base

ONE = "0b6d4c2a-8f1e-4a73-9c55-3e2d1f0a9b8c"
MDEV = "4c1d5a7e-63f2-4b0d-8e9a-7f6b5c4d3e2f"
RUNS = "run/libvirt/qemu"
BROKEN = "<hostdev type='pci'><source><address bus='0xz'/></source></hostdev>"


def pci(bus: int, kind: str = "pci") -> str:
    return f"<source><address type='{kind}' domain='0x10000' bus='{bus:#x}'/></source>"


class DomainTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.tree = host_tree.DirectoryTree(str(self.root))

    def put(
        self, devices: str, folder: str = RUNS, *, outer: str = "domstatus"
    ) -> str:
        path = self.root / folder / "guest.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"<{outer}><domain><name>guest</name><uuid> {ONE.upper()}</uuid>"
            f"<devices>{devices}</devices></domain></{outer}>"
        )
        return f"/{folder}/guest.xml"

    def test_what_a_guest_has_is_each_of_its_devices(self) -> None:
        of_usb = pci(4, "usb")
        place = self.put(
            f"<hostdev type='pci'>{pci(2)}</hostdev>"
            f"<interface type='hostdev'>{pci(1)}</interface>"
            f"<interface type='hostdev'>{of_usb}</interface>"
            "<hostdev type='mdev'><source>"
            f"<address uuid='{MDEV.upper()}'/></source></hostdev>"
            f"<hostdev type='usb'>{pci(3)}</hostdev>"
            f"<disk type='nvme'>{pci(5)}</disk>"
        )
        self.assertEqual(
            [
                domains.Guest(
                    place,
                    ONE,
                    "guest",
                    (
                        pci_address.PciAddress(0x10000, 1, 0, 0),
                        pci_address.PciAddress(0x10000, 2, 0, 0),
                    ),
                    (MDEV,),
                )
            ],
            [*domains.every(self.tree)],
        )

    def test_those_that_run_come_before_those_that_are_defined(self) -> None:
        for folder in reversed(domains.EVERY):
            self.put("", folder, outer="x")
        self.assertEqual(
            [f"/{folder}/guest.xml" for folder in domains.EVERY],
            [guest.place for guest in domains.every(self.tree)],
        )
        guest = domains.of_instance(self.tree, ONE)
        assert guest is not None
        self.assertEqual(f"/{RUNS}/guest.xml", guest.place)

    def test_what_is_beside_something_broken_is_read(self) -> None:
        for broken in (
            BROKEN,
            "<hostdev type='mdev'><source><address/></source></hostdev>",
        ):
            place = self.put(f"<hostdev type='pci'>{pci(2)}</hostdev>{broken}")
            (guest,) = domains.every(self.tree)
            self.assertEqual(1, len(guest.functions))
            self.assertIsNotNone(guest.unread)
            error = self.assertRaises(
                exception.HostError, domains.of_instance, self.tree, ONE
            )
            self.assertIn(place, str(error))

    def test_a_file_that_may_be_the_guests_is_not_passed_over(self) -> None:
        path = self.root / self.put("").lstrip("/")
        for text in ("", "<domain", "<domain/>"):
            path.write_text(text)
            error = self.assertRaises(
                exception.HostError, domains.of_instance, self.tree, ONE
            )
            self.assertIn("doesn't say which domain", str(error))
        path.unlink()
        path.mkdir()
        self.assertEqual([], [*domains.every(self.tree)])
        self.assertRaises(
            exception.HostError, domains.of_instance, self.tree, ONE
        )

    def test_no_file_is_read_and_nothing_is_blown_up(self) -> None:
        secret = self.root / "secret"
        secret.write_text("root's own")
        tens = "".join(
            f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 30)
        )
        path = self.root / self.put("").lstrip("/")
        for entities, name in (
            (f'<!ENTITY s SYSTEM "file://{secret}">', "s"),
            (f'<!ENTITY a0 "ten"> {tens}', "a29"),
        ):
            path.write_text(
                f"<!DOCTYPE domain [{entities}]>"
                f"<domain><name>&{name};</name></domain>"
            )
            (guest,) = domains.every(self.tree)
            self.assertEqual("", guest.name)
