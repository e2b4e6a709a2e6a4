# SPDX-License-Identifier: Apache-2.0
"""What all that acts on a node's claims begins with."""

from __future__ import annotations

import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store


class Claiming:
    """A part of making claims, or of ending them.

    Whoever calls holds the lock of the state path.

    :param on: what one call sees of the node
    :param store: opened to be written
    """

    def __init__(
        self, on: node_context.Context, store: tracker_store.Store
    ) -> None:
        self._context = on
        self._store = store
