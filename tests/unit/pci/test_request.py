# SPDX-License-Identifier: Apache-2.0
"""What a claim asks for, as a value and as a file."""

import json
import pathlib
import typing as ty

import hypothesis
import jsonschema
from hypothesis import strategies as st

from nova_vfio_variant import exception, source
from nova_vfio_variant.pci import (
    alias_parse,
    class_words,
    request,
    request_parse,
)
from tests import base

SCHEMA = json.loads(
    (
        pathlib.Path(__file__).parents[3]
        / "etc/nova-vfio/claim-request.schema.json"
    ).read_text()
)
_VALUES = st.sampled_from(
    (
        *("10de", "0x10DE", "PF", "type-VF", "vf", "pci0000:00", "0000:40"),
        *("0000:25:00.0", "yes", "vfio-pci", "none", "558", "", "x y", "-1"),
        *(0, 1, -2, True, False, 1.5, None),
    )
)
_DEVICE = st.fixed_dictionaries(
    {},
    optional={
        "class": st.sampled_from(("gpu", "network", "gpus", 3)),
        "named": st.lists(
            st.sampled_from(("gpu:0", "0000:25:00.4", "card-1", "0:1", 4)),
            max_size=3,
        ),
        "properties": st.dictionaries(
            st.sampled_from((*request.PROPERTIES, "vendors")),
            _VALUES,
            max_size=2,
        ),
        "count": st.sampled_from((1, 2, 0, 4097, "1", True)),
        "klass": st.just("gpu"),
    },
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "alias": st.sampled_from(
            (
                *("nic:1", "a: 09 ,b:1", "", "x:0", "a:1,", "a:1:1", "x"),
                *("a:1000000000", "a:٣", 1),
            )
        ),
        "vgpu_types": st.one_of(
            st.lists(
                st.sampled_from(("A16-8Q:2", "a:0", "", " :2", "a:b", 558)),
                max_size=2,
            ),
            st.sampled_from((None, "a", {})),
        ),
        "devices": st.one_of(
            st.lists(_DEVICE, max_size=2),
            st.sampled_from((None, "x", {}, {"class": "gpu"})),
        ),
        "closest": st.sampled_from((True, False, "yes")),
        "strategy": st.sampled_from(("pack", "numa", "compact")),
        "numa": st.lists(st.sampled_from((0, 1, -1, "0")), max_size=2),
        "numa_policy": st.sampled_from(("legacy", "near")),
    },
)


def read(data: ty.Any) -> request.Request:
    return request_parse.parse(
        source.SourceText.of(json.dumps(data), "r.json", "claim", "r.json")
    )


class RequestTest(base.TestCase):
    def test_two_ways_of_writing_one_request_are_equal(self) -> None:
        for one, other in (
            ({"vendor": "10de"}, {"vendor": " 0x10DE "}),
            ({"type": "VF"}, {"type": "type-VF"}),
            ({"numa_node": "01"}, {"numa_node": "1"}),
            ({"iommufd": "on"}, {"iommufd": "TRUE"}),
            ({"pcie_root": "0000:4a"}, {"pcie_root": "pci0000:4A"}),
        ):
            with self.subTest(one):
                self.assertEqual(
                    request.DeviceRequest(properties=one),
                    request.DeviceRequest(properties=other),
                )
        self.assertEqual(
            request.DeviceRequest(named=("b", "gpu:01", "a")),
            request.DeviceRequest(named=("a", "b", "gpu:1"), count=3),
        )

    def test_a_request_is_what_its_data_reads_as(self) -> None:
        asked = request.DeviceRequest(
            "gpu", ("gpu:0", "gpu:1"), {"numa_node": "-1"}, 1
        )
        self.assertEqual(
            (asked,), read({"devices": [asked.as_data()]}).devices
        )

    def test_a_label_fits_where_an_alias_name_does(self) -> None:
        many = request.DeviceRequest(
            named=tuple(f"0000:25:{at:02x}.0" for at in range(32))
        )
        self.assertLessEqual(len(many.label), 255)
        self.assertTrue(many.label.startswith("device=0000:25:00.0,"))

    def test_a_strategy_has_its_old_name_too(self) -> None:
        self.assertIs(request.Strategy.PACK, request.strategy_of("compact"))
        error = self.assertRaises(
            exception.ConfigError, request.strategy_of, "pak"
        )
        self.assertIn("did you mean 'pack'?", str(error.hint))


