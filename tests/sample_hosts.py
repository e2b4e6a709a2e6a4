# SPDX-License-Identifier: Apache-2.0
"""Fake hosts that several tests begin with."""

import os
import pathlib

from nova_vfio_variant.testing import fake_host

#: Where files cost no disk, and fsync(2) no time; None where there is none.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

PF = "0000:21:00.0"
NIC = "0000:31:01.0"
OTHER = "0000:31:02.0"


def with_igb(root: pathlib.Path) -> fake_host.FakeHost:
    """One igb with seven possible VFs, and two e1000 in one group.

    The VFs' variant driver, igbvf_vfio_pci, is yet to be loaded.
    """
    host = fake_host.FakeHost(root)
    host.add_driver("igb", ["8086:10c9"], makes_vfs=True)
    host.add_driver("igbvf", ["8086:10ca"])
    host.add_driver("e1000", ["8086:100e"])
    host.add_driver("pcieport", ["*:*:0604*"])
    host.add_driver("vfio-pci", vfio=True)
    host.add_driver("igbvf_vfio_pci", vfio=True, loaded=False)
    host.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
    host.add_alias(
        "vfio_pci:v00008086d000010CAsv*sd*bc*sc*i*", "igbvf_vfio_pci"
    )
    host.add(PF, "8086:10c9", group=1, vfs=7, vf_device="10ca")
    host.add(NIC, "8086:100e", group=2)
    host.add(OTHER, "8086:100e", group=2)
    return host
