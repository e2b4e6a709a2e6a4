# SPDX-License-Identifier: Apache-2.0
"""What single rules say of values, and of what they say nothing."""

import dataclasses
import typing as ty
from collections.abc import Iterable, Mapping

from nova_vfio_variant import source
from nova_vfio_variant.check import (
    absent,
    binding,
    cloud,
    meaning,
    mechanisms,
    naming,
    published,
    suggest,
)
from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.check import host as host_rules
from nova_vfio_variant.check import vgpus as vgpu_rules
from nova_vfio_variant.declaration import facts, nova_here, verdicts
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.placement import provider, tree
from nova_vfio_variant.tracker import device as tracked
from tests import base
from tests.functional.check_host import Function, card
from tests.unit.check import make
from tests.unit.tracker import samples

VFS = f"{{{make.VF}}}"
ALIAS = f'{{"name": "a", {make.VF}}}'
FILTERS = ("filter_scheduler", "enabled_filters")
ASKS = ("filter_scheduler", "pci_in_placement")
REPORTS = ("pci", "report_in_placement")


class AbsentTest(base.TestCase):
    def said(self, *specs: str, unread: str = "") -> list[str]:
        given = make.given(specs, (), card())
        if unread:
            assert given.scan is not None
            lost = host_scan.Lost(unread, None, "its ids can't be read")
            scan = dataclasses.replace(given.scan, problems=(lost,))
            given = dataclasses.replace(given, scan=scan)
        return make.said(absent.matches_nothing(given))

    def test_what_can_not_be_read_is_not_called_missing(self) -> None:
        there = '{"address": "0000:77:00.0"}'
        self.assertEqual(1, len(self.said(there)))
        self.assertEqual([], self.said(there, unread="0000:77:00.0"))
        self.assertEqual(1, len(self.said(there, unread="0000:77:00.1")))

    def test_nor_what_only_its_ids_are_known_of(self) -> None:
        ids = '{"vendor_id": "10de", "product_id": "0001"}'
        self.assertEqual(1, len(self.said(ids, unread="0000:77:00.0")))

    def test_the_nearest_is_the_one_at_the_address(self) -> None:
        for at in ("0000:25:00.4", "0000:25:00.5"):
            (found,) = self.said(
                f'{{"vendor_id": "8086", "product_id": "1111",'
                f' "address": "{at}"}}'
            )
            self.assertIn(f"nearest is {at}, whose product_id", found)

    def test_a_vf_that_could_be_made_is_told_with_its_number(self) -> None:
        (found,) = self.said('{"address": "0000:25:00.6"}')
        self.assertIn("would be number 3", found)
        # The last one of 16, and one behind it.
        (found,) = self.said('{"address": "0000:25:02.3"}')
        self.assertIn("would be number 16", found)
        (found,) = self.said('{"address": "0000:25:02.4"}')
        self.assertNotIn("would be number", found)


class FilterTest(base.TestCase):
    def hint(self, *enabled: str, aliases: tuple[str, ...] = (ALIAS,)) -> str:
        given = make.given((), aliases)
        given = dataclasses.replace(
            given,
            options={FILTERS: list(enabled)},
            places=make.given(options={FILTERS: ",".join(enabled)}).places,
        )
        found = [*cloud.filter_missing(given)]
        return f"{found[0].message}. {found[0].hint}" if found else ""

    def test_one_that_is_there_is_not_missed(self) -> None:
        self.assertEqual("", self.hint("A", "PciPassthroughFilter"))

    def test_nor_where_there_are_no_aliases(self) -> None:
        self.assertEqual("", self.hint("A", aliases=()))

    def test_it_is_to_be_added(self) -> None:
        self.assertEqual(
            "PciPassthroughFilter is not among the scheduler's filters. In its"
            " place write enabled_filters = A,B,PciPassthroughFilter",
            self.hint("A", "B"),
        )

    def test_a_name_near_it_is_to_be_corrected(self) -> None:
        module = "nova.scheduler.filters.pci_passthrough_filter"
        for near in ("PciPassthruFilter", f"{module}.PciPassthroughFilter"):
            self.assertEqual(
                f"{near} is no filter of Nova's, and PciPassthroughFilter is"
                " missing. Did you mean PciPassthroughFilter? In its place"
                " write enabled_filters = A,PciPassthroughFilter",
                self.hint("A", near),
            )

    def test_of_two_near_it_one_is_corrected(self) -> None:
        self.assertTrue(
            self.hint("PciPassthrouFilter", "PciPassthroughFilte").endswith(
                "= PciPassthrouFilter,PciPassthroughFilter"
            )
        )


