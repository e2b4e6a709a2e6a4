# SPDX-License-Identifier: Apache-2.0
"""A host with two cards that make vGPUs of their VFs, and a NIC."""

import pathlib

from nova_vfio_variant.testing import fake_host

CARD, OTHER, NIC = "0000:41:00.0", "0000:61:00.0", "0000:31:01.0"
B1, Q12, Q24 = "1145", "1148", "1149"
L40S = {
    B1: ("NVIDIA L40S-1B", 1024),
    Q12: ("NVIDIA L40S-12Q", 12288),
    Q24: ("NVIDIA L40S-24Q", 24576),
}


def build(folder: pathlib.Path) -> fake_host.FakeHost:
    """A host of two cards without VFs, and a NIC."""
    host = fake_host.FakeHost(folder)
    host.add_driver("nvidia", ["10de:*:0302*"], makes_vfs=True)
    host.add_driver("e1000", ["8086:100e"])
    host.add(NIC, "8086:100e")
    for address in (CARD, OTHER):
        host.add(address, "10de:26b9", class_code=0x030200, vfs=4)
    return host


def make_vfs(host: fake_host.FakeHost, card: str = CARD) -> list[str]:
    """Make all VFs of a card; their addresses."""
    host.writer().set_numvfs(card, 4)
    place = host.root / "sys/bus/pci/devices" / card
    return [(place / f"virtfn{n}").readlink().name for n in range(4)]


def give(host: fake_host.FakeHost, vf: str, type_id: str) -> None:
    """Do what an administrator does by hand."""
    host.write(
        f"sys/bus/pci/devices/{vf}/nvidia/current_vgpu_type",
        f"{type_id}\n".encode(),
    )
