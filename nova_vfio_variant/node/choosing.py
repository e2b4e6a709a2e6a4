# SPDX-License-Identifier: Apache-2.0
"""Which devices a claim gets, and why others don't come into question. Pure.

What the verdict blocks, or can't know, is given to nobody; what is ready goes
before what has to be prepared first.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.node import ordering
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import alias, filters, pools
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import vgpu_reports

Verdicts = ty.Mapping[pci_address.PciAddress, assignability.Verdict]
Taken = list[tuple[alias.PciRequest, tuple[tracked.Device, ...]]]
Sockets = ty.Mapping[int, int | None]
Doubtful = ty.Mapping[pci_address.PciAddress, vgpu_reports.Health]

#: How many reasons a sentence names before it counts the others.
_NAMED = 4


def choose(
    devices: ty.Sequence[tracked.Device],
    verdicts: Verdicts,
    requests: ty.Sequence[alias.PciRequest],
    numa_cells: ty.Sequence[int] | None,
    sockets: Sockets,
    doubtful: Doubtful | None = None,
    order: ordering.Order | None = None,
) -> Taken:
    """The devices for each request.

    :param devices: all that are tracked, in rising order of address
    :param verdicts: on each that is available, for who asks
    :param doubtful: those on which guests failed to start: among equals they
        go last, and so does a card that has a quarantined one
    :param order: None for Nova's. Where the closest are asked for, what is
        ready goes first among equals only
    :raises NotEnoughDevices: and its message says what keeps the others
    """
    doubtful = doubtful or {}

    def consume(these: ty.Sequence[tracked.Device]) -> Taken:
        if order is None:
            return pools.Pools.of(these, by_class=True).consume(
                requests, numa_cells, sockets
            )
        return _in_order(
            order, devices, these, requests, (numa_cells, sockets), doubtful
        )

    *attempts, fit = _attempts(
        doubtful_last(devices, doubtful), verdicts, doubtful
    )
    if order is None or not order.closest:
        for these in attempts:
            if len(these) < len(fit):
                with contextlib.suppress(exception.NotEnoughDevices):
                    return consume(these)
    try:
        return consume(fit)
    except exception.NotEnoughDevices as error:
        for request in requests:
            if error.message.startswith(f"{request.subject}:"):
                why = _why_not(devices, verdicts, request, numa_cells, sockets)
                if why:
                    error.message = f"{error.message}; {why}"
                such = fitting(devices, request)
                error.hint = (
                    _hint(verdicts[at] for at in sorted(such & set(verdicts)))
                    or error.hint
                )
        raise


def _attempts(
    devices: ty.Iterable[tracked.Device],
    verdicts: Verdicts,
    doubtful: Doubtful,
) -> ty.Iterator[list[tracked.Device]]:
    """From which devices to choose, until there are enough."""
    fit: dict[bool, list[tracked.Device]] = {True: [], False: []}
    for device in devices:
        answer = verdicts.get(device.address)
        if answer is not None and answer.is_assignable:
            fit[answer.state is assignability.State.READY].append(device)
    ready = fit[True]
    yield [device for device in ready if device.address not in doubtful]
    yield ready
    # A pool's last device is taken first.
    yield fit[False] + ready


def but(
    devices: ty.Sequence[tracked.Device], taken: Taken
) -> tuple[tracked.Device, ...]:
    """The devices as they are once some are taken."""
    gone = {device.address for _, some in taken for device in some}
    return tuple(
        dataclasses.replace(device, status=tracked.Status.CLAIMED)
        if device.address in gone
        else device
        for device in devices
    )


def doubtful_last(
    devices: ty.Sequence[tracked.Device], doubtful: Doubtful
) -> list[tracked.Device]:
    """Cards in doubt go last, and the first of a card is taken last."""
    cards = {
        device.parent_addr
        for device in devices
        if doubtful.get(device.address) is vgpu_reports.Health.QUARANTINED
    } - {None}
    well = {
        ordering.card_of(device)
        for device in devices
        if device.address not in doubtful
    }
    return sorted(
        devices,
        key=lambda device: (
            device.parent_addr in cards,
            ordering.card_of(device) not in well,
            device.address not in doubtful,
        ),
    )


def _in_order(
    order: ordering.Order,
    devices: ty.Sequence[tracked.Device],
    fit: ty.Sequence[tracked.Device],
    requests: ty.Sequence[alias.PciRequest],
    near: tuple[ty.Sequence[int] | None, Sockets],
    doubtful: Doubtful,
) -> Taken:
    """The same as Nova's pools give, chosen from by another order.

    :param devices: all that are tracked
    :param fit: those that may be given
    :param near: the guest's NUMA nodes, and the sockets of all
    """
    taken: Taken = []
    for request in requests:
        candidates = pools.Pools.of(fit, by_class=True).candidates(
            request, *near
        )
        chosen = order.pick(candidates, request.count, devices, doubtful)
        taken.append((request, tuple(chosen)))
        order = order.having(chosen)
        fit = _without(fit, chosen)
    return taken


def _without(
    devices: ty.Iterable[tracked.Device],
    taken: ty.Iterable[tracked.Device],
) -> list[tracked.Device]:
    """The devices that can be given beside some."""
    gone: set[pci_address.PciAddress | None] = set()
    for device in taken:
        gone |= {device.address, device.parent_addr}
    gone.discard(None)
    return [
        device
        for device in devices
        if device.address not in gone and device.parent_addr not in gone
    ]


def _why_not(
    devices: ty.Sequence[tracked.Device],
    verdicts: Verdicts,
    request: alias.PciRequest,
    numa_cells: ty.Sequence[int] | None,
    sockets: Sockets,
) -> str:
    """Why devices don't come into question, counted by reason."""
    anywhere = fitting(devices, request)
    near = fitting(devices, request, (numa_cells, sockets))
    reasons: collections.Counter[str] = collections.Counter()
    for device in devices:
        if device.address not in anywhere:
            if _is_alike(device, request):
                reasons["of another type, class or trait"] += 1
            continue
        why = reason(device, verdicts.get(device.address))
        if why is None and device.address not in near:
            why = f"on NUMA node {device.numa_node}"
        if why is not None:
            reasons[why] += 1
    if not anywhere and not reasons and request.is_alias:
        return "no tracked device has the ids that it asks for"
    said = [f"{count} {reason}" for reason, count in reasons.most_common()]
    more = sum(count for _, count in reasons.most_common()[_NAMED:])
    return ", ".join(said[:_NAMED]) + (f", and {more} more" if more else "")


