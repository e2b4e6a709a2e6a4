# SPDX-License-Identifier: Apache-2.0
"""What is on record of cards' vGPUs: their types, and what was declared.

What is declared for a VF is noted before its type is set, and stays noted over
reboots: so counts are laid on the same VFs again.
"""

from __future__ import annotations

import dataclasses
import typing as ty
import uuid

from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.tracker import vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.host.observe import records as host_records
    from nova_vfio_variant.node import vgpu_catalogue
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.tracker import store as tracker_store


def known(
    records: host_records.Records,
    store: tracker_store.Store,
    seen: host_scan.HostScan,
    cards: ty.Mapping[pci_address.PciAddress, vgpu_catalogue.Remembered],
) -> host_records.Records:
    """What is recorded, with what is known of cards' vGPUs.

    :raises StoreError: the store can't be read
    """
    return dataclasses.replace(
        records,
        vgpu_types={card: of.types for card, of in cards.items()},
        vgpu_told={card: of.told for card, of in cards.items()},
        vgpu_laid={
            ours.address: ours.type_id
            for ours in store.vgpus.all()
            if ours.origin is vgpus.Origin.DECLARED
            and not _is_another(ours, seen)
        },
        vgpu_held=vgpus.held(store.vgpus.all(), records.owners, seen.get),
    )


def declare(
    store: tracker_store.Store,
    types: ty.Mapping[pci_address.PciAddress, str],
    seen: host_scan.HostScan,
) -> None:
    """Note what is declared for VFs; what a claim made stays the claim's.

    :param types: the id of each VF's type; ``0`` forgets it
    :raises StoreError: the store can't be written
    """
    there = {ours.address: ours for ours in store.vgpus.all()}
    for address, type_id in types.items():
        ours = there.get(address)
        function = seen.get(address)
        if ours is not None and ours.origin is not vgpus.Origin.DECLARED:
            continue
        if type_id == vendor_vgpu.NONE or function is None:
            if ours is not None:
                store.vgpus.remove(address, ours.assignment)
        elif (
            ours is None or ours.type_id != type_id or _is_another(ours, seen)
        ):
            store.vgpus.put(
                vgpus.OurVgpu(
                    address,
                    type_id,
                    vgpus.Origin.DECLARED,
                    None,
                    str(uuid.uuid4()),
                    vgpus.now(),
                    function.identity,
                )
            )


def _is_another(ours: vgpus.OurVgpu, seen: host_scan.HostScan) -> bool:
    function = seen.get(ours.address)
    return function is not None and ours.identity.is_another(function.identity)
