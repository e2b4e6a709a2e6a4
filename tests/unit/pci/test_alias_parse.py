# SPDX-License-Identifier: Apache-2.0
"""Aliases are read and merged as Nova does, and each mistake has its place."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant.pci import alias_parse
from tests import base
from tests.unit.pci import make

A16 = (
    '{ "device_type": "type-VF", "resource_class": "CUSTOM_A16_16A", '
    '"name": "A16_16A" }'
)
_IDS = '"vendor_id": "10de", "product_id": "25b6"'

_ALIAS = st.fixed_dictionaries(
    {"name": st.text("aB ", max_size=3).map("x{}".format)},
    optional={
        "device_type": st.sampled_from(alias_parse.DEVICE_TYPES),
        "numa_policy": st.sampled_from(alias_parse.NUMA_POLICIES),
        "traits": st.text("a,b", min_size=1),
        "live_migratable": st.sampled_from(("yes", "No", "1")),
    },
)
_ANYTHING = st.dictionaries(
    st.sampled_from((*alias_parse.KEYS, "managed", "x")),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text("10deyn ", max_size=4)
    | st.lists(st.text(), max_size=1),
    max_size=4,
)


def _wrong(text: str, in_placement: bool = True) -> list[tuple[str, str]]:
    aliases, findings = make.read_aliases(text, in_placement=in_placement)
    assert not aliases
    return make.seen(findings)


class GrammarTest(base.TestCase):
    def test_the_specifications_example_asks_for_a_class(self) -> None:
        aliases, findings = make.read_aliases(A16)
        (one,) = aliases["A16_16A"]
        self.assertEqual((), findings)
        self.assertEqual(
            ("type-VF", "CUSTOM_A16_16A", "legacy", None),
            (
                one.device_type,
                one.resource_class,
                one.numa_policy,
                one.live_migratable,
            ),
        )

    def test_its_unquoted_key_is_named(self) -> None:
        self.assertEqual(
            [("VFIO112", "name")], _wrong(A16.replace('"name"', "name"))
        )

    @given(_ALIAS)
    def test_what_is_right_is_read_without_a_finding(
        self, value: dict[str, Any]
    ) -> None:
        value |= {"vendor_id": "10DE", "product_id": "25b6"}
        aliases, findings = make.read_aliases(
            json.dumps(value), in_placement=False
        )
        self.assertEqual((), findings)
        (one,) = aliases[value["name"].strip()]
        self.assertEqual(value.get("device_type"), one.device_type)
        self.assertEqual("10de", one.vendor_id)

    @given(_ANYTHING | st.lists(_ANYTHING) | st.text(), st.booleans())
    def test_any_json_is_read_or_refused_with_an_error(
        self, value: Any, in_placement: bool
    ) -> None:
        aliases, findings = make.read_aliases(
            json.dumps(value), in_placement=in_placement
        )
        self.assertTrue(aliases or findings)

    @given(st.text(max_size=30))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        aliases, findings = make.read_aliases(text)
        self.assertTrue(aliases or findings)

    def test_traits_are_split_and_stripped(self) -> None:
        aliases, _ = make.read_aliases(
            '{"name": "a", "resource_class": "X", "traits": "blue, big"}'
        )
        self.assertEqual(("blue", "big"), aliases["a"][0].traits)


class MistakesTest(base.TestCase):
    def test_a_name_is_needed(self) -> None:
        self.assertEqual(
            [("VFIO130", '{"resource_class": "X"}')],
            _wrong('{"resource_class": "X"}'),
        )
        for name in ("", " ", "x" * 257):
            self.assertEqual(
                [("VFIO130", f'"{name}"')],
                _wrong(f'{{"resource_class": "X", "name": "{name}"}}'),
            )

    def test_a_list_of_aliases_is_refused(self) -> None:
        _, (one,) = make.read_aliases("[]")
        self.assertEqual("VFIO117", one.code.id)
        self.assertEqual("Give each alias an option of its own.", one.hint)

    def test_ids_are_exactly_four_digits(self) -> None:
        for value in ("0x10", "10d", "*", "10de\\n"):
            text = (
                f'{{"name": "a", "vendor_id": "{value}", '
                '"product_id": "25b6"}'
            )
            self.assertEqual([("VFIO119", f'"{value}"')], _wrong(text))

    def test_an_unknown_key_is_refused(self) -> None:
        _, (one,) = make.read_aliases(
            f'{{"name": "a", {_IDS}, "managed": "no"}}'
        )
        self.assertEqual("VFIO104", one.code.id)
        self.assertIn("a key of device_spec", one.hint or "")

    def test_words_and_booleans_are_checked(self) -> None:
        text = (
            f'{{"name": "a", {_IDS}, "device_type": "vdpa", "numa_policy": '
            '"sockets", "live_migratable": "maybe", "capability_type": "usb"}'
        )
        self.assertEqual(
            [
                ("VFIO131", '"vdpa"'),
                ("VFIO131", '"sockets"'),
                ("VFIO118", '"maybe"'),
                ("VFIO131", '"usb"'),
            ],
            _wrong(text),
        )

    def test_live_migratable_is_a_string(self) -> None:
        text = f'{{"name": "a", {_IDS}, "live_migratable": true}}'
        self.assertEqual([("VFIO117", "true")], _wrong(text))

    def test_ids_are_needed_unless_placement_knows_the_class(self) -> None:
        self.assertEqual([("VFIO134", '"A16_16A"')], _wrong(A16, False))
        for text in ('{"name": "a"}', '{"name": "a", "vendor_id": "10de"}'):
            for in_placement in (False, True):
                self.assertEqual(
                    [("VFIO134", '"a"')], _wrong(text, in_placement)
                )

    def test_capability_type_is_warned_of(self) -> None:
        aliases, (one,) = make.read_aliases(
            f'{{"name": "a", {_IDS}, "capability_type": "pci"}}'
        )
        self.assertEqual("VFIO135", one.code.id)
        self.assertEqual("pci", aliases["a"][0].capability_type)


class MergingTest(base.TestCase):
    def _two(
        self, first: str, second: str, in_placement: bool = False
    ) -> tuple[int, list[str]]:
        aliases, findings = make.read_aliases(
            f'{{"name": "a", {_IDS}, {first}}}',
            f'{{"name": "a ", {_IDS}, {second}}}',
            in_placement=in_placement,
        )
        return len(aliases["a"]), [finding.code.id for finding in findings]

    def test_aliases_of_one_name_are_alternatives(self) -> None:
        vf = '"device_type": "type-VF"'
        self.assertEqual((2, []), self._two(vf, vf))

    def test_they_must_agree_in_policy_and_type(self) -> None:
        vf, pf = '"device_type": "type-VF"', '"device_type": "type-PF"'
        near = f'{vf}, "numa_policy": "required"'
        for first, second in ((vf, pf), (vf, near)):
            self.assertEqual((1, ["VFIO132"]), self._two(first, second))

    def test_none_may_leave_out_the_type(self) -> None:
        vf, none = '"device_type": "type-VF"', '"numa_policy": "legacy"'
        for first, second in ((none, none), (vf, none), (none, vf)):
            self.assertEqual((1, ["VFIO132"]), self._two(first, second))

    def test_with_placement_a_name_stands_once(self) -> None:
        vf = '"device_type": "type-VF"'
        self.assertEqual((1, ["VFIO133"]), self._two(vf, vf, True))
