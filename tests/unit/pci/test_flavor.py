# SPDX-License-Identifier: Apache-2.0
"""What a flavor asks for."""

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.pci import flavor
from tests import base
from tests.unit.pci import make

_ALIASES, _ = make.read_aliases(
    '{"name": "A16", "resource_class": "A16"}',
    '{"name": "b", "resource_class": "B", "numa_policy": "required"}',
)


def _read(text: str, policy: str | None = None) -> list[tuple[str, int, str]]:
    return [
        (one.alias_name, one.count, one.numa_policy)
        for one in flavor.parse_request(text, _ALIASES, policy)
    ]


class RequestTest(base.TestCase):
    def test_each_alias_keeps_its_policy(self) -> None:
        self.assertEqual(
            [("A16", 2, "legacy"), ("b", 1, "required")], _read("A16:2, b:1")
        )

    def test_the_flavors_policy_goes_first(self) -> None:
        self.assertEqual([("b", 1, "socket")], _read("b:1", "socket"))

    def test_a_request_carries_the_aliases_of_its_name(self) -> None:
        (one,) = flavor.parse_request("b:1", _ALIASES)
        self.assertEqual(_ALIASES["b"], one.specs)

    def test_a_count_is_a_whole_number_from_one(self) -> None:
        for text in (
            "b",
            "b:",
            "b:0",
            "b:-1",
            "b:x",
            "b:1:2",
            "",
            "b:1,",
            "b:1_0",
        ):
            error = self.assertRaises(exception.ConfigError, _read, text)
            self.assertIn("ALIAS:COUNT", str(error))

    def test_a_count_beyond_the_limit_is_told_the_limit(self) -> None:
        ((_, count, _),) = _read("b:999999999")
        self.assertEqual(999_999_999, count)
        error = self.assertRaises(exception.ConfigError, _read, "b:1000000000")
        self.assertIn("at most 999999999", str(error))

    def test_an_alias_that_is_not_defined_is_named(self) -> None:
        error = self.assertRaises(exception.ConfigError, _read, "A61:1")
        self.assertIn("'A61' is not defined (did you mean 'A16'?)", str(error))

    def test_an_unknown_policy_is_refused(self) -> None:
        error = self.assertRaises(exception.ConfigError, _read, "b:1", "near")
        self.assertIn("'near'", str(error))

    @given(st.text(alphabet="A16b:,0 -x", max_size=12))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            found = _read(text)
        except exception.ConfigError:
            return
        self.assertTrue(all(count > 0 for _, count, _ in found))
