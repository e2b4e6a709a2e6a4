# SPDX-License-Identifier: Apache-2.0
"""What the parents that ``[devices]`` names have of their types. Pure."""

from __future__ import annotations

import types
import typing as ty

from nova_vfio_variant.declaration import nova_here, nova_mdevs
from nova_vfio_variant.host.decide import obstacles
from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.placement import mdev_parents

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.host.observe import host_scan, mdev, records
    from nova_vfio_variant.placement import provider
    from nova_vfio_variant.tracker import mdevs as tracked

Providers = tuple["provider.Provider", ...]
#: Those that are ours to publish, and those that are Nova's.
Both = tuple[Providers, Providers]
Made = ty.Collection["tracked.OurMdev"]


def nobodys() -> Both:
    """None at all."""
    return (), ()


def of_host(
    mdevs: mdev.Mdevs,
    scan: host_scan.HostScan,
    read: nova_mdevs.NovaMdevs,
    claimed: ty.Collection[str] = (),
    cordoned: records.Quarantines = types.MappingProxyType({}),
) -> tuple[mdev_parents.Offer, ...]:
    """Each parent that has its type, or devices of it.

    :param scan: tells which parents are VFs
    :param claimed: UUIDs of the devices that claims have
    :param cordoned: the functions that nobody is given more of
    """
    found = []
    for parent in mdevs.parents.values():
        kind = read.type_of(parent)
        name = nova_mdevs.libvirt_name(parent)
        if kind is None or name is None:
            continue
        uuids = [
            device.uuid
            for device in mdevs.of_parent(parent.name)
            if device.type_id == kind and not device.goes
        ]
        here = len(uuids)
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
                sum(uuid in claimed for uuid in uuids),
                _is_cordoned(scan, parent, cordoned),
            )
        )
    return tuple(found)


def providers(
    given: facts.CheckInput,
    made: Made = (),
    cordoned: records.Quarantines = types.MappingProxyType({}),
) -> Both:
    """The providers of a host's parents: ours to publish, and Nova's.

    :param made: the devices that we made
    :param cordoned: the functions that nobody is given more of
    """
    if given.scan is None or not given.options.get(nova_mdevs.ENABLED):
        return nobodys()
    read = nova_mdevs.read(given)
    claimed = {ours.uuid for ours in made if ours.instance_uuid is not None}
    offers = of_host(
        given.host_facts.mdevs, given.scan, read, claimed, cordoned
    )
    if are_ours(given):
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


def are_ours(given: facts.CheckInput) -> bool:
    """Whether there are some, and they are ours to publish."""
    return (
        given.scan is not None
        and bool(given.options.get(nova_mdevs.ENABLED))
        and nova_here.beside_nova(given) is None
    )


def amounts(given: facts.CheckInput, made: Made) -> dict[str, dict[str, int]]:
    """What devices are in Placement: provider's name -> class -> units.

    One of a type that its parent isn't published for is none: what it takes
    is reserved.
    """
    if not (made and are_ours(given)):
        return {}
    return of_kinds(given, [ours.kind for ours in made])


def of_kinds(
    given: facts.CheckInput, kinds: ty.Iterable[str]
) -> dict[str, dict[str, int]]:
    """The same, of whoever made them.

    :param kinds: ``PARENT/TYPE`` of each device
    """
    found: dict[str, dict[str, int]] = {}
    read = nova_mdevs.read(given)
    for text in kinds:
        name, kind = mdev_names.parse_kind(text)
        parent = given.host_facts.mdevs.parents.get(name)
        if parent is None or read.type_of(parent) != kind:
            continue
        of_it = found.setdefault(
            f"{given.root}_{nova_mdevs.libvirt_name(parent)}", {}
        )
        of_class = read.resource_class(parent)
        of_it[of_class] = of_it.get(of_class, 0) + 1
    return found


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
