# SPDX-License-Identifier: Apache-2.0
"""Which VF is given the vGPU type that a claim asks for. Pure.

A free VF that can take the type counts as one of the class that is asked for.
Equal ones are used in turn, so that a bad one can't catch every guest.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import exception, finding, source
from nova_vfio_variant.declaration import vgpu_classes
from nova_vfio_variant.host.decide import assignability, vgpu_types
from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import alias, names
from nova_vfio_variant.pci import request as pci_request

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import choosing
    from nova_vfio_variant.tracker import device as tracked

Address = pci_address.PciAddress

#: Characters of an alias's name (``[pci] alias``).
_LONGEST: ty.Final = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """One request of a claim, and the types that would satisfy it.

    :param request: by alias, or one that stands for a type
    :param types: of each card that has such a type, it; empty where no type
        is asked for
    """

    request: alias.PciRequest
    types: ty.Mapping[Address, vendor_vgpu.VgpuType] = dataclasses.field(
        default_factory=dict
    )

    @property
    def resource_class(self) -> str:
        """The class that the types have."""
        return vgpu_classes.of_name(next(iter(self.types.values())).name)

    def type_of(self, device: tracked.Device) -> vendor_vgpu.VgpuType | None:
        """The type that a device would be given; None if it is no such VF."""
        if device.parent_addr is None:
            return None
        return self.types.get(device.parent_addr)


def of_request(request: alias.PciRequest, types: vgpu_classes.Types) -> Wish:
    """An alias, which asks for a type where its class is that type's."""
    return Wish(request, vgpu_classes.asked_of(request.specs, types))


def of_word(text: str, types: vgpu_classes.Types) -> Wish:
    """``TYPE`` or ``TYPE:COUNT``, of whatever card has it.

    :raises ConfigError: no card of this host has such a type, or it asks for
        none of them
    """
    word, count = pci_request.counted(text)
    if not types:
        raise exception.ConfigError(
            f"no card of this host takes vGPUs, and so none is {word!r}",
            "'nova-vfio host list' shows what it has; is the vendor's vGPU"
            " manager loaded?",
        )
    found: dict[Address, vendor_vgpu.VgpuType] = {}
    unknown: list[finding.Finding] = []
    for card, of_card in types.items():
        resolved = vgpu_types.resolve(word, of_card, str(card))
        if isinstance(resolved, finding.Finding):
            unknown.append(resolved)
        elif not found or resolved.vgpu_type.name in {
            known.name for known in found.values()
        }:
            # A number may mean another type on another card.
            found[card] = resolved.vgpu_type
    if not found:
        raise exception.ConfigError(
            f"{unknown[0].subject}: {unknown[0].message}", unknown[0].hint
        )
    name = next(iter(found.values())).name
    return Wish(_request(name or word, count), found)


def _request(name: str, count: int) -> alias.PciRequest:
    """What stands for a type: any VF of its class."""
    spec = alias.Alias(
        name[:_LONGEST],
        source.SourceText.of("{}"),
        device_type="type-VF",
        resource_class=vgpu_classes.of_name(name),
    )
    return alias.PciRequest(spec.name, count, (spec,), spec.numa_policy)


def candidates(
    devices: ty.Iterable[tracked.Device],
    wish: Wish,
    takers: ty.Collection[Address],
) -> list[tracked.Device]:
    """The devices as a wish sees them.

    :param takers: free VFs of whose class and type nothing is declared; each
        counts as what it can become
    """
    return [
        dataclasses.replace(device, resource_class=_asked(wish, device))
        if device.address in takers and wish.type_of(device) is not None
        else device
        for device in devices
    ]


def _asked(wish: Wish, device: tracked.Device) -> str:
    """The class that the wish knows a device's type by."""
    known = wish.type_of(device)
    assert known is not None
    asked = {spec.asked_class for spec in wish.request.specs}
    whole = names.resource_class(known.name, "", "")
    return whole if whole in asked else vgpu_classes.of_name(known.name)


def fitting(
    ordered: ty.Sequence[tracked.Device],
    answers: choosing.Verdicts,
    rooms: ty.Mapping[Address, tuple[int, int]],
) -> list[tracked.Device]:
    """Without the VFs of a card that it has no room for.

    Each VF lists what it alone could be given. Those that are only perhaps
    too many come last.

    :param ordered: the next one last
    :param rooms: how many a card takes for sure, and at most
    """
    sure: list[tracked.Device] = []
    perhaps: list[tracked.Device] = []
    used: collections.Counter[Address] = collections.Counter()
    for device in reversed(ordered):
        answer = answers.get(device.address)
        card = device.parent_addr
        if (
            answer is None
            or answer.state is not assignability.State.PREPARABLE
            or card is None
            or card not in rooms
        ):
            sure.append(device)
            continue
        used[card] += 1
        now, at_most = rooms[card]
        if used[card] <= now:
            sure.append(device)
        elif used[card] <= at_most:
            perhaps.append(device)
    return [*sure, *perhaps][::-1]


def in_turn(
    devices: ty.Iterable[tracked.Device], last: ty.Mapping[str, str]
) -> list[tracked.Device]:
    """Devices in the order in which they are used, the next one last.

    Of a pool the last device is taken first (:mod:`.pools`).

    :param last: of each card, which of its VFs was used last
    """

    def place(device: tracked.Device) -> tuple[Address, bool, Address]:
        card = device.parent_addr or device.address
        before = last.get(str(card))
        is_over = (
            before is not None
            and device.address <= pci_address.PciAddress.parse(before)
        )
        return card, is_over, device.address

    return sorted(devices, key=place, reverse=True)
