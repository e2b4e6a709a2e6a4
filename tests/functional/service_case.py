# SPDX-License-Identifier: Apache-2.0
"""Two cards, and a Placement service that can be made to fail."""

from nova_vfio_variant.testing import placement
from tests.functional import check_host, cli_case
from tests.functional.placement_case import Faults

NICS = (
    (
        'device_spec = { "product_id": "10ca", "address": "0000:25:*.*",'
        ' "resource_class": "NIC" }'
    ),
    (
        'device_spec = { "product_id": "10ca", "address": "0000:26:*.*",'
        ' "resource_class": "NIC", "traits": "CUSTOM_FAST" }'
    ),
    (
        'alias = { "name": "nic", "device_type": "type-VF",'
        ' "resource_class": "NIC" }'
    ),
)
REPORT = ("inventory", "report")
CLAIM = ("claim", "create", "--instance", cli_case.ONE, "--alias=nic:2")


class ServiceCase(cli_case.CliTestCase):
    """Two cards, tracked; a Placement behind a proxy, with nothing yet."""

    def setUp(self) -> None:
        super().setUp()
        self.faults = Faults()
        self.server = self.useFixture(
            placement.PlacementServer(self.faults.before)
        )
        self.embedded = self.server.embedded
        self.host(
            *check_host.card(vfs=2, driver=None),
            *check_host.card(0x26, vfs=1),
        )
        self.point_at(self.server.url)
        self.ok("device", "sync")

    def point_at(self, url: str, more: str = "") -> None:
        self.configure(
            *NICS,
            tail=(
                "[vfio]\nplacement = service\n"
                "[placement]\nauth_type = admin_token\ntoken = admin\n"
                f"endpoint = {url}\n{more}"
            ),
        )

    def stops(self, said: str) -> None:
        """Report and claim fail with this and change nothing."""
        for words in (REPORT, CLAIM):
            text = self.refuses(*words)
            self.assertIn(said, text)

    def disturb(self) -> None:
        """Another writer comes just before each of our writes."""

        def rule(method: str, path: str) -> None:
            if method == "PUT" and path.startswith("/resource_providers/"):
                uuid = path.split("/")[2]
                generation, has = self.placement.inventories(uuid)
                self.placement.put_inventories(uuid, generation, has)

        self.faults.rules.append(rule)
