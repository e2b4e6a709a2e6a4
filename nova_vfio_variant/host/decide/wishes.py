# SPDX-License-Identifier: Apache-2.0
"""What the entries of ``host_spec`` say of each function, put together."""

from __future__ import annotations

import collections
import dataclasses
import json
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, host_spec
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


@dataclasses.dataclass(slots=True)
class Wish:
    """What all entries together want of one function."""

    num_vfs: int | None = None
    driver: str | None = None
    companions: tuple[pci_address.PciAddress, ...] = ()
    allow_pf: bool = False
    vgpu_type: str | None = None
    vgpu_types: ty.Mapping[str, int] | None = None
    heterogeneous: bool | None = None
    by: dict[str, host_spec.HostSpec] = dataclasses.field(default_factory=dict)


Wishes = ty.Mapping[pci_address.PciAddress, Wish]


def gather(
    specs: ty.Iterable[host_spec.HostSpec],
    functions: ty.Sequence[observed.PciFunction],
) -> tuple[Wishes, tuple[finding.Finding, ...]]:
    """What all entries want of each function that one of them names.

    :returns: and where two of them disagree
    """
    conflicts = []
    wishes: dict[pci_address.PciAddress, Wish] = collections.defaultdict(Wish)
    told = set()
    for function in functions:
        for spec in specs:
            if not spec.selects(function):
                continue
            keys = _keys(spec, function)
            if not keys:
                continue
            wish = wishes[function.address]
            for key in keys:
                value = getattr(spec, key)
                other = wish.by.setdefault(key, spec)
                known = getattr(wish, key)
                if known is None:
                    setattr(wish, key, value)
                elif known != value and (other.index, spec.index) not in told:
                    told.add((other.index, spec.index))
                    conflicts.append(
                        spec.on(
                            codes.HOST_SPEC_CONFLICT,
                            f"{key} of {function.address} is {_shown(value)} "
                            f"here and {_shown(known)} at {other.location}",
                            key,
                            "let one entry name it, or both say the same",
                        )
                    )
            wish.companions += spec.companions
            wish.allow_pf = wish.allow_pf or spec.allow_pf
    conflicts += _of_cards(wishes, functions)
    return dict(wishes), tuple(conflicts)


def _keys(
    spec: host_spec.HostSpec, function: observed.PciFunction
) -> tuple[str, ...]:
    """What an entry says of a function that it names."""
    if spec.is_of_pf:
        of_pf = [
            key
            for key in host_spec.OF_PFS
            if getattr(spec, key) is not None and function.sriov_totalvfs
        ]
        return tuple(of_pf)
    return tuple(
        key
        for key in ("driver", "vgpu_type")
        if getattr(spec, key) is not None
    )


def _of_cards(
    wishes: Wishes, functions: ty.Iterable[observed.PciFunction]
) -> ty.Iterator[finding.Finding]:
    """Where an entry counts a card's types, and another names its VF's."""
    told = set()
    for function in functions:
        mine = wishes.get(function.address)
        card = None
        if function.physfn is not None:
            card = wishes.get(function.physfn)
        if (
            mine is None
            or card is None
            or mine.vgpu_type is None
            or card.vgpu_types is None
        ):
            continue
        spec, other = mine.by["vgpu_type"], card.by["vgpu_types"]
        if (other.index, spec.index) in told:
            continue
        told.add((other.index, spec.index))
        yield spec.on(
            codes.HOST_SPEC_CONFLICT,
            f"vgpu_type of {function.address} is {mine.vgpu_type} here, and "
            f"vgpu_types of its card {function.physfn} stands at "
            f"{other.location}",
            "vgpu_type",
            "declare the card, or each of its VFs",
        )


def _shown(value: object) -> object:
    """A value as it is written."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict) else value