class UnaskedTest(base.TestCase):
    def given(
        self,
        *,
        asks: bool,
        reports: bool,
        specs: Iterable[str] = (VFS,),
        aliases: Iterable[str] = (ALIAS,),
        **more: ty.Any,
    ) -> facts.CheckInput:
        options = {ASKS: asks, REPORTS: reports}
        return make.given([*specs], [*aliases], options=options, **more)

    def test_what_is_asked_for_has_to_be_published(self) -> None:
        one, other = cloud.asked_and_unpublished(
            self.given(asks=True, reports=False)
        )
        self.assertIn("ask Placement for CUSTOM_PCI_8086_10CA", one.message)
        self.assertIn("line at", one.hint or "")
        self.assertIn("nova-api", other.message)
        for asks, reports in ((True, True), (False, False), (False, True)):
            given = self.given(asks=asks, reports=reports)
            self.assertEqual([], [*cloud.asked_and_unpublished(given)])

    def test_three_classes_are_named_and_the_others_counted(self) -> None:
        for count, more in ((3, ", which"), (4, " and 1 more, which")):
            names = [
                f'{{"name": "a{at}", {make.VF}, "resource_class": "c{at}"}}'
                for at in range(count)
            ]
            found, _ = cloud.asked_and_unpublished(
                self.given(asks=True, reports=False, aliases=names)
            )
            self.assertIn(
                f"CUSTOM_C0, CUSTOM_C1, CUSTOM_C2{more}", found.message
            )

    def test_neutrons_devices_are_not_published_anyway(self) -> None:
        neutrons = f'{{{make.VF}, "physical_network": "net"}}'
        given = self.given(asks=True, reports=False, specs=[neutrons])
        self.assertEqual([], [*cloud.asked_and_unpublished(given)])
        given = self.given(asks=False, reports=True, specs=[neutrons])
        self.assertEqual([], [*cloud.published_and_unasked(given)])

    def test_what_is_published_is_to_be_asked_for(self) -> None:
        given = self.given(asks=False, reports=True)
        self.assertEqual(1, len([*cloud.published_and_unasked(given)]))
        for more in (
            {"asks": True, "reports": True},
            {"asks": False, "reports": False},
            {"asks": False, "reports": True, "aliases": ()},
        ):
            given = self.given(**ty.cast("ty.Any", more))
            self.assertEqual([], [*cloud.published_and_unasked(given)])


