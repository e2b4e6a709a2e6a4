# SPDX-License-Identifier: Apache-2.0
"""What store and journal know of a host's functions, for the verdict."""

import pathlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import assignability, observe
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.tracker import store as tracker_store


def read(
    store: "tracker_store.Store",
    tree: host_tree.HostTree,
    state_path: pathlib.Path,
) -> assignability.Records:
    """Who has what, what nobody may have, and which devices they are.

    :raises JournalError: the journal is damaged
    :raises StoreError: the store can't be read
    """
    devices = store.devices()
    return assignability.Records(
        owners={
            device.address: device.instance_uuid
            for device in devices
            if device.instance_uuid is not None
        },
        quarantined=store.quarantined(tree.read_text(observe.BOOT_ID)),
        unsettled=unsettled(tree, state_path),
    )


def survey(
    store: "tracker_store.Store",
    tree: host_tree.HostTree,
    state_path: pathlib.Path,
) -> assignability.Records:
    """The same, where a damaged journal costs no more than its part.

    :raises StoreError: the store can't be read
    """
    try:
        return read(store, tree, state_path)
    except exception.HostError as error:
        return assignability.Records(unreadable=error.message)


def unsettled(
    tree: host_tree.HostTree, state_path: pathlib.Path
) -> frozenset[pci_address.PciAddress]:
    """Functions that a change of the host concerns that hasn't ended.

    A recorded host has no journal: what stands in the state path is the
    live one's.

    :raises JournalError: the journal is damaged
    """
    from nova_vfio_variant.host import journal

    if tree.root is None or not (state_path / journal.NAME).exists():
        return frozenset()
    known = journal.Journal.open(state_path, observe.boot_id(tree))
    return frozenset(map(pci_address.PciAddress.parse, known.unsettled))
