# SPDX-License-Identifier: Apache-2.0
"""The provider tree that tracked devices make."""

import dataclasses

import os_traits

from nova_vfio_variant import source
from nova_vfio_variant.pci import address, spec
from nova_vfio_variant.placement import codes as placement_codes
from nova_vfio_variant.placement import provider, tree, tree_findings
from nova_vfio_variant.tracker import device
from tests import base
from tests.unit.placement.devices import PF, make

AUTOMATIC = "COMPUTE_MANAGED_PCI_DEVICE"


def known(trait: str) -> tuple[str, ...]:
    """The trait, if os-traits and so Placement know it: old ones don't."""
    return (trait,) if trait in os_traits.get_traits() else ()


def make_spec(index: int, **values: tuple[str, str]) -> spec.DeviceSpec:
    """A spec on line ``index + 1`` whose keys stand as in the text."""
    text = "{" + ", ".join(f'"{k}": "{v[0]}"' for k, v in values.items()) + "}"
    keys = {}
    for key, (value, _) in values.items():
        start = text.index(f'"{key}"')
        of_value = text.index(f'"{value}"', start + len(key) + 2)
        keys[key] = (
            start,
            start + len(key) + 2,
            of_value,
            of_value + len(value) + 2,
        )
    segment = source.Segment(0, index + 1, 15, "device_spec = " + text)
    written = source.SourceText(
        text, "nova.conf", "pci", "device_spec", (segment,)
    )
    return spec.DeviceSpec(index, written, 0, len(text), keys)


class NovaTreeTest(base.TestCase):
    def test_vfs_share_a_provider_with_the_name_of_their_pf(self) -> None:
        made, findings = tree.build(
            [make("0000:25:00.4"), make("0000:25:00.5")], "host"
        )

        self.assertEqual((), findings)
        self.assertEqual(
            (
                provider.Provider(
                    "host_0000:25:00.0",
                    "host",
                    {"CUSTOM_A16_16A": provider.Inventory(2, 2)},
                    (AUTOMATIC,),
                    (
                        address.PciAddress(0, 0x25, 0, 4),
                        address.PciAddress(0, 0x25, 0, 5),
                    ),
                ),
            ),
            made,
        )
        self.assertEqual(("0000:25:00.4", "0000:25:00.5"), made[0].devices)

    def test_an_address_is_published_in_upper_case(self) -> None:
        made, _ = tree.build(
            [
                make("0000:ab:00.4", "0000:ab:00.0"),
                make("1000a:cd:00.0", None),
            ],
            "Host",
        )
        self.assertEqual(
            ["Host_0000:AB:00.0", "Host_1000A:CD:00.0"],
            [rp.name for rp in made],
        )

    def test_a_whole_function_is_a_provider_of_one_unit(self) -> None:
        made, _ = tree.build(
            [make("0000:25:00.0", None, dev_type="type-PCI")], "host"
        )
        self.assertEqual(
            {"CUSTOM_A16_16A": provider.Inventory(1, 1)}, made[0].inventories
        )

    def test_vfs_that_come_in_turns_are_put_together(self) -> None:
        made, findings = tree.build(
            [
                make("0000:25:00.4"),
                make("0000:26:00.4", "0000:26:00.0"),
                make("0000:25:00.5"),
                make("0000:26:00.5", "0000:26:00.0"),
            ],
            "host",
        )
        self.assertEqual((), findings)
        self.assertEqual([2, 2], [len(rp.addresses) for rp in made])

    def test_live_migratable_is_a_trait_beside_those_of_the_user(self) -> None:
        made, _ = tree.build(
            [
                make(
                    "0000:25:00.4",
                    traits=("CUSTOM_BIG",),
                    tags={"live_migratable": "true"},
                )
            ],
            "host",
        )
        self.assertEqual(
            (AUTOMATIC, "CUSTOM_BIG", *known("HW_PCI_LIVE_MIGRATABLE")),
            made[0].traits,
        )

    def test_one_that_is_not_live_migratable_lacks_the_trait(self) -> None:
        made, _ = tree.build(
            [make("0000:25:00.4", tags={"live_migratable": "false"})], "host"
        )
        self.assertEqual((AUTOMATIC,), made[0].traits)

    def test_a_device_for_one_time_is_reserved_once_it_is_in_use(self) -> None:
        free = make("0000:25:00.0", None, tags={"one_time_use": "true"})
        used = dataclasses.replace(free, instance_uuid="an instance")
        for tracked_device, reserved in ((free, 0), (used, 1)):
            made, _ = tree.build([tracked_device], "host")
            self.assertEqual(
                {"CUSTOM_A16_16A": provider.Inventory(1, 1, reserved)},
                made[0].inventories,
            )
            self.assertTrue(made[0].one_time)
            self.assertEqual(
                (AUTOMATIC, *known("HW_PCI_ONE_TIME_USE")), made[0].traits
            )

    def test_a_device_of_a_physical_network_is_neutrons(self) -> None:
        tagged = {"physical_network": "physnet1"}
        self.assertEqual(
            ((), ()),
            tree.build(
                [
                    make("0000:25:00.0", None, tags=tagged),
                    make("0000:25:00.4", tags=tagged),
                ],
                "host",
            ),
        )

    def test_a_tunnelled_network_is_published(self) -> None:
        made, _ = tree.build(
            [make("0000:25:00.4", tags={"physical_network": None})], "host"
        )
        self.assertEqual(1, len(made))

    def test_a_removed_device_is_not_published(self) -> None:
        made, _ = tree.build(
            [
                make("0000:25:00.4", status=device.Status.REMOVED),
                make("0000:25:00.5", status=device.Status.UNAVAILABLE),
            ],
            "host",
        )
        self.assertEqual(("0000:25:00.5",), made[0].devices)


