# SPDX-License-Identifier: Apache-2.0
"""What aliases find among the devices that are declared, and what is said."""

import json
import typing as ty

from nova_vfio_variant.check import aliases, unnamed
from tests import base, numa_files
from tests.functional.check_host import Function, card
from tests.unit.check import make

VFS = f"{{{make.VF}}}"


def alias(**more: str) -> str:
    """One that asks for such VFs, but for what is said otherwise."""
    asked = {"name": "a", "vendor_id": "8086", "product_id": "10ca", **more}
    return json.dumps(asked)


class UnsatisfiedTest(base.TestCase):
    def said(self, *texts: str, specs: ty.Sequence[str] = (VFS,)) -> list[str]:
        given = make.given(specs, texts, card())
        return make.said(aliases.unsatisfied(given))

    def test_one_that_a_device_satisfies_is_not_told(self) -> None:
        self.assertEqual([], self.said(alias(device_type="type-VF")))

    def test_without_entries_it_is_told_once(self) -> None:
        other = alias().replace('"a"', '"b"')
        (found,) = self.said(alias(), other, specs=())
        self.assertIn("there are aliases and no device_spec", found)

    def test_any_of_the_same_name_will_do(self) -> None:
        fits = alias(device_type="type-VF")
        not_here = '{"name": "a", "vendor_id": "10de", "product_id": "25b6"}'
        self.assertEqual([], self.said(fits, not_here))

    def test_the_field_in_the_way_is_named_with_what_is_there(self) -> None:
        for field, there, text in (
            ("vendor_id 10de", "there is 8086", alias(vendor_id="10de")),
            ("product_id 25b6", "there is 10ca", alias(product_id="25b6")),
            (
                "device_type type-PCI",
                "there is type-VF",
                alias(device_type="type-PCI"),
            ),
            (
                "resource_class CUSTOM_GOLD",
                "there is CUSTOM_PCI_8086_10CA",
                alias(resource_class="gold"),
            ),
            ("traits CUSTOM_T", "there is no trait", alias(traits="CUSTOM_T")),
            (
                "live_migratable true",
                "there is no such tag",
                alias(live_migratable="yes"),
            ),
        ):
            (found,) = self.said(text)
            self.assertIn(f"{field} is asked for, and {there}", found)

    def test_the_word_that_would_do_is_offered(self) -> None:
        text = '{"name": "a", "vendor_id": "8086", "product_id": "25b6"}'
        given = make.given([VFS], [text], card())
        (found,) = aliases.unsatisfied(given)
        self.assertEqual(
            'Write "product_id": "10ca", if that is meant.', found.hint
        )

    def test_no_word_is_offered_where_more_is_in_the_way(self) -> None:
        text = (
            '{"name": "a", "vendor_id": "8086", "product_id": "25b6",'
            ' "device_type": "type-PCI"}'
        )
        (found,) = aliases.unsatisfied(make.given([VFS], [text], card()))
        self.assertIn(
            "correct the field that the message names", found.hint or ""
        )

    def test_a_type_is_to_be_added_where_none_is_asked_for(self) -> None:
        text = '{"name": "a", "vendor_id": "8086", "product_id": "10c9"}'
        spec = '{"vendor_id": "8086", "product_id": "10c9"}'
        (found,) = aliases.unsatisfied(make.given([spec], [text], card()))
        self.assertEqual(
            'Add "device_type": "type-PF", if that is meant.', found.hint
        )

    def test_of_many_that_are_there_four_are_named(self) -> None:
        functions = [
            Function(f"0000:0{at}:00.0", f"8086:000{at}") for at in range(1, 7)
        ]
        text = '{"name": "a", "vendor_id": "8086", "product_id": "25b6"}'
        given = make.given(['{"vendor_id": "8086"}'], [text], functions)
        (found,) = make.said(aliases.unsatisfied(given))
        self.assertTrue(
            found.endswith("there is 0001, 0002, 0003, 0004"), found
        )


class AcrossNumaTest(base.TestCase):
    def said(
        self,
        policy: str,
        functions: ty.Iterable[Function],
        sockets: ty.Sequence[int] = (0, 1),
    ) -> list[str]:
        given = make.given(
            [VFS],
            [alias(device_type="type-VF", numa_policy=policy)],
            functions,
            numa_files.numa(*sockets),
        )
        return make.said(aliases.across_numa(given))

    def test_guests_elsewhere_get_none_where_they_must_be_near(self) -> None:
        for policy in ("required", "socket"):
            (found,) = self.said(policy, card())
            self.assertIn(
                f"has numa_policy {policy}, and its devices are 2 on NUMA"
                " node 0: guests on NUMA node 1 get none",
                found,
            )

    def test_other_policies_keep_them_from_nobody_who_asked(self) -> None:
        for policy in ("legacy", "preferred"):
            self.assertEqual([], self.said(policy, card()))

    def test_another_node_of_the_socket_is_near_enough(self) -> None:
        self.assertEqual([], self.said("socket", card(), (0, 0)))
        self.assertEqual(1, len(self.said("required", card(), (0, 0))))

    def test_devices_on_all_nodes_are_near_everybody(self) -> None:
        both = [*card(0x25), *card(0x26, node=1)]
        self.assertEqual([], self.said("required", both))

    def test_all_nodes_that_have_them_and_that_lack_them_are_named(
        self,
    ) -> None:
        both = [*card(0x25, 1), *card(0x26, 3, node=1), *card(0x27, node=-1)]
        (found,) = self.said("required", both, (0, 0, 0, 0))
        self.assertIn(
            "1 on NUMA node 0 and 3 on NUMA node 1 and 2 on a node that is"
            " not known: guests on NUMA nodes 2, 3 get none",
            found,
        )

    def test_devices_on_no_known_node_are_for_guests_without_nodes(
        self,
    ) -> None:
        (found,) = self.said("required", card(node=-1))
        self.assertIn("the NUMA node of its 2 devices is not known", found)

    def test_a_host_that_does_not_tell_its_sockets_is_called_so(self) -> None:
        for policy, is_called_so in (("socket", True), ("required", False)):
            (found,) = self.said(policy, card(), (-1, -1))
            self.assertEqual(
                is_called_so, "(this host doesn't tell its sockets)" in found
            )


