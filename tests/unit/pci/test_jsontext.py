# SPDX-License-Identifier: Apache-2.0
"""JSON keeps its places, and what is no JSON is named for what it is."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant import finding, source
from nova_vfio_variant.pci import codes as pci_codes
from nova_vfio_variant.pci import jsontext
from tests import base
from tests.unit.pci import make

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def _parse(
    text: str,
) -> tuple[jsontext.Node | None, tuple[finding.Finding, ...]]:
    return jsontext.parse(source.SourceText.of(text))


def _wrong(text: str) -> list[tuple[str, str]]:
    node, findings = _parse(text)
    assert node is None
    return make.seen(findings)


def _assert_places(text: str, node: jsontext.Node) -> None:
    """Each piece of text, read alone, is the value that is said to be there."""
    assert json.loads(text[node.start : node.end]) == node.value
    for item in node.items:
        _assert_places(text, item)
    for member in node.members:
        assert json.loads(text[member.start : member.end]) == member.key
        _assert_places(text, member.node)


class ValidTextTest(base.TestCase):
    @given(_JSON, st.sampled_from((None, 0, 3)), st.booleans())
    def test_each_value_stands_where_it_is_said_to(
        self, value: Any, indent: int | None, ascii_only: bool
    ) -> None:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        text = f" \n{text}\t"
        node, findings = _parse(text)
        assert node is not None
        self.assertEqual(value, node.value)
        self.assertEqual((), findings)
        _assert_places(text, node)

    def test_a_repeated_key_is_found_and_the_last_one_counts(self) -> None:
        node, findings = _parse('{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}')
        assert node is not None
        self.assertEqual({"a": 3, "b": {"c": 2}}, node.value)
        self.assertEqual(
            [("VFIO116", '"a"'), ("VFIO116", '"c"')], make.seen(findings)
        )
        self.assertEqual(
            ["<text>:1:2", "<text>:1:16"],
            [str(problem.location) for problem in findings],
        )

    def test_a_list_too_deep_for_python_is_refused_with_a_finding(
        self,
    ) -> None:
        node, findings = _parse("[" * 100_000 + "]" * 100_000)
        self.assertIsNone(node)
        self.assertEqual(
            [pci_codes.NOT_JSON], [problem.code for problem in findings]
        )

    def test_a_number_too_long_for_python_is_refused_with_a_finding(
        self,
    ) -> None:
        node, findings = _parse("9" * 5000)
        self.assertIsNone(node)
        self.assertEqual(
            [pci_codes.NOT_JSON], [problem.code for problem in findings]
        )


class BrokenTextTest(base.TestCase):
    @given(st.text(alphabet="{}[]\",:'\\#; \nmanaged01-.tfu$“é", max_size=30))
    def test_any_text_gives_a_value_or_a_finding(self, text: str) -> None:
        node, findings = _parse(text)
        if node is None:
            self.assertNotEqual((), findings)
            for problem in findings:
                self.assertEqual(finding.Severity.ERROR, problem.severity)

    @given(_JSON, st.data())
    def test_valid_text_with_a_character_lost_gives_a_value_or_a_finding(
        self, value: Any, data: st.DataObject
    ) -> None:
        text = json.dumps(value)
        place = data.draw(st.integers(0, len(text) - 1))
        node, findings = _parse(text[:place] + text[place + 1 :])
        self.assertTrue(node is not None or findings)

    def test_every_key_without_quotes_is_named(self) -> None:
        text = '{ vendor_id: "10de", "x": "a: {b: 1}", managed : "no" }'
        self.assertEqual(
            [("VFIO112", "vendor_id"), ("VFIO112", "managed")], _wrong(text)
        )

    def test_values_without_quotes_are_named_whole(self) -> None:
        for text, word in (
            ('{"managed": no}', "no"),
            ('{"vendor_id": 10de}', "10de"),
            ('{"address": 0000:25:00.4, "a": 1}', "0000:25:00.4"),
            ('{"managed": False}', "False"),
        ):
            self.assertEqual([("VFIO113", word)], _wrong(text))

    def test_a_word_of_python_is_mended_to_that_of_json(self) -> None:
        for word, right in (("True", "true"), ("None", "null")):
            _, (one,) = _parse(f'{{"managed": {word}}}')
            self.assertEqual(f"Write {right}.", one.hint)

    def test_quotes_that_are_not_double_are_named(self) -> None:
        self.assertEqual([("VFIO111", "'")], _wrong("{'a': 1}"))
        self.assertEqual([("VFIO111", "“")], _wrong('{"a": “b”}'))

    def test_a_comma_behind_the_last_item_is_marked(self) -> None:
        for text in ('{"a": 1 , }', "[1,\n]"):
            self.assertEqual([("VFIO114", ",")], _wrong(text))

    def test_a_comment_behind_the_value_or_inside_is_marked(self) -> None:
        self.assertEqual(
            [("VFIO115", "# new cards")], _wrong('{"a": 1} # new cards')
        )
        self.assertEqual(
            [("VFIO115", "# new")], _wrong('{"a": 1,\n  # new\n  "b": 2}')
        )

    def test_a_comment_in_a_later_line_has_that_line_as_its_place(
        self,
    ) -> None:
        _, (one,) = _parse('{"a": 1,\n  # new\n  "b": 2}')
        self.assertEqual("<text>:2:3", str(one.location))

    def test_other_mistakes_are_marked_at_their_character(self) -> None:
        for text, marked in (
            ('{"a" 1}', "1"),
            ('{"a": 1 "b": 2}', '"'),
            ('{"a": "\\d"}', "\\d"),
            ('{"a": "b', '"b'),
            ('{"a": [1, 2}', "}"),
            ('{"a": 1}{"b": 2}', "{"),
            ('{"a": 1', "1"),
            ("", ""),
        ):
            self.assertEqual([("VFIO110", marked)], _wrong(text))
