# SPDX-License-Identifier: Apache-2.0
"""How many vGPUs of each type a card can be given now, and why none. Pure.

Each VF lists what *it* could be given, so that a card of sixteen free VFs
lists a type sixteen times whose framebuffer is there once. What can be made is
the smaller of the VFs that list it and of what the framebuffer leaves; where
nobody tells of framebuffer, one can be made for sure, and what the VFs list is
the most.

A card whose vGPUs may be of several sizes gives each a place, so that it may
take fewer than its framebuffer has room for: also there one is sure.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import re
import typing as ty

from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card

#: The framebuffer in GiB, in a name: ``NVIDIA L40S-12Q``, ``A100-1-5CME``.
_IN_NAME: ty.Final = re.compile(r"-([1-9][0-9]{0,3})[QABC][A-Z]*\Z")


class Why(enum.StrEnum):
    """Why none of a type can be made, as a sentence says it."""

    NO_VFS = "the card has no VFs that take vGPUs"
    CORDONED = "the VFs of the card that are free are cordoned"
    NO_FREE_VF = "all VFs of the card are taken"
    FULL = "the card is full"
    HELD = "what the card has left is of claims whose types are not set"
    ANOTHER_SIZE = "the card holds vGPUs of another framebuffer size"
    NO_GPU_INSTANCE = (
        "the card is empty and offers none, as in MIG mode without a GPU"
        " instance"
    )
    NOT_TOLD = "the VFs don't say so, and nobody tells why"


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """What a card has and can have of a type.

    :param vgpu_type: with its framebuffer, where that is told
    :param existing: how many VFs have it
    :param offered: how many VFs list it that may be given it
    :param now: how many can be made for sure
    :param at_most: how many can't be excluded
    :param why: why none can be made; None where one can
    """

    vgpu_type: vendor_vgpu.VgpuType
    existing: int
    offered: int
    now: int
    at_most: int
    why: Why | None = None


def of_card(card: vgpu_card.Card) -> tuple[Capacity, ...]:
    """All types that a card is known to have, by number."""
    known = card.known
    offers = collections.Counter(
        type_id
        for vf in card.free.values()
        for type_id in frozenset(vf.creatable or ())
    )
    return tuple(
        _capacity(card, known, found, offers[found.id]) for found in known
    )


def of_type(card: vgpu_card.Card, type_id: str) -> Capacity:
    """One type; of one that the card isn't known to have nothing is known."""
    for found in of_card(card):
        if found.vgpu_type.id == type_id:
            return found
    unknown = vendor_vgpu.VgpuType(type_id, "")
    return Capacity(unknown, 0, 0, 0, 0, Why.NOT_TOLD)


def guessed_mib(name: str) -> int | None:
    """What a type's name says of its framebuffer: to be shown, marked as such.

    It is wrong for types below one GiB and for some others.
    """
    found = _IN_NAME.search(name)
    return None if found is None else int(found[1]) * 1024


def _capacity(
    card: vgpu_card.Card,
    known: ty.Sequence[vendor_vgpu.VgpuType],
    wanted: vendor_vgpu.VgpuType,
    offered: int,
) -> Capacity:
    count = card.existing.count(wanted.id)
    if not offered:
        why: Why | None = _why(card, known, wanted)
        return Capacity(wanted, count, 0, 0, 0, why)
    at_most = offered
    room = _room(card, known, wanted)
    most = card.told.max_instances.get(wanted.id)
    if room is not None:
        at_most = min(at_most, room)
    if most is not None:
        at_most = min(at_most, most - card.taken.count(wanted.id))
    if card.lost:
        # The driver knows nothing of those.
        why = _why_held(card, known, wanted, at_most)
        if why is not None:
            return Capacity(wanted, count, offered, 0, 0, why)
        if room is None:
            return Capacity(wanted, count, offered, 0, at_most, Why.HELD)
    # The driver offers it, and knows better than any sum.
    at_most = max(at_most, 1)
    now = 1
    if (
        room is not None
        and card.heterogeneous is False
        and not card.has_gpu_instances
    ):
        # Of how many the most is, a vendor doesn't say: of a size, it seems.
        left = at_most if most is None else most - len(card.taken)
        now = max(1, min(at_most, left))
    return Capacity(wanted, count, offered, now, at_most)


def _room(
    card: vgpu_card.Card,
    known: ty.Sequence[vendor_vgpu.VgpuType],
    wanted: vendor_vgpu.VgpuType,
) -> int | None:
    """How many the framebuffer has room for; None if nobody can tell."""
    left = framebuffer_left(card, known)
    if left is None or not wanted.framebuffer_mib:
        return None
    return left // wanted.framebuffer_mib


def framebuffer_left(
    card: vgpu_card.Card,
    known: ty.Sequence[vendor_vgpu.VgpuType] | None = None,
) -> int | None:
    """MiB that no vGPU of a card has or is to have; None if nobody can tell.

    :param known: its types, where they are at hand
    """
    sizes = {
        found.id: found.framebuffer_mib
        for found in (card.known if known is None else known)
    }
    if card.told.framebuffer_mib is None:
        return None
    left = card.told.framebuffer_mib
    for type_id in card.taken:
        size = sizes.get(type_id)
        if not size:
            return None
        left -= size
    return max(left, 0)


def _why(
    card: vgpu_card.Card,
    known: ty.Sequence[vendor_vgpu.VgpuType],
    wanted: vendor_vgpu.VgpuType,
) -> Why:
    """Why no VF lists a type, by what the card has and lists instead."""
    free = card.free.values()
    if not card.vfs:
        return Why.NO_VFS
    if not free:
        is_cordoned = any(
            card.vfs[vf].current == vendor_vgpu.NONE for vf in card.cordoned
        )
        return Why.CORDONED if is_cordoned else Why.NO_FREE_VF
    if any(vf.types is None or vf.garbled for vf in free):
        return Why.NOT_TOLD
    existing = set(card.existing)
    listed = {found for vf in free for found in vf.creatable or ()}
    if not existing:
        return Why.NOT_TOLD if listed else Why.NO_GPU_INSTANCE
    if _room(card, known, wanted) == 0 or not listed:
        return Why.FULL
    if card.heterogeneous:
        return Why.FULL
    sizes = {
        _shown_size(found) for found in known if found.id in existing | listed
    }
    wanted_size = _shown_size(wanted)
    if None in sizes or wanted_size is None or wanted_size in sizes:
        return Why.NOT_TOLD
    return Why.ANOTHER_SIZE


def _why_held(
    card: vgpu_card.Card,
    known: ty.Sequence[vendor_vgpu.VgpuType],
    wanted: vendor_vgpu.VgpuType,
    at_most: int,
) -> Why | None:
    """Why claims that wait for their types leave no room for another one."""
    if at_most < 1:
        return Why.HELD
    sizes = {
        found.framebuffer_mib for found in known if found.id in card.taken
    }
    if not card.heterogeneous and sizes - {None, wanted.framebuffer_mib}:
        return Why.ANOTHER_SIZE
    return None


def _shown_size(found: vendor_vgpu.VgpuType) -> int | None:
    """A reason is only said, so that a guess is better than none."""
    return found.framebuffer_mib or guessed_mib(found.name)
