# SPDX-License-Identifier: Apache-2.0
"""Who has the devices of a claim open, before they are given back."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.observe import mdev, scanner, vfio
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.host.observe.use import (
    children,
    device_files,
    processes,
)
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import address as pci_address

Address = pci_address.PciAddress


def of_mdevs(
    tree: host_tree.HostTree, uuids: ty.Collection[str]
) -> tuple[str, ...]:
    """Why mediated devices can't be removed, one sentence each."""
    there = mdev.read(tree).devices
    if there.keys().isdisjoint(uuids):
        return ()
    index = device_files.Index(processes.look(tree), children.look(tree))
    return tuple(
        f"mdev {uuid}: {use.what}"
        for uuid in uuids
        if uuid in there
        for use in index.of_mdev(uuid, there[uuid].group)
    )


def of_claim(
    tree: host_tree.HostTree,
    owners: ty.Mapping[Address, str],
    instance_uuid: str,
) -> tuple[str, ...]:
    """Why an instance's devices can't be given back, one sentence each.

    Looked at is what is on a VFIO driver, and what has mediated devices: on
    a driver of the host it is in no guest. What is open for a whole IOMMU
    group counts unless somebody else has a claim on a member of it.

    :param owners: the instance that has claimed a function, by address
    """
    mine = [
        str(at)
        for at, owner in owners.items()
        if owner == instance_uuid and tree.exists(f"{paths.DEVICES}/{at}")
    ]
    seen = scanner.scan(tree, mine)
    index = device_files.Index(processes.look(tree), children.look(tree))
    found = [
        f"{lost.subject} can't be read: {lost.why}" for lost in seen.problems
    ]
    for function in seen.functions:
        place = f"{paths.DEVICES}/{function.address}/iommu_group/devices"
        members = tree.listdir(place)
        is_others = any(
            owners.get(Address.parse(name), instance_uuid) != instance_uuid
            for name in members
        )
        # Before Linux 6.1 one on a variant driver shows no vfio-dev/.
        on_vfio = function.vfio or (
            function.driver is not None
            and bool(vfio.is_driver(seen, function.driver))
        )
        for use in index.uses(function, (), len(members)):
            if use.shared and is_others:
                continue
            is_guests = on_vfio or use.kind is uses.Kind.MDEV
            if is_guests and (
                use.holder is not None or use.kind is uses.Kind.UNKNOWN
            ):
                found.append(f"{function.address}: {use.what}")
    return tuple(dict.fromkeys(found))