class NamesTest(base.TestCase):
    def said(self, **entry: str) -> list[str]:
        more = "".join(f', "{k}": "{v}"' for k, v in entry.items())
        return make.said(
            naming.published_names(make.given([f"{{{make.VF}{more}}}"]))
        )

    def test_names_in_aliases_are_told_as_well(self) -> None:
        alias = f'{{"name": "a", {make.VF}, "resource_class": "gold"}}'
        (found,) = make.said(
            naming.published_names(make.given([VFS], [alias]))
        )
        self.assertIn("'gold' is published as CUSTOM_GOLD", found)

    def test_plain_names_stay_what_they_are(self) -> None:
        for name in ("CUSTOM_GOLD", "GOLD", "VGPU", "PGPU"):
            self.assertEqual([], self.said(resource_class=name))
        for name in ("CUSTOM_T", "T", "HW_GPU_API_VULKAN", "A,B"):
            self.assertEqual([], self.said(traits=name))

    def test_a_name_that_changes_is_told(self) -> None:
        (found,) = self.said(resource_class="gold")
        self.assertIn("'gold' is published as CUSTOM_GOLD", found)
        (found,) = self.said(traits="A,my-trait")
        self.assertIn("'my-trait' is published as CUSTOM_MY_TRAIT", found)

    def test_a_name_that_nova_makes_otherwise_is_told(self) -> None:
        (found,) = self.said(resource_class="custom_a-b")
        self.assertIn(
            "Nova makes CUSTOM_A-B of the resource class 'custom_a-b', and we"
            " CUSTOM_A_B",
            found,
        )
        (found,) = self.said(traits=" CUSTOM_T")
        self.assertIn("of the trait ' CUSTOM_T', and we CUSTOM_T", found)
        (found,) = self.said(traits=" HW_GPU_API_VULKAN")
        self.assertIn("of the trait ' HW_GPU_API_VULKAN'", found)

    def test_a_standard_trait_in_other_letters_is_another(self) -> None:
        (found,) = self.said(traits="hw_gpu_api_vulkan")
        self.assertIn("is not the standard trait", found)

    def test_placement_takes_255_characters(self) -> None:
        for key, word in (
            ("resource_class", "resource class"),
            ("traits", "trait"),
        ):
            self.assertEqual([], self.said(**{key: "A" * 248}))
            (found,) = self.said(**{key: "A" * 249})
            self.assertIn(f"the {word} is published with 256", found)


class GroupTest(base.TestCase):
    def test_each_kind_of_bridge_that_forwards_is_named(self) -> None:
        for code in ("060400", "060700", "060900"):
            scan = make.given(
                functions=[
                    Function("0000:00:05.0", "1b36:000e", code, group=4),
                    Function("0000:01:01.0", "8086:100e", group=4),
                ]
            ).scan
            assert scan is not None
            self.assertEqual(
                " (behind bridge 0000:00:05.0, without isolation)",
                host_rules._behind(scan, 4),
            )


class SuggestTest(base.TestCase):
    def text(
        self,
        functions: Iterable[Function],
        files: Mapping[str, str] | None = None,
    ) -> str:
        scan = make.given(functions=functions, files=files).scan
        assert scan is not None
        return suggest.text(verdicts.Verdicts(host_facts.gather(scan)))

    def test_all_vfs_with_ids_of_their_own_go_by_their_pf(self) -> None:
        text = self.text(card())
        self.assertIn(
            "# PF 0000:25:00.0 on igb, NUMA node 0: 2 VFs 8086:10ca\n"
            f'device_spec = {{ {make.VF}, "address": "0000:25:00.0",'
            ' "managed": "no" }',
            text,
        )

    def test_vfs_with_their_pfs_ids_go_by_their_own_addresses(self) -> None:
        text = self.text(card(pf_ids="8086:10ca"))
        self.assertIn('"function": "[4-5]"', text)

    def test_vfs_of_two_kinds_are_each_named_whole(self) -> None:
        one, *vfs = card(vfs=4)
        others = [
            dataclasses.replace(vf, ids=ids)
            for vf, ids in zip(
                vfs,
                ("8086:10ca", "8086:10cb", "8086:10ca", "8086:10c0"),
                strict=True,
            )
        ]
        text = self.text([one, *others])
        self.assertEqual(3, text.count('"address": "0000:25:00.0"'), text)

    def test_a_pf_without_driver_is_called_so(self) -> None:
        pf, *vfs = card()
        text = self.text([dataclasses.replace(pf, driver=None), *vfs])
        self.assertIn("# PF 0000:25:00.0 on no driver, NUMA", text)

    def test_vfs_in_the_last_domain_that_nova_takes_are_suggested(
        self,
    ) -> None:
        for domain, taken in (("ffff", True), ("10000", False)):
            functions = [
                dataclasses.replace(
                    one,
                    address=one.address.replace("0000:", f"{domain}:", 1),
                    physfn=one.physfn
                    and one.physfn.replace("0000:", f"{domain}:", 1),
                )
                for one in card()
            ]
            self.assertEqual(taken, "device_spec" in self.text(functions))

    def test_vfs_that_share_a_group_with_bridges_alone_are_suggested(
        self,
    ) -> None:
        pf, vf = card(vfs=1)
        for code, taken in (("060400", 1), ("060000", 1), ("020000", 0)):
            mate = Function("0000:00:01.0", "8086:1237", code, group=7)
            text = self.text([pf, dataclasses.replace(vf, group=7), mate])
            self.assertEqual(taken, text.count("\ndevice_spec"), text)

    def test_one_vf_is_called_so(self) -> None:
        self.assertIn(": 1 VF 8086", self.text(card(vfs=1)))

    def test_a_pf_without_vfs_is_named(self) -> None:
        text = self.text(card(vfs=0))
        self.assertIn(
            "# not suggested: PF 0000:25:00.0 could have 16 VFs, and has none",
            text,
        )
        self.assertNotIn("and has none", self.text(card()))

    def test_cards_of_one_kind_share_an_alias(self) -> None:
        text = self.text(
            [*card(0x25), *card(0x26, 3, node=1), *card(0x27, node=1)]
        )
        self.assertEqual(1, text.count("\nalias = "))
        self.assertIn("# 2 on NUMA node 0, 5 on NUMA node 1\n", text)


