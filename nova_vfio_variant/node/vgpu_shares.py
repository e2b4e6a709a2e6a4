# SPDX-License-Identifier: Apache-2.0
"""What of each card on demand its vGPUs have, for Placement.

What claims have stands in the store, before the host is touched; all else is
read from the host as it is at this moment, for what was seen when the command
began may be of before a type was set or taken away.
"""

from __future__ import annotations

import collections
import functools
import logging
import typing as ty

from nova_vfio_variant.declaration import nova_here, on_demand
from nova_vfio_variant.host.decide import assignability, codes
from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card, vgpu_mode
from nova_vfio_variant.node import vgpu_catalogue
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.placement import vgpu_cards
from nova_vfio_variant.tracker import family, vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.tracker import device as tracked
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

Address = pci_address.PciAddress

#: How many types a sentence names before it counts the others.
_NAMED: ty.Final = 3


def of_cards(
    store: tracker_store.Store,
    devices: ty.Iterable[tracked.Device],
    given: facts.CheckInput,
    judge: host_verdicts.Verdicts,
    *,
    reserve_blocked: bool,
) -> list[vgpu_cards.OnDemand]:
    """The cards of which Placement is told framebuffer and VFs.

    None beside nova-compute, whose providers they would be, and none of whose
    vGPUs one is declared. A card of which nobody told the framebuffer, or the
    size of each of its types, is not among them.

    :param devices: those that are published
    :param judge: gives the verdict on them
    :param reserve_blocked: close what can't be given away, cordoned or not
    """
    if given.scan is None or nova_here.beside_nova(given) is not None:
        return []
    known = vgpu_catalogue.remembered(store, given.scan)
    closed = functools.partial(
        _closed, judge=judge, reserve_blocked=reserve_blocked
    )
    modes = vgpu_mode.of_cards(given.scan)
    ours = {vgpu.address: vgpu for vgpu in store.vgpus.all()}
    published = {device.address: device for device in devices}
    found = []
    for card, of_card in vgpu_card.cards(given.host_facts).items():
        vfs = {vf: published.get(vf) for vf in of_card}
        if (
            not any(vfs.values())
            or modes.get(card) is vgpu_mode.Mode.MIG
            or on_demand.is_declared(vfs, judge, ours.values())
        ):
            continue
        of_it = known.get(card, vgpu_catalogue.NOTHING)
        whole, sizes = of_it.told.framebuffer_mib, _sizes(of_it)
        if not whole or not sizes or len(sizes) < len(of_it.types):
            _LOG.warning(
                "%s has no %s in Placement: nobody told the framebuffer of %s",
                card,
                vgpu_cards.FRAMEBUFFER,
                _untold(of_it, sizes) if whole and sizes else "the card",
            )
            continue
        made, others = _parts(vfs, ours, given.scan, sizes, whole)
        found.append(
            vgpu_cards.OnDemand(
                card,
                whole,
                frozenset(vf for vf, device in vfs.items() if device),
                made,
                others,
                *closed(vfs, type_id=of_it.types[0].id),
                _unit(given.scan, card, next(iter(vfs)), {**made, **others}),
                _most(made, ours),
            )
        )
    return found


def _sizes(known: vgpu_catalogue.Remembered) -> dict[str, int]:
    """The size of each type of a card in MiB, as far as it is told."""
    return {
        of_type.id: size
        for of_type in known.types
        if (size := known.told.sizes.get(of_type.id, of_type.framebuffer_mib))
    }


def of_vgpus(
    store: tracker_store.Store,
    scan: host_scan.HostScan,
    made: ty.Iterable[vgpus.OurVgpu],
) -> dict[Address, int]:
    """The size in MiB of each vGPU that is to be made.

    One whose size nobody told isn't in it.
    """
    known = vgpu_catalogue.remembered(store, scan)
    found = {}
    for vgpu in made:
        function = scan.get(vgpu.address)
        card = function and function.physfn
        if card:
            sizes = _sizes(known.get(card, vgpu_catalogue.NOTHING))
            if vgpu.type_id in sizes:
                found[vgpu.address] = sizes[vgpu.type_id]
    return found


def _untold(
    card: vgpu_catalogue.Remembered, sizes: ty.Mapping[str, int]
) -> str:
    """The types of a card without a size, as a sentence names them."""
    names = [
        known.name or known.id for known in card.types if known.id not in sizes
    ]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more


def _closed(
    vfs: ty.Iterable[Address],
    *,
    judge: host_verdicts.Verdicts,
    type_id: str,
    reserve_blocked: bool,
) -> tuple[frozenset[Address], frozenset[Address]]:
    """VFs that can't be given to anybody, and those of which nobody knows.

    That one can't have a type now is no reason: of that the framebuffer is
    counted.

    :param type_id: any that the card has
    """
    closed, unknown = set(), set()
    for vf in vfs:
        answer = judge.at(vf, vgpu_type=type_id)
        against = {obstacle.code for obstacle in answer.lasting}
        if not reserve_blocked:
            against &= {codes.IS_CORDONED}
        if against - {codes.OTHER_VGPU_TYPE}:
            closed.add(vf)
        elif reserve_blocked and answer.state is assignability.State.UNKNOWN:
            unknown.add(vf)
    return frozenset(closed), frozenset(unknown)


def _most(
    made: ty.Mapping[Address, int], ours: ty.Mapping[Address, vgpus.OurVgpu]
) -> int:
    """The most that one instance has."""
    held: collections.Counter[str | None] = collections.Counter()
    for vf, size in made.items():
        held[ours[vf].instance_uuid] += size
    return max(held.values(), default=0)


def _unit(
    scan: host_scan.HostScan,
    card: Address,
    vf: Address,
    sizes: ty.Mapping[Address, int],
) -> int:
    """The one size that a card takes beside what it has.

    :param vf: one of its VFs
    :param sizes: of what it has
    :returns: 0 where it has none, takes several, or nobody tells
    """
    # Imported here: it looks for plug-ins, and few hosts have vGPUs.
    from nova_vfio_variant.host import vgpu

    function = scan.get(vf)
    here = {size for size in sizes.values() if size}
    if len(here) != 1 or function is None:
        return 0
    way = vgpu.of(function)
    if way is None:
        return 0
    mixed = vgpu.mode(way[1], scan.tree, str(card))
    return here.pop() if mixed is False else 0


def _parts(
    vfs: ty.Mapping[Address, tracked.Device | None],
    ours: ty.Mapping[Address, vgpus.OurVgpu],
    scan: host_scan.HostScan,
    sizes: ty.Mapping[str, int],
    whole: int,
) -> tuple[dict[Address, int], dict[Address, int]]:
    """The size of each vGPU that a claim made and has, and of all others.

    A VF that somebody has without a vGPU has no size, and is gone all the
    same. An unknown size counts as the whole card.
    """
    made = {}
    others = {}
    for vf, device in vfs.items():
        vgpu = ours.get(vf)
        is_held = device is not None and device.status in family.IN_USE
        if (
            is_held
            and device is not None
            and vgpu is not None
            and vgpu.instance_uuid == device.instance_uuid
        ):
            made[vf] = sizes.get(vgpu.type_id) or whole
            continue
        current = vendor_vgpu.read_current(scan.tree, vf)
        if current != vendor_vgpu.NONE:
            others[vf] = sizes.get(current or "") or whole
        elif is_held:
            others[vf] = 0
    return made, others
