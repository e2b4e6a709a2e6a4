# SPDX-License-Identifier: Apache-2.0
"""What store and journal know of a host's functions, for the verdict."""

from __future__ import annotations

import json
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import assignability, plan
from nova_vfio_variant.host.observe import function_state, host_scan
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import (
    allowance,
    cordons,
    vgpu_reports,
    vgpus,
)

if ty.TYPE_CHECKING:
    from nova_vfio_variant import own_files
    from nova_vfio_variant.host.act import journal
    from nova_vfio_variant.tracker import device as tracked
    from nova_vfio_variant.tracker import store as tracker_store

#: Under which name the store has the devices for one time that had it.
SPENT = "spent"
#: Under which name it has what it was synced with.
SYNCED: ty.Final = "synced"


def was_synced(
    store: tracker_store.Store, devices: ty.Collection[tracked.Device]
) -> bool:
    """Whether a store was ever synced, whatever came since.

    :param devices: those in it; older versions noted no sync
    """
    return bool(devices) or store.meta(SYNCED) is not None


def read(
    store: tracker_store.Store,
    devices: ty.Iterable[tracked.Device],
    scan: host_scan.HostScan,
    state: own_files.Given,
) -> assignability.Records:
    """Who has what, what nobody may have, and which devices they are.

    :param devices: the tracked ones, as the store has them
    :param scan: an obstacle that was overruled counts again where another
        function stands
    :raises JournalError: the journal is damaged
    :raises StoreError: the store can't be read
    """
    owners: dict[pci_address.PciAddress, str] = {}
    identities = {}
    for device in devices:
        identities[device.address] = device.known
        if device.instance_uuid is not None:
            owners[device.address] = device.instance_uuid
    of_cordons = store.cordons.all()
    return assignability.Records(
        owners=owners,
        quarantined=store.quarantined(
            scan.tree.read_text(function_state.BOOT_ID)
        ),
        unwell=vgpu_reports.unwell(store.vgpu_reports.all(), scan.get),
        unsettled=unsettled(scan, state),
        identities=identities,
        allowed=allowance.standing(store.allowances.all(), scan.get),
        spent=spent(store),
        cordoned=cordons.standing(of_cordons, scan.get),
        uncordoned=cordons.of_others(of_cordons, scan.get),
        vgpu_held=vgpus.held(store.vgpus.all(), owners, scan.get),
    )


def survey(
    store: tracker_store.Store,
    devices: ty.Iterable[tracked.Device],
    scan: host_scan.HostScan,
    state: own_files.Given,
) -> assignability.Records:
    """The same, where a damaged journal makes all of it unknown.

    :raises StoreError: the store can't be read
    """
    try:
        return read(store, devices, scan, state)
    except exception.HostError as error:
        return assignability.Records(unreadable=error.message)


def unsettled(
    scan: host_scan.HostScan, state: own_files.Given
) -> frozenset[pci_address.PciAddress]:
    """Functions that a change of the host concerns that hasn't ended.

    :raises JournalError: the journal is damaged
    """
    known = journal_of(scan.tree, state)
    if known is None:
        return frozenset()
    return frozenset(map(pci_address.PciAddress.parse, known.unsettled))


def half_made(
    scan: host_scan.HostScan, state: own_files.Given
) -> frozenset[str]:
    """The UUIDs of mediated devices that may be there in part.

    :raises JournalError: the journal is damaged
    """
    known = journal_of(scan.tree, state)
    changes = () if known is None else known.unfinished.values()
    return frozenset(
        unfinished.change.subject
        for unfinished in changes
        if unfinished.change.what is plan.What.MDEV
    )


def journal_of(
    tree: host_tree.HostTree, state: own_files.Given
) -> journal.Journal | None:
    """The journal of a host; None if nothing was ever done to it.

    A recorded host has no journal: what stands in the state path is the
    live one's.

    :raises JournalError: it is damaged
    """
    from nova_vfio_variant.host.act import journal

    if tree.root is None or not journal.Journal.is_in(state):
        return None
    return journal.Journal.open(state, function_state.boot_id(tree))


def spent(
    store: tracker_store.Store,
) -> frozenset[pci_address.PciAddress]:
    """Devices for one time that had it, as far as was seen so far.

    Placement is what says so; not every command asks it.
    """
    return frozenset(
        map(
            pci_address.PciAddress.parse,
            json.loads(store.meta(SPENT) or "[]"),
        )
    )


def remember_spent(
    store: tracker_store.Store,
    devices: ty.Collection[pci_address.PciAddress],
) -> None:
    """Record which devices for one time had it; writes only what is new."""
    if frozenset(devices) != spent(store):
        store.set_meta(SPENT, json.dumps(sorted(map(str, devices))))
