# SPDX-License-Identifier: Apache-2.0
"""From nova.conf and a host's functions to Placement and a guest's XML."""

import json
import pathlib
import subprocess
import sys

from lxml import etree

from tests.functional import check_host, cli_case, schema_case

#: The two examples of the upstream spec, as it prints them.
PLAIN = (
    'device_spec = { "vendor_id": "10de", "product_id": "25b6",'
    ' "address": "0000:25:00.4", managed: "no" }'
)
CLASSED = (
    'device_spec = { "vendor_id": "10de", "product_id": "25b6",'
    ' "address": "0000:25:00.4", "resource_class": "CUSTOM_A16_16A",'
    ' "managed": "no" }'
)
ALIAS = (
    'alias = { "device_type": "type-VF", resource_class: "CUSTOM_A16_16A",'
    ' "name": "A16_16A" }'
)
#: And what it says a guest gets.
HOSTDEV = (
    '<hostdev mode="subsystem" type="pci" managed="no">\n'
    '  <driver name="vfio"/>\n'
    "  <source>\n"
    '    <address domain="0x0000" bus="0x25" slot="0x00" function="0x4"/>\n'
    "  </source>\n"
    "</hostdev>\n"
)
AUTOMATIC = "COMPUTE_MANAGED_PCI_DEVICE"


class SchemaTest(schema_case.SchemaCase):
    def test_the_schema_refuses_what_libvirt_would(self) -> None:
        for wrong in (
            HOSTDEV.replace('managed="no"', 'managed="perhaps"'),
            HOSTDEV.replace('bus="0x25"', 'bus="0x125"'),
            HOSTDEV.replace('name="vfio"', 'name="xen-vfio"'),
        ):
            domain = etree.fromstring(schema_case.DOMAIN.format(wrong))
            self.assertFalse(schema_case.schema().validate(domain), wrong)


class SpecExamplesTest(schema_case.SchemaCase):
    """The spec's examples, quoted, work; as it prints them, they don't."""

    def setUp(self) -> None:
        super().setUp()
        # On a real card PF and VFs have the same ids.
        self.host(
            *check_host.card(
                vfs=2,
                pf_ids="10de:25b6",
                vf_ids="10de:25b6",
                driver="nvidia",
                vf_files={
                    "vfio-dev/vfio0/dev": "509:0",
                    "nvidia/current_vgpu_type": "592",
                },
            )
        )

    def walk(self, alias: str, resource_class: str) -> None:
        """All the way for the one VF that is declared."""
        self.assertEqual(
            [], self.json("config", "check", "--offline"), "no finding"
        )
        self.ok("device", "sync")
        (device,) = self.json("device", "list")
        self.assertEqual("0000:25:00.4", device["address"])
        self.assertIs(False, device["managed"])
        self.assertIs(False, device["extra_info"]["managed"])
        self.assertEqual(resource_class, device["resource_class"])
        self.ok("inventory", "report")
        provider = "compute-1_0000:25:00.0"
        self.assertEqual(
            {
                "total": {resource_class: 1},
                "used": {resource_class: 0},
                "traits": [AUTOMATIC],
            },
            self.published()[provider],
        )
        self.ok(
            *("claim", "create", "--instance", cli_case.ONE),
            *("--alias", f"{alias}:1"),
        )
        self.assertEqual(
            {provider: {resource_class: 1}}, self.allocations(cli_case.ONE)
        )
        self.assertEqual(
            {resource_class: 1}, self.published()[provider]["used"]
        )
        told = self.ok("guest", "xml", "--instance", cli_case.ONE).out
        self.assertEqual(HOSTDEV, told)
        self.assert_valid(told)

    def test_managed_no_alone(self) -> None:
        self.configure(
            PLAIN.replace("managed:", '"managed":'),
            'alias = { "vendor_id": "10de", "product_id": "25b6",'
            ' "device_type": "type-VF", "name": "a16" }',
        )
        self.walk("a16", "CUSTOM_PCI_10DE_25B6")

    def test_with_a_resource_class_and_an_alias(self) -> None:
        self.configure(
            CLASSED, ALIAS.replace("resource_class:", '"resource_class":')
        )
        self.walk("A16_16A", "CUSTOM_A16_16A")

    def test_as_printed_the_key_without_quotes_is_named(self) -> None:
        self.configure(PLAIN, CLASSED, ALIAS)
        for words in (
            ("config", "check"),
            ("device", "sync"),
            ("inventory", "report"),
        ):
            done = self.ok(*words, status=2)
            told = done.out + done.err
            self.assertIn(
                "nova.conf:7:87: error: key managed lacks its double quotes",
                told,
            )
            self.assertIn(
                "nova.conf:9:37: error: key resource_class lacks its double"
                " quotes",
                told,
            )
            self.assertIn('    Write "managed".', told)
        self.assertFalse(self.state.exists())


