# SPDX-License-Identifier: Apache-2.0
"""The first entry that matches wins, and why can be told."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant.pci import matching, pattern
from tests import base
from tests.unit.pci import make

#: Two cards and a plain function; PFs and VFs share ids now and then.
HOST = [
    make.pci("00:1f.0", "8086:25b6", netdevs=("eno1",)),
    *make.card("25", 3),
    *make.card("26", 2, "10de:2235"),
    make.pci("41:00.0", "8086:1592", sriov_totalvfs=8, netdevs=("ens1",)),
    make.pci("41:01.0", "8086:1889", physfn="41:00.0"),
    make.pci("10000:e1:00.0", "144d:a80a"),
]

_ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "vendor_id": st.sampled_from(("10de", "8086", "*", "144d")),
        "product_id": st.sampled_from(("25b6", "2235", "1889", "*")),
        "address": st.sampled_from(
            (
                "0000:25:00.0",
                "0000:25:00.4",
                "*:26:*.*",
                "41:00.0",
                "0:41:0.0",
                ".0",
                "*:*:*.*",
                {"bus": "2"},
                {"bus": "(25|41)", "function": "[0-4]"},
                {"domain": "0000", "bus": "26", "slot": "00", "function": "0"},
                {"domain": "1"},
            )
        ),
    },
)


def _fits(entry: dict[str, Any], function: Any) -> bool:
    """One entry and one function, as PciDeviceSpec.match goes about it."""
    if function.address.domain > 0xFFFF:
        return False
    for key in ("vendor_id", "product_id"):
        if entry.get(key, "*") not in ("*", getattr(function, key)):
            return False
    (one,) = make.specs(json.dumps(entry))
    wanted = one.address or pattern.GlobPattern()
    is_pf = any(
        str(other.address) == wanted.single and other.sriov_totalvfs
        for other in HOST
    )
    if is_pf and function.physfn and pattern.matches(wanted, function.physfn):
        return True
    return pattern.matches(wanted, function.address)


def _winners(*texts: str) -> dict[str, int]:
    """Which function, by its short address, is taken by which entry."""
    won = matching.Matcher(make.specs(*texts), HOST).winners(HOST)
    return {
        str(function.address).removeprefix("0000:"): spec.index
        for function, spec in zip(HOST, won, strict=True)
        if spec is not None
    }


class WinnerTest(base.TestCase):
    @given(st.lists(_ENTRIES, max_size=5))
    def test_the_first_entry_that_fits_wins(
        self, entries: list[dict[str, Any]]
    ) -> None:
        specs = make.specs(json.dumps(entries))
        matcher = matching.Matcher(specs, HOST)
        won = matcher.winners(HOST)
        for function, winner in zip(HOST, won, strict=True):
            first = next(
                (
                    number
                    for number, entry in enumerate(entries)
                    if _fits(entry, function)
                ),
                None,
            )
            self.assertEqual(first, None if winner is None else winner.index)

    @given(st.lists(_ENTRIES, max_size=5))
    def test_the_explanation_agrees_with_the_verdict(
        self, entries: list[dict[str, Any]]
    ) -> None:
        matcher = matching.Matcher(make.specs(json.dumps(entries)), HOST)
        for function in HOST:
            told = matcher.explain(function)
            self.assertEqual(
                [_fits(entry, function) for entry in entries],
                [one.matched for one in told],
            )
            self.assertEqual(
                matcher.winner(function),
                next((one.spec for one in told if one.wins), None),
            )
            self.assertTrue(all(one.fields for one in told))

    def test_a_later_entry_gets_what_an_earlier_one_left(self) -> None:
        self.assertEqual(
            {"25:00.4": 0, "25:00.5": 1, "25:00.6": 1},
            _winners(
                '{"address": "25:00.4"}',
                '{"product_id": "25b6", "vendor_id": "10de"}',
            ),
        )

    def test_a_pfs_address_covers_its_vfs(self) -> None:
        self.assertEqual(
            {"25:00.0": 0, "25:00.4": 0, "25:00.5": 0, "25:00.6": 0},
            _winners('{"address": "0000:25:00.0"}'),
        )

    def test_a_glob_over_a_pf_covers_no_vf_by_it(self) -> None:
        self.assertEqual({"41:00.0": 0}, _winners('{"address": "41:00.0"}'))

    def test_a_pfs_address_with_the_vfs_id_takes_the_vfs_alone(self) -> None:
        self.assertEqual(
            {"41:01.0": 0},
            _winners('{"address": "0000:41:00.0", "product_id": "1889"}'),
        )

    def test_an_interfaces_name_stands_for_its_function(self) -> None:
        self.assertEqual(
            {"41:00.0": 0, "41:01.0": 0, "00:1f.0": 1},
            _winners('{"devname": "ens1"}', '{"devname": "eno1"}'),
        )

    def test_an_interface_that_is_missing_takes_nothing(self) -> None:
        self.assertEqual({}, _winners('{"devname": "eth7"}'))

    def test_functions_in_wide_domains_are_skipped_as_nova_does(self) -> None:
        self.assertNotIn("10000:e1:00.0", _winners("{}"))

    def test_remote_managed_needs_the_cards_serial_number(self) -> None:
        (spec,) = make.specs('{"vendor_id": "15b3", "remote_managed": "yes"}')
        silent = make.pci("05:00.2", "15b3:101e")
        telling = make.pci("05:00.3", "15b3:101e", card_serial_number="MT1")
        matcher = matching.Matcher([spec], [silent, telling])
        self.assertEqual([None, spec], matcher.winners([silent, telling]))
        (told,) = matcher.explain(silent)
        self.assertEqual("remote_managed", told.fields[-1].field)

    def test_without_entries_nothing_is_taken(self) -> None:
        self.assertEqual({}, _winners("[]"))


class ExplainTest(base.TestCase):
    def _told(self, text: str, place: str) -> list[tuple[Any, ...]]:
        matcher = matching.Matcher(make.specs(text), HOST)
        (function,) = [f for f in HOST if f.address == make.at(place)]
        (one,) = matcher.explain(function)
        return [
            (field.field, field.wanted, field.found, field.matched)
            for field in one.fields
        ]

    def test_each_field_that_the_entry_names_is_told(self) -> None:
        self.assertEqual(
            [
                ("vendor_id", "8086", "10de", False),
                ("bus", "25", "25", True),
                ("function", "5", "4", False),
            ],
            self._told(
                '{"vendor_id": "8086", "address": "25:*.5"}', "25:00.4"
            ),
        )

    def test_a_vf_taken_by_its_pfs_address_is_told_as_one(self) -> None:
        matcher = matching.Matcher(
            make.specs('{"address": "0000:25:00.0"}'), HOST
        )
        (one,) = matcher.explain(HOST[2])
        self.assertEqual("a VF of 0000:25:00.0", one.fields[0].note)
        self.assertTrue(one.wins)

    def test_an_entry_that_asks_for_nothing_is_told(self) -> None:
        self.assertEqual(
            [("address", "*:*:*.*", "0000:25:00.4", True)],
            self._told("{}", "25:00.4"),
        )

    def test_a_wide_domain_is_told(self) -> None:
        self.assertEqual(
            [("domain", "up to ffff", "10000", False)],
            self._told("{}", "10000:e1:00.0"),
        )

    def test_interfaces_are_told(self) -> None:
        self.assertEqual(
            [("devname", "eno1", "ens1", False)],
            self._told('{"devname": "eno1"}', "41:00.0"),
        )
        self.assertEqual(
            [("devname", "eth7", "ens1", False)],
            self._told('{"devname": "eth7"}', "41:00.0"),
        )
