# SPDX-License-Identifier: Apache-2.0
"""Which VF of a card is given which type, where counts are declared. Pure.

The same declaration gives the same VF the same type, after a reboot too: what
is in use stays, then what was laid before, which is remembered, then what is
there already, and the rest goes onto VFs in order of address, the largest first.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes
from nova_vfio_variant.host.observe import vendor_vgpu

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import vgpu_card
    from nova_vfio_variant.pci import address as pci_address

#: How many of a type, by its id.
Counts = ty.Mapping[str, int]
#: The id of the type of each VF, ``0`` for none.
Layout = dict["pci_address.PciAddress", str]


def lay(
    counts: Counts,
    card: vgpu_card.Card,
    remembered: ty.Mapping[pci_address.PciAddress, str],
    *,
    heterogeneous: bool | None = None,
) -> Layout | tuple[finding.Finding, ...]:
    """The type of each VF of a card, or why the card can't hold the counts.

    VFs that are closed are given no type; one that has a type of those that
    are declared keeps it.

    :param counts: of types that the card is known to have
    :param card: as it is seen; what can be made now is not asked, for what
        is in the way may be freed first
    :param remembered: what was laid on VFs before, by id of type
    :param heterogeneous: what the card is to be; None where that isn't
        declared, and it stays as it is
    """
    counts = {type_id: count for type_id, count in counts.items() if count}
    wrong = tuple(_wrong(counts, card, heterogeneous))
    if wrong:
        return wrong
    left = dict(counts)
    laid: Layout = dict.fromkeys(sorted(card.vfs), vendor_vgpu.NONE)
    seen = {address: vf.current for address, vf in card.vfs.items()}
    # What can't be taken away stays first, where counts become smaller.
    kept = {address: seen.get(address) for address in card.closed}
    for before in (kept, remembered, seen):
        for address in laid:
            type_id = before.get(address)
            if (
                type_id is not None
                and left.get(type_id)
                and laid[address] == vendor_vgpu.NONE
                and (address not in card.closed or seen[address] == type_id)
            ):
                laid[address] = type_id
                left[type_id] -= 1
    rest = iter(_by_size(left, card))
    for address in laid:
        if laid[address] == vendor_vgpu.NONE and address not in card.closed:
            laid[address] = next(rest, vendor_vgpu.NONE)
    missing = sum(1 for _ in rest)
    if missing:
        return (too_few_vfs(card, counts),)
    return laid


def _by_size(left: Counts, card: vgpu_card.Card) -> ty.Iterator[str]:
    """Each type as often as it is left, the largest first, then by number."""
    sizes = {known.id: known.framebuffer_mib or 0 for known in card.known}
    for type_id in sorted(
        left, key=lambda type_id: (-sizes.get(type_id, 0), int(type_id))
    ):
        yield from [type_id] * left[type_id]


def _wrong(
    counts: Counts, card: vgpu_card.Card, heterogeneous: bool | None
) -> ty.Iterator[finding.Finding]:
    """Why an empty card could not hold them, as far as that is told."""
    total = sum(counts.values())
    if total > len(card.vfs):
        yield too_few_vfs(card, counts)
    known = {found.id: found for found in card.known}
    sizes = {
        type_id: known[type_id].framebuffer_mib if type_id in known else None
        for type_id in counts
    }
    needed = sum(
        count * (sizes[type_id] or 0) for type_id, count in counts.items()
    )
    room = card.told.framebuffer_mib
    if room is not None and needed > room:
        yield _because(
            card,
            f"{_told(counts, known)} need {needed} MiB of framebuffer, and "
            f"the card has {room}",
            "ask for fewer or smaller ones",
        )
    mixed = card.heterogeneous if heterogeneous is None else heterogeneous
    distinct = {size for size in sizes.values() if size is not None}
    if len(distinct) > 1 and not mixed:
        yield _because(
            card,
            f"{_told(counts, known)} are of several framebuffer sizes, and "
            "the card is not heterogeneous",
            'write "heterogeneous": true, or types of one size',
        )
    for type_id, count in counts.items():
        most = card.told.max_instances.get(type_id)
        if most is not None and count > most:
            yield _because(
                card,
                f"it holds {most} of {_name(type_id, known)} at most, and "
                f"{count} are declared",
                "ask for fewer",
            )


def too_few_vfs(card: vgpu_card.Card, counts: Counts) -> finding.Finding:
    """That a card has, or will have, fewer VFs than vGPUs are declared."""
    usable = len(card.vfs.keys() - card.closed)
    closed = len(card.vfs) - usable
    more = f", {closed} of which can be given none now" if closed else ""
    return _because(
        card,
        f"{sum(counts.values())} vGPUs are declared, and it has "
        f"{len(card.vfs)} VFs{more}",
        "ask for fewer, or make more VFs",
    )


def _told(counts: Counts, known: ty.Mapping[str, vendor_vgpu.VgpuType]) -> str:
    return " and ".join(
        f"{count} of {_name(type_id, known)}"
        for type_id, count in counts.items()
    )


def _name(type_id: str, known: ty.Mapping[str, vendor_vgpu.VgpuType]) -> str:
    return (known[type_id].name if type_id in known else "") or type_id


def _because(card: vgpu_card.Card, message: str, hint: str) -> finding.Finding:
    return finding.Finding(
        codes.VGPU_COUNTS, message, subject=str(card.address), hint=hint
    )