def _hint(
    verdicts: ty.Iterable[assignability.Verdict],
) -> str | None:
    """What lets the unknown be known, where anything is unknown."""
    for answer in verdicts:
        if answer.state is assignability.State.UNKNOWN:
            return answer.unknown[0].hint
    return None


def reason(
    device: tracked.Device, answer: assignability.Verdict | None
) -> str | None:
    """Why one device isn't given, as half a sentence after its number."""
    if device.instance_uuid is not None:
        return f"allocated to instance {device.instance_uuid}"
    if answer is not None and not answer.is_assignable:
        first = answer.obstacles[0]
        word = "blocked" if answer.blocking else "unknown"
        return f"{word}: {first.code.title} [{first.code.id}]"
    if device.status == tracked.Status.CLAIMED:
        # As it is once another request of the same claim took it.
        return "taken for another request of it"
    if device.status != tracked.Status.AVAILABLE:
        return f"{device.status}, for its PF or a VF of it is in use"
    return None


def fitting(
    devices: ty.Iterable[tracked.Device],
    request: alias.PciRequest,
    near: tuple[ty.Sequence[int] | None, Sockets] = (None, {}),
) -> set[pci_address.PciAddress]:
    """The devices that would satisfy a request if they were free.

    :param near: the guest's NUMA nodes, and the sockets of all
    """
    free = pools.Pools.of(
        (
            dataclasses.replace(device, status=tracked.Status.AVAILABLE)
            for device in devices
        ),
        by_class=True,
    )
    left = {pool: len(pool.devices) for pool in free.pools}
    return {
        at
        for pool in filters.fitting(left, request, filters.Place(*near), ())
        for at in pool.devices
    }


def _is_alike(device: tracked.Device, request: alias.PciRequest) -> bool:
    """Whether a device has the ids that a request asks for."""
    return any(
        spec.vendor_id in (None, device.vendor_id)
        and spec.product_id in (None, device.product_id)
        for spec in request.specs
    )
