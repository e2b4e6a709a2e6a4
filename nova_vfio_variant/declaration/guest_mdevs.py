# SPDX-License-Identifier: Apache-2.0
"""Guests with mediated devices that nobody has claimed for them. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.observe import passed

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import nova_mdevs
    from nova_vfio_variant.host.observe import domains, facts
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.tracker import mdevs

#: The instance that has claimed a mediated device, by its UUID; None where it
#: is ours and nobody has.
Owners = ty.Mapping[str, str | None]


def owners(
    made: ty.Iterable[mdevs.OurMdev], adopted: ty.Mapping[str, str]
) -> Owners:
    """Whose mediated devices are.

    :param made: those that we made
    :param adopted: of those that Nova gave, whose claims mirror them: Nova
        gives ours, too
    """
    return {**{one.uuid: one.instance_uuid for one in made}, **adopted}


def unclaimed(
    host: facts.HostFacts,
    files: ty.Iterable[domains.Guest],
    of: Owners,
    tracked: ty.Collection[pci_address.PciAddress],
    novas: nova_mdevs.HandedOut,
) -> ty.Iterator[tuple[str, passed.Passed, str | None]]:
    """Each one, the guest that has it, and who has claimed it.

    Another tool's of a parent that isn't tracked is that tool's, and what
    nova-compute hands out of a parent is Nova's.

    :param files: the guests that libvirt keeps files of
    :param tracked: functions
    """
    for uuid, guests in passed.mdevs(host, files).items():
        owner = of.get(uuid)
        there = host.mdevs.devices.get(uuid)
        if owner is None and there is not None:
            parent = host.mdevs.parents[there.parent]
            is_here = uuid in of or parent.address in tracked
            if not is_here or novas.against(parent) is not None:
                continue
        elif uuid not in of:
            continue
        for instance_uuid, guest in sorted(guests.items()):
            if instance_uuid != owner:
                yield uuid, guest, owner
