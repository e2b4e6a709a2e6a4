# SPDX-License-Identifier: Apache-2.0
"""config explain ends with what the winner makes of a device."""

import typing as ty

from tests.functional import check_host, cli_case

VF = "0000:25:00.4"
SPEC = (
    'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
    ' "managed": "no", "resource_class": "FAST", "traits": "QUICK" }'
)


def alias(name: str, **more: str) -> str:
    said = "".join(f', "{key}": "{value}"' for key, value in more.items())
    return (
        f'alias = {{ "name": "{name}", "vendor_id": "8086",'
        f' "product_id": "10ca", "device_type": "type-VF"{said} }}'
    )


class WinnerTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=3))

    def makes(
        self, *pci: str, tail: str = "", of: str = VF
    ) -> dict[str, ty.Any]:
        self.configure(*pci, tail=tail)
        rows = self.json("config", "explain", of)
        self.aliases = [
            (row["found"], row["location"])
            for row in rows
            if row["verdict"] == "gets it"
        ]
        self.notes = {row["field"]: row["note"] for row in rows}
        return {
            row["field"]: row["found"]
            for row in rows
            if row["verdict"] == "makes"
        }

    def test_class_traits_managed_and_provider(self) -> None:
        self.assertEqual(
            {
                "resource_class": "CUSTOM_FAST",
                "traits": ["COMPUTE_MANAGED_PCI_DEVICE", "CUSTOM_QUICK"],
                "managed": False,
                "provider": "compute-1_0000:25:00.0",
                "alias": None,
            },
            self.makes(SPEC),
        )
        self.assertIn("no alias of these files", self.notes["alias"])

    def test_aliases_that_can_get_it_are_named_with_their_place(self) -> None:
        made = self.makes(
            SPEC,
            alias("fast", resource_class="FAST"),
            alias("quick", resource_class="FAST", traits="QUICK"),
            alias("slow", resource_class="SLOW"),
            alias("other", resource_class="FAST").replace("10ca", "10cb"),
        )
        self.assertNotIn("alias", made)
        self.assertEqual(
            [("fast", "nova.conf:8:9"), ("quick", "nova.conf:9:9")],
            self.aliases,
        )

    def test_the_provider_is_that_of_the_layout(self) -> None:
        made = self.makes(SPEC, tail="[vfio]\nprovider_layout = per_class\n")
        self.assertEqual(
            "compute-1_0000:25:00.0_CUSTOM_FAST", made["provider"]
        )

    def test_a_port_s_device_has_no_provider_and_is_managed(self) -> None:
        made = self.makes(
            'device_spec = { "product_id": "10ca", "physical_network": "p",'
            ' "managed": "no" }'
        )
        self.assertEqual((None, True), (made["provider"], made["managed"]))
        self.assertIn("ports of Neutron's", self.notes["provider"])

    def test_what_nova_refuses_to_publish_says_why(self) -> None:
        made = self.makes(
            'device_spec = { "address": "0000:25:00.4" }',
            'device_spec = { "address": "0000:25:00.5",'
            ' "resource_class": "OTHER" }',
        )
        self.assertIsNone(made["provider"])
        self.assertIn("CUSTOM_OTHER", self.notes["provider"])

    def test_a_vf_is_not_published_for_what_is_wrong_with_others(self) -> None:
        made = self.makes(
            'device_spec = { "address": "0000:25:00.5",'
            ' "resource_class": "OTHER" }',
            'device_spec = { "product_id": "10ca" }',
            of="0000:25:00.6",
        )
        self.assertIsNone(made["provider"])
        self.assertIn("CUSTOM_OTHER", self.notes["provider"])

    def test_nobody_wins_and_nothing_is_made(self) -> None:
        self.configure('device_spec = { "product_id": "ffff" }')
        rows = self.json("config", "explain", VF, status=1)
        self.assertEqual({"differs"}, {row["verdict"] for row in rows})