class PlaceTest(base.TestCase):
    """Each mistake of a file is told where it stands."""

    def columns(self, text: str) -> list[tuple[int, str]]:
        error = self.assertRaises(
            exception.ConfigError,
            request_parse.parse,
            source.SourceText.of(text, "r.json", "claim", "r.json"),
        )
        return [
            (place.column, f"{found.message}; {found.hint}")
            for found in error.findings
            if (place := found.location) is not None
        ]

    def test_what_is_no_list_is_not_left_out(self) -> None:
        for value in ('{"class": "gpu"}', '"x"', "null", "3"):
            with self.subTest(value):
                ((column, said),) = self.columns(
                    f'{{"alias": "gpu:1", "devices": {value}}}'
                )
                self.assertEqual(31, column)
                self.assertIn("a list is expected", said)

    def test_so_is_a_count_that_is_none(self) -> None:
        ((column, said),) = self.columns('{"alias": "gpu:0"}')
        self.assertEqual(11, column)
        self.assertIn("no number of devices", said)
        ((column, said),) = self.columns('{"vgpu_types": ["a", "x:0"]}')
        self.assertEqual(22, column)
        self.assertIn("no number of vGPUs", said)

    def test_a_number_is_no_hexadecimal_text(self) -> None:
        ((_, said),) = self.columns(
            '{"devices": [{"properties": {"vendor": 4318}}]}'
        )
        self.assertIn("four hex digits, 10de", said)

    def test_what_is_no_number_is_not_told_to_be_written_as_text(self) -> None:
        for value in ("NaN", "1.0"):
            ((_, said),) = self.columns(
                f'{{"devices": [{{"properties": {{"numa_node": {value}}}}}]}}'
            )
            self.assertIn("a number, or -1 for none", said)
            ((_, said),) = self.columns(
                f'{{"devices": [{{"class": "gpu", "count": {value}}}]}}'
            )
            self.assertIn("a whole number is expected", said)


class SchemaTest(base.TestCase):
    def test_it_has_the_words_that_are_read(self) -> None:
        whole, device = SCHEMA["properties"], SCHEMA["$defs"]["device"]
        inner = device["properties"]
        for expected, words in (
            (request_parse.KEYS, whole),
            (request_parse.DEVICE_KEYS, inner),
            (request.PROPERTIES, inner["properties"]["properties"]),
            (class_words.CLASSES, inner["class"]["enum"]),
            (
                [*request.Strategy, *request.OLD_STRATEGIES],
                whole["strategy"]["enum"],
            ),
            (alias_parse.NUMA_POLICIES, whole["numa_policy"]["enum"]),
        ):
            self.assertEqual([*expected], [*words])
        self.assertEqual(request.MOST, inner["count"]["maximum"])

    @hypothesis.given(REQUESTS)
    def test_whatever_is_refused_has_a_place_for_each_mistake(
        self, data: ty.Any
    ) -> None:
        takes = jsonschema.Draft202012Validator(SCHEMA).is_valid(data)
        try:
            made = read(data)
        except exception.ConfigError as error:
            # A schema can't compare a count with a list.
            more = "are asked for of" in error.message
            self.assertTrue(more or not takes, f"{data}: {error}")
            self.assertTrue(error.findings)
            for found in error.findings:
                self.assertIsNotNone(found.location)
        else:
            self.assertTrue(takes, data)
            self.assertEqual(data.get("alias"), made.alias)
            self.assertEqual(len(data.get("devices", ())), len(made.devices))
