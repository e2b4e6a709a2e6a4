# SPDX-License-Identifier: Apache-2.0
"""What a node can give to guests, and what its host lacks for that."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.decide import vgpu_capacity
from nova_vfio_variant.host.observe import vfio
from nova_vfio_variant.node import divided_cards, naming, tracked_devices
from nova_vfio_variant.node import mdev_types as mdev_types_of_node
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.node import context

#: Where the kernel tells of huge pages, by their size.
_HUGE_PAGES: ty.Final = "sys/kernel/mm/hugepages"


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A tracked device, and whether a guest could be given it now.

    :param address: of the function
    :param name: what it is called; None for nothing
    :param class_code: 24 bits; None where it isn't seen
    :param why_not: why no guest could be given it; None if one could
    """

    address: str
    name: str | None
    class_code: int | None
    why_not: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a host has for guests, or lacks.

    :param name: as commands and configurations write it
    :param count: how many there are; None where it isn't counted
    :param available: how many could be given now; likewise
    :param supported: None where this host root doesn't show it
    :param why_not: what is in the way; None if nothing is
    :param on: addresses of the cards that give it
    """

    name: str
    supported: bool | None
    count: int | None = None
    available: int | None = None
    why_not: str | None = None
    on: tuple[str, ...] = ()


def devices(on: context.Context) -> tuple[Device, ...]:
    """All tracked devices, or those that a first sync would track."""
    tracking = tracked_devices.TrackedDevices(on)
    called = naming.Naming(on)
    names = called.standing()
    found = []
    for device in tracking.devices():
        verdict = tracking.verdict(device.address)
        why = None
        if not verdict.is_assignable:
            why = (*verdict.blocking, *verdict.unknown)[0].message
        elif device.status != tracked.Status.AVAILABLE:
            why = f"it is {device.status}"
        seen = called.seen(device.address)
        name = names.get(device.address)
        found.append(
            Device(
                str(device.address),
                None if name is None else name.name,
                None if seen is None else seen.class_code,
                why,
            )
        )
    return tuple(found)


def vgpu_types(on: context.Context) -> tuple[Capability, ...]:
    """The vGPU types of all cards, each with all cards that have it."""
    found: dict[str, list[tuple[str, vgpu_capacity.Capacity]]] = {}
    for card in divided_cards.cards(on, ask=True).values():
        for one in vgpu_capacity.of_card(card):
            name = one.vgpu_type.name or one.vgpu_type.id
            found.setdefault(name, []).append((str(card.address), one))
    return tuple(
        Capability(
            name,
            supported=True,
            count=sum(one.existing for _, one in some),
            available=(now := sum(one.now for _, one in some)),
            why_not=None
            if now
            else next(
                (str(one.why) for _, one in some if one.why is not None), None
            ),
            on=tuple(address for address, _ in some),
        )
        for name, some in sorted(found.items())
    )


def mdev_types(
    on: context.Context,
) -> dict[str, list[mdev_types_of_node.Offered]]:
    """By type the parents that offer mediated devices of it.

    What each has left isn't added up: parents of one card share it.

    :raises HostError: the host can't be seen
    """
    found: dict[str, list[mdev_types_of_node.Offered]] = {}
    for offered in mdev_types_of_node.offered(on):
        found.setdefault(offered.mdev_type.id, []).append(offered)
    return dict(sorted(found.items()))


def machine(on: context.Context) -> tuple[Capability, ...]:
    """What the host itself needs: IOMMU, VFIO's modules, huge pages.

    :raises HostError: the host can't be seen
    """
    scan = on.scan
    has_iommu = bool(scan.iommu_groups)
    has_vfio = vfio.available(scan)
    return (
        Capability(
            "iommu",
            has_iommu,
            count=len(scan.iommu_groups),
            why_not=None
            if has_iommu
            else on.verdicts.facts.how_to_get_an_iommu,
        ),
        Capability(
            "vfio-pci",
            has_vfio,
            why_not={
                True: None,
                False: "the kernel has no module vfio-pci",
                None: "this host root doesn't show the kernel's modules",
            }[has_vfio],
        ),
        *_huge_pages(scan.tree),
    )


def _huge_pages(tree: host_tree.HostTree) -> ty.Iterator[Capability]:
    sizes = sorted(tree.listdir(_HUGE_PAGES))
    if not sizes:
        yield Capability(
            "hugepages",
            supported=None,
            why_not="this host root doesn't show huge pages",
        )
    for size in sizes:
        total, free = (
            _number(tree, f"{_HUGE_PAGES}/{size}/{name}")
            for name in ("nr_hugepages", "free_hugepages")
        )
        yield Capability(
            size,
            supported=None if total is None else bool(total),
            count=total,
            available=free,
            why_not=None if total else "none are reserved (vm.nr_hugepages)",
        )


def _number(tree: host_tree.HostTree, path: str) -> int | None:
    text = (tree.read_text(path) or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
