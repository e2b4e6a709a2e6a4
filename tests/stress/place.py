# SPDX-License-Identifier: Apache-2.0
"""The host on which anything may happen, and what may be declared of it."""

import pathlib
import typing as ty

from nova_vfio_variant.pci import request as pci_request
from nova_vfio_variant.testing import fake_host

NIC, GPU, CARD = "0000:21:00.0", "0000:41:00.0", "0000:06:00.0"
NIC_VFS: ty.Final = tuple(f"0000:21:10.{number}" for number in (0, 2, 4, 6))
#: A place that is empty at first.
SPARE: ty.Final = "0000:51:00.0"
#: What others have made, and nobody else may touch.
FOREIGN_MDEV: ty.Final = "99999999-9999-4999-8999-999999999999"
FOREIGN_VGPU: ty.Final = "0000:41:00.7"
#: What devices may be called.
NAMES: ty.Final = ("left", "right")
#: What may be asked for: by alias, by type (=), by class (#), by name (@).
WANTED: ty.Final = (
    *("nic:1", "nic:2", "pf:1", "once:1", "=557", "=558", "=nvidia-36"),
    *("#network", f"@{NIC_VFS[0]}", *(f"@{name}" for name in NAMES)),
)
VF_IDS: ty.Final = ("8086", "10ca")
ONCE: ty.Final = (
    f'{{"address": "{SPARE}", "managed": "no", "resource_class": "ONCE",'
    ' "one_time_use": "yes"}'
)
#: What may be configured.
SPECS: ty.Final = {
    "all": (ONCE, "8086:10ca", "10de:25b7", "10de:1bb3"),
    "whole NICs": (ONCE, "8086:10c9"),
    "without NICs": ("10de:25b7", "10de:1bb3"),
    "without cards": ("8086:10ca",),
}
_REST: ty.Final = (
    'alias = {"name": "nic", "vendor_id": "8086", "product_id": "10ca"}',
    (
        'alias = {"name": "pf", "vendor_id": "8086", "product_id": "10c9",'
        ' "device_type": "type-PF"}'
    ),
    'alias = {"name": "once", "resource_class": "ONCE"}',
    *("[filter_scheduler]", "pci_in_placement = true"),
    *("[vfio]", "placement = embedded", "provider_root = host"),
)


def build(root: pathlib.Path) -> None:
    """Make the host: a NIC, a card of vGPUs and one of mdevs."""
    host = fake_host.FakeHost(root)
    host.add_driver("igb", ["8086:10c9"], makes_vfs=True)
    host.add_driver("igbvf", ["8086:10ca"])
    host.add_driver("nvidia", ["10de:25b6", "10de:25b7"], makes_vfs=True)
    host.add_driver("nvidia-old", ["10de:1bb3"])
    host.add_driver("vfio-pci", vfio=True)
    host.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
    host.add(NIC, "8086:10c9", vfs=4, vf_device="10ca")
    host.writer().set_numvfs(NIC, 4)
    for name in NIC_VFS[:2]:
        host.writer().set_override(name, "vfio-pci")
        host.writer().unbind(name)
        host.writer().probe(name)
    graphics: ty.Final = 0x030200
    host.add(
        GPU,
        "10de:25b6",
        class_code=graphics,
        vfs=4,
        vf_device="25b7",
        vf_offset=4,
        vf_stride=1,
    )
    host.writer().set_numvfs(GPU, 4)
    types = {"557": ("NVIDIA A16-4Q", 4096), "558": ("NVIDIA A16-8Q", 8192)}
    host.add_vendor_vgpus(GPU, types, 16384, heterogeneous=True)
    host.writer().set_vgpu_type(FOREIGN_VGPU, "557")
    host.add(CARD, "10de:1bb3", class_code=graphics)
    costs = {"nvidia-35": 1, "nvidia-36": 2}
    host.add_mdev_parent("card", costs, 4, function=CARD)
    host.write(
        f"sys/bus/pci/devices/{CARD}/mdev_supported_types/nvidia-35/create",
        FOREIGN_MDEV.encode(),
    )


def configuration(name: str) -> str:
    """The text of nova.conf.

    :param name: of a set of :data:`SPECS`
    """
    lines = ["[pci]", "report_in_placement = true"]
    for ids in SPECS[name]:
        if ids.startswith("{"):
            lines.append(f"device_spec = {ids}")
            continue
        vendor, product = ids.split(":")
        more = ', "managed": "no"' if product == "25b7" else ""
        lines.append(
            f'device_spec = {{"vendor_id": "{vendor}",'
            f' "product_id": "{product}"{more}}}'
        )
    return "\n".join([*lines, *_REST, ""])


def request(wanted: str) -> pci_request.Request:
    """What a word of :data:`WANTED` asks for."""
    kind, word = wanted[0], wanted[1:]
    if kind == "=":
        return pci_request.Request(vgpu_types=(word,))
    if kind == "#":
        return pci_request.Request(
            devices=(pci_request.DeviceRequest(device_class=word),)
        )
    if kind == "@":
        return pci_request.Request(
            devices=(pci_request.DeviceRequest(named=(word,)),)
        )
    return pci_request.Request(alias=wanted)
