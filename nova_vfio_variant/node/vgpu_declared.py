# SPDX-License-Identifier: Apache-2.0
"""What is on record of cards' vGPUs: their types, and what was declared.

What is declared for a VF is noted before its type is set, and stays noted over
reboots: so counts are laid on the same VFs again.
"""

from __future__ import annotations

import dataclasses
import json
import typing as ty
import uuid

from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import tables, vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.host.observe import records as host_records
    from nova_vfio_variant.node import vgpu_catalogue
    from nova_vfio_variant.tracker import store as tracker_store

#: Under which name the store has cards that are to have their mode again.
_MIXED: ty.Final = "vgpu_mixed"


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
        vgpu_mixed=frozenset(_mixed(store, seen)),
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
                    tables.now(),
                    function.identity,
                )
            )


def mix(
    store: tracker_store.Store,
    card: pci_address.PciAddress,
    flag: bool,
    seen: host_scan.HostScan,
) -> None:
    """Note that a card is to have its mode for several sizes again, or not.

    :param card: address of the PF
    :raises StoreError: the store can't be written
    """
    before = _mixed(store, seen)
    pf = seen.get(card)
    after = {at: noted for at, noted in before.items() if at != card}
    if flag and pf is not None:
        after[card] = pf.identity
    if after != before:
        store.set_meta(
            _MIXED,
            json.dumps(
                {
                    str(at): dataclasses.asdict(noted)
                    for at, noted in sorted(after.items())
                }
            ),
        )


def _mixed(
    store: tracker_store.Store, seen: host_scan.HostScan
) -> dict[pci_address.PciAddress, function.Identity]:
    """The cards that are noted, and still the same."""
    noted = {
        pci_address.PciAddress.parse(at): function.Identity.of_data(data)
        for at, data in json.loads(store.meta(_MIXED) or "{}").items()
    }
    return {
        at: identity
        for at, identity in noted.items()
        if (pf := seen.get(at)) is not None
        and not identity.is_another(pf.identity)
    }


def _is_another(ours: vgpus.OurVgpu, seen: host_scan.HostScan) -> bool:
    return not ours.identity.may_be(seen.get(ours.address))
