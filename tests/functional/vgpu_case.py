# SPDX-License-Identifier: Apache-2.0
"""A card whose VFs take vGPUs, with what we made of them."""

import contextlib
import datetime as dt
import pathlib
import typing as ty

from nova_vfio_variant.host.observe import scanner
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import store, vgpus
from tests.functional import cli_case

PF = "0000:41:00.0"
VF, OTHER = "0000:41:00.4", "0000:41:00.5"
TYPES = {
    "557": ("NVIDIA A16-4Q", 4096),
    "558": ("NVIDIA A16-8Q", 8192),
}
SPEC = (
    'device_spec = { "vendor_id": "10de", "product_id": "25b7",'
    ' "managed": "no" }'
)
FIRST = "2d9a6a1e-3c5b-4a0e-9d5e-0a4b8e1f7c66"


def with_card(root: pathlib.Path) -> fake_host.FakeHost:
    """A card of 16 GiB with two VFs that have no type."""
    host = fake_host.FakeHost(root)
    host.add_driver("nvidia", ["10de:25b6", "10de:25b7"], makes_vfs=True)
    host.add_driver("vfio-pci", vfio=True)
    host.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
    host.add(
        PF,
        "10de:25b6",
        class_code=0x030200,
        vfs=2,
        vf_device="25b7",
        vf_offset=4,
        vf_stride=1,
    )
    host.writer().set_numvfs(PF, 2)
    host.add_vendor_vgpus(PF, TYPES, 16384)
    return host


class VgpuCase(cli_case.CliTestCase):
    """Commands on such a host, where we claim."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = with_card(self.folder / "host")
        self.enterContext(self.fake.plugged_in())
        self.configure(SPEC, tail="[vfio]\nplacement = embedded\n")

    def open(self) -> store.Store:
        opened = store.Store.open(self.state)
        self.addCleanup(opened.close)
        return opened

    def ours(self) -> list[vgpus.OurVgpu]:
        """What the store has of vGPUs."""
        with contextlib.closing(self.open()) as opened:
            return [*opened.vgpus.all()]

    def type_of(self, vf: str = VF) -> str:
        """The id of a VF's type."""
        place = f"sys/bus/pci/devices/{vf}/nvidia/current_vgpu_type"
        return (self.fake.root / place).read_text().strip()

    def set_type(self, type_id: str, vf: str = VF) -> None:
        """Set it as any tool does."""
        self.fake.writer().set_vgpu_type(vf, type_id)

    def give(
        self,
        vf: str = VF,
        instance: str = cli_case.ONE,
        type_id: str = "557",
        assignment: str = FIRST,
        minutes: int = 10,
    ) -> None:
        """Set a type for an instance, and record it, as a claim does.

        :param minutes: how long ago
        """
        function = scanner.scan(opening.open_tree(str(self.fake.root))).get(
            pci_address.PciAddress.parse(vf)
        )
        assert function is not None
        when = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)
        with contextlib.closing(self.open()) as opened:
            opened.vgpus.put(
                vgpus.OurVgpu(
                    function.address,
                    type_id,
                    vgpus.Origin.CLAIM,
                    instance,
                    assignment,
                    when.isoformat(timespec="seconds"),
                    function.identity,
                )
            )
        self.set_type(type_id, vf)

    def age(self, minutes: int = 10) -> None:
        """Let all vGPUs of ours be older."""
        with contextlib.closing(self.open()) as opened:
            for vgpu in opened.vgpus.all():
                since = dt.datetime.fromisoformat(vgpu.since)
                since -= dt.timedelta(minutes=minutes)
                fields: dict[str, ty.Any] = {
                    name: getattr(vgpu, name) for name in vgpu.__slots__
                }
                fields["since"] = since.isoformat(timespec="seconds")
                opened.vgpus.put(vgpus.OurVgpu(**fields))

    def guest(self, instance: str, vf: str | None = None) -> int:
        """Start a guest of an instance, which may have a VF open."""
        words = ("qemu-system-x86_64", "-uuid", instance)
        if vf is None:
            return self.fake.open_file("/dev/null", words[0], words)
        pid = self.fake.hold(vf, "qemu-system-x86")
        text = "".join(f"{word}\0" for word in words)
        (self.fake.root / f"proc/{pid}/cmdline").write_text(text)
        return pid
