# SPDX-License-Identifier: Apache-2.0
"""What a claim can get on the host and of a cloud's Placement alike.

Others allocate from our providers there, too: whoever has the token may. The
host chooses, as it always does, among the devices that Placement has units
for; what it chooses first is asked for, and where Placement has less, the
devices that are too many are left out and the host chooses again.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import provider, vgpu_cards

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import choosing, inventory, vgpu_claims
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias
    from nova_vfio_variant.tracker import device as tracked

#: Placement multiplies the providers of all groups with each other before it
#: looks which of that fits. So many it may; groups beyond that are left out,
#: and the units that are free say the rest.
_PRODUCTS: ty.Final = 1000
#: A group has about 150 characters, and a URL that servers take 8,190.
_GROUPS: ty.Final = 25


class _Chosen(ty.Protocol):
    """What a claim would get."""

    @property
    def taken(self) -> choosing.Taken:
        """Functions, for each request."""

    @property
    def vgpus(self) -> vgpu_claims.Made:
        """That are to be made of some of them."""


_AnyChosen = ty.TypeVar("_AnyChosen", bound=_Chosen)
Address: ty.TypeAlias = "pci_address.PciAddress"
_Addresses = set[Address]
_Groups = dict[Address, provider.Group]


def chosen(
    published: inventory.Publication,
    devices: ty.Sequence[tracked.Device],
    among: ty.Callable[[ty.Sequence[tracked.Device]], _AnyChosen],
    sizes: ty.Callable[[vgpu_claims.Made], ty.Mapping[Address, int]],
) -> _AnyChosen:
    """What the host chooses of what a cloud's Placement has.

    Our own Placement, and none, have what the store has: they aren't asked.

    :param devices: all that are tracked, in rising order of address
    :param among: chooses, and raises NotEnoughDevices
    :param sizes: tells the size in MiB of vGPUs that are to be made
    :raises NotEnoughDevices: there are not so many
    :raises PlacementError: it can't be asked
    """
    if not published.shared:
        return among(devices)
    full: list[str] = []
    left = list(devices)
    while True:
        try:
            found = among(left)
        except exception.NotEnoughDevices as error:
            if full:
                error.message = f"{error.message}; {', '.join(full)}"
                error.hint = "'nova-vfio inventory show' says what is used"
            raise
        made = {vgpu.address for vgpu in found.vgpus}
        groups = _groups(
            published, left, found.taken, made, sizes(found.vgpus)
        )
        without = _without(published, left, groups, full)
        if not without:
            return found
        left = [one for one in left if one.address not in without]


def _groups(
    published: inventory.Publication,
    devices: ty.Sequence[tracked.Device],
    taken: choosing.Taken,
    made: ty.Collection[Address],
    sizes: ty.Mapping[Address, int],
) -> _Groups:
    """How Placement is asked for what was taken.

    A VF without a type is reserved until a claim gives it one: of such it is
    asked for the framebuffer of the card, where that is published. One that
    has it is of the class that it is tracked with, whatever was asked for.

    :param made: VFs that are to be given types
    :param sizes: the MiB of each, where they are told
    """
    owners, on_demand = published.owners, published.on_demand
    of_class = {device.address: device.resource_class for device in devices}
    found = {}
    for request, some in taken:
        for device in some:
            at = device.address
            if at not in owners:
                continue
            if at not in made:
                found[at] = dataclasses.replace(
                    _group(request, device), resource_class=of_class[at]
                )
            elif owners[at] in on_demand and at in sizes:
                found[at] = provider.Group(
                    vgpu_cards.FRAMEBUFFER,
                    units=sizes[at],
                    beside=(vgpu_cards.VF,),
                )
    return found


def _without(
    published: inventory.Publication,
    devices: ty.Sequence[tracked.Device],
    groups: _Groups,
    full: list[str],
) -> _Addresses:
    """Devices that Placement has no unit for; none if it has all it takes.

    :param groups: how it is asked for what was taken
    :param full: grows by what is told of them
    """
    if not groups:
        return set()
    owners = published.owners
    classes = {group.resource_class for group in groups.values()}
    alike = [
        device
        for device in devices
        if device.address in owners and classes & _classes(published, device)
    ]
    published.publish(alike)
    room = published.room(_asked(groups.values(), alike, owners))
    if not room:
        return _of_no_class(published, groups.values(), alike, full)
    counted: collections.Counter[tuple[str, str]] = collections.Counter()
    largest: dict[tuple[str, str], int] = {}
    for at, group in groups.items():
        for of_class, units in group.takes.items():
            key = owners[at], of_class
            counted[key] += units
            largest[key] = max(largest.get(key, 0), units)
    without: _Addresses = set()
    for (name, of_class), count in sorted(counted.items()):
        units = room.get(name, {}).get(of_class, 0)
        if count <= units:
            continue
        full.append(f"Placement has {units} of {of_class} left of {name}")
        mine = [
            device.address
            for device in alike
            if owners[device.address] == name and device.instance_uuid is None
        ]
        # What was taken is what the host would have first.
        mine.sort(key=lambda at: (at not in groups, at))
        without |= {*mine[units // largest[name, of_class] :]}
    return without


def _classes(
    published: inventory.Publication, device: tracked.Device
) -> set[str]:
    """The classes that a device may be asked for by."""
    found = {device.resource_class}
    if published.owners[device.address] in published.on_demand:
        found.add(vgpu_cards.FRAMEBUFFER)
    return found


def _of_no_class(
    published: inventory.Publication,
    groups: ty.Iterable[provider.Group],
    devices: ty.Sequence[tracked.Device],
    full: list[str],
) -> _Addresses:
    """The devices of the classes that Placement hasn't so many units of."""
    owners = published.owners
    kinds: dict[str, list[provider.Group]] = {}
    for group in groups:
        kinds.setdefault(group.resource_class, []).append(group)
    short = [
        of_class
        for of_class, some in sorted(kinds.items())
        if len(kinds) == 1 or not published.room(_asked(some, devices, owners))
    ]
    for of_class in short or kinds:
        asked = {trait for one in kinds[of_class] for trait in one.traits}
        full.append(
            f"Placement hasn't {sum(one.units for one in kinds[of_class])} of"
            f" {of_class}"
            + (f" with {', '.join(sorted(asked))}" if asked else "")
        )
    gone = {*(short or kinds)}
    return {one.address for one in devices if gone & _classes(published, one)}


def _group(
    request: alias.PciRequest, device: tracked.Device
) -> provider.Group:
    """How Placement is asked for a device: as the alias does that it is for."""
    for spec in request.specs:
        if spec.asked_class in {None, device.resource_class} and {
            *spec.asked_traits
        } <= {*device.traits}:
            return provider.Group(device.resource_class, spec.asked_traits)
    return provider.Group(device.resource_class)


def _asked(
    groups: ty.Iterable[provider.Group],
    devices: ty.Iterable[tracked.Device],
    owners: ty.Mapping[pci_address.PciAddress, str],
) -> list[provider.Group]:
    """One group for each device, as many as Placement may be asked."""
    providers = {owners[device.address] for device in devices}
    most = _GROUPS
    if len(providers) > 1:
        most = max(int(math.log(_PRODUCTS, len(providers))), 1)
    return [*groups][: min(most, _GROUPS)]