class ManagedTest(schema_case.SchemaCase):
    """managed no, yes and unset, for every kind of device."""

    def setUp(self) -> None:
        super().setUp()
        other = check_host.Function
        self.host(
            *check_host.card(vfs=2, driver="vfio-pci"),
            # A PF that is given away whole, of a domain with four digits.
            other("abcd:61:00.0", "8086:1572", vfs=4, driver="i40e"),
            other("0000:43:00.0", "1af4:1041", driver="virtio_vfio_pci"),
        )

    def given(self, managed: str, stored: str, shown: str) -> None:
        """All three kinds with this tag."""
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca"'
            + managed
            + " }",
            'device_spec = { "address": "abcd:61:00.0"' + managed + " }",
            'device_spec = { "address": "0000:43:00.0"' + managed + " }",
            'alias = { "name": "vf", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
            'alias = { "name": "pf", "vendor_id": "8086",'
            ' "product_id": "1572", "device_type": "type-PF" }',
            'alias = { "name": "pci", "vendor_id": "1af4",'
            ' "product_id": "1041" }',
        )
        claims = self.json(
            *("claim", "create", "--instance", cli_case.ONE),
            *("--alias", "vf:2,pf:1,pci:1"),
        )
        self.assertEqual(
            {"vf": 2, "pf": 1, "pci": 1},
            {one["alias_name"]: len(one["addresses"]) for one in claims},
        )
        kept = {
            one["address"]: one
            for one in self.json("device", "list")
            if one["instance_uuid"] == cli_case.ONE
        }
        self.assertEqual(
            {
                "0000:25:00.4": "type-VF",
                "0000:25:00.5": "type-VF",
                "0000:43:00.0": "type-PCI",
                "abcd:61:00.0": "type-PF",
            },
            {name: one["dev_type"] for name, one in kept.items()},
        )
        self.assertEqual(
            {stored == "true"},
            {one["extra_info"]["managed"] for one in kept.values()},
        )
        self.assertEqual(
            {
                "compute-1_0000:25:00.0": {"CUSTOM_PCI_8086_10CA": 2},
                "compute-1_0000:43:00.0": {"CUSTOM_PCI_1AF4_1041": 1},
                "compute-1_ABCD:61:00.0": {"CUSTOM_PCI_8086_1572": 1},
            },
            self.allocations(cli_case.ONE),
        )
        # With managed no, what is on the host's drivers is left to be bound.
        told = self.ok(
            *("guest", "xml", "--instance", cli_case.ONE),
            status=int(shown == "no"),
        ).out
        elements = self.assert_valid(told)
        self.assertEqual([shown] * 4, [one.get("managed") for one in elements])
        self.assertEqual(
            sorted(kept),
            [
                "{}:{}:{}.{}".format(*map(str, where.values())).replace(
                    "0x", ""
                )
                for one in elements
                for where in one.iterfind("source/address")
            ],
        )

    def test_no(self) -> None:
        self.given(', "managed": "no"', "false", "no")

    def test_yes(self) -> None:
        self.given(', "managed": "yes"', "true", "yes")

    def test_unset_is_yes(self) -> None:
        self.given("", "true", "yes")

    def test_each_device_goes_to_a_file_that_can_be_attached(self) -> None:
        self.given("", "true", "yes")
        done = self.ok(
            *("guest", "xml", "--instance", cli_case.ONE),
            *("--output-dir", "out"),
        )
        paths = [pathlib.Path(line) for line in done.out.splitlines()]
        self.assertEqual(4, len(paths))
        for path in paths:
            self.assert_valid(path.read_text())
        self.assertIn(pathlib.Path("out/abcd:61:00.0.xml"), paths)


