# SPDX-License-Identifier: Apache-2.0
"""VFs are found by their PF, by their routing IDs too."""

from nova_vfio_variant.host.observe import sriov
from nova_vfio_variant.pci import address
from tests import base
from tests.unit.host import make

PF = address.PciAddress.parse("0000:21:00.0")


class RoutingTest(base.TestCase):
    def test_address_and_index_are_each_others_opposite(self) -> None:
        for routing in (
            sriov.Routing(128, 2),
            sriov.Routing(1, 1),
            sriov.Routing(0x400, 0x101),
        ):
            for index in range(120):
                vf = routing.address(PF, index)
                assert vf is not None
                self.assertEqual(PF.domain, vf.domain)
                self.assertEqual(index, routing.index(PF, vf))

    def test_vfs_go_on_in_the_next_bus(self) -> None:
        routing = sriov.Routing(0x80, 1)
        self.assertEqual("0000:22:00.0", str(routing.address(PF, 128)))

    def test_in_a_domain_of_32_bits_too(self) -> None:
        pf = address.PciAddress.parse("10000:01:00.0")
        vf = sriov.Routing(4, 1).address(pf, 5)
        self.assertEqual("10000:01:01.1", str(vf))

    def test_no_vf_is_behind_the_last_bus(self) -> None:
        last = address.PciAddress.parse("0000:ff:00.0")
        routing = sriov.Routing(1, 1)
        self.assertEqual("0000:ff:1f.7", str(routing.address(last, 254)))
        self.assertIsNone(routing.address(last, 255))

    def test_a_pf_that_does_not_say_where_has_no_addresses(self) -> None:
        routing = sriov.Routing(0, 0)
        self.assertIsNone(routing.address(PF, 0))
        self.assertIsNone(routing.index(PF, PF))

    def test_what_is_between_two_vfs_is_none(self) -> None:
        routing = sriov.Routing(128, 2)
        for text in (
            "0000:21:10.1",  # between two
            "0000:21:0f.6",  # before the first
            "0001:21:10.0",  # in another domain
        ):
            self.assertIsNone(
                routing.index(PF, address.PciAddress.parse(text)), text
            )

    def test_an_only_vf_needs_no_stride(self) -> None:
        routing = sriov.Routing(4, 0)
        here = address.PciAddress.parse
        self.assertEqual(0, routing.index(PF, here("0000:21:00.4")))
        self.assertIsNone(routing.index(PF, here("0000:21:00.5")))


class FamilyTest(base.TestCase):
    def test_each_pf_has_its_own_vfs(self) -> None:
        pf, other = (
            make.function(name, sriov_totalvfs=2)
            for name in ("0000:21:00.0", "0000:22:00.0")
        )
        vfs = [
            make.function(f"0000:21:10.{number}", physfn=pf.address)
            for number in (0, 2)
        ]
        host = make.scan(pf, *vfs, other)
        self.assertEqual(tuple(vfs), sriov.vfs_of(host, pf.address))
        self.assertEqual((), sriov.vfs_of(host, other.address))

    def test_only_virtfn_links_count(self) -> None:
        names = ["virtfn0", "virtfn12", "virtfn", "virtfnx", "virtual"]
        self.assertEqual(2, sriov.count(names))
