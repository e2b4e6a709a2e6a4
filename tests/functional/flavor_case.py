# SPDX-License-Identifier: Apache-2.0
"""Two cards, and aliases that flavors ask for."""

import json
import typing as ty

import fixtures

from tests.functional import check_host, cli_case

SPECS = (
    (
        'device_spec = { "product_id": "10ca", "address": "0000:25:*.*",'
        ' "resource_class": "NIC" }'
    ),
    (
        'device_spec = { "product_id": "10ca", "address": "0000:26:*.*",'
        ' "resource_class": "NIC", "traits": "CUSTOM_FAST" }'
    ),
    'device_spec = { "vendor_id": "8086", "product_id": "10fb" }',
)
ALIASES = (
    'alias = { "name": "nic", "resource_class": "NIC" }',
    'alias = { "name": "fast", "resource_class": "NIC", "traits": "FAST" }',
    (
        'alias = { "name": "faster", "resource_class": "NIC",'
        ' "traits": "FASTER" }'
    ),
    'alias = { "name": "gpu", "vendor_id": "10de", "product_id": "25b6" }',
    (
        'alias = { "name": "pf", "vendor_id": "8086", "product_id": "10fb",'
        ' "resource_class": "PFS" }'
    ),
)
#: A cloud's Placement, in which devices are published without Nova.
OURS = (
    "[vfio]\nplacement = service\nnova_compute = no\n"
    "[placement]\nauth_type = admin_token\ntoken = admin\n"
    "endpoint = http://127.0.0.1:9/\n"
)


class FlavorCase(cli_case.CliTestCase):
    """A card with two VFs on each of two nodes."""

    def setUp(self) -> None:
        super().setUp()
        self.host(
            *check_host.card(vfs=2),
            *check_host.card(0x26, vfs=2, node=1),
        )
        for node in "01":
            folder = self.folder / f"host/sys/devices/system/node/node{node}"
            folder.mkdir(parents=True)
            (folder / "cpulist").write_text(f"{node}\n")
        self.configure(*SPECS, *ALIASES)

    def asked(self, alias: str) -> tuple[str, ...]:
        return ("--property", f"pci_passthrough:alias={alias}")

    def use_clouds(self, clouds: dict[str, ty.Any]) -> None:
        """Let openstacksdk know these; it looks for others once a process."""
        path = self.folder / "clouds.yaml"
        # JSON is YAML.
        path.write_text(json.dumps({"clouds": clouds}))
        self.useFixture(
            fixtures.EnvironmentVariable("OS_CLIENT_CONFIG_FILE", str(path))
        )

    def check(self, *words: str, status: int = 0) -> list[dict[str, ty.Any]]:
        return list(self.json("flavor", "check", *words, status=status))

    def step(self, *words: str) -> str:
        """What removed the last candidate of the only thing asked for."""
        (row,) = self.check(*words, status=1)
        self.assertEqual("none", row["state"])
        self.assertTrue(row["why"])
        return str(row["step"])
