# SPDX-License-Identifier: Apache-2.0
"""Rules about functions that are given out in two ways.

Whole (``[pci] device_spec``), as mediated devices (``[devices]``), or with a
vGPU type of the vendor's (``[vfio] host_spec``). A PF is its whole card, and
goes together with each of its VFs; its VFs go without each other. A VF that
has a type is passed through by the entry that takes it: that is one way.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, mdevs
from nova_vfio_variant.declaration import facts, nova_mdevs
from nova_vfio_variant.host.decide import host_spec, wishes
from nova_vfio_variant.pci import address as pci_address

Address = pci_address.PciAddress


def mediated(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Parents of mediated devices that are given out in another way, too."""
    if given.scan is None:
        return
    typed = _typed(given)
    named = nova_mdevs.read(given).named
    for card in named:
        try:
            at = Address.parse(card.name)
        except ValueError:
            continue
        for code, why in _others(given, at, typed):
            yield mdevs.on_name(given, card, code, _said(card.kind, why))
    apart = {card.name for card in named}
    for kind in mdevs.enabled(given):
        if any(card.kind == kind for card in named):
            continue
        found: dict[finding.Code, str] = {}
        for seen in given.functions:
            if kind in seen.mdev_types and str(seen.address) not in apart:
                found = {**dict(_others(given, seen.address, typed)), **found}
        for code, why in found.items():
            yield facts.on_option(
                code,
                _said(kind, why),
                given.places.get(nova_mdevs.ENABLED),
                mdevs.OF_ENABLED,
            )


def whole(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """PFs that guests get, while their VFs are to have types.

    An entry that takes such VFs as well gives these to guests, and takes the
    PF beside them (VFIO281).
    """
    typed = _typed(given)
    for seen, spec in given.winners:
        vfs = [vf.address for vf in given.vfs_of.get(seen.address, ())]
        told = [at for at in (seen.address, *vfs) if at in typed]
        if (
            told
            and (vfs or seen.sriov_totalvfs)
            and not any(given.spec_of.get(vf) is spec for vf in vfs)
        ):
            by = typed[told[0]]
            what = (
                "its VFs" if told[0] == seen.address else f"its VF {told[0]}"
            )
            yield facts.on_spec(
                codes.PF_AND_TYPES,
                f"{seen.address} is given to guests here, and host_spec at"
                f" {by.location} gives {what} a vGPU type",
                spec,
                "address",
                str(seen.address),
            )


def _others(
    given: facts.CheckInput,
    at: Address,
    typed: ty.Mapping[Address, host_spec.HostSpec],
) -> ty.Iterator[tuple[finding.Code, str]]:
    """In which other ways a parent of mediated devices is given out."""
    taken = _first(given, at, given.spec_of)
    if taken is not None:
        by = given.spec_of[taken].location
        why = f"the entry of {by} gives {taken} to guests"
        yield codes.MDEV_AND_SPEC, why
    divided = _first(given, at, typed)
    if divided is not None:
        by = typed[divided].location
        why = f"host_spec at {by} gives {divided} a vGPU type of the vendor's"
        yield codes.MDEV_AND_TYPE, why


def _first(
    given: facts.CheckInput, at: Address, those: ty.Container[Address]
) -> Address | None:
    """Which of a function, its VFs and its PF is one of those."""
    seen = given.scan.get(at) if given.scan else None
    family = [at, *(function.address for function in given.vfs_of.get(at, ()))]
    if seen is not None and seen.physfn is not None:
        family.append(seen.physfn)
    return next((address for address in family if address in those), None)


def _typed(
    given: facts.CheckInput,
) -> dict[Address, host_spec.HostSpec]:
    """The functions to which host_spec gives types, and the entry."""
    specs, _ = host_spec.parse_host_specs(given.host_specs)
    found = {}
    for at, wish in wishes.gather(specs, given.functions)[0].items():
        if wish.vgpu_type not in (None, host_spec.NO_TYPE):
            found[at] = wish.by["vgpu_type"]
        elif any((wish.vgpu_types or {}).values()):
            found[at] = wish.by["vgpu_types"]
    return found


def _said(kind: str, why: str) -> str:
    return f"Nova makes mediated devices of type {kind} here, and {why}"


RULES: tuple[facts.Rule, ...] = (mediated, whole)
