# SPDX-License-Identifier: Apache-2.0
"""device_spec is read as Nova reads it, and each mistake has its place."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant import finding
from nova_vfio_variant.pci import parse, pattern
from tests import base
from tests.unit.pci import make

PLAIN = (
    '{ "vendor_id": "10de", "product_id": "25b6", "address": '
    '"0000:25:00.4", "managed": "no" }'
)
WITH_CLASS = (
    '{ "vendor_id": "10de", "product_id": "25b6", "address": '
    '"0000:25:00.4", "resource_class": "CUSTOM_A16_16A", "managed": "no" }'
)

_WORDS = st.text("abz_*.:, ", max_size=6)
_ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "vendor_id": st.sampled_from(("10de", "*", "8086")),
        "product_id": st.sampled_from(("25b6", "*")),
        "address": st.sampled_from(
            ("0000:25:00.4", ":25:", {"bus": "2[0-5]"}, "*")
        ),
        "managed": st.booleans() | st.sampled_from(("yes", "No", "0", "t")),
        "live_migratable": st.booleans(),
        "one_time_use": st.booleans(),
        "resource_class": st.text("aB_ -", min_size=1, max_size=5),
        "traits": st.text("aB_,", min_size=1, max_size=5),
        "trusted": st.sampled_from(("true", "false")),
        "remote_managed": st.booleans(),
    },
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | _WORDS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from((*parse.KEYS, "bus", "func", "x")),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def _wrong(text: str) -> list[tuple[str, str]]:
    """What is wrong with a value of which nothing can be used."""
    made, findings = make.read(text)
    assert not made
    return make.seen(findings)


class ExamplesTest(base.TestCase):
    """The two examples of the specification, right and as often written."""

    def test_a_spec_that_libvirt_must_not_manage(self) -> None:
        (one,) = make.specs(PLAIN)
        self.assertEqual(
            ("10de", "25b6", "0000:25:00.4", False, None),
            (
                one.vendor_id,
                one.product_id,
                str(one.address),
                one.managed,
                one.resource_class,
            ),
        )
        self.assertEqual({"managed": "false"}, one.tags)

    def test_a_spec_with_a_resource_class_of_its_own(self) -> None:
        (one,) = make.specs(WITH_CLASS)
        self.assertEqual("CUSTOM_A16_16A", one.resource_class)
        self.assertIs(False, one.managed)
        self.assertEqual({"managed": "false"}, one.tags)

    def test_their_unquoted_keys_are_named_with_their_place(self) -> None:
        for text in (PLAIN, WITH_CLASS):
            broken = text.replace('"managed"', "managed")
            made, (one,) = make.read(broken)
            self.assertEqual((), made)
            self.assertEqual(
                "key managed lacks its double quotes", one.message
            )
            self.assertEqual(
                f"<text>:1:{broken.index('managed') + 1}", str(one.location)
            )
            self.assertEqual('Write "managed".', one.hint)

    def test_all_their_keys_unquoted_are_all_named(self) -> None:
        broken = WITH_CLASS
        for key in parse.KEYS:
            broken = broken.replace(f'"{key}"', key)
        self.assertEqual(
            [
                ("VFIO112", key)
                for key in (
                    "vendor_id",
                    "product_id",
                    "address",
                    "resource_class",
                    "managed",
                )
            ],
            _wrong(broken),
        )


class GrammarTest(base.TestCase):
    @given(st.lists(_ENTRY, max_size=3), st.booleans())
    def test_what_is_right_is_read_without_a_finding(
        self, entries: list[dict[str, Any]], in_one: bool
    ) -> None:
        texts = [json.dumps(entry) for entry in entries]
        made = make.specs(f"[{','.join(texts)}]") if in_one else None
        if made is None:
            made = make.specs(*texts)
        self.assertEqual(list(range(len(entries))), [s.index for s in made])
        self.assertEqual(entries, [json.loads(str(s)) for s in made])
        for entry, spec in zip(entries, made, strict=True):
            for key, place in spec.keys.items():
                if key in entry:
                    self.assertEqual(
                        f'"{key}"', spec.text.text[slice(*place[:2])]
                    )

    @given(_ANYTHING | st.lists(_ANYTHING, max_size=2))
    def test_any_json_is_read_or_refused_with_an_error(
        self, value: Any
    ) -> None:
        made, findings = make.read(json.dumps(value))
        entries = value if isinstance(value, list) else [value]
        errors = [
            problem
            for problem in findings
            if problem.severity is finding.Severity.ERROR
            and problem.code.id != "VFIO104"
        ]
        self.assertEqual(len(made) < len(entries), bool(errors))

    @given(st.text(max_size=30))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        make.read(text)

    def test_an_empty_list_names_nothing(self) -> None:
        self.assertEqual((), make.specs("[]"))

    def test_an_empty_object_or_address_takes_every_device(self) -> None:
        for text in ("{}", '{"address": ""}', '{"address": {}}'):
            (one,) = make.specs(text)
            self.assertIsNone(one.address)

    def test_entries_are_counted_over_all_values(self) -> None:
        made = make.specs('[{}, {"managed": "no"}]', "{}")
        self.assertEqual([0, 1, 2], [spec.index for spec in made])

    def test_ids_are_read_as_nova_reads_them(self) -> None:
        for text, id_ in (
            ("10DE", "10de"),
            ("0x10de", "10de"),
            (" 10de ", "10de"),
            ("8", "0008"),
            ("1_0", "0010"),
            ("-1", "-001"),
        ):
            (one,), _ = make.read(json.dumps({"vendor_id": text}))
            self.assertEqual(id_, one.vendor_id)
        (one,) = make.specs('{"vendor_id": " * ", "product_id": "*"}')
        self.assertEqual((None, None), (one.vendor_id, one.product_id))

    def test_booleans_are_what_nova_takes_strictly(self) -> None:
        for written, read in (
            ("yes", True), ("NO", False), ("on", True), ("f", False),
            (" y ", True), (1, True), (0, False), (False, False),
        ):  # fmt: skip
            (one,) = make.specs(json.dumps({"managed": written}))
            self.assertIs(read, one.managed)
            self.assertEqual(
                {"managed": "true" if read else "false"}, one.tags
            )

    def test_traits_are_split_and_stripped(self) -> None:
        (one,) = make.specs('{"traits": "blue, big,,CUSTOM_X"}')
        self.assertEqual(("blue", "big", "CUSTOM_X"), one.traits)
        self.assertEqual({}, one.tags)

    def test_an_address_object_holds_regular_expressions(self) -> None:
        (one,) = make.specs('{"address": {"bus": "2[0-5]"}}')
        self.assertEqual(pattern.RegexPattern(bus="2[0-5]"), one.address)
        start, end = one.keys["address.bus"][2:]
        self.assertEqual('"2[0-5]"', one.text.text[start:end])


class MistakesTest(base.TestCase):
    def test_an_unknown_key_is_an_error_that_names_the_nearest(self) -> None:
        text = '{ "address": "0000:25:00.4", "mangaed": "no" }'
        (one,), (found,) = make.read(text)
        self.assertEqual([("VFIO104", '"mangaed"')], make.seen([found]))
        self.assertEqual("unknown key 'mangaed' in device_spec", found.message)
        self.assertIn("Did you mean 'managed'?", found.hint or "")
        # To Nova it is a tag like any other, so the entry still matches.
        self.assertEqual({"mangaed": "no"}, one.tags)

    def test_what_pci_calls_a_device_is_the_product(self) -> None:
        _, (found,) = make.read('{"device_id": "25b6"}')
        self.assertIn("Did you mean 'product_id'?", found.hint or "")

    def test_a_key_of_alias_is_told_as_one(self) -> None:
        _, (found,) = make.read('{"numa_policy": "required"}')
        self.assertIn("a key of alias", found.hint or "")

    def test_a_wrong_type_is_an_error_at_the_value(self) -> None:
        for text, marked in (
            ('{"vendor_id": 8086}', "8086"),
            ('{"product_id": null}', "null"),
            ('{"address": 25}', "25"),
            ('{"address": ["25:00.4"]}', '["25:00.4"]'),
            ('{"address": false}', "false"),
            ('{"address": {"bus": 25}}', "25"),
            ('{"devname": 0}', "0"),
            ('{"traits": ["a", "b"]}', '["a", "b"]'),
            ('{"resource_class": {}}', "{}"),
            ('{"physical_network": true}', "true"),
            ('{"trusted": true}', "true"),
            ("[{}, 3]", "3"),
            ('"{}"', '"{}"'),
            ("null", "null"),
        ):
            _, findings = make.read(text)
            self.assertEqual([("VFIO117", marked)], make.seen(findings))

    def test_a_boolean_that_is_none_is_an_error(self) -> None:
        for key in ("managed", "live_migratable", "one_time_use"):
            for value in ('"maybe"', '""', "2", "[]", "1.0"):
                self.assertEqual(
                    [("VFIO118", value)], _wrong(f'{{"{key}": {value}}}')
                )
        self.assertEqual(
            [("VFIO118", '"treu"')], _wrong('{"remote_managed": "treu"}')
        )

    def test_an_id_that_is_none_is_an_error(self) -> None:
        for value in ("nvidia", "", "10000", "10de*"):
            self.assertEqual(
                [("VFIO119", f'"{value}"')],
                _wrong(f'{{"vendor_id": "{value}"}}'),
            )
        # Nova strips the vendor's blanks before it looks for the star.
        self.assertEqual(
            [("VFIO119", '" * "')], _wrong('{"product_id": " * "}')
        )

    def test_an_id_read_by_accident_is_warned_of(self) -> None:
        for value in ("0x10de", " 10de", "8", "1_0", "-1"):
            made, findings = make.read(f'{{"product_id": "{value}"}}')
            self.assertEqual(1, len(made))
            self.assertEqual([("VFIO120", f'"{value}"')], make.seen(findings))

    def test_an_address_out_of_range_is_an_error(self) -> None:
        for value in ("0000:25:20.4", "2*:00.0", "1:2:3:4.5", "10000:25:00.0"):
            self.assertEqual(
                [("VFIO121", f'"{value}"')],
                _wrong(f'{{"address": "{value}"}}'),
            )

    def test_expressions_are_errors_where_they_are_none_or_slow(self) -> None:
        self.assertEqual(
            [("VFIO122", '"2["'), ("VFIO123", '"((((.*)*)*)*)*x"')],
            _wrong('{"address": {"bus": "2[", "slot": "((((.*)*)*)*)*x"}}'),
        )

    def test_an_unknown_field_of_an_address_is_an_error(self) -> None:
        text = '{"address": {"bus": "25", "func": "[4-7]"}}'
        _, (found,) = make.read(text)
        self.assertEqual([("VFIO124", '"func"')], make.seen([found]))
        self.assertIn("Did you mean 'function'?", found.hint or "")

    def test_an_address_and_a_devname_exclude_each_other(self) -> None:
        self.assertEqual(
            [("VFIO125", '"devname"')],
            _wrong('{"address": "25:00.0", "devname": "eth0"}'),
        )
        (one,), _ = make.read('{"address": "", "devname": "eth0"}')
        self.assertEqual("eth0", one.devname)

    def test_values_that_change_nothing_are_warned_of(self) -> None:
        for text, marked in (
            ('{"managed": null}', "null"),
            ('{"resource_class": ""}', '""'),
            ('{"traits": null}', "null"),
            ('{"devname": ""}', '""'),
            ('{"address": "", "devname": "eth0"}', '""'),
            ('{"vendor_id": "8086", "address": {}}', "{}"),
            ('{"trusted": "yes"}', '"yes"'),
            ('{"physical_network": "a", "resource_class": "X"}', '"X"'),
            ('{"physical_network": "a", "one_time_use": true}', "true"),
        ):
            made, findings = make.read(text)
            self.assertEqual(1, len(made))
            self.assertEqual([("VFIO126", marked)], make.seen(findings))

    def test_null_is_a_network_of_its_own(self) -> None:
        (one,) = make.specs('{"physical_network": null, "traits": "a"}')
        self.assertEqual({"physical_network": None}, one.tags)

    def test_one_wrong_entry_leaves_the_others_usable(self) -> None:
        made, findings = make.read(
            '[{"managed": "x"}, {"managed": "no"}]', "{"
        )
        # Counted as they stand, so that each keeps its number once all are
        # right.
        self.assertEqual([1], [spec.index for spec in made])
        self.assertIs(False, made[0].managed)
        self.assertEqual(
            ["VFIO118", "VFIO110"], [problem.code.id for problem in findings]
        )