class RefusalTest(base.TestCase):
    def test_a_pf_and_its_vfs_are_an_error_that_names_both_specs(self) -> None:
        pf, vf = make(PF, None), make("0000:25:00.4")
        by = {
            pf.address: make_spec(0, vendor_id=("10de", "")),
            vf.address: make_spec(1, product_id=("25b6", "")),
        }

        made, (found,) = tree.build([pf, vf], "host", specs=by)

        self.assertEqual((), made)
        self.assertIs(placement_codes.PF_AND_VF_MATCHED, found.code)
        self.assertEqual("nova.conf:2:15", str(found.location))
        self.assertIn("nova.conf:1:15", found.message)

    def test_different_classes_are_shown_where_the_class_is_written(
        self,
    ) -> None:
        one, other = make("0000:25:00.4"), make("0000:25:00.5", PF, "CUSTOM_B")
        by = {
            one.address: make_spec(0, resource_class=("A16_16A", "")),
            other.address: make_spec(1, resource_class=("B", "")),
        }

        made, (found,) = tree.build([one, other], "host", specs=by)

        self.assertEqual((), made)
        self.assertIs(placement_codes.MIXED_RESOURCE_CLASSES, found.code)
        self.assertEqual("nova.conf:2:34", str(found.location))
        self.assertEqual(3, found.length)
        for part in ("CUSTOM_A16_16A", "CUSTOM_B", "nova.conf:1:15"):
            self.assertIn(part, found.message)

    def test_each_other_class_is_told_once(self) -> None:
        _, findings = tree.build(
            [
                make("0000:25:00.4"),
                make("0000:25:00.5", PF, "CUSTOM_B"),
                make("0000:25:00.6", PF, "CUSTOM_B"),
                make("0000:25:00.7", PF, "CUSTOM_C"),
            ],
            "host",
        )
        self.assertEqual(2, len(findings))

    def test_what_an_instance_holds_stands_in_nobodys_way(self) -> None:
        (made,), findings = tree.build(
            [
                make(
                    "0000:25:00.4",
                    instance_uuid="guest-1",
                    traits=("CUSTOM_OLD",),
                    pending={"resource_class": "CUSTOM_B"},
                ),
                make("0000:25:00.5", PF, "CUSTOM_B"),
                make("0000:25:00.6", PF, "CUSTOM_B"),
            ],
            "host",
        )
        self.assertEqual((), findings)
        self.assertEqual(
            {"CUSTOM_A16_16A": 1, "CUSTOM_B": 2},
            {
                name: inventory.total
                for name, inventory in made.inventories.items()
            },
        )
        self.assertNotIn("CUSTOM_OLD", made.traits)

    def test_different_traits_are_an_error_even_by_live_migratable(
        self,
    ) -> None:
        _, (found,) = tree.build(
            [
                make("0000:25:00.4", tags={"live_migratable": "true"}),
                make("0000:25:00.5"),
            ],
            "host",
        )
        self.assertIs(placement_codes.MIXED_TRAITS, found.code)
        self.assertIn("HW_PCI_LIVE_MIGRATABLE", found.message)

    def test_one_time_use_on_a_vf_is_an_error_even_if_it_says_no(self) -> None:
        made, (found,) = tree.build(
            [make("0000:25:00.4", tags={"one_time_use": "false"})], "host"
        )
        self.assertEqual((), made)
        self.assertIs(placement_codes.ONE_TIME_USE_ON_VF, found.code)

    def test_one_time_use_is_told_once_a_spec(self) -> None:
        tags = {"one_time_use": "true"}
        by = make_spec(0, one_time_use=("yes", ""))
        devices = [
            make("0000:25:00.4", tags=tags),
            make("0000:26:00.4", "0000:26:00.0", tags=tags),
            make("0000:25:00.5", tags=tags),
        ]
        _, findings = tree.build(
            devices,
            "host",
            specs={tracked_device.address: by for tracked_device in devices},
        )
        self.assertEqual(2, len(findings))

    def test_a_vf_without_a_parent_is_an_error(self) -> None:
        made, (found,) = tree.build(
            [make("0000:25:00.4", None, dev_type="type-VF")], "host"
        )
        self.assertEqual((), made)
        self.assertIs(placement_codes.VF_WITHOUT_PARENT, found.code)

    def test_a_name_that_placement_would_refuse_is_an_error(self) -> None:
        made, (found,) = tree.build([make("0000:25:00.4")], "h" * 188)
        self.assertEqual((), made)
        self.assertIs(placement_codes.PROVIDER_NAME_TOO_LONG, found.code)
        self.assertEqual(
            1, len(tree.build([make("0000:25:00.4")], "h" * 187)[0])
        )

    def test_a_refused_pf_does_not_hide_the_others(self) -> None:
        made, findings = tree.build(
            [
                make("0000:25:00.4"),
                make("0000:25:00.5", PF, "CUSTOM_B"),
                make("0000:26:00.4", "0000:26:00.0"),
            ],
            "host",
        )
        self.assertEqual(["host_0000:26:00.0"], [rp.name for rp in made])
        self.assertEqual(1, len(findings))

    def test_a_spec_by_devname_is_refused_whatever_it_matches(self) -> None:
        one = dataclasses.replace(
            make_spec(0, devname=("eth0", "")), devname="eth0"
        )
        (found,) = tree_findings.refused_specs([one, make_spec(1)])
        self.assertIs(placement_codes.DEVNAME_WITH_PLACEMENT, found.code)
        self.assertEqual("nova.conf:1:27", str(found.location))


