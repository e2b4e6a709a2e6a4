# SPDX-License-Identifier: Apache-2.0
"""Claims as allocations of their instance.

An instance may have allocations that aren't ours: Nova gives it processors
and memory. Only what it has from providers of ours is ever changed.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import (
    memory,
    observe,
    provider,
    report,
    retry,
    tree,
)
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.placement import client as placement_client

#: Provider's name -> resource class -> amount.
Amounts = ty.Mapping[str, ty.Mapping[str, int]]


def amounts(
    providers: ty.Iterable[provider.Provider],
    devices: ty.Iterable[tracked.Device],
) -> dict[str, dict[str, int]]:
    """What these devices amount to in Placement.

    Devices that no provider publishes, those of a physical network, amount
    to nothing.
    """
    owners = {address: rp for rp in providers for address in rp.addresses}
    found: dict[str, dict[str, int]] = {}
    for device in devices:
        rp = owners.get(device.address)
        if rp is None:
            continue
        of_it = found.setdefault(rp.name, {})
        takes = {device.resource_class: 1, **rp.shares.get(device.address, {})}
        for resource_class, units in takes.items():
            of_it[resource_class] = of_it.get(resource_class, 0) + units
    return found


def put(
    client: placement_client.PlacementClient,
    known: memory.ProviderMemory,
    instance_uuid: str,
    wanted: Amounts,
) -> None:
    """Let an instance have just this from providers of ours.

    What it has from other providers stays. When the instance or a provider
    changes meanwhile, it is read again and tried again.

    :raises PlacementRefused: there isn't so much left, or a provider isn't
        published
    :raises PlacementConflict: others wrote again and again
    :raises PlacementError: see :class:`PlacementClient`
    """
    ours = {}
    for name in known.names():
        remembered = known.get(name)
        if remembered is not None:
            ours[name] = remembered.uuid
    missing = sorted(set(wanted) - set(ours))
    if missing:
        raise exception.PlacementRefused(
            f"provider {', '.join(missing)} is not published"
        )
    shall = {ours[name]: resources for name, resources in wanted.items()}
    try:
        retry.retrying()(
            _put_once, client, set(ours.values()), instance_uuid, shall
        )
    except exception.PlacementConflict as error:
        raise exception.PlacementConflict(
            f"others changed instance {instance_uuid} or its providers"
            f" {retry.ATTEMPTS} times while its allocations were written",
            "try again, and look at who writes there",
        ) from error


def delete(
    client: placement_client.PlacementClient,
    known: memory.ProviderMemory,
    instance_uuid: str,
) -> None:
    """Take from an instance all that it has from providers of ours.

    :raises PlacementError: as :func:`put` does
    """
    put(client, known, instance_uuid, {})


def of_devices(
    client: placement_client.PlacementClient,
    known: memory.ProviderMemory,
    root_name: str,
    names: ty.Collection[str],
    instance_uuid: str,
) -> dict[str, ty.Mapping[str, int]]:
    """What an instance has of a root's providers of devices, whoever made it.

    :param names: of those that aren't called as Nova calls PCI functions'
    :returns: by the provider's name
    :raises PlacementError: see :class:`PlacementClient`
    """
    has = client.allocations(instance_uuid).resources
    if not has:
        return {}
    return {
        name: has[listed.uuid]
        for name, listed in observe.look(
            client, root_name, known
        ).children.items()
        if listed.uuid in has
        and (name in names or tree.is_of_device(name, root_name))
    }


def published(
    client: placement_client.PlacementClient,
    known: memory.ProviderMemory,
    ask: report.ReportRequest,
) -> dict[str, provider.Published]:
    """Each desired provider as Placement has it, with its usage, by name.

    Providers that aren't published are left out. One request lists the tree,
    and each provider takes three.

    :raises PlacementError: see :class:`PlacementClient`
    """

    def once() -> dict[str, provider.Published]:
        seen = observe.look(client, ask.root_name, known)
        return {
            rp.name: dataclasses.replace(
                read,
                usages=client.usages(listed.uuid),
                ours=memory.ours(known, read),
            )
            for rp in ask.desired
            if (listed := seen.children.get(rp.name)) is not None
            and (read := client.read(listed))
        }

    return retry.retrying()(once)


def _put_once(
    client: placement_client.PlacementClient,
    ours: ty.Collection[str],
    instance_uuid: str,
    shall: ty.Mapping[str, ty.Mapping[str, int]],
) -> None:
    has = client.allocations(instance_uuid)
    becomes = {
        uuid: resources
        for uuid, resources in has.resources.items()
        if uuid not in ours
    } | dict(shall)
    if becomes == has.resources:
        return
    wanted = dataclasses.replace(has, resources=becomes)
    try:
        client.put_allocations(instance_uuid, wanted)
    except exception.PlacementConflict:
        if has.generation is not None:
            raise
        # Placement makes a consumer before what it has, each in a
        # transaction of its own. Where it died in between, the consumer has
        # generation 0, which Placement tells only with allocations.
        client.put_allocations(
            instance_uuid, dataclasses.replace(wanted, generation=0)
        )