class AliasTest(schema_case.SchemaCase):
    """An alias gets devices of its class and traits, and no others."""

    def setUp(self) -> None:
        super().setUp()
        self.host(
            *check_host.card(0x21, vfs=3, driver="igbvf"),
            *check_host.card(0x41, vfs=3, node=1),
        )
        self.configure(
            'device_spec = { "product_id": "10ca", "address": "0000:21:*.*",'
            ' "resource_class": "NIC_VF" }',
            'device_spec = { "product_id": "10ca", "address": "0000:41:*.*",'
            ' "resource_class": "FAST_VF", "traits": "CUSTOM_DIRECT",'
            ' "managed": "no" }',
            'alias = { "name": "nic", "device_type": "type-VF",'
            ' "resource_class": "NIC_VF" }',
            'alias = { "name": "fast", "device_type": "type-VF",'
            ' "resource_class": "FAST_VF", "traits": "CUSTOM_DIRECT",'
            ' "numa_policy": "required" }',
            'alias = { "name": "by-id", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
            'alias = { "name": "none", "device_type": "type-VF",'
            ' "resource_class": "FAST_VF", "traits": "CUSTOM_MISSING" }',
        )
        self.ok("device", "sync")

    def claim(self, instance: str, *words: str) -> dict[str, list[str]]:
        return {
            one["alias_name"]: one["addresses"]
            for one in self.json(
                "claim", "create", "--instance", instance, "--alias", *words
            )
        }

    def claim_fails(self, *words: str) -> str:
        return self.refuses(
            "claim", "create", "--instance", cli_case.THREE, "--alias", *words
        )

    def test_a_class_and_traits_choose(self) -> None:
        self.ok("inventory", "report")
        for instance in (cli_case.ONE, cli_case.TWO):
            (place,) = self.claim(instance, "fast:1")["fast"]
            self.assertTrue(place.startswith("0000:41:"), place)
        self.assertIn("none", self.claim_fails("none:1"))
        # As in Nova: an alias of ids alone asks for the class of these ids.
        self.assertIn(
            "it asks for CUSTOM_PCI_8086_10CA:", self.claim_fails("by-id:1")
        )
        self.assertIn("fast", self.claim_fails("fast:2"))
        used = {
            name: one["used"]
            for name, one in self.published().items()
            if one["used"]
        }
        self.assertEqual(
            {
                "compute-1_0000:21:00.0": {"CUSTOM_NIC_VF": 0},
                "compute-1_0000:41:00.0": {"CUSTOM_FAST_VF": 2},
            },
            used,
        )

    def test_several_aliases_are_claimed_together_or_not_at_all(self) -> None:
        self.claim_fails("nic:2,fast:4")
        self.assertEqual([], self.json("claim", "list"))
        claimed = self.claim(cli_case.ONE, "nic:2,fast:1")
        self.assertEqual(
            {"nic": {"0000:21"}, "fast": {"0000:41"}},
            {
                name: {place[:7] for place in places}
                for name, places in claimed.items()
            },
        )
        self.assertEqual(
            {
                "compute-1_0000:21:00.0": {"CUSTOM_NIC_VF": 2},
                "compute-1_0000:41:00.0": {"CUSTOM_FAST_VF": 1},
            },
            self.allocations(cli_case.ONE),
        )
        self.assertEqual(
            [("fast", "prepared"), ("nic", "prepared")],
            sorted(
                (one["alias_name"], one["status"])
                for one in self.json("claim", "list")
            ),
        )

    def test_numa_nodes_choose(self) -> None:
        self.assertIn(
            "0 can be given by NUMA policy required near node 0",
            self.claim_fails("fast:1", "--numa", "0"),
        )
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'alias = { "name": "any", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        self.ok("device", "sync")
        self.claim_fails("any:4", "--numa", "0", "--numa-policy", "required")
        near = self.claim(
            cli_case.ONE,
            *("any:2", "--numa", "1", "--numa-policy", "required"),
        )
        self.assertEqual({"0000:41"}, {place[:7] for place in near["any"]})
        # Preferred takes what is near first, and then what is far.
        mixed = self.claim(
            cli_case.TWO,
            *("any:2", "--numa", "1", "--numa-policy", "preferred"),
        )
        self.assertEqual(
            ["0000:21", "0000:41"], sorted(p[:7] for p in mixed["any"])
        )

    def test_what_a_flavor_cannot_mean_is_said(self) -> None:
        for words, said in (
            ("fats:1", "fats"),
            ("fast:0", "0"),
            ("fast:x", "x"),
            ("fast:", "fast:"),
            ("", ""),
        ):
            self.assertIn(said, self.claim_fails(words))

    def test_an_instance_claims_once(self) -> None:
        self.claim(cli_case.ONE, "nic:1")
        self.assertIn(
            f"instance {cli_case.ONE} already has nic:1",
            self.refuses(
                "claim", "create", "--instance", cli_case.ONE, "--alias=fast:1"
            ),
        )

    def test_a_claim_is_given_back_everywhere(self) -> None:
        self.claim(cli_case.ONE, "nic:2,fast:1")
        (one, two) = self.json("claim", "delete", cli_case.ONE)
        self.assertEqual(
            {"nic", "fast"}, {one["alias_name"], two["alias_name"]}
        )
        self.assertEqual(("freed", "freed"), (one["status"], two["status"]))
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(cli_case.ONE))
        self.assertEqual(
            {"available"},
            {one["status"] for one in self.json("device", "list")},
        )
        self.assertEqual([], self.json("claim", "delete", cli_case.ONE))


