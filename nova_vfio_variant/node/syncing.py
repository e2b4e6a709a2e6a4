# SPDX-License-Identifier: Apache-2.0
"""How everything begins that writes to a node's store and its Placement.

Every writer holds one lock in the state path, over store and Placement alike,
and begins with a sync, so that nothing is decided on what was true yesterday.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.node import context as node_context
from nova_vfio_variant.node import records

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import sync as tracker_sync

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(
    context: node_context.Context,
) -> ty.Iterator[tracker_store.Store]:
    """The store, to be written by nobody else. It is made if there is none.

    :raises LockTimeout: another command writes
    """
    from nova_vfio_variant.tracker import lock

    with (
        lock.state_lock(context.state, node_context.LOCK_TIMEOUT),
        context.open_store(read_only=False) as store,
    ):
        yield store


def declared(context: node_context.Context) -> facts.CheckInput:
    """What a writer begins with; an older version's store is upgraded.

    Errors stop it before anything is made or changed.

    :raises ConfigError: the configuration has errors
    :raises LockTimeout: another command writes
    """
    try:
        return context.declared
    except exception.StoreOutdatedError:
        upgrade(context)
        return context.declared


def upgrade(context: node_context.Context) -> None:
    """Bring an older version's store to this version's tables.

    :raises LockTimeout: another command writes
    :raises StoreError: it can't be read or written
    """
    try:
        context.open_store(read_only=True).close()
    except exception.StoreOutdatedError:
        # Opening it does so.
        with locked(context):
            pass


def is_synced(
    context: node_context.Context,
    store: tracker_store.Store,
    given: facts.CheckInput,
) -> bool:
    """Whether nothing came, went or was declared since the last sync.

    What a function is may be another one: who takes one looks at it.

    :param given: what is declared, without the host
    """
    try:
        with context.tree.folder(paths.DEVICES) as folder:
            names = folder.names()
    except OSError:
        return False
    return store.meta(records.SYNCED) == _as_synced(given, names, context.tree)


def _as_synced(
    given: facts.CheckInput,
    names: ty.Iterable[str],
    tree: host_tree.HostTree,
) -> str:
    """A digest of what a sync makes a store of, but what functions are."""
    said = repr(
        (
            # Those of oslo.db are there once a store was opened.
            sorted(
                (key, value)
                for key, value in given.options.items()
                if key[0] != "database"
            ),
            [spec.text.text for spec in given.specs],
            [text.text for text in given.host_specs],
            sorted(names),
            tree.read_text(function_state.BOOT_ID),
        )
    )
    return hashlib.sha256(said.encode()).hexdigest()


def plan(
    context: node_context.Context,
    store: tracker_store.Store,
    accepted: ty.Collection[pci_address.PciAddress] = (),
) -> tracker_sync.SyncPlan:
    """What a sync has to do to a store.

    :param accepted: addresses of exchanged devices to be tracked anew
    :raises ConfigError: the configuration has errors
    :raises InvalidDeviceStatus: one of them can't be
    """
    from nova_vfio_variant.tracker import sync as tracker_sync

    declared = context.declared
    assert declared.scan is not None
    return tracker_sync.decide(
        store.recorded(),
        declared.desired,
        declared.unread,
        declared.scan.get,
        accepted,
    )


def sync(
    context: node_context.Context,
    store: tracker_store.Store,
    accepted: ty.Collection[pci_address.PciAddress] = (),
) -> tracker_sync.SyncPlan:
    """Make a store equal to configuration and host.

    :raises ConfigError: as :func:`plan`
    :raises InvalidDeviceStatus: as :func:`plan`
    """
    from nova_vfio_variant.node import vgpu_catalogue

    todo = plan(context, store, accepted)
    store.apply(todo)
    vgpu_catalogue.remember(store, context.scan)
    synced = _as_synced(
        context.given(offline=True),
        (str(seen.address) for seen in context.scan.functions),
        context.tree,
    )
    if context.scan.unread:
        synced = ""
    if store.meta(records.SYNCED) != synced:
        store.set_meta(records.SYNCED, synced)
    if todo:
        _LOG.info("the store is synced with nova.conf and the host")
    return todo