class PerClassTest(base.TestCase):
    def test_each_class_of_a_pf_has_its_own_provider(self) -> None:
        made, findings = tree.build(
            [
                make("0000:25:00.4"),
                make(
                    "0000:25:00.5", PF, "CUSTOM_A16_8A", traits=("CUSTOM_X",)
                ),
                make(
                    "0000:25:00.6", PF, "CUSTOM_A16_8A", traits=("CUSTOM_X",)
                ),
            ],
            "host",
            "per_class",
        )

        self.assertEqual((), findings)
        self.assertEqual(
            {
                "host_0000:25:00.0_CUSTOM_A16_16A": (1, (AUTOMATIC,)),
                "host_0000:25:00.0_CUSTOM_A16_8A": (
                    2,
                    (AUTOMATIC, "CUSTOM_X"),
                ),
            },
            {
                rp.name: (
                    sum(i.total for i in rp.inventories.values()),
                    rp.traits,
                )
                for rp in made
            },
        )

    def test_a_whole_function_has_the_same_name_in_both_layouts(self) -> None:
        made, _ = tree.build([make(PF, None)], "host", "per_class")
        self.assertEqual("host_0000:25:00.0", made[0].name)

    def test_different_traits_in_one_class_stay_an_error(self) -> None:
        made, (found,) = tree.build(
            [
                make("0000:25:00.4", traits=("CUSTOM_X",)),
                make("0000:25:00.5"),
                make("0000:25:00.6", PF, "CUSTOM_B"),
            ],
            "host",
            "per_class",
        )
        self.assertIs(placement_codes.MIXED_TRAITS, found.code)
        self.assertEqual(
            ["host_0000:25:00.0_CUSTOM_B"], [rp.name for rp in made]
        )

    def test_a_name_of_200_characters_is_not_cut(self) -> None:
        for more, whole in ((0, True), (1, False)):
            resource_class = "CUSTOM_" + "A" * (200 - 25 + more)
            made, _ = tree.build(
                [
                    make("0000:25:00.4", PF, resource_class),
                    make("0000:25:00.5", PF, "CUSTOM_B"),
                ],
                "host",
                "per_class",
            )
            names = [one.name for one in made]
            self.assertEqual(
                whole,
                f"host_0000:25:00.0_{resource_class}" in names,
                str(names),
            )

    def test_long_names_are_cut_so_that_they_still_differ(self) -> None:
        long = "CUSTOM_" + "A" * 190
        devices = [
            make("0000:25:00.4", PF, long + "B"),
            make("0000:25:00.5", PF, long + "C"),
        ]
        made, findings = tree.build(devices, "host", "per_class")

        self.assertEqual((), findings)
        self.assertEqual([200, 200], [len(rp.name) for rp in made])
        self.assertNotEqual(made[0].name, made[1].name)
        self.assertEqual(made, tree.build(devices, "host", "per_class")[0])

    def test_a_root_that_leaves_no_room_for_a_class_is_an_error(self) -> None:
        made, (found,) = tree.build(
            [make("0000:25:00.4")], "h" * 180, "per_class"
        )
        self.assertEqual((), made)
        self.assertIs(placement_codes.PROVIDER_NAME_TOO_LONG, found.code)
