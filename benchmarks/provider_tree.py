# SPDX-License-Identifier: Apache-2.0
"""The provider tree of all VFs of a host, beside Nova's.

Both begin with tracked devices and end with providers, inventories and
traits, from nothing.
"""

import collections.abc

from benchmarks import nova, table, workload
from nova_vfio_variant.pci import address
from nova_vfio_variant.placement import tree
from nova_vfio_variant.tracker import device

_GOAL_AT = 4096


def devices(size: int) -> list[device.Device]:
    """What the tracker has of the VFs, with nothing shared between them."""
    return [
        device.Device(
            address.PciAddress.parse(vf["address"]),
            vf["vendor_id"],
            vf["product_id"],
            vf["dev_type"],
            vf["numa_node"],
            address.PciAddress.parse(vf["parent_addr"]),
            "_".join(("CUSTOM_PCI", vf["vendor_id"], vf["product_id"])),
            tags={"managed": "true"},
        )
        for vf in workload.vfs_of(workload.host(size))
    ]


def rows() -> collections.abc.Iterator[table.Row]:
    for size, theirs in nova.seconds()["provider_tree"].items():
        tracked = devices(size)
        providers, findings = tree.build(tracked, "host")
        if len(providers) != workload.PFS or findings:
            raise AssertionError(f"{len(providers)} providers, {findings}")
        (ours,) = table.medians(lambda: tree.build(tracked, "host"))  # noqa: B023 - called at once
        yield table.Row(
            "provider tree",
            size,
            ours,
            nova.NAME,
            theirs,
            times_faster=15 if size == _GOAL_AT else None,
        )
