# SPDX-License-Identifier: Apache-2.0
"""What the parents that ``[devices]`` names have of their types. Pure."""

from __future__ import annotations

import types
import typing as ty

from nova_vfio_variant.declaration import nova_here, nova_mdevs
from nova_vfio_variant.host.decide import obstacles
from nova_vfio_variant.placement import mdev_parents

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.host.observe import host_scan, mdev, records
    from nova_vfio_variant.placement import provider

Providers = tuple["provider.Provider", ...]
#: Those that are ours to publish, and those that are Nova's.
Both = tuple[Providers, Providers]


def nobodys() -> Both:
    """None at all."""
    return (), ()


def of_host(
    mdevs: mdev.Mdevs,
    scan: host_scan.HostScan,
    read: nova_mdevs.NovaMdevs,
    cordoned: records.Quarantines = types.MappingProxyType({}),
) -> tuple[mdev_parents.Offer, ...]:
    """Each parent that has its type, or devices of it.

    :param scan: tells which parents are VFs
    :param cordoned: the functions that nobody is given more of
    """
    found = []
    for parent in mdevs.parents.values():
        kind = read.type_of(parent)
        name = nova_mdevs.libvirt_name(parent)
        if kind is None or name is None:
            continue
        here = sum(
            device.type_id == kind and not device.goes
            for device in mdevs.of_parent(parent.name)
        )
        offered = parent.type_of(kind)
        if offered is None and not here:
            continue
        found.append(
            mdev_parents.Offer(
                name,
                kind,
                read.resource_class(parent),
                here,
                0 if offered is None else offered.available,
                0 if offered is None else _most(scan, parent, offered),
                _is_cordoned(scan, parent, cordoned),
            )
        )
    return tuple(found)


def providers(
    given: facts.CheckInput,
    cordoned: records.Quarantines = types.MappingProxyType({}),
) -> Both:
    """The providers of a host's parents: ours to publish, and Nova's.

    :param cordoned: the functions that nobody is given more of
    """
    if given.scan is None or not given.options.get(nova_mdevs.ENABLED):
        return nobodys()
    read = nova_mdevs.read(given)
    offers = of_host(given.host_facts.mdevs, given.scan, read, cordoned)
    if nova_here.beside_nova(given) is None:
        return mdev_parents.ours(offers, read.limits, given.root), ()
    return (), mdev_parents.as_nova(offers, read.limits, given.root)


def _is_cordoned(
    scan: host_scan.HostScan,
    parent: mdev.Parent,
    cordoned: records.Quarantines,
) -> bool:
    """Whether a parent is a cordoned function."""
    if parent.address is None:
        return False
    function = scan.get(parent.address)
    return function is not None and any(
        obstacles.of_cordon(function, cordoned)
    )


def _most(
    scan: host_scan.HostScan, parent: mdev.Parent, offered: mdev.MdevType
) -> int:
    """How many an empty parent takes, as far as that is told.

    What is told is of the whole card: of a VF it says nothing.
    """
    function = parent.address and scan.get(parent.address)
    if function and function.physfn is not None:
        return 1
    return offered.max_instances or 1
