# SPDX-License-Identifier: Apache-2.0
"""A host, and what is decided for entries of host_spec on it."""

import pathlib

import fixtures

from nova_vfio_variant import source
from nova_vfio_variant.host.decide import apply, host_spec, planning
from nova_vfio_variant.host.observe import facts, scanner
from nova_vfio_variant.pci import address as pci_address
from tests import base, sample_hosts

PF = "0000:21:00.0"
VF = "0000:21:10.0"
NIC = "0000:31:01.0"
OTHER = "0000:31:02.0"
FOUR_VFS = '{"address": "0000:21:00.0", "num_vfs": 4}'
ON_VFIO = '{"vendor_id": "8086", "product_id": "10ca", "driver": "vfio-pci"}'


def specs(*texts: str) -> tuple[host_spec.HostSpec, ...]:
    """Entries of host_spec that are right."""
    found, findings = host_spec.parse_host_specs(
        [source.SourceText.of(text, "host_spec", "vfio") for text in texts]
    )
    assert not findings, findings
    return found


class PlanCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = sample_hosts.with_igb(root / "host")
        self.owners: dict[pci_address.PciAddress, str] = {}
        self.quarantined: dict[pci_address.PciAddress, str] = {}

    def put(self, place: str, text: str = "") -> None:
        """Make a file of the host."""
        path = self.host.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def decision(
        self, *texts: str, only: tuple[str, ...] = ()
    ) -> planning.Decision:
        """What is decided for these entries."""
        before = self.host.picture()
        found = apply.decision(
            specs(*texts),
            facts.gather(scanner.scan(self.host.tree)).knowing(
                owners=self.owners, quarantined=self.quarantined
            ),
            [pci_address.PciAddress.parse(name) for name in only],
        )
        self.assertEqual(before, self.host.picture())
        return found

    def steps(self, *texts: str) -> list[str]:
        found = self.decision(*texts)
        self.assertEqual(((), ()), (found.refusals, found.findings))
        return [str(step) for step in found.plan.steps]

    def refused(self, code: object, subject: str, *texts: str) -> None:
        """Refused with this code, and with no plan for the function."""
        found = self.decision(*texts)
        self.assertIn(
            (code, subject),
            [(refusal.code, refusal.subject) for refusal in found.refusals],
        )
        self.assertNotIn(
            subject, [change.subject for change in found.plan.changes]
        )
