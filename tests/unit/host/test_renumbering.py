# SPDX-License-Identifier: Apache-2.0
"""Which function of one look is which one of another."""

import typing as ty

from nova_vfio_variant.host.decide import renumbering
from nova_vfio_variant.host.observe import marks
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from tests import base

Basis = renumbering.Basis
GPU = "10de:20b0"
NIC = "8086:10c9"


def there(
    address: str, ids: str = GPU, **more: ty.Any
) -> function.PciFunction:
    vendor, _, product = ids.partition(":")
    return function.PciFunction(
        pci_address.PciAddress.parse(address),
        vendor,
        product,
        0x030200,
        **more,
    )


def vf(address: str, pf: str, number: int | None) -> function.PciFunction:
    return there(
        address,
        "8086:10ca",
        physfn=pci_address.PciAddress.parse(pf),
        vf_index=number,
    )


class RenumberingTest(base.TestCase):
    def found(
        self,
        old: list[function.PciFunction],
        new: list[function.PciFunction],
        old_marks: dict[str, marks.Marks] | None = None,
        new_marks: dict[str, marks.Marks] | None = None,
    ) -> tuple[list[tuple[str, str, Basis]], list[str], list[str]]:
        parse = pci_address.PciAddress.parse
        found = renumbering.renumbering(
            old,
            new,
            {parse(at): mark for at, mark in (old_marks or {}).items()},
            {parse(at): mark for at, mark in (new_marks or {}).items()},
        )
        return (
            [
                (str(pair.old.address), str(pair.new.address), pair.basis)
                for pair in found.pairs
            ],
            [str(seen.address) for seen in found.gone],
            [str(seen.address) for seen in found.came],
        )

    def test_the_port_tells_two_cards_of_a_kind_apart(self) -> None:
        # A card was added before them: the second has the first's number.
        one, two = ("pci0000:80", "01.0"), ("pci0000:80", "02.0")
        self.assertEqual(
            (
                [
                    ("0000:82:00.0", "0000:83:00.0", Basis.PORT),
                    ("0000:83:00.0", "0000:84:00.0", Basis.PORT),
                ],
                [],
                ["0000:82:00.0"],
            ),
            self.found(
                [there("0000:82:00.0"), there("0000:83:00.0")],
                [
                    there("0000:82:00.0", NIC),
                    there("0000:83:00.0"),
                    there("0000:84:00.0"),
                ],
                {
                    "0000:82:00.0": marks.Marks(one),
                    "0000:83:00.0": marks.Marks(two),
                },
                {
                    "0000:83:00.0": marks.Marks(one),
                    "0000:84:00.0": marks.Marks(two),
                },
            ),
        )

    def test_a_serial_number_goes_before_the_port(self) -> None:
        # Two cards changed places.
        one = marks.Marks(("pci0000:80", "01.0"), "A")
        two = marks.Marks(("pci0000:80", "02.0"), "B")
        pairs, _, _ = self.found(
            [there("0000:82:00.0"), there("0000:83:00.0")],
            [there("0000:82:00.0"), there("0000:83:00.0")],
            {"0000:82:00.0": one, "0000:83:00.0": two},
            {
                "0000:82:00.0": marks.Marks(one.port, "B"),
                "0000:83:00.0": marks.Marks(two.port, "A"),
            },
        )
        self.assertEqual(
            [
                ("0000:82:00.0", "0000:83:00.0", Basis.SERIAL),
                ("0000:83:00.0", "0000:82:00.0", Basis.SERIAL),
            ],
            pairs,
        )

    def test_another_serial_number_is_another_card(self) -> None:
        port = ("pci0000:80", "01.0")
        self.assertEqual(
            ([], ["0000:82:00.0"], ["0000:82:00.0"]),
            self.found(
                [there("0000:82:00.0")],
                [there("0000:82:00.0")],
                {"0000:82:00.0": marks.Marks(port, "A")},
                {"0000:82:00.0": marks.Marks(port, "B")},
            ),
        )

    def test_the_functions_of_a_card_keep_their_order(self) -> None:
        both = marks.Marks(serial="A")
        pairs, _, _ = self.found(
            [there("0000:82:00.0"), there("0000:82:00.1")],
            [there("0000:83:00.0"), there("0000:83:00.1")],
            {"0000:82:00.0": both, "0000:82:00.1": both},
            {"0000:83:00.0": both, "0000:83:00.1": both},
        )
        self.assertEqual(
            [
                ("0000:82:00.0", "0000:83:00.0", Basis.SERIAL),
                ("0000:82:00.1", "0000:83:00.1", Basis.SERIAL),
            ],
            pairs,
        )

    def test_a_mac_address_that_two_have_tells_nothing(self) -> None:
        bond = marks.Marks(mac="52:54:00:00:00:01")
        pairs, _, _ = self.found(
            [there("0000:82:00.0", NIC), there("0000:83:00.0", NIC)],
            [there("0000:82:00.0", NIC), there("0000:84:00.0", NIC)],
            {"0000:82:00.0": bond, "0000:83:00.0": bond},
            {"0000:84:00.0": bond},
        )
        self.assertEqual(
            [
                ("0000:82:00.0", "0000:82:00.0", Basis.ADDRESS),
                ("0000:83:00.0", "0000:84:00.0", Basis.ONLY),
            ],
            pairs,
        )

    def test_a_guess_is_called_one(self) -> None:
        old = [there("0000:82:00.0"), there("0000:83:00.0")]
        new = [there("0000:92:00.0"), there("0000:93:00.0")]
        pairs, _, _ = self.found(old, new)
        self.assertEqual({Basis.ORDER}, {basis for *_, basis in pairs})
        # Which of two is left nobody can say.
        self.assertEqual(
            ([], ["0000:82:00.0", "0000:83:00.0"], ["0000:93:00.0"]),
            self.found(old, new[1:]),
        )

    def test_vfs_move_with_their_pf_by_their_number(self) -> None:
        port = marks.Marks(("pci0000:80", "01.0"))
        self.assertEqual(
            (
                [
                    ("0000:82:00.0", "0000:83:00.0", Basis.PORT),
                    ("0000:82:10.0", "0000:83:10.0", Basis.PORT),
                    ("0000:82:10.2", "0000:83:10.4", Basis.PORT),
                ],
                ["0000:82:10.4"],
                [],
            ),
            self.found(
                [
                    there("0000:82:00.0", NIC, sriov_totalvfs=7),
                    vf("0000:82:10.0", "0000:82:00.0", 0),
                    vf("0000:82:10.2", "0000:82:00.0", 1),
                    vf("0000:82:10.4", "0000:82:00.0", 2),
                ],
                [
                    there("0000:83:00.0", NIC, sriov_totalvfs=7),
                    vf("0000:83:10.0", "0000:83:00.0", None),
                    vf("0000:83:10.4", "0000:83:00.0", None),
                ],
                {"0000:82:00.0": port},
                {"0000:83:00.0": port},
            ),
        )
