# SPDX-License-Identifier: Apache-2.0
"""What is suggested for a host passes the check of that host."""

import dataclasses
import pathlib
import tempfile
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import beside, engine, suggest
from nova_vfio_variant.conf import loader, located
from nova_vfio_variant.declaration import facts, gathering, verdicts
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import host_scan, scanner
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.pci import alias_parse, parse
from tests import base
from tests.functional import check_host
from tests.functional.check_host import card

RECORDED = pathlib.Path(__file__).parents[2] / "etc/nova-vfio/hosts"


class Suggest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp())

    def host(
        self,
        functions: ty.Sequence[check_host.Function],
        files: ty.Mapping[str, str] | None = None,
    ) -> host_scan.HostScan:
        return check_host.build(self.folder / "host", functions, files)

    def given(
        self, scan: host_scan.HostScan, more: str = ""
    ) -> facts.CheckInput:
        path = self.folder / "nova.conf"
        path.write_text(
            suggest.text(verdicts.Verdicts(host_facts.gather(scan))) + more
        )
        conf = loader.load([str(path)])
        specs, found = parse.parse_device_specs(
            located.values(conf, "pci", "device_spec")
        )
        aliases, others = alias_parse.parse_aliases(
            located.values(conf, "pci", "alias"),
            in_placement=conf.filter_scheduler.pci_in_placement,
        )
        return facts.CheckInput.of(
            conf, specs, aliases, (*found, *others), scan
        )

    def findings(
        self, scan: host_scan.HostScan
    ) -> tuple[finding.Finding, ...]:
        return engine.check(self.given(scan))

    def taken(self, scan: host_scan.HostScan) -> set[str]:
        return {str(seen.address) for seen, _ in self.given(scan).winners}

    def test_every_recorded_host_gets_lines_that_pass(self) -> None:
        hosts = sorted(RECORDED.glob("*.tar.gz"))
        self.assertEqual(3, len(hosts))
        for path in hosts:
            scan = scanner.scan(opening.open_tree(str(path)))
            self.assertEqual((), self.findings(scan))
            vfs = {
                str(function.address)
                for function in scan.functions
                if function.physfn
            }
            self.assertEqual(vfs, self.taken(scan))

    def test_the_lines_can_be_published_by_nova(self) -> None:
        for path in sorted(RECORDED.glob("*.tar.gz")):
            scan = scanner.scan(opening.open_tree(str(path)))
            given = self.given(
                scan,
                "\n[pci]\nreport_in_placement = true\n"
                "[filter_scheduler]\npci_in_placement = true\n",
            )
            self.assertEqual((), engine.check(given))

    def test_vfs_on_a_vfio_driver_are_left_alone(self) -> None:
        scan = self.host(card())
        self.assertIn(
            '"managed": "no"',
            suggest.text(verdicts.Verdicts(host_facts.gather(scan))),
        )
        self.assertEqual((), self.findings(scan))

    def test_vfs_that_others_on_a_variant_driver_leave_behind(self) -> None:
        scan = self.host([*card(vfs=2, driver="igb_vfio_pci"), card(vfs=3)[3]])
        self.assertEqual((), self.findings(scan))
        self.assertEqual({"0000:25:00.4", "0000:25:00.5"}, self.taken(scan))
        self.assertIn(
            "# not suggested: 0000:25:00.6 is on no variant driver",
            suggest.text(verdicts.Verdicts(host_facts.gather(scan))),
        )

    def test_a_vf_that_carries_a_vdpa_device_is_left_out(self) -> None:
        pf, one, other = card()
        scan = self.host(
            [pf, one, dataclasses.replace(other, files={"vdpa0/driver": ""})]
        )
        self.assertEqual({one.address}, self.taken(scan))
        self.assertEqual((), self.findings(scan))

    def test_vfs_that_have_a_better_driver_are_left_to_libvirt(self) -> None:
        aliases = f"lib/modules/{check_host.RELEASE}/modules.alias"
        scan = self.host(
            card(),
            {
                aliases: "alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i*"
                " igb_vfio_pci\n"
            },
        )
        self.assertIn(
            '"managed": "yes"',
            suggest.text(verdicts.Verdicts(host_facts.gather(scan))),
        )
        self.assertEqual((), self.findings(scan))

    def test_what_the_host_needs_is_not_suggested(self) -> None:
        functions = [
            *card(vfs=2, driver="igbvf"),
            check_host.Function(
                "0000:25:00.6",
                driver="igbvf",
                physfn="0000:25:00.0",
                netdev="eth9",
                files={"net/eth9/flags": "0x1003"},
            ),
        ]
        routes = {
            "proc/net/route": (
                "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                "eth9 0002000A 00000000 0001 0 0 0 00FFFFFF\n"
            ),
        }
        scan = self.host(functions, routes)
        self.assertEqual((), self.findings(scan))
        self.assertNotIn("0000:25:00.6", self.taken(scan))
        self.assertIn(
            "in use by the host (eth9 has an address)",
            suggest.text(verdicts.Verdicts(host_facts.gather(scan))),
        )

    def test_a_group_with_others_is_not_suggested(self) -> None:
        functions = [
            *card(vfs=1),
            check_host.Function(
                "0000:25:00.6", physfn="0000:25:00.0", group=90
            ),
            check_host.Function("0000:25:00.7", "8086:1533", group=90),
        ]
        scan = self.host(functions)
        self.assertEqual((), self.findings(scan))
        self.assertIn(
            "shares IOMMU group 90",
            suggest.text(verdicts.Verdicts(host_facts.gather(scan))),
        )

    def test_vgpu_types_of_one_card_get_classes_of_their_own(self) -> None:
        def vf(number: int, kind: str) -> check_host.Function:
            return check_host.Function(
                f"0000:25:00.{number}",
                "10de:25b6",
                driver="nvidia",
                physfn="0000:25:00.0",
                files={
                    "nvidia/current_vgpu_type": kind,
                    "vfio-dev/vfio0/dev": "509:0",
                },
            )

        scan = self.host(
            [*card(vfs=0), vf(4, "558"), vf(5, "559"), vf(6, "0")]
        )
        text = suggest.text(verdicts.Verdicts(host_facts.gather(scan)))
        self.assertEqual((), self.findings(scan))
        self.assertIn("provider_layout = per_class", text)
        self.assertIn('"resource_class": "CUSTOM_VGPU_TYPE_558"', text)
        self.assertIn("pci_passthrough:alias=VGPU_TYPE_559:1", text)
        self.assertIn("# not suggested: 0000:25:00.6 has no vGPU type", text)

    def test_types_have_the_names_that_the_card_gives_them(self) -> None:
        def vf(number: int, kind: str, catalogue: str) -> check_host.Function:
            return check_host.Function(
                f"0000:25:00.{number}",
                "10de:25b6",
                driver="nvidia",
                physfn="0000:25:00.0",
                files={
                    "nvidia/current_vgpu_type": kind,
                    "nvidia/creatable_vgpu_types": (
                        f"ID    : vGPU Name\n{catalogue}"
                    ),
                    "vfio-dev/vfio0/dev": "509:0",
                },
            )

        scan = self.host(
            [
                *card(vfs=0),
                vf(4, "558", ""),
                vf(5, "559", ""),
                vf(6, "560", ""),
                vf(
                    7,
                    "0",
                    "558   : NVIDIA A16-16A\n"
                    # These two would be the same class.
                    "559   : NVIDIA A16-2Q\n560   : GRID A16_2Q\n",
                ),
            ]
        )
        text = suggest.text(verdicts.Verdicts(host_facts.gather(scan)))
        self.assertEqual((), self.findings(scan))
        self.assertIn('"resource_class": "CUSTOM_A16_16A"', text)
        self.assertIn("pci_passthrough:alias=A16_16A:1", text)
        for number in (559, 560):
            self.assertIn(f"alias=VGPU_TYPE_{number}:1", text)

    def test_what_is_not_suggested_is_told_reason_by_reason(self) -> None:
        scan = self.host(
            [*card(vfs=1, driver="igb_vfio_pci"), *card(vfs=9)[2:]]
        )
        text = suggest.text(verdicts.Verdicts(host_facts.gather(scan)))
        (place,) = [
            number
            for number, line in enumerate(text.splitlines())
            if line.startswith("# not suggested")
        ]
        said, *those = text.splitlines()[place : place + 3]
        self.assertEqual(
            "# not suggested, since each is on no variant driver, as others"
            " of 0000:25:00.0 are:",
            said,
        )
        self.assertEqual(
            [f"0000:25:{n >> 3:02x}.{n & 7}" for n in range(5, 13)],
            " ".join(those).replace("#", "").replace(",", "").split(),
        )

    def declaring(self, scan: host_scan.HostScan, text: str) -> str:
        """What is suggested where a file says this."""
        path = self.folder / "read.conf"
        path.write_text(text)
        conf = loader.load([str(path)])
        return suggest.text(
            verdicts.Verdicts(host_facts.gather(scan)),
            beside.Written(gathering.gather(conf, lambda: scan)),
        )

    def test_ports_get_the_network_that_a_file_names(self) -> None:
        pf, *vfs = card(driver="igbvf")
        scan = self.host([dataclasses.replace(pf, netdev="eth4"), *vfs])
        for text in (
            "[sriov_nic]\nphysical_device_mappings = net1:eth1, net4:eth4\n",
            (
                '[pci]\ndevice_spec = { "address": "0000:25:00.0",'
                ' "physical_network": "net4" }\n'
            ),
            (
                '[pci]\ndevice_spec = { "devname": "eth4",'
                ' "physical_network": "net4" }\n'
            ),
        ):
            said = self.declaring(scan, text)
            self.assertIn(
                '"address": "0000:25:00.0", "physical_network": "net4" }',
                said,
            )
            self.assertIn("# for ports on net4: openstack port create", said)
            self.assertNotIn("managed", said)
            self.assertNotIn("alias", said)
            path = self.folder / "said.conf"
            path.write_text(said)
            given = gathering.gather(loader.load([str(path)]), lambda: scan)
            self.assertEqual((), engine.check(given))
            self.assertEqual(2, len(given.winners))
        said = self.declaring(
            scan, "[sriov_nic]\nphysical_device_mappings = net1, :eth4,\n"
        )
        self.assertNotIn("physical_network", said)

    def test_a_variant_driver_is_not_lost_to_a_port(self) -> None:
        pf, *vfs = card(driver="igb_vfio_pci")
        scan = self.host([dataclasses.replace(pf, netdev="eth4"), *vfs])
        self.assertNotIn(
            "physical_network",
            self.declaring(
                scan, "[sriov_nic]\nphysical_device_mappings = net4:eth4\n"
            ),
        )

    def test_the_aliases_are_for_nova_api_as_well(self) -> None:
        scan = self.host(card())
        said = self.declaring(scan, "[DEFAULT]\nhost = n1\n").splitlines()
        aliases = [line for line in said if line.startswith("alias = ")]
        start = said.index("# nova-api's file needs the same aliases:")
        self.assertEqual(
            ["#   [pci]", *(f"#   {alias}" for alias in aliases)],
            said[start + 1 : start + 2 + len(aliases)],
        )
        self.assertIn("PciPassthroughFilter", said[-1])
        named = "[filter_scheduler]\nenabled_filters = PciPassthroughFilter\n"
        self.assertNotIn("PciPassthroughFilter", self.declaring(scan, named))

    def test_options_that_are_missing_are_named_and_others_not(self) -> None:
        def vf(number: int, kind: str) -> check_host.Function:
            return check_host.Function(
                f"0000:25:00.{number}",
                "10de:25b6",
                driver="nvidia",
                physfn="0000:25:00.0",
                files={
                    "nvidia/current_vgpu_type": kind,
                    "vfio-dev/vfio0/dev": "509:0",
                },
            )

        scan = self.host([*card(vfs=0), vf(4, "558"), vf(5, "559")])
        report = "[pci]\nreport_in_placement = true\n"
        schedule = "[filter_scheduler]\npci_in_placement = true\n"
        layout = "[vfio]\nprovider_layout = per_class\n"
        for text, missing in (
            ("", (report, schedule, layout)),
            (report + layout, (schedule,)),
            (schedule, (report, layout)),
            (report + schedule + layout, ()),
        ):
            said = self.declaring(scan, text)
            for each in (report, schedule, layout):
                name = each.splitlines()[1]
                self.assertEqual(each in missing, name in said, name)

    def test_many_cards_of_one_kind_get_lines_that_pass(self) -> None:
        scan = self.host(
            [function for bus in range(0x21, 0x2A) for function in card(bus)]
        )
        self.assertEqual((), self.findings(scan))

    def test_a_host_without_vfs_is_told_where_they_could_be(self) -> None:
        scan = self.host(card(vfs=0))
        self.assertIn(
            "PF 0000:25:00.0 could have 16 VFs",
            suggest.text(verdicts.Verdicts(host_facts.gather(scan))),
        )
        self.assertEqual((), self.findings(scan))