class FullCardTest(base.TestCase):
    @staticmethod
    def vgpus(*types: str) -> list[Function]:
        pf, *vfs = card(vfs=len(types), driver="nvidia")
        return [
            pf,
            *(
                dataclasses.replace(
                    vf,
                    files={
                        "nvidia/current_vgpu_type": kind,
                        "nvidia/creatable_vgpu_types": "ID : vGPU Name",
                    },
                )
                for vf, kind in zip(vfs, types, strict=True)
            ),
        ]

    def hints(self, *types: str) -> list[str]:
        given = make.given([VFS], (), self.vgpus(*types))
        found = [*vgpu_rules.vgpu_type_unset(given)]
        return [one.hint or "" for one in found]

    def test_only_those_with_a_type_are_to_be_named(self) -> None:
        (hint,) = self.hints("558", "0")
        self.assertEqual(
            "The card is full: creatable_vgpu_types of this VF is empty; name"
            " only 0000:25:00.4 (config suggest).",
            hint,
        )

    def test_where_there_are_none_others_are(self) -> None:
        (hint,) = self.hints("0", "0")
        self.assertEqual(
            "The card is full: creatable_vgpu_types of these VFs is empty;"
            " name other devices (config suggest).",
            hint,
        )

    def test_nothing_is_said_of_those_that_have_one(self) -> None:
        self.assertEqual([], self.hints("558", "558"))


