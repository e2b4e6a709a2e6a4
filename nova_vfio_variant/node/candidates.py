# SPDX-License-Identifier: Apache-2.0
"""What a claim can get on the host and of a cloud's Placement alike.

Others allocate from our providers there, too: whoever has the token may. The
host chooses, as it always does, among the devices that Placement has units
for; what it chooses first is asked for, and where Placement has less, the
devices that are too many are left out and the host chooses again.
"""

from __future__ import annotations

import collections
import math
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import provider

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import choosing, inventory
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


_AnyChosen = ty.TypeVar("_AnyChosen", bound=_Chosen)
_Addresses = set["pci_address.PciAddress"]


def chosen(
    published: inventory.Publication,
    devices: ty.Sequence[tracked.Device],
    among: ty.Callable[[ty.Sequence[tracked.Device]], _AnyChosen],
) -> _AnyChosen:
    """What the host chooses of what a cloud's Placement has.

    Our own Placement, and none, have what the store has: they aren't asked.

    :param devices: all that are tracked, in rising order of address
    :param among: chooses, and raises NotEnoughDevices
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
        without = _without(published, left, found.taken, full)
        if not without:
            return found
        left = [one for one in left if one.address not in without]


def _without(
    published: inventory.Publication,
    devices: ty.Sequence[tracked.Device],
    taken: choosing.Taken,
    full: list[str],
) -> _Addresses:
    """Devices that Placement has no unit for; none if it has all it takes.

    :param full: grows by what is told of them
    """
    owners = published.owners
    groups = {
        device.address: _group(request, device)
        for request, some in taken
        for device in some
        if device.address in owners
    }
    if not groups:
        return set()
    classes = {group.resource_class for group in groups.values()}
    alike = [
        device
        for device in devices
        if device.resource_class in classes and device.address in owners
    ]
    published.publish(alike)
    room = published.room(_asked(groups.values(), alike, owners))
    if not room:
        return _of_no_class(published, groups.values(), alike, owners, full)
    counted = collections.Counter(
        (owners[at], group.resource_class) for at, group in groups.items()
    )
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
        without |= {*mine[units:]}
    return without


def _of_no_class(
    published: inventory.Publication,
    groups: ty.Iterable[provider.Group],
    devices: ty.Sequence[tracked.Device],
    owners: ty.Mapping[pci_address.PciAddress, str],
    full: list[str],
) -> _Addresses:
    """The devices of the classes that Placement hasn't so many units of."""
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
            f"Placement hasn't {len(kinds[of_class])} of {of_class}"
            + (f" with {', '.join(sorted(asked))}" if asked else "")
        )
    gone = {*(short or kinds)}
    return {one.address for one in devices if one.resource_class in gone}


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