class TakesPfTest(base.TestCase):
    PF = '{"vendor_id": "8086", "product_id": "10c9"}'

    def said(self, text: str, *specs: str, **more: ty.Any) -> list[str]:
        return make.said(
            aliases.takes_pf(make.given(specs, [text], card(**more)))
        )

    def test_one_without_a_type_may_take_the_pf_as_well(self) -> None:
        same = {"pf_ids": "8086:10ca"}
        (found,) = self.said(alias(), VFS, **same)
        self.assertIn("also matches PF 0000:25:00.0", found)
        self.assertEqual(
            [], self.said(alias(device_type="type-VF"), VFS, **same)
        )

    def test_one_that_has_other_ids_may_not(self) -> None:
        self.assertEqual([], self.said(alias(), VFS, self.PF))

    def test_nor_one_that_nothing_else_satisfies(self) -> None:
        text = '{"name": "a", "vendor_id": "8086", "product_id": "10c9"}'
        self.assertEqual([], self.said(text, self.PF))


class ClassIgnoredTest(base.TestCase):
    GOLD = (
        f'{{{make.VF}, "address": "0000:25:00.4", "resource_class": "gold"}}'
    )
    IRON = (
        f'{{{make.VF}, "address": "0000:25:00.5", "resource_class": "iron"}}'
    )

    def said(self, text: str, **options: ty.Any) -> list[str]:
        given = make.given(
            [self.GOLD, self.IRON],
            [text],
            card(),
            options={
                ("filter_scheduler", "pci_in_placement"): options.pop(
                    "asks", False
                ),
                ("vfio", "provider_layout"): options.pop("layout", "nova"),
            },
        )
        return make.said(aliases.class_ignored(given))

    def test_devices_of_another_class_are_given_out_as_well(self) -> None:
        (found,) = self.said(alias(resource_class="gold"))
        self.assertIn("Nova ignores resource_class of alias 'a'", found)
        self.assertIn("gives out 0000:25:00.5 as well", found)

    def test_or_without_its_traits(self) -> None:
        (found,) = self.said(alias(traits="CUSTOM_T"))
        self.assertIn("Nova ignores traits of alias 'a'", found)

    def test_not_where_placement_is_asked(self) -> None:
        self.assertEqual(
            [], self.said(alias(resource_class="gold"), asks=True)
        )

    def test_nor_where_nova_can_not_publish(self) -> None:
        self.assertEqual(
            [], self.said(alias(resource_class="gold"), layout="per_class")
        )

    def test_nor_where_nothing_is_asked_for_but_ids(self) -> None:
        self.assertEqual([], self.said(alias()))


class UnnamedTest(base.TestCase):
    def told(self, text: str, *specs: str, **more: ty.Any) -> ty.Any:
        given = make.given(specs, [text], card(**more))
        return unnamed.Unnamed(given).told(given.aliases["a"][0])

    def test_devices_that_no_entry_takes_are_offered_as_one(self) -> None:
        found = self.told(alias(device_type="type-VF"))
        self.assertIn("this host has 2 VFs", found.message)
        self.assertEqual(
            f'Add device_spec = {{ {make.VF}, "managed": "no" }}', found.hint
        )

    def test_one_alone_is_offered_as_well(self) -> None:
        found = self.told(alias(), vfs=1)
        self.assertIn(
            "this host has 1 VF 8086:10ca (0000:25:00.4)", found.message
        )
        self.assertIn(f"Add device_spec = {{ {make.VF}", found.hint)

    def test_what_libvirt_has_to_bind_stays_managed(self) -> None:
        found = self.told(alias(device_type="type-VF"), driver="igbvf")
        self.assertEqual(f"Add device_spec = {{ {make.VF} }}", found.hint)

    def test_what_the_alias_asks_for_is_in_the_entry(self) -> None:
        for key, value in (
            ("resource_class", "gold"),
            ("traits", "CUSTOM_T"),
            ("live_migratable", "yes"),
            ("live_migratable", "no"),
        ):
            found = self.told(alias(**{key: value}), driver="igbvf")
            self.assertIn(f'"{key}": "{value}"', found.hint, key)

    def test_an_entry_that_takes_their_pf_is_to_be_replaced(self) -> None:
        pf = '{"vendor_id": "8086", "product_id": "10c9"}'
        found = self.told(alias(), pf)
        self.assertIn("this entry takes 0000:25:00.0 alone", found.message)
        self.assertEqual(f"Write {{ {make.VF} }} in its place.", found.hint)

    def test_what_an_entry_takes_is_not_offered(self) -> None:
        self.assertIsNone(self.told(alias(), VFS))

    def test_nor_what_is_of_another_type(self) -> None:
        self.assertIsNone(self.told(alias(device_type="type-PCI")))
        self.assertIsNone(self.told(alias(device_type="type-PF")))

    def test_two_aliases_get_what_each_of_them_asks_for(self) -> None:
        gold = alias(resource_class="gold").replace('"a"', '"b"')
        given = make.given([], [alias(), gold], card())
        told = unnamed.Unnamed(given)
        hints = []
        for name in ("a", "b"):
            found = told.told(given.aliases[name][0])
            assert found is not None
            hints.append(found.hint)
        self.assertNotEqual(*hints)