class HostTest(base.TestCase):
    BRIDGE = '{"vendor_id": "8086", "product_id": "0b0b"}'

    @staticmethod
    def bridges(count: int) -> list[Function]:
        return [
            Function(f"0000:0{at}:00.0", "8086:0b0b", "060400")
            for at in range(count)
        ]

    def test_lasting_obstacles_are_told_once_an_entry(self) -> None:
        for count, more in (
            (1, "is a PCI bridge"),
            (2, "; and 1 more of this entry"),
            (3, "; and 2 more of this entry"),
        ):
            given = make.given([self.BRIDGE], (), self.bridges(count))
            (found,) = host_rules.as_the_verdict_says(given)
            self.assertIs(host_codes.IS_BRIDGE, found.code)
            self.assertTrue(found.message.startswith("0000:00:00.0: "))
            self.assertEqual("0000:00:00.0", found.subject)
            self.assertEqual(count > 1, " more of this entry" in found.message)
            if count > 1:
                self.assertTrue(found.message.endswith(more), found.message)

    def test_without_a_host_nothing_is_told(self) -> None:
        given = make.given([self.BRIDGE])
        for rule in host_rules.RULES:
            self.assertEqual([], [*rule(given)])

    def test_devices_of_one_group_are_for_one_guest(self) -> None:
        pf, *vfs = card(vfs=3)
        for groups, told in (((7, 7, 8), True), ((7, 8, 9), False)):
            functions = [
                dataclasses.replace(vf, group=group)
                for vf, group in zip(vfs, groups, strict=True)
            ]
            given = make.given([VFS], (), [pf, *functions])
            found = [*host_rules.shared_groups(given)]
            self.assertEqual(told, bool(found))
            if told:
                self.assertIs(check_codes.GROUP_SHARED, found[0].code)
                self.assertIn("share IOMMU group 7, so", found[0].message)
                self.assertEqual("0000:25:00.4", found[0].subject)

    def test_what_the_host_has_in_the_group_is_named_with_its_mend(
        self,
    ) -> None:
        pf, vf = card(vfs=1)
        others = [
            Function(f"0000:26:00.{at}", "8086:0001", driver="e1000e", group=7)
            for at in range(4)
        ]
        bridge = Function(
            "0000:26:01.0", "8086:0002", "060400", driver="shpchp", group=7
        )
        mine = dataclasses.replace(vf, group=7)
        given = make.given([VFS], (), [pf, mine, *others])
        (found,) = host_rules.shared_groups(given)
        self.assertIs(check_codes.GROUP_IN_USE, found.code)
        for at in range(4):
            self.assertEqual(at < 3, f"26:00.{at}" in found.message)
            self.assertIn(f'"0000:26:00.{at}"', found.hint or "")
        self.assertIn('"address": "0000:25:00.4"', found.hint or "")
        # The first one's: more can be done once that is.
        given = make.given([VFS], (), [pf, mine, *others[:1], bridge])
        (found,) = host_rules.shared_groups(given)
        self.assertIn("companions", found.hint or "")

    def test_a_variant_driver_is_found_by_what_the_kernel_says(self) -> None:
        aliases = {
            "lib/modules/6.12.0/modules.alias": (
                "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
                "alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i* igb_vfio\n"
            )
        }
        spec = f'{{{make.VF}, "managed": "no"}}'
        given = make.given([spec], (), card(), aliases)
        (found,) = binding.better_driver(given)
        self.assertIn("the module igb_vfio holds a VFIO", found.message)
        assert given.scan is not None
        silent = [
            dataclasses.replace(one, modalias=None)
            for one in given.scan.functions
        ]
        scan = dataclasses.replace(given.scan, functions=tuple(silent))
        given = dataclasses.replace(given, scan=scan)
        self.assertEqual([], [*binding.better_driver(given)])


class MediatedTest(base.TestCase):
    """Who of a card that makes mediated devices is given to guests."""

    def taken(self, spec: str, at: str) -> str:
        given = make.given([spec], (), card())
        return str(mechanisms._first(given, samples.at(at), given.spec_of))

    def test_a_pf_takes_its_vf_away(self) -> None:
        pf = '{"vendor_id": "8086", "product_id": "10c9"}'
        self.assertEqual("0000:25:00.0", self.taken(pf, "0000:25:00.4"))

    def test_and_a_vf_its_pf_but_no_other_vf(self) -> None:
        vf = '{"address": "0000:25:00.5"}'
        self.assertEqual("0000:25:00.5", self.taken(vf, "0000:25:00.0"))
        self.assertEqual("0000:25:00.5", self.taken(vf, "0000:25:00.5"))
        self.assertEqual("None", self.taken(vf, "0000:25:00.4"))

    def test_a_card_that_offers_no_such_type_makes_none(self) -> None:
        given = make.given(
            [VFS],
            (),
            card(),
            options={("devices", "enabled_mdev_types"): ["nvidia-35"]},
        )
        self.assertEqual([], [*mechanisms.mediated(given)])

    def test_a_vf_that_is_to_have_no_type_makes_mediated_devices(self) -> None:
        for word, count in (("none", 0), ("A16-4Q", 1)):
            entry = f'{{"address": "0000:25:00.4", "vgpu_type": "{word}"}}'
            given = make.given(
                (),
                (),
                card(),
                options={
                    ("devices", "enabled_mdev_types"): ["nvidia-35"],
                    ("mdev_nvidia-35", "device_addresses"): ["0000:25:00.0"],
                },
                host_specs=(source.SourceText.of(entry),),
            )
            self.assertEqual(count, len([*mechanisms.mediated(given)]))

    def test_an_entry_for_a_pf_and_its_vfs_gives_the_vfs(self) -> None:
        entry = '{"address": "0000:25:00.4", "vgpu_type": "A16-4Q"}'
        for spec, count in (
            ('{"address": "0000:25:00.0"}', 0),
            ('{"address": "0000:25:00.0", "product_id": "10c9"}', 1),
        ):
            given = make.given(
                [spec], (), card(), host_specs=(source.SourceText.of(entry),)
            )
            self.assertEqual(count, len([*mechanisms.whole(given)]))


