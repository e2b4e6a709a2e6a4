# SPDX-License-Identifier: Apache-2.0
"""Entries of device_spec that are offered take what they are meant to."""

from nova_vfio_variant.check import mends
from tests import base
from tests.unit.pci import make

PF, *VFS = make.card("25", 2)
IDS = {"vendor_id": "10de", "product_id": "25b6"}


class TakingTest(base.TestCase):
    def test_ids_alone_take_all_that_have_them(self) -> None:
        self.assertEqual([IDS], mends.taking(VFS, [PF, *VFS], {}))

    def test_ids_of_an_earlier_entry_are_not_kept(self) -> None:
        base = {"vendor_id": "8086", "product_id": "1", "managed": "no"}
        self.assertEqual(
            [{**IDS, "managed": "no"}], mends.taking(VFS, [PF, *VFS], base)
        )
        # Nor are those that they don't have in common.
        other = make.pci("25:00.6", "10de:1")
        (found,) = mends.taking([other, VFS[0]], [PF, *VFS, other], base) or []
        self.assertEqual(["vendor_id", "address", "managed"], [*found])
        self.assertEqual("[46]", found["address"]["function"])

    def test_a_device_name_is_not_kept(self) -> None:
        found = mends.taking(VFS, [PF, *VFS], {"devname": "eth0"})
        self.assertEqual([IDS], found)

    def test_vfs_of_one_card_are_taken_by_its_address(self) -> None:
        functions = [PF, *VFS, *make.card("26", 2)]
        self.assertEqual(
            [{**IDS, "address": "0000:25:00.0"}],
            mends.taking(VFS, functions, {}),
        )

    def test_or_by_their_own_where_a_pf_may_not_stand_for_them(self) -> None:
        functions = [PF, *VFS, *make.card("26", 2)]
        (found,) = mends.taking(VFS, functions, {}, by_pf=False) or [{}]
        self.assertEqual(
            {
                "domain": "0000",
                "bus": "25",
                "slot": "00",
                "function": "[4-5]",
            },
            found["address"],
        )

    def test_an_address_stays_if_it_takes_them(self) -> None:
        kept = {"address": "0000:25:*.*"}
        self.assertEqual(
            [{**IDS, **kept}], mends.taking(VFS, [PF, *VFS], kept)
        )
        self.assertEqual(
            [IDS], mends.taking(VFS, [PF, *VFS], kept, by_pf=False)
        )

    def test_nothing_takes_nothing(self) -> None:
        self.assertIsNone(mends.taking([], [PF, *VFS], {}))

    def test_what_an_entry_can_not_take_is_not_offered(self) -> None:
        self.assertIsNone(mends.taking(VFS, [PF, *VFS], {"mangaed": "no"}))

    def test_six_entries_are_offered_and_seven_are_not(self) -> None:
        places = [f"{bus:02x}:00.0" for bus in range(1, 9)]
        some = [make.pci(place) for place in places]
        six = mends.taking(some[:6], some, {}) or []
        self.assertEqual(
            [f"0000:{place}" for place in places[:6]],
            [one["address"] for one in six],
        )
        self.assertIsNone(mends.taking(some[:7], some, {}))


class WrittenTest(base.TestCase):
    def test_entries_stand_as_a_file_has_them(self) -> None:
        self.assertEqual('{ "a": "b" }', mends.value([{"a": "b"}]))
        self.assertEqual(
            '[{ "a": "b" }, { "c": "d" }]',
            mends.value([{"a": "b"}, {"c": "d"}]),
        )

    def test_in_a_list_they_take_the_place_of_one(self) -> None:
        entries = [{"a": "b"}, {"c": "d"}]
        (alone,) = make.specs('{"address": "*:*:*.*"}')
        self.assertEqual(
            mends.value(entries), mends.in_place_of(alone, entries)
        )
        (listed,) = make.specs(' [{"address": "*:*:*.*"}]')
        self.assertEqual(
            mends.value(entries)[1:-1], mends.in_place_of(listed, entries)
        )
