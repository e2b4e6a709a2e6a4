# SPDX-License-Identifier: Apache-2.0
"""A host without nova-compute, with cards whose VFs take vGPU types."""

import pathlib
import typing as ty

from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import store, vgpus
from tests.functional import cli_case

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
PF, OTHER_PF = "0000:41:00.0", "0000:61:00.0"
VFS = [f"0000:41:00.{number}" for number in (4, 5, 6, 7)]
OTHER_VFS = [f"0000:61:00.{number}" for number in (4, 5, 6, 7)]
TYPES = {
    "557": ("NVIDIA A16-4Q", 4096),
    "558": ("NVIDIA A16-8Q", 8192),
    "559": ("NVIDIA A16-16Q", 16384),
    "560": ("NVIDIA A16-8C", 8192),
}
SPEC = (
    'device_spec = { "vendor_id": "10de", "product_id": "25b7",'
    ' "managed": "no" }'
)
ALIAS = (
    'alias = { "name": "q8", "vendor_id": "10de", "product_id": "25b7",'
    ' "device_type": "type-VF", "resource_class": "A16_8Q" }'
)
PLAIN = (
    'alias = { "name": "gpu", "vendor_id": "10de", "product_id": "25b7",'
    ' "device_type": "type-VF" }'
)
OURS = "[vfio]\nplacement = embedded\n"


def with_cards(root: pathlib.Path, *pfs: str) -> fake_host.FakeHost:
    """Cards of 16 GiB with four VFs each, none of which has a type."""
    host = fake_host.FakeHost(root)
    host.add_driver("nvidia", ["10de:25b6", "10de:25b7"], makes_vfs=True)
    host.add_driver("vfio-pci", vfio=True)
    host.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
    for number, pf in enumerate(pfs):
        host.add(
            pf,
            "10de:25b6",
            class_code=0x030200,
            group=10 * number,
            vfs=4,
            vf_device="25b7",
            vf_offset=4,
            vf_stride=1,
        )
        host.writer().set_numvfs(pf, 4)
        host.add_vendor_vgpus(pf, TYPES, 16384)
    return host


class OnDemand(cli_case.CliTestCase):
    cards: ty.ClassVar[tuple[str, ...]] = (PF,)

    def setUp(self) -> None:
        super().setUp()
        self.fake = with_cards(self.folder / "host", *self.cards)
        plugged = self.fake.plugged_in()
        plugged.__enter__()
        self.addCleanup(plugged.__exit__, None, None, None)
        self.configure(SPEC, ALIAS, PLAIN, tail=OURS)

    def type_of(self, vf: str) -> str:
        """The id of a VF's type."""
        place = f"sys/bus/pci/devices/{vf}/nvidia/current_vgpu_type"
        return (self.fake.root / place).read_text().strip()

    def types(self) -> list[str]:
        """Of each VF."""
        return [self.type_of(vf) for vf in VFS]

    def claim(self, instance: str, *words: str) -> list[dict[str, ty.Any]]:
        """Claim, and what was claimed."""
        return ty.cast(
            "list[dict[str, ty.Any]]",
            self.json("claim", "create", "--instance", instance, *words),
        )

    def rows(self) -> tuple[vgpus.OurVgpu, ...]:
        """What the store has of vGPUs."""
        with store.Store.open(str(self.state), read_only=True) as opened:
            return opened.vgpus.all()