class PublishedTest(base.TestCase):
    def published(
        self, *, change: ty.Any = None, owner: str = nova_here.OWNER_NOVA
    ) -> tuple[facts.CheckInput, provider.Provider]:
        """What Nova would have published of a card, but for a change."""
        given = make.given([VFS], (), card())
        ((desired,), _) = tree.build(given.desired, given.root)
        there = provider.Published(
            "uuid",
            desired.name,
            1,
            {
                name: {
                    "total": one.total,
                    "max_unit": one.max_unit,
                    "reserved": one.reserved,
                }
                for name, one in desired.inventories.items()
            },
            tuple(sorted((*desired.traits, owner))),
        )
        there = change(there) if change else there
        published = facts.Published({there.name: there}, {})
        return dataclasses.replace(given, published=published), desired

    def test_what_nova_publishes_as_declared_is_not_told(self) -> None:
        given, _ = self.published()
        self.assertEqual([], [*published.nova_differs(given)])

    def test_what_differs_is_told_field_by_field(self) -> None:
        given, desired = self.published(
            change=lambda one: dataclasses.replace(
                one,
                inventories={
                    name: record | {"total": 1}
                    for name, record in one.inventories.items()
                },
                traits=(*one.traits, "CUSTOM_MORE"),
            )
        )
        (found,) = published.nova_differs(given)
        self.assertEqual(desired.name, found.subject)
        self.assertIn("total 1 is published, and 2 would be", found.message)
        self.assertIn("CUSTOM_MORE", found.message)

    def test_providers_that_are_not_novas_are_left_out(self) -> None:
        given, _ = self.published(
            change=lambda one: dataclasses.replace(one, inventories={}),
            owner="CUSTOM_MINE",
        )
        self.assertEqual([], [*published.nova_differs(given)])

    def test_one_that_nobody_owns_is_not_compared_beside_novas(self) -> None:
        given, desired = self.published(
            change=lambda one: dataclasses.replace(
                one, name="elsewhere", traits=one.traits
            )
        )
        assert given.published is not None
        (nova,) = given.published.providers.values()
        mine = dataclasses.replace(
            nova, name=desired.name, inventories={}, traits=()
        )
        both = {nova.name: nova, mine.name: mine}
        given = dataclasses.replace(given, published=facts.Published(both, {}))
        found = [*published.nova_differs(given)]
        self.assertEqual(["elsewhere"], [one.subject for one in found])
        self.assertIn("no device of this host makes it", found[0].message)

    def test_one_that_nova_lacks_is_told(self) -> None:
        given, desired = self.published(
            change=lambda one: dataclasses.replace(one, name="elsewhere")
        )
        self.assertEqual(
            {"elsewhere", desired.name},
            {one.subject for one in published.nova_differs(given)},
        )