class RaceTest(schema_case.SchemaCase):
    def test_twenty_processes_make_exactly_ten_claims(self) -> None:
        self.host(*check_host.card(0x21, vfs=5), *check_host.card(0x41, vfs=5))
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'alias = { "name": "vf", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        program = pathlib.Path(__file__).with_name("cli_claimants.py")
        told = subprocess.run(
            [sys.executable, program, "20", *self.options],
            text=True,
            stdout=subprocess.PIPE,
            timeout=300,
            check=True,
        )
        answers = json.loads(told.stdout)
        self.assertEqual(
            [0] * 10 + [2] * 10, sorted(status for status, *_ in answers)
        )
        given = {}
        for status, out, err in answers:
            if status == 0:
                self.assertEqual("", err)
                (claim,) = json.loads(out)
                given[claim["instance_uuid"]] = claim["addresses"]
            else:
                self.assertEqual("", out)
                self.assertRegex(
                    err, "^error: .*vf.*\n(hint: .*\n)?(\\{.*\\}\n)?$"
                )
        self.assertEqual(
            given,
            {
                one["instance_uuid"]: one["addresses"]
                for one in self.json("claim", "list")
            },
        )
        self.assertEqual(10, len({place for (place,) in given.values()}))
        self.assertEqual(
            [{"CUSTOM_PCI_8086_10CA": 5}] * 2,
            [one["used"] for one in self.published().values() if one["used"]],
        )
        for instance, (place,) in given.items():
            self.assertEqual(
                {f"compute-1_{place[:7]}:00.0": {"CUSTOM_PCI_8086_10CA": 1}},
                self.allocations(instance),
            )
