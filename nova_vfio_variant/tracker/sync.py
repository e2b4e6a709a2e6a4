# SPDX-License-Identifier: Apache-2.0
"""From what is recorded to what configuration and host ask for.

:func:`desired` says what should be tracked, :func:`decide` what has to change
for it. Both are pure and take time linear in the number of devices; where
nothing changed no Device is even made.
"""

from __future__ import annotations

import dataclasses
import operator
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import matching
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import family, properties

#: What siblings have in common. Beside the address only the IOMMU group and
#: the VF's index differ from VF to VF.
_SHARED = operator.attrgetter(
    "vendor_id",
    "product_id",
    "numa_node",
    "driver",
    "vfio",
    "sriov_totalvfs",
    "physfn",
    "vdpa",
    "subsystem",
    "serial_number",
)
#: Looks for the function at an address.
Look = ty.Callable[[pci_address.PciAddress], host_function.PciFunction | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """A tracked device at whose address there is another function.

    :param device: as it is recorded, which nothing changes
    :param now: which function there is
    :param desired: what would be tracked of that one, None if nothing
    """

    device: tracked.Device
    now: host_function.Identity
    desired: tracked.Device | None


@dataclasses.dataclass(frozen=True, slots=True)
class SyncPlan:
    """What makes the tracker equal to configuration and host.

    :param added: devices that were not tracked
    :param updated: devices whose properties or status change; of one in use
        the new properties wait in ``pending``
    :param removed: devices that nobody has and nothing asks for, as they were
    :param unchanged: the rest
    :param kept: devices that are gone from the host, or from the
        configuration, while somebody has them; removed when freed
    :param generation: of the store that this was decided on
    :param unread: devices that are left as they are, for the host doesn't
        say what they are now
    :param exchanged: devices that are left as they are, for the function at
        their address is another one now
    """

    added: tuple[tracked.Device, ...]
    updated: tuple[tracked.Device, ...]
    removed: tuple[tracked.Device, ...]
    unchanged: ty.Sequence[tracked.Device]
    kept: tuple[tracked.Device, ...]
    generation: int = 0
    unread: tuple[tracked.Device, ...] = ()
    exchanged: tuple[Exchange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed or self.kept)


def desired(
    specs: ty.Sequence[pci_spec.DeviceSpec],
    functions: ty.Sequence[host_function.PciFunction],
    classes: ty.Mapping[pci_address.PciAddress, str] | None = None,
) -> tracked.Devices:
    """The devices that should be tracked, available.

    :param specs: in the order of matching: the first match wins
    :param functions: of a scan, in rising order of address
    :param classes: the resource class of functions whose spec names none; of
        others it is that of their ids
    """
    netdevs = {
        pf.address: pf.netdevs[0]
        for pf in functions
        if pf.netdevs and pf.physfn is None
    }
    alike: dict[tuple[ty.Any, ...], tuple[tracked.Device, str]] = {}
    sources: dict[int, tuple[tracked.Device, host_function.PciFunction]] = {}
    marks: dict[int, str] = {}
    winners = matching.Matcher(specs, functions).winners(functions)
    last_spec, last_shared = None, None
    for seen, spec in zip(functions, winners, strict=True):
        if spec is None:
            continue
        shared = _SHARED(seen)
        by_type = None
        if classes:
            by_type = classes.get(seen.address)
            shared += (by_type,)
        # Siblings follow each other: comparing is cheaper than hashing.
        if spec is not last_spec or shared != last_shared:
            last_spec, last_shared = spec, shared
            key = (spec.index, shared)
            if key not in alike:
                sibling = properties.of(seen, spec, netdevs, by_type)
                alike[key] = (sibling, f"{properties.digest(sibling)}.")
            sibling, digest = alike[key]
        place = tracked.number(seen.address)
        marks[place] = f"{digest}{seen.iommu_group}.{seen.vf_index}"
        sources[place] = (sibling, seen)

    def make(place: int) -> tracked.Device:
        sibling, seen = sources[place]
        extra_info = dict(sibling.extra_info)
        if seen.iommu_group is not None:
            extra_info["iommu_group"] = str(seen.iommu_group)
        return dataclasses.replace(
            sibling,
            address=seen.address,
            extra_info=extra_info,
            identity=seen.identity,
        )

    return tracked.Devices(marks, make)


def is_exchanged(device: tracked.Device, now: host_function.Identity) -> bool:
    """Whether the function at a device's address isn't the tracked one.

    Of a device that an older version tracked only its ids are known. They
    count as long as somebody has it; else it becomes what is seen now.

    :param now: which function is there
    """
    if device.identity == now:
        return False
    if device.identity is None and device.status not in family.IN_USE:
        return False
    return device.known.is_another(now)


def exchanges(
    recorded: ty.Iterable[tracked.Device],
    there: Look,
    desired: ty.Callable[
        [pci_address.PciAddress], tracked.Device | None
    ] = lambda _: None,
) -> ty.Iterator[Exchange]:
    """The tracked devices at whose address another function stands.

    :param there: the function at an address
    :param desired: what would be tracked at an address
    """
    for device in recorded:
        seen = there(device.address)
        if seen is not None and is_exchanged(device, seen.identity):
            yield Exchange(device, seen.identity, desired(device.address))


def decide(
    recorded: ty.Iterable[tracked.Device],
    desired: ty.Iterable[tracked.Device],
    unread: ty.Collection[pci_address.PciAddress] = (),
    there: Look = lambda _: None,
    accepted: ty.Collection[pci_address.PciAddress] = (),
) -> SyncPlan:
    """What has to change.

    :param recorded: as tracked, with status and owner
    :param desired: as :func:`desired` gives them
    :param unread: functions of which nobody can say what is desired: they
        are neither added nor changed nor removed
    :param there: the function at an address, also where none is desired
    :param accepted: addresses of exchanged devices that are tracked anew
    :raises InvalidDeviceStatus: somebody has a device that is accepted, or
        it isn't exchanged
    """
    recorded = marked(recorded)
    desired = marked(desired)
    before = recorded.marks
    stirred, lost, hidden = _compare(
        before, desired.marks, set(map(tracked.number, unread))
    )
    left = tuple(recorded.make(place) for place in sorted(hidden))
    if not (stirred or lost or left or accepted):
        return SyncPlan((), (), (), recorded, (), recorded.generation)

    families = family.Families(recorded)
    kept, removed, exchanged = _lose(
        families, [recorded.make(place).address for place in lost], there
    )
    added, updated, moved, others = _gain(
        families, before, map(desired.make, stirred)
    )
    exchanged += others
    another = {tracked.number(one.device.address) for one in exchanged}
    another |= hidden.union(map(tracked.number, updated))
    taken = _accept(families, exchanged, accepted)
    updated += taken
    for address in (*moved, *taken):
        families.rate(address)
    return SyncPlan(
        tuple(families[address] for address in added),
        tuple(families[address] for address in updated),
        tuple(removed),
        recorded.only(
            place
            for place in before
            if place in desired.marks and place not in another
        ),
        tuple(families[address] for address in kept),
        recorded.generation,
        left,
        tuple(one for one in exchanged if one.device.address not in taken),
    )


def _compare(
    before: ty.Mapping[int, str], after: ty.Mapping[int, str], unread: set[int]
) -> tuple[list[int], list[int], set[int]]:
    """Where what is recorded isn't what is desired, by number of address.

    :returns: what is desired and not recorded in the same way, what is
        recorded and not desired, and what is recorded and unread
    """
    look = before.get
    stirred = [place for place, mark in after.items() if look(place) != mark]
    lost = [place for place in before if place not in after]
    if unread:
        stirred = [place for place in stirred if place not in unread]
        lost = [place for place in lost if place not in unread]
    return stirred, lost, unread & before.keys()


def _lose(
    families: family.Families,
    addresses: ty.Iterable[pci_address.PciAddress],
    there: Look,
) -> tuple[list[pci_address.PciAddress], list[tracked.Device], list[Exchange]]:
    """Let go of devices that nothing asks for any more.

    :returns: those that somebody has, those that are removed, and those
        that somebody has while another function is in their place
    """
    kept = []
    removed = []
    exchanged = []
    for address in addresses:
        device = families[address]
        seen = there(address)
        if device.status not in family.IN_USE:
            removed.append(device)
            families.remove(address)
        elif seen is not None and is_exchanged(device, seen.identity):
            exchanged.append(Exchange(device, seen.identity, None))
        else:
            kept.append(address)
            families.put(dataclasses.replace(device, pending={}))
    return kept, removed, exchanged


def _gain(
    families: family.Families,
    before: ty.Container[int],
    devices: ty.Iterable[tracked.Device],
) -> tuple[
    list[pci_address.PciAddress],
    list[pci_address.PciAddress],
    list[pci_address.PciAddress],
    list[Exchange],
]:
    """Track devices as they are desired.

    :param before: the numbers of those that were tracked
    :returns: those that were not, those that change, those of both whose
        place in their family does, and those that stay as they are while
        another function is in their place
    """
    added = []
    updated = []
    moved = []
    exchanged = []
    for wanted in devices:
        if tracked.number(wanted.address) not in before:
            added.append(wanted.address)
            moved.append(wanted.address)
            families.put(wanted)
            continue
        device = families[wanted.address]
        if is_exchanged(device, wanted.known):
            exchanged.append(Exchange(device, wanted.known, wanted))
        elif _take(families, wanted):
            moved.append(wanted.address)
        if families[wanted.address] != device:
            updated.append(wanted.address)
    return added, updated, moved, exchanged


def _accept(
    families: family.Families,
    exchanged: ty.Iterable[Exchange],
    accepted: ty.Collection[pci_address.PciAddress],
) -> list[pci_address.PciAddress]:
    """Track anew what somebody says is right as it is.

    :raises InvalidDeviceStatus: see :func:`decide`
    """
    found = {one.device.address: one for one in exchanged}
    for address in accepted:
        one = found.get(address)
        if one is None:
            raise exception.InvalidDeviceStatus(
                f"no device {address} is tracked whose function is another"
                " one now, so there is nothing to accept"
            )
        if one.device.status in family.IN_USE or one.desired is None:
            owner = one.device.instance_uuid
            raise exception.InvalidDeviceStatus(
                f"device {address} is {one.device.status} by instance {owner}"
                ", so what is there now is not accepted in its place",
                f"'nova-vfio claim delete --instance {owner}' takes it back first",
            )
        families.put(properties.changed(one.device, one.desired))
    return [address for address in found if address in accepted]


def marked(devices: ty.Iterable[tracked.Device]) -> tracked.Devices:
    """The same devices, sorted and with their marks."""
    if isinstance(devices, tracked.Devices):
        return devices
    made = {tracked.number(one.address): one for one in devices}
    marks = {place: properties.mark(made[place]) for place in sorted(made)}
    return tracked.Devices(marks, made.__getitem__)


def _take(families: family.Families, wanted: tracked.Device) -> bool:
    """Give a tracked device what is wanted of it, or let it wait.

    A blocked device that changes its place in its family waits too: else a
    VF whose ``physfn`` could not be read would be free beside its PF.

    :returns: whether its place in its family changed
    """
    device = families[wanted.address]
    moved = (device.dev_type, device.parent_addr) != (
        wanted.dev_type,
        wanted.parent_addr,
    )
    if device.status in family.IN_USE or (
        moved and device.status in family.BLOCKED
    ):
        families.put(properties.waiting(device, wanted))
        return False
    families.put(properties.changed(device, wanted))
    return moved
