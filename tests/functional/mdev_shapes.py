# SPDX-License-Identifier: Apache-2.0
"""Hosts whose parents of mediated devices are of other kinds.

Places, names and texts are the drivers' own (``drivers/s390/cio``,
``drivers/s390/crypto``, ``drivers/gpu/drm/i915/gvt``, NVIDIA's vGPU manager),
as libvirt's, mdevctl's and Nova's test data have them too.
"""

import errno
import pathlib

from nova_vfio_variant.testing import fake_host

CHANNELS = ("0.0.0052", "0.0.0053")
MATRIX = "matrix"
GRAPHICS = "0000:00:02.0"
#: A card whose four VFs are parents, of three small devices in all.
PF = "0000:41:00.0"
VFS = tuple(f"0000:41:00.{number}" for number in range(4, 8))

#: Low memory, high memory, fences, resolution, and weight of each.
_GVT_G = {
    1: (512, 2048, 4, "1920x1200", 16),
    2: (256, 1024, 4, "1920x1200", 8),
    4: (128, 512, 4, "1920x1200", 4),
    8: (64, 384, 4, "1024x768", 2),
}
#: More than 255, or what the host keeps for itself.
_OF_AP = ("(0x)?[0-9a-f]{1,2}", errno.EADDRNOTAVAIL)


def mainframe(root: pathlib.Path) -> fake_host.FakeHost:
    """Two subchannels, and the matrix of crypto adapters."""
    host = fake_host.FakeHost(root)
    for name in CHANNELS:
        host.add_mdev_parent(
            name,
            {"vfio_ccw-io": 1},
            1,
            module="vfio_ccw",
            place=f"sys/devices/css0/{name}",
            texts={
                "vfio_ccw-io": {
                    "name": "I/O subchannel (Non-QDIO)",
                    "device_api": "vfio-ccw",
                }
            },
        )
    host.add_mdev_parent(
        MATRIX,
        {"vfio_ap-passthrough": 1},
        65536,
        module="vfio_ap",
        place="sys/devices/vfio_ap/matrix",
        texts={
            "vfio_ap-passthrough": {
                "name": "VFIO AP Passthrough Device",
                "device_api": "vfio-ap",
            }
        },
        attributes=(
            "assign_adapter",
            "assign_domain",
            "assign_control_domain",
        ),
        takes={"assign_adapter": _OF_AP, "assign_domain": _OF_AP},
    )
    return host


def with_gvt_g(root: pathlib.Path) -> fake_host.FakeHost:
    """Intel's graphics: types of one card's aperture, none of framebuffers."""
    host = fake_host.FakeHost(root)
    host.add_driver("i915", ["8086:5912"])
    host.add(GRAPHICS, "8086:5912", class_code=0x030000)
    host.add_mdev_parent(
        "kvmgt",
        {f"i915-GVTg_V5_{part}": told[0] for part, told in _GVT_G.items()},
        256,
        function=GRAPHICS,
        texts={
            f"i915-GVTg_V5_{part}": {
                "name": f"GVTg_V5_{part}",
                "description": f"low_gm_size: {low}MB\nhigh_gm_size: {high}MB"
                f"\nfence: {fence}\nresolution: {size}\nweight: {weight}",
            }
            for part, (low, high, fence, size, weight) in _GVT_G.items()
        },
    )
    return host


def with_vfs(root: pathlib.Path) -> fake_host.FakeHost:
    """A card of one type at a time, of which each VF makes one device."""
    host = fake_host.FakeHost(root)
    host.add_driver("nvidia", ["10de:2235"], makes_vfs=True)
    host.add(
        PF,
        "10de:2235",
        class_code=0x030200,
        vfs=4,
        vf_device="2236",
        vf_offset=4,
        vf_stride=1,
    )
    host.add_driver("nvidia", ["10de:2236"])
    host.writer().set_numvfs(PF, 4)
    for name in VFS:
        host.add_mdev_parent(
            "nvidia-vgpu",
            {"nvidia-557": 1, "nvidia-558": 2},
            3,
            function=name,
            card=PF,
            one_type=True,
            texts={
                kind: {
                    "name": word,
                    "description": "num_heads=4, frl_config=60,"
                    f" framebuffer={size}M, max_resolution=5120x2880,"
                    f" max_instance={most}",
                }
                for kind, word, size, most in (
                    ("nvidia-557", "NVIDIA A40-1B", 1024, 3),
                    ("nvidia-558", "NVIDIA A40-2B", 2048, 1),
                )
            },
        )
    return host
