# SPDX-License-Identifier: Apache-2.0
"""Who has devices by Placement and by the store, seen and made equal."""

from __future__ import annotations

import dataclasses
import functools
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import facts, two_sides
from nova_vfio_variant.node import astray, placement_side

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store


def compared(
    context: node_context.Context, store: tracker_store.Store
) -> ty.Callable[[], astray.Sides]:
    """Compares them, once, when it is asked."""

    @functools.cache
    def ask() -> astray.Sides:
        if not context.is_configured:
            return astray.Sides()
        which = context.conf.vfio.placement
        if which == "none":
            return astray.Sides()
        try:
            differ: tuple[two_sides.Difference, ...] | str = _differences(
                context, store
            )
        except exception.VfioVariantError as error:
            differ = error.message
        return astray.Sides(differ, shared=which == "service")

    return ask


def _differences(
    context: node_context.Context, store: tracker_store.Store
) -> tuple[two_sides.Difference, ...]:
    given = context.observed
    held = (
        placement_side.PlacementSide(context)
        .publication(store, (), given)
        .held()
    )
    return tuple(
        two_sides.differences(
            dataclasses.replace(
                given,
                recorded=tuple(store.devices()),
                mdevs=tuple(store.mdevs.all().values()),
                published=held or facts.Published({}, {}),
            )
        )
    )


def settle(
    context: node_context.Context,
    store: tracker_store.Store,
    decision: astray.Decision,
) -> None:
    """Let an instance have in Placement what it has in the store.

    What it has claimed it keeps, whatever comes of this.

    :raises PlacementError: it can't be asked, or refuses
    """
    uuid = decision.subject
    published = placement_side.PlacementSide(context).publication(store)
    if decision.action is astray.Action.FREE:
        published.release(uuid)
        return
    devices = tuple(store.owned(uuid))
    mediated = store.mdevs.of(uuid)
    published.publish(devices, mediated)
    published.allocate(uuid, devices, mediated)
