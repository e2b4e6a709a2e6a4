# SPDX-License-Identifier: Apache-2.0
"""What instances have of mediated devices, in Placement too.

Where their parents are ours to publish. What a device is made of only its
parent's driver knows, and a device that is gone is gone: so what stands
against an allocation stands against no device. A report makes it later.
"""

from __future__ import annotations

import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import mdev_offers

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.node import inventory
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)


def settle(
    context: node_context.Context,
    store: tracker_store.Store,
    instance_uuid: str | None,
    published: inventory.Publication | None = None,
) -> None:
    """Let an instance have in Placement what it has on record now.

    :param instance_uuid: None for nobody's
    :param published: the node's side of Placement; None where it isn't known
    """
    from nova_vfio_variant.node import placement_side

    if instance_uuid is None or not context.is_configured:
        return
    try:
        given = context.observed
        if not mdev_offers.are_ours(given):
            return
        if published is None:
            published = placement_side.PlacementSide(context).publication(
                store, given=given
            )
        devices = [
            device
            for device in store.devices()
            if device.instance_uuid == instance_uuid
        ]
        mediated = store.mdevs.of(instance_uuid)
        if published.providers_of(devices, mediated):
            published.publish(devices, mediated)
            published.allocate(instance_uuid, devices, mediated)
        else:
            published.release(instance_uuid)
    except exception.VfioVariantError as error:
        _LOG.warning(
            "instance %s: its mediated devices aren't as they are in"
            " Placement: %s",
            instance_uuid,
            error,
        )
