# SPDX-License-Identifier: Apache-2.0
"""Which pools can serve a request: Nova's filters, in Nova's order.

The names in comments are methods of ``nova.pci.stats.PciDeviceStats``.
Counts stand beside the pools, so that requests can be tried without touching
a pool.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import alias, values

_PF = "type-PF"
_VDPA = "vdpa"

P = ty.TypeVar("P", bound="values.Pool[ty.Any]")


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a guest is, and what is near it.

    :param numa_cells: host NUMA nodes of the guest
    :param sockets: for each NUMA node of the host its socket
    """

    numa_cells: ty.Collection[int] | None
    sockets: ty.Mapping[int, int | None] | None

    def same_sockets(self) -> set[int]:
        """The host's NUMA nodes on the guest's sockets.

        Nothing is near where one node's socket isn't known.
        """
        sockets = self.sockets or {}
        if not self.numa_cells or None in sockets.values():
            return set()
        mine = {sockets[cell] for cell in self.numa_cells if cell in sockets}
        return {cell for cell, socket in sockets.items() if socket in mine}


class Step(enum.StrEnum):
    """What a filter looks at."""

    IDS = "ids and type"
    CLASS = "resource class and traits"
    NUMA = "NUMA policy"
    PF = "whole PFs"
    VDPA = "vDPA"
    REMOTE = "remote_managed"
    PROVIDER = "chosen providers"


def fitting(
    left: dict[P, int],
    request: alias.PciRequest,
    place: Place,
    chosen: ty.Sequence[str],
) -> list[P]:
    """The pools that a request can be served from (``_filter_pools``)."""
    *_, (_, found) = steps(left, request, place, chosen)
    return found


def steps(
    left: dict[P, int],
    request: alias.PciRequest,
    place: Place,
    chosen: ty.Sequence[str],
) -> ty.Iterator[tuple[Step, list[P]]]:
    """Each filter, with the pools that are left after it.

    Nova's filter for live_migratable comes last and drops nothing that the
    comparison with the specs has left.
    """
    wanted = [_wanted(spec) for spec in request.specs]
    found = [pool for pool in left if _is_any_of(pool.properties, wanted)]
    yield Step.IDS, found
    if any("resource_class" in pool.properties for pool in found):
        found = _of_class(found, request)
        yield Step.CLASS, found
    found = _near(left, found, request, place)
    yield Step.NUMA, found
    if all(spec.device_type != _PF for spec in request.specs):
        found = [p for p in found if p.properties["dev_type"] != _PF]
        yield Step.PF, found
    # No alias can ask for these.
    found = [p for p in found if p.properties["dev_type"] != _VDPA]
    yield Step.VDPA, found
    found = [p for p in found if not p.remote_managed]
    yield Step.REMOTE, found
    if chosen:
        counts = collections.Counter(chosen)
        found = [
            pool
            for pool in found
            if 0 < counts[str(pool.rp_uuid)] <= left[pool]
        ]
        yield Step.PROVIDER, found


def _wanted(spec: alias.Alias) -> dict[str, str]:
    """What an alias asks of a pool's properties."""
    wanted = {
        "vendor_id": spec.vendor_id,
        "product_id": spec.product_id,
        "dev_type": spec.device_type,
        "capability_type": spec.capability_type,
    }
    if spec.live_migratable is not None:
        wanted["live_migratable"] = "true" if spec.live_migratable else "false"
    return {
        key: value.lower()
        for key, value in wanted.items()
        if value is not None
    }


def _is_any_of(
    properties: ty.Mapping[str, ty.Any],
    wanted: ty.Iterable[ty.Mapping[str, str]],
) -> bool:
    """Whether one of the alternatives fits (``pci_device_prop_match``)."""
    for alternative in wanted:
        for key, value in alternative.items():
            found = properties.get(key)
            if not isinstance(found, str) or found.lower() != value:
                break
        else:
            return True
    return False


def _of_class(found: list[P], request: alias.PciRequest) -> list[P]:
    """Those whose providers Placement could have chosen.

    An alternative has to fit as a whole: class and traits beside the rest.
    """
    answer = []
    for pool in found:
        for spec in request.specs:
            if (
                spec.asked_class in {None, pool.properties["resource_class"]}
                and pool.properties["traits"].issuperset(spec.asked_traits)
                and _is_any_of(pool.properties, [_wanted(spec)])
            ):
                answer.append(pool)
                break
    return answer


def _near(
    left: dict[P, int],
    found: list[P],
    request: alias.PciRequest,
    place: Place,
) -> list[P]:
    """Those near the guest (``_filter_pools_for_numa_cells``).

    Whatever the policy, devices on the guest's own nodes are taken if they
    suffice.
    """
    if not place.numa_cells:
        return found
    policy = request.numa_policy
    cells: set[int | None] = set(place.numa_cells)
    near = _on(found, cells)
    if policy == "required" or count(left, near) >= request.count:
        return near
    if policy == "socket":
        return _on(found, place.same_sockets())
    # Firmware may not say where a device is; legacy takes it then.
    cells.add(None)
    near = _on(found, cells)
    if policy == "legacy" or count(left, near) >= request.count:
        return near
    return sorted(
        found, key=lambda pool: pool.properties["numa_node"] not in cells
    )


def _on(found: list[P], cells: ty.Collection[int | None]) -> list[P]:
    return [pool for pool in found if pool.properties["numa_node"] in cells]


def count(left: dict[P, int], found: ty.Iterable[P]) -> int:
    """How many devices these pools have left."""
    return sum(left[pool] for pool in found)


def enough(
    left: dict[P, int],
    found: list[P],
    request: alias.PciRequest,
) -> bool:
    """Whether these pools have as many devices left as are asked for."""
    return bool(found) and count(left, found) >= request.count


def shares(
    left: dict[P, int],
    found: list[P],
    request: alias.PciRequest,
    chosen: ty.Sequence[str],
) -> ty.Iterator[tuple[P, int]]:
    """How many devices to take from which pool, in order."""
    if chosen:
        counts = collections.Counter(chosen)
        for pool in found:
            yield pool, counts.pop(str(pool.rp_uuid), 0)
        return
    wanted = request.count
    for pool in found:
        share = min(left[pool], wanted)
        yield pool, share
        wanted -= share
        if not wanted:
            return


def is_split(found: ty.Iterable[P]) -> bool:
    """Whether a provider's devices lie in two pools.

    Nova then refuses every request that Placement answered with it
    (``_assert_one_pool_per_rp_uuid``).
    """
    known = [pool.rp_uuid for pool in found if pool.rp_uuid is not None]
    return len(known) != len(set(known))
