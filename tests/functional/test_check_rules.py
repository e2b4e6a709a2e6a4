# SPDX-License-Identifier: Apache-2.0
"""What a rule says once it is asked twice, or must not say."""

import pathlib
import tempfile

from nova_vfio_variant import exception
from nova_vfio_variant.check import engine
from nova_vfio_variant.conf import loader, located
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.pci import alias_parse, parse
from tests import base
from tests.functional import check_cases, check_host
from tests.functional.check_host import Function, card

VF = check_cases.VF
specs = check_cases.specs


class Rules(base.TestCase):
    def given(
        self, conf: str, functions: list[Function] | None = None
    ) -> facts.CheckInput:
        folder = pathlib.Path(tempfile.mkdtemp())
        path = folder / "nova.conf"
        path.write_text(conf)
        loaded = loader.load([str(path)])
        found, findings = parse.parse_device_specs(
            located.values(loaded, "pci", "device_spec")
        )
        aliases, more = alias_parse.parse_aliases(
            located.values(loaded, "pci", "alias"),
            in_placement=loaded.filter_scheduler.pci_in_placement,
        )
        scan: host_scan.HostScan | None = None
        if functions is not None:
            scan = check_host.build(folder / "host", functions)
        return facts.CheckInput.of(
            loaded, found, aliases, (*findings, *more), scan
        )

    def ids(
        self, conf: str, functions: list[Function] | None = None
    ) -> list[str]:
        given = self.given(conf, functions)
        return [finding.code.id for finding in engine.check(given)]

    def test_a_file_that_is_right_has_no_finding(self) -> None:
        conf = specs(f'{{ {VF}, "managed": "no" }}')
        self.assertEqual([], self.ids(conf))
        self.assertEqual([], self.ids(conf, card()))

    def test_null_parts_pools_and_what_nova_adds_does_not(self) -> None:
        at = '"vendor_id": "8086", "product_id": "10ca", "address":'
        general = f'{{ {at} "0000:25:00.0" }}'
        for tag, split in (
            ('"physical_network": null', True),
            ('"trusted": null', True),
            ('"remote_managed": "false"', False),
        ):
            conf = specs(f'{{ {at} "0000:25:00.4", {tag} }}', general)
            self.assertEqual(split, "VFIO206" in self.ids(conf, card()), tag)

    def test_any_alternative_of_an_alias_will_do(self) -> None:
        one = '"name": "a", "device_type": "type-VF", "vendor_id": "8086"'
        none = f'alias = {{ {one}, "product_id": "ffff" }}\n'
        some = f'alias = {{ {one}, "product_id": "10ca" }}\n'
        self.assertIn("VFIO220", self.ids(specs(f"{{ {VF} }}") + none, card()))
        self.assertNotIn(
            "VFIO220", self.ids(specs(f"{{ {VF} }}") + none + some, card())
        )

    def test_a_better_regex_is_one_that_needs_no_better_one(self) -> None:
        def hints(bus: str) -> list[str | None]:
            conf = specs(f'{{ {VF}, "address": {{ "bus": "{bus}" }} }}')
            return [
                finding.hint
                for finding in engine.check(self.given(conf))
                if finding.code.id == "VFIO202"
            ]

        self.assertEqual(['Write "21|4$", or all digits.'], hints("21|4"))
        self.assertEqual([], hints("21|4$"))
        self.assertEqual(['Write "(?:2|21)$", or all digits.'], hints("2|21"))
        self.assertEqual([], hints("(?:2|21)$"))
        for nothing in ("2|4", ""):
            self.assertEqual(
                ["Write all digits, or leave bus out to match any."],
                hints(nothing),
            )

    def test_a_comment_behind_a_value_is_told(self) -> None:
        said = self.assertRaises(
            exception.ConfigError,
            self.given,
            "[pci]\nreport_in_placement = true # yes\n",
        )
        (found,) = said.findings
        self.assertIn("here # is no comment", str(found.hint))

    def test_options_of_nova_that_are_not_known_here_are_left_alone(
        self,
    ) -> None:
        conf = (
            "[DEFAULT]\nstate_path = /var/lib/nova\nhost_ip = 1\n"
            "[libvirt]\nlive_migration_permit_auto_converge = true\n"
            "[vmware]\nhost_ip = 1\n[compute]\nalias = x\n"
        )
        self.assertEqual([], self.ids(conf))

    def test_without_a_host_an_address_may_be_a_pf_s(self) -> None:
        conf = specs(
            f'{{ {VF}, "address": "0000:25:*.*" }}',
            f'{{ {VF}, "address": "0000:25:00.0" }}',
        )
        self.assertEqual([], self.ids(conf))

    def test_a_glob_in_a_glob_is_shadowed(self) -> None:
        conf = specs(
            f'{{ {VF}, "address": "*:25:*.*" }}',
            f'{{ {VF}, "address": "0000:25:*.*" }}',
        )
        self.assertEqual(["VFIO203"], self.ids(conf))

    def test_two_specs_of_one_device_are_a_warning_and_do_not_block(
        self,
    ) -> None:
        conf = specs(f'{{ {VF}, "address": "0000:25:00.4" }}', f"{{ {VF} }}")
        self.assertEqual(["VFIO204"], self.ids(conf, card()))
        self.assertEqual((), engine.blocking(self.given(conf, card())))

    def test_what_nova_refuses_blocks_only_once_it_publishes(self) -> None:
        spec = '{ "address": "0000:25:00.0" }'
        off = self.given(specs(spec), card())
        self.assertEqual((), engine.blocking(off))
        on = self.given(specs(spec, before=check_cases.PUBLISHED), card())
        self.assertEqual(
            ["VFIO281"], [obstacle.code.id for obstacle in engine.blocking(on)]
        )

    def test_what_is_said_about_a_pf_and_its_vfs_mends_it(self) -> None:
        whole = '{ "address": "0000:25:00.0" }'
        apart = '"vendor_id": "8086", "address": "0000:25:00.0", "product_id":'
        at = '"domain": "0000", "bus": "25", "slot": "00", "function":'
        for pf_ids, mends in (
            ("8086:10c9", (f'{{ {apart} "10ca" }}', f'{{ {apart} "10c9" }}')),
            (
                # An NVMe card, say, whose VFs have the ids of its PF.
                "8086:10ca",
                (
                    f'{{ "address": {{ {at} "[4-5]" }} }}',
                    f'{{ "address": {{ {at} "[0]" }} }}',
                ),
            ),
        ):
            host = card(pf_ids=pf_ids)
            for conf, there in (
                (whole, True),
                *((one, False) for one in mends),
            ):
                conf = specs(conf, before=check_cases.PUBLISHED)
                given = self.given(conf, host)
                found = [finding.code.id for finding in engine.check(given)]
                self.assertTrue(given.winners)
                self.assertEqual(there, "VFIO281" in found, conf)

    def test_errors_of_the_text_block(self) -> None:
        given = self.given(specs('{ "address": ".4", "mangaed": "no" }'))
        self.assertEqual(
            ["VFIO104"],
            [obstacle.code.id for obstacle in engine.blocking(given)],
        )

    def test_the_worst_comes_last(self) -> None:
        conf = specs(
            '{ "vendor_id": "8086", "mangaed": "no" }',
            '{ "vendor_id": "0x10de", "resource_class": "A-B" }',
        )
        self.assertEqual(["VFIO209", "VFIO120", "VFIO104"], self.ids(conf))

    def test_a_whole_regular_expression_is_fine(self) -> None:
        for address in (
            '{ "bus": "25", "slot": "0[0-3]", "function": "[4-7]" }',
            '{ "bus": "2$" }',
            '{ "bus": "2.*" }',
        ):
            conf = specs(f'{{ {VF}, "address": {address} }}')
            self.assertEqual([], self.ids(conf), address)

    def test_a_class_that_only_gets_its_prefix_is_no_news(self) -> None:
        conf = specs(
            f'{{ {VF}, "resource_class": "A16_16A",'
            ' "traits": "BLUE,HW_GPU_API_VULKAN" }'
        )
        self.assertEqual([], self.ids(conf))

    def test_a_bridge_in_the_group_is_no_obstacle(self) -> None:
        functions = [
            Function("0000:00:10.0", driver="vfio-pci", group=6),
            Function(
                "0000:00:01.0",
                "8086:3420",
                "060400",
                driver="pcieport",
                group=6,
            ),
        ]
        conf = specs('{ "address": "0000:00:10.0", "managed": "no" }')
        self.assertEqual([], self.ids(conf, functions))

    def test_a_managed_vf_on_its_host_driver_is_fine(self) -> None:
        conf = specs(f"{{ {VF} }}")
        self.assertEqual([], self.ids(conf, card(driver="igbvf")))

    def test_an_alias_finds_its_devices_by_class(self) -> None:
        conf = (
            specs(
                f'{{ {VF}, "resource_class": "A16_16A" }}',
                before=check_cases.PUBLISHED,
            )
            + 'alias = { "name": "a", "resource_class": "CUSTOM_A16_16A",'
            ' "device_type": "type-VF" }\n'
            "[filter_scheduler]\npci_in_placement = true\n"
        )
        self.assertEqual([], self.ids(conf, card()))

    def test_an_exact_name_elsewhere_goes_before_a_like_one_here(self) -> None:
        for group, name, meant in (
            ("pci", "pci_in_placement", "filter_scheduler"),
            ("filter_scheduler", "report_in_placement", "pci"),
            ("DEFAULT", "enabled_filters", "filter_scheduler"),
            ("vfio", "device_spec", "pci"),
            ("devices", "host_spec", "vfio"),
        ):
            (found,) = engine.check(self.given(f"[{group}]\n{name} = []\n"))
            self.assertIn(f"Did you mean [{meant}] {name}?", str(found.hint))

    def test_an_option_that_is_there_is_not_offered(self) -> None:
        conf = "[pci]\nreport_in_placement = true\nreport_in_plcement = true\n"
        (found,) = engine.check(self.given(conf))
        self.assertIn("Remove it: [pci] report_in_placement", str(found.hint))

    def test_remote_managed_is_an_error_on_a_pf_alone(self) -> None:
        tag = '"remote_managed": "yes"'
        at = '"domain": "0000", "bus": "25", "slot": "00", "function": "0"'
        for entry, there in (
            (f'{{ {VF}, "address": "0000:25:00.0", {tag} }}', True),
            (f'{{ {VF}, "address": {{ {at} }}, {tag} }}', True),
            (f'{{ {VF}, "devname": "gone", {tag} }}', True),
            (f'{{ {VF}, "address": "0000:25:00.4", {tag} }}', False),
            (f'{{ {VF}, "address": "0000:25:*.*", {tag} }}', False),
            (f"{{ {VF}, {tag} }}", False),
        ):
            given = self.given(specs(entry), card())
            blocks = [obstacle.code.id for obstacle in engine.blocking(given)]
            self.assertEqual(["VFIO288"] if there else [], blocks, entry)

    def test_a_pf_beside_its_vfs_is_not_alone(self) -> None:
        pf = '{ "product_id": "10c9" }'
        self.assertIn("VFIO227", self.ids(specs(pf), card()))
        self.assertNotIn("VFIO227", self.ids(specs(pf, f"{{ {VF} }}"), card()))
        self.assertNotIn("VFIO227", self.ids(specs(pf), card(vfs=0)))

    def test_the_nearest_is_never_the_host_bridge(self) -> None:
        host = [
            Function("0000:00:00.0", "8086:29c0", "060000"),
            *card(vfs=1),
        ]
        conf = specs('{ "vendor_id": "8086", "product_id": "29c1" }')
        (found,) = engine.check(self.given(conf, host))
        self.assertIn("nearest is 0000:25:00.4", found.message)
        (found,) = engine.check(self.given(conf, host[:1]))
        self.assertIn("no device here is like it", found.message)
