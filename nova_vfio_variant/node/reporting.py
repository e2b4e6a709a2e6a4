# SPDX-License-Identifier: Apache-2.0
"""Making Placement equal to what is declared: ``inventory report``."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.node import (
    finishing,
    mdev_allocations,
    placement_side,
    syncing,
)
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context
    from nova_vfio_variant.placement import report


class Reporting:
    """Publishes what a node has.

    :param on: what one call sees of the node
    """

    def __init__(self, on: context.Context) -> None:
        self._context = on
        self._placement = placement_side.PlacementSide(on)

    def report(self, *, dry_run: bool = False) -> report.Result:
        """Make Placement equal to what is declared.

        Claims that a crash left half way are finished, and claims on
        providers that were not there get their allocations again, and those
        of mediated devices where theirs differ.

        :raises ConfigError: the configuration has errors
        :raises PlacementError: see :meth:`Publication.report`
        """
        if dry_run:
            with self._placement.observed() as (
                published,
                plan,
            ):
                return dataclasses.replace(
                    published.report(dry_run=True),
                    findings=self._placement.exchanged(plan),
                    withheld=published.withheld,
                )
        from nova_vfio_variant.node import records

        syncing.declared(self._context)
        with syncing.locked(self._context) as store:
            plan = syncing.sync(self._context, store)
            published = self._placement.publication(store)
            result = published.report()
            records.remember_spent(store, published.spent())
            made = {
                one.provider
                for one in result.changes
                if one.change == "add"
                or (one.field.endswith(".total") and one.published is None)
            }
            finished = []
            mediated = {
                ours.instance_uuid for ours in store.mdevs.all().values()
            }
            for instance_uuid, devices in _by_owner(store.devices()).items():
                if devices[0].status == tracked.Status.CLAIMED:
                    finishing.allocate(
                        self._context, store, published, instance_uuid
                    )
                    finished.append(instance_uuid)
                elif (
                    made & published.providers_of(devices)
                    and instance_uuid not in mediated
                ):
                    # Placement was lost, somebody removed a provider, or it
                    # counts something that it didn't.
                    published.allocate(instance_uuid, devices)
            for owner in sorted(mediated - {None, *finished}, key=str):
                mdev_allocations.settle(self._context, store, owner, published)
            return dataclasses.replace(
                result,
                finished=tuple(finished),
                findings=self._placement.exchanged(plan),
                withheld=published.withheld,
            )


def _by_owner(
    devices: ty.Iterable[tracked.Device],
) -> dict[str, list[tracked.Device]]:
    """The devices of each instance that has any."""
    found: dict[str, list[tracked.Device]] = {}
    for device in devices:
        if device.instance_uuid is not None:
            found.setdefault(device.instance_uuid, []).append(device)
    return found
