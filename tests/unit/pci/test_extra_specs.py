# SPDX-License-Identifier: Apache-2.0
"""The extra specs of a flavor, each with its place."""

import json

from nova_vfio_variant import source
from nova_vfio_variant.pci import extra_specs, flavor, flavor_codes
from tests import base
from tests.unit.pci import make

_ALIASES, _ = make.read_aliases(
    '{"name": "A16", "resource_class": "A16"}',
    '{"name": "b", "resource_class": "B", "numa_policy": "required"}',
)


def _file(text: str) -> extra_specs.Given:
    return extra_specs.of_file(source.SourceText.of(text, "f", file="f"))


def _values(given: extra_specs.Given) -> dict[str, str]:
    return {key: one.value for key, one in given.settings.items()}


class FileTest(base.TestCase):
    def test_an_object_is_extra_specs(self) -> None:
        given = _file('{"hw:numa_nodes": 2, "a": "b"}')
        self.assertEqual({"hw:numa_nodes": "2", "a": "b"}, _values(given))
        self.assertIsNone(given.name)

    def test_what_openstack_flavor_show_prints_has_them_in_properties(
        self,
    ) -> None:
        given = _file('{"name": "gpu", "ram": 1, "properties": {"a": "b"}}')
        self.assertEqual(("gpu", {"a": "b"}), (given.name, _values(given)))
        self.assertEqual((), given.findings)

    def test_an_older_client_prints_them_as_text(self) -> None:
        for text, wanted in (
            ("", {}),
            ("a='b'", {"a": "b"}),
            (
                "pci_passthrough:alias='A16:1, b:2', trait:X='required'",
                {
                    "pci_passthrough:alias": "A16:1, b:2",
                    "trait:X": "required",
                },
            ),
        ):
            given = _file(json.dumps({"properties": text}))
            self.assertEqual((wanted, ()), (_values(given), given.findings))

    def test_a_text_that_ends_in_something_else_is_told_where(self) -> None:
        given = _file('{"properties": "a=\'b\', c"}')
        (problem,) = given.findings
        self.assertEqual("f:1:17", str(problem.location))

    def test_what_is_no_string_is_told_where(self) -> None:
        (problem,) = _file('{"a": ["b"]}').findings
        self.assertEqual("f:1:7", str(problem.location))

    def test_what_is_no_object_is_refused(self) -> None:
        for text in ("[]", "1", "{", '{"properties": 1}'):
            self.assertEqual(1, len(_file(text).findings), text)

    def test_a_key_that_is_given_again_is_told_of_the_first(self) -> None:
        for given, place in (
            (
                extra_specs.of_lines(["a=1", "b=1", "a=2"], "--property"),
                "--property:1:1",
            ),
            (_file('{"a": "1", "b": "1", "a": "2"}'), "f:1:2"),
            (_file("{\"properties\": \"a='1', b='1', a='2'\"}"), "f:1:17"),
        ):
            self.assertEqual({"a": "2", "b": "1"}, _values(given))
            (problem,) = given.findings
            self.assertEqual("VFIO116", problem.code.id)
            self.assertEqual(place, str(problem.location))
            self.assertIn("'a' stands again further on", problem.message)

    def test_lines_are_keys_and_values(self) -> None:
        given = extra_specs.of_lines(["a=b=c", "d="], "--property")
        self.assertEqual({"a": "b=c", "d": ""}, _values(given))
        (problem,) = extra_specs.of_lines(["a"], "--property").findings
        self.assertEqual("--property:1:1", str(problem.location))


class FlavorTest(base.TestCase):
    def problems(self, *lines: str) -> list[tuple[str, str]]:
        given = extra_specs.of_lines(lines, "x")
        return [
            (one.code.id, str(one.location))
            for one in flavor.read(given, _ALIASES)[1]
        ]

    def test_each_mistake_has_its_place(self) -> None:
        self.assertEqual(
            [("VFIO151", "x:1:30")],
            self.problems("pci_passthrough:alias=A16:1, A61:2"),
        )
        self.assertEqual(
            [("VFIO150", "x:1:23"), ("VFIO150", "x:1:27")],
            self.problems("pci_passthrough:alias=b:0,A16"),
        )
        for code, line in (
            ("VFIO152", "hw:pci_numa_affinity_policy=near"),
            ("VFIO153", "pci_passthrough:aliases=b:1"),
            ("VFIO153", "resource:VGPU=1"),
            ("VFIO153", "resources1:A16=1"),
            ("VFIO153", "resources1:CUSTOM_A16=one"),
            ("VFIO153", "resources1:CUSTOM_A16=-1"),
            ("VFIO153", "trait:CUSTOM_A16=yes"),
            ("VFIO153", "group_policy=any"),
            ("VFIO154", "traits:CUSTOM_A16=required"),
        ):
            self.assertEqual([code], [one for one, _ in self.problems(line)])

    def test_a_place_in_a_file_is_one_in_the_value(self) -> None:
        given = _file('{\n  "pci_passthrough:alias": "A16:1,A61:1"\n}')
        (problem,) = flavor.read(given, _ALIASES)[1]
        self.assertIs(flavor_codes.UNKNOWN_ALIAS, problem.code)
        self.assertEqual("f:2:35", str(problem.location))
        self.assertEqual(3, problem.length)

    def test_two_numbered_groups_need_a_policy(self) -> None:
        two = ("resources1:CUSTOM_A=1", "resources_b:CUSTOM_A=1")
        self.assertEqual([("VFIO155", "x:2:1")], self.problems(*two))
        for more in ("group_policy=none", "group_policy=isolate"):
            self.assertEqual([], self.problems(*two, more))

    def test_groups_are_what_nova_makes_of_them(self) -> None:
        given = extra_specs.of_lines(
            [
                "resources:VGPU=1",
                "resources1:CUSTOM_A=2",
                "resources1:CUSTOM_B=0",
                "trait1:CUSTOM_T=required",
                "trait1:CUSTOM_U=forbidden",
                "resources2:CUSTOM_A=0",
            ],
            "x",
        )
        found, problems = flavor.read(given, _ALIASES)
        self.assertEqual((), problems)
        self.assertEqual(
            [
                ("", {"VGPU": 1}, set(), set()),
                ("1", {"CUSTOM_A": 2}, {"CUSTOM_T"}, {"CUSTOM_U"}),
            ],
            [
                (one.suffix, one.resources, {*one.required}, {*one.forbidden})
                for one in found.asked.groups
            ],
        )

    def test_a_guest_with_pinned_cpus_or_pages_has_a_node(self) -> None:
        for line, nodes in (
            ("hw:numa_nodes=2", 2),
            ("hw:cpu_policy=dedicated", 1),
            ("hw:cpu_policy=shared", 0),
            ("hw:mem_page_size=large", 1),
            ("a=b", 0),
        ):
            given = extra_specs.of_lines([line], "x")
            found, _ = flavor.read(given, _ALIASES)
            self.assertEqual(nodes, found.numa_nodes, line)
