# SPDX-License-Identifier: Apache-2.0
"""A host with a card whose VFs take vGPUs, small enough to fill."""

import dataclasses
import os
import pathlib
import typing as ty

import fixtures

from nova_vfio_variant import source
from nova_vfio_variant.host.decide import apply as host_apply
from nova_vfio_variant.host.decide import host_spec, planning, vgpu_changes
from nova_vfio_variant.host.observe import facts, scanner, vendor_vgpu
from nova_vfio_variant.host.observe import records as host_records
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import fake_host
from tests import base

PF: ty.Final = "0000:41:00.0"
VFS: ty.Final = tuple(f"0000:41:00.{number}" for number in range(4, 8))
TYPES: ty.Final = {
    "470": ("NVIDIA A16-4Q", 4096),
    "471": ("NVIDIA A16-8Q", 8192),
    "472": ("NVIDIA A16-8A", 8192),
    "473": ("NVIDIA A16-16Q", 16384),
}


def build(root: str | os.PathLike[str], **more: ty.Any) -> fake_host.FakeHost:
    """A card of 16 GiB with four VFs.

    :param more: as of :meth:`.FakeHost.add_vendor_vgpus`
    """
    host = fake_host.FakeHost(root)
    host.add_driver("nvidia", ["10de:2236", "10de:2237"], makes_vfs=True)
    host.add(
        PF,
        "10de:2236",
        class_code=0x030200,
        vfs=4,
        vf_device="2237",
        vf_offset=4,
        vf_stride=1,
    )
    host.add_vendor_vgpus(PF, TYPES, 16384, **more)
    host.write(f"sys/bus/pci/devices/{PF}/sriov_numvfs", b"4")
    return host


class VgpuCase(base.TestCase):
    """A host with one such card."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = build(self.folder / "host")

    def set(self, number: int, type_id: str) -> None:
        """Let somebody give a VF a type."""
        self.host.writer().set_vgpu_type(VFS[number], type_id)

    def facts(self, **records: ty.Any) -> facts.HostFacts:
        """The host as it is now, with what is known of its card."""
        card = pci_address.PciAddress.parse(PF)
        known = tuple(
            vendor_vgpu.VgpuType(type_id, name, size)
            for type_id, (name, size) in TYPES.items()
        )
        return dataclasses.replace(
            facts.gather(scanner.scan(self.host.tree)),
            records=host_records.Records(vgpu_types={card: known}, **records),
        )

    def decided(
        self, types: ty.Mapping[int, str], **records: ty.Any
    ) -> planning.Decision:
        """What gives VFs their types, by their numbers."""
        return vgpu_changes.decision(
            {
                pci_address.PciAddress.parse(VFS[number]): type_id
                for number, type_id in types.items()
            },
            self.facts(**records),
            "a test asks for it",
        )

    def declared(self, *texts: str) -> planning.Decision:
        """What makes the host as entries say."""
        specs, wrong = host_spec.parse_host_specs(
            [source.SourceText.of(text, "host_spec", "vfio") for text in texts]
        )
        self.assertEqual((), wrong)
        return host_apply.decision(specs, self.facts())

    def steps(self, found: planning.Decision) -> list[str]:
        """The steps, with a ``?`` for what is decided anew later."""
        self.assertEqual(((), ()), (found.refusals, found.findings))
        return [
            f"{step}{'?' if change.expected else ''}".replace("0000:41:00", "")
            for change in found.plan.changes
            for step in change.steps
        ]

    def refused(self, found: planning.Decision) -> list[str]:
        """Why it is refused; nothing is to be done then."""
        self.assertEqual((), found.plan.changes)
        return [
            f"{reason.code.id} {reason.subject} {reason.message}"
            for reason in (*found.findings, *found.refusals)
        ]
