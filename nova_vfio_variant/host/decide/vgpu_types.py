# SPDX-License-Identifier: Apache-2.0
"""Which vGPU type of a card is meant by a word. Pure.

Names are a vendor's free text, so that they are compared and never taken
apart: a word is the number, the name, or the name without the vendor in front
of it. Where the card has none of it, a suffix that was left out is tried.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as ty

from nova_vfio_variant import finding, shown
from nova_vfio_variant.host.decide import codes
from nova_vfio_variant.host.observe import vendor_vgpu

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address

#: What NVIDIA's names of types may end with: all media engines, none, one,
#: and graphics (NVIDIA's vGPU user guide, "Virtual GPU Types").
SUFFIXES: ty.Final = ("ME", "NOME", "MEALL", "GFX")
Others = ty.Mapping[
    "pci_address.PciAddress", ty.Sequence[vendor_vgpu.VgpuType]
]
#: Characters of a word and of a name that are compared to find what is near.
_COMPARED: ty.Final = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """The type that a word means.

    :param vgpu_type: one of those that were given
    :param note: what was added to the word, in a sentence to be said; None
        if the word stands for itself
    """

    vgpu_type: vendor_vgpu.VgpuType
    note: str | None = None


def resolve(
    word: str,
    known: ty.Sequence[vendor_vgpu.VgpuType],
    card: object,
    others: Others | None = None,
) -> Resolved | finding.Finding:
    """The type of a card that a word means, or why it is none.

    :param word: an id, or a name
    :param known: the types that the card is known to have: what it offers
        now is less once it holds a vGPU, and the same word could mean another
    :param card: its address; what a finding is about
    :param others: the types that cards are known to have, this one may be
        among them
    """
    for matches, note in _readings(word, known):
        if len(matches) == 1:
            found = matches[0]
            return Resolved(found, note and f"{note} {found.name}")
        if matches:
            names = ", ".join(
                f"{found.name} ({found.id})" for found in sorted(matches)
            )
            return finding.Finding(
                codes.NO_SUCH_VGPU_TYPE,
                f"{word!r} could be any of {len(matches)} types: {names}",
                subject=str(card),
                hint="write the whole name, or the number",
            )
    return _unknown(word, known, str(card), others or {})


def _readings(
    word: str, known: ty.Sequence[vendor_vgpu.VgpuType]
) -> ty.Iterator[tuple[list[vendor_vgpu.VgpuType], str | None]]:
    """What the word may mean, the nearest first, and what is then said."""
    yield [found for found in known if found.id == word], None
    yield [found for found in known if found.name == word], None
    yield [found for found in known if _short(found.name) == word], None
    whole = {f"{word}{suffix}" for suffix in SUFFIXES}
    yield (
        [
            found
            for found in known
            if found.name in whole or _short(found.name) in whole
        ],
        f"there is no vGPU type {word!r}; it is taken as",
    )


def _short(name: str) -> str:
    """A name without the vendor's, its first word."""
    return name.partition(" ")[2]


def _unknown(
    word: str,
    known: ty.Sequence[vendor_vgpu.VgpuType],
    card: str,
    others: Others,
) -> finding.Finding:
    if not known:
        return finding.Finding(
            codes.NO_SUCH_VGPU_TYPE,
            f"no vGPU types are known of this card, and so no {word!r}",
            subject=card,
            hint="its VFs list them while none of them has a type: 'nova-vfio"
            " device sync' remembers them then",
        )
    near = nearest(word, known)
    if word == vendor_vgpu.NONE:
        near = ("none, which takes a type away",)
    elsewhere = ", ".join(
        str(other)
        for other, types in sorted(others.items())
        if any(matches for matches, _ in _readings(word, types))
    )
    has = f", and {elsewhere} is" if elsewhere else ""
    return finding.Finding(
        codes.NO_SUCH_VGPU_TYPE,
        f"the card is not known to have a vGPU type {word!r}{has}",
        subject=card,
        hint=(
            f"did you mean {', '.join(near)}?"
            if near
            else f"'nova-vfio vgpu types {card}' shows what it has"
        ),
    )


def nearest(
    word: str, known: ty.Iterable[vendor_vgpu.VgpuType]
) -> tuple[str, ...]:
    """The names that are written most like a word, up to three."""
    names: dict[str, str] = {}
    for found in known:
        for name in (found.name, _short(found.name)):
            names.setdefault(name[:_COMPARED].casefold(), found.name)
    alike = difflib.get_close_matches(
        word[:_COMPARED].casefold(), names, 6, 0.6
    )
    return tuple(
        shown.line(name)
        for name in list(dict.fromkeys(names[near] for near in alike))[:3]
    )