class AllocatedTest(base.TestCase):
    def said(
        self,
        recorded: Mapping[str, str],
        has: Mapping[str, int],
        traits: tuple[str, ...] = (),
    ) -> list[str]:
        given = make.given([VFS], (), card())
        devices = [
            dataclasses.replace(
                one,
                instance_uuid=recorded.get(str(one.address)),
                status=tracked.Status.ALLOCATED
                if str(one.address) in recorded
                else tracked.Status.AVAILABLE,
            )
            for one in given.desired
        ]
        ((desired,), _) = tree.build(given.desired, given.root)
        there = provider.Published("uuid", desired.name, 1, {}, traits)
        given = dataclasses.replace(
            given,
            recorded=devices,
            published=facts.Published(
                {there.name: there},
                {there.name: {who: {"X": n} for who, n in has.items()}},
            ),
        )
        return make.said(published.allocated_to_another(given))

    def test_both_have_to_say_the_same(self) -> None:
        mine = {"0000:25:00.4": "one"}
        self.assertEqual([], self.said(mine, {"one": 1}))
        for has, what in (
            ({}, "one has 1 of its devices in the store, and 0 in"),
            ({"one": 2}, "one has 1 of its devices in the store, and 2 in"),
        ):
            (found,) = self.said(mine, has)
            self.assertIn(what, found)
        both = self.said(mine, {"two": 1})
        self.assertEqual(2, len(both))

    def test_guests_of_novas_are_its_own(self) -> None:
        self.assertEqual(1, len(self.said({}, {"two": 1})))
        self.assertEqual(
            [], self.said({}, {"two": 1}, (nova_here.OWNER_NOVA,))
        )
        mine = {"0000:25:00.4": "one"}
        self.assertEqual(
            1, len(self.said(mine, {"two": 1}, (nova_here.OWNER_NOVA,)))
        )

    def test_providers_of_ours_count_without_devices_and_others_do_not(
        self,
    ) -> None:
        given = make.given([VFS], (), card())
        for ours in (frozenset({"old"}), frozenset()):
            held = facts.Published(
                {"old": provider.Published("uuid", "old", 1, {}, ())},
                {"old": {"two": {"X": 1}}},
                ours,
            )
            found = published.allocated_to_another(
                dataclasses.replace(given, published=held)
            )
            self.assertEqual(bool(ours), bool([*found]))


class MeaningTest(base.TestCase):
    def test_an_entry_that_asks_for_nothing_matches_everything(self) -> None:
        for text, is_everything in (
            ('{"address": "*:*:*.*"}', True),
            ('{"address": "0000:*:*.*"}', False),
            ('{"address": {"domain": ".*", "bus": ".*"}}', True),
            ('{"address": {"bus": "[0-9a-e]."}}', False),
            ('{"address": "*:*:*.*", "vendor_id": "8086"}', False),
            ('{"address": "*:*:*.*", "product_id": "10ca"}', False),
            ("{}", True),
            ('{"devname": "eth0"}', False),
        ):
            found = [*meaning.matches_everything(make.given([text]))]
            self.assertEqual(is_everything, bool(found), text)

    def test_an_expression_that_also_fits_more_is_to_be_anchored(
        self,
    ) -> None:
        for field, wanted, also, mend in (
            ("slot", "1", "also matches 10, 11, 12 and 13 more", "Write all"),
            ("slot", "0[0-3]|1f", "", ""),
            ("slot", "01", "", ""),
            ("bus", "2|20", "also matches 21, 22, 23 and 12 more", '"(?:2'),
        ):
            text = f'{{"address": {{"{field}": "{wanted}"}}}}'
            found = [*meaning.loose_regexes(make.given([text]))]
            self.assertEqual(bool(also), bool(found), text)
            for one in found:
                self.assertIn(also, one.message)
                self.assertIn(mend, one.hint or "")

    def test_migratable_devices_and_post_copy_exclude_each_other(
        self,
    ) -> None:
        key = ("libvirt", "live_migration_permit_post_copy")
        moves = f'{{{make.VF}, "live_migratable": "yes"}}'
        for permitted, specs, count in (
            (True, [moves, moves], 1),
            (True, [VFS], 0),
            (False, [moves], 0),
        ):
            given = make.given(specs, options={key: permitted})
            self.assertEqual(count, len([*meaning.post_copy(given)]))

    def test_a_ports_device_is_managed_and_stays(self) -> None:
        net = '"physical_network": "net"'
        for more, migratable, managed in (
            (f'{net}, "live_migratable": "yes", "managed": "no"', 1, 1),
            (f'{net}, "live_migratable": "no", "managed": "yes"', 0, 0),
            (net, 0, 0),
            ('"live_migratable": "yes", "managed": "no"', 0, 0),
        ):
            given = make.given([f"{{{make.VF}, {more}}}"])
            self.assertEqual(
                (migratable, managed),
                (
                    len([*meaning.network_and_migratable(given)]),
                    len([*meaning.network_and_managed(given)]),
                ),
                more,
            )

    def test_eight_providers_of_a_class_are_many(self) -> None:
        for count, told in ((7, 0), (8, 1)):
            functions = [
                Function(f"0000:{bus:02x}:00.0") for bus in range(1, 1 + count)
            ]
            for reports in (True, False):
                given = make.given(
                    [VFS], (), functions, options={REPORTS: reports}
                )
                self.assertEqual(
                    told if reports else 0, len([*meaning.wide_tree(given)])
                )

    def test_a_device_of_one_time_has_to_be_published(self) -> None:
        once = f'{{{make.VF}, "one_time_use": "yes"}}'
        for text, reports, count in (
            (once, False, 1),
            (once, True, 0),
            (VFS, False, 0),
        ):
            given = make.given([text], options={REPORTS: reports})
            self.assertEqual(
                count, len([*meaning.one_time_use_unpublished(given)])
            )

    def test_neighbours_that_differ_may_be_vfs_of_one_pf(self) -> None:
        def one(function: int, name: str) -> str:
            return (
                f'{{{make.VF}, "address": "0000:25:00.{function}",'
                f' "resource_class": "{name}"}}'
            )

        both = [one(4, "A"), one(5, "B")]
        (found,) = meaning.perhaps_mixed(make.given(both))
        self.assertIn(
            "0000:25:00.5 has other resource_class than 0000:25:00.4",
            found.message,
        )
        # Where the host is seen other rules know.
        for given in (
            make.given([one(4, "A"), one(5, "A")]),
            make.given(both, (), card()),
            make.given(
                both, options={("vfio", "provider_layout"): "per_class"}
            ),
        ):
            self.assertEqual([], [*meaning.perhaps_mixed(given)])

    def test_tags_that_split_a_pool_are_named_once(self) -> None:
        def one(function: int, managed: str, more: str = "") -> str:
            return (
                f'{{{make.VF}, "address": "0000:25:00.{function}",'
                f' "managed": "{managed}"{more}}}'
            )

        given = make.given([one(4, "yes"), one(5, "no")], (), card())
        (found,) = meaning.pool_splits(given)
        self.assertIn("managed is false here and true at", found.message)
        # One that doesn't differ ends nothing.
        three = [one(4, "yes"), one(5, "yes"), one(6, "no")]
        given = make.given(three, (), card(vfs=3))
        (found,) = meaning.pool_splits(given)
        self.assertIn("0000:25:00.4 and 0000:25:00.6", found.message)
        a, b = ', "resource_class": "A"', ', "resource_class": "B"'
        layout = {("vfio", "provider_layout"): "per_class"}
        for specs, options, count in (
            ([one(4, "yes"), one(5, "yes")], {}, 0),
            ([one(4, "yes", a), one(5, "no", b)], layout, 0),
            ([one(4, "yes", a), one(5, "no", a)], layout, 1),
            ([one(4, "yes", a), one(5, "no", b)], {}, 1),
        ):
            given = make.given(specs, (), card(), options=options)
            self.assertEqual(count, len([*meaning.pool_splits(given)]))
