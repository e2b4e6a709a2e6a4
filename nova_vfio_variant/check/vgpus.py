# SPDX-License-Identifier: Apache-2.0
"""Rules about vGPU types: who sets them, and what they are called."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, host
from nova_vfio_variant.declaration import facts, nova_here, vgpu_classes
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.tracker import vgpus as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import alias as pci_alias
    from nova_vfio_variant.pci import function as host_function

Functions = list["host_function.PciFunction"]


def on_demand(
    given: facts.CheckInput,
) -> ty.Iterator[tuple[pci_alias.Alias, str, Functions]]:
    """The aliases whose type a claim sets, or would if Nova weren't here.

    Each with the name of the type, and the VFs that can be given it, now or
    once they are free. Beside Nova those count that have none now, for types
    that no VF has.
    """
    verdicts = given.verdicts
    if verdicts is None or not verdicts.facts.vgpus:
        return
    is_nova_here = nova_here.beside_nova(given) is not None
    seen = verdicts.facts
    types = vgpu_classes.types(seen, given.vgpu_types)
    for same in given.aliases.values():
        asked = vgpu_classes.asked_of(same, types)
        free: Functions = []
        has = False
        for function, spec in given.winners:
            kind = asked.get(function.physfn) if function.physfn else None
            vgpu = seen.vgpus.get(function.address)
            if kind is None or vgpu is None:
                continue
            has = has or vgpu.current == kind.id
            if (
                spec.resource_class is None
                and not verdicts.has_declared_vgpus(function)
                and not (is_nova_here and vgpu.current != vendor_vgpu.NONE)
            ):
                free.append(function)
        if free and not (is_nova_here and has):
            yield same[0], next(iter(asked.values())).name, free


def vgpu_type_unset(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """VFs of a vendor's vGPU driver without a type, unless claims set it."""
    verdicts = given.verdicts
    if verdicts is None:
        return
    vgpus = verdicts.facts.vgpus
    divided = {
        vgpu.identity.physfn
        for vgpu in given.vgpus or ()
        if vgpu.origin is tracked.Origin.CLAIM
    }
    for spec, untyped in host.having(given, host_codes.NO_VGPU_TYPE):
        those = [
            seen
            for seen in untyped
            if not (
                nova_here.is_absent(given)
                and spec.resource_class is None
                and not verdicts.has_declared_vgpus(seen)
                # Who filled a card that no claim divided sets types.
                and (vgpus[seen.address].types or str(seen.physfn) in divided)
            )
        ]
        if not those:
            continue
        full = all(vgpus[seen.address].is_full for seen in those)
        yield facts.on_spec(
            codes.VGPU_TYPE_UNSET,
            f"{facts.named(those)} {facts.have(those)} no vGPU type: guests"
            f" with {facts.it(those)} fail when they start",
            spec,
            None,
            str(those[0].address),
            _full_card(given, spec, those)
            if full
            else _set_one(those[0], vgpus[those[0].address]),
        )


def _set_one(
    vf: host_function.PciFunction, vgpu: vendor_vgpu.VendorVgpu
) -> str | None:
    """How to give a VF a type that it offers; None where it offers none."""
    if not vgpu.creatable:
        return None
    return (
        "Declare types in [vfio] host_spec (vgpu_type), and run nova-vfio host"
        f" apply; for one VF alone: 'nova-vfio vgpu set {vf.address}"
        f" {vgpu.creatable[0]}'."
    )


def _full_card(
    given: facts.CheckInput, spec: pci_spec.DeviceSpec, those: Functions
) -> str:
    """What to do where no VF without a type can be given one."""
    typed = [seen for seen in given.by_spec[spec.index] if seen not in those]
    only = f"name only {facts.named(typed)}" if typed else "name other devices"
    these = "this VF" if len(those) == 1 else "these VFs"
    return (
        f"The card is full: creatable_vgpu_types of {these} is empty; {only}"
        " (config suggest)."
    )


def beside_nova(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Types that nobody sets, for nova-compute claims no such VF of us."""
    reason = nova_here.beside_nova(given)
    if reason is None:
        return
    for alias, name, free in on_demand(given):
        yield facts.on_alias(
            codes.TYPES_ON_DEMAND,
            f"it asks for vGPU type {name}, which {facts.named(free)} could"
            f" be given and {'has' if len(free) == 1 else 'have'} not:"
            f" beside nova-compute nobody sets it ({reason})",
            alias,
            "resource_class",
        )


def class_unknown_to_nova(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Classes of types, which nova-compute doesn't read from our option."""
    if nova_here.beside_nova(given) is None:
        return
    classes = facts.type_classes(given)
    for spec in given.specs:
        found = {
            classes[function.address]
            for function in given.by_spec.get(spec.index, ())
            if function.address in classes
        }
        if found and spec.resource_class is None:
            named = ", ".join(sorted(found))
            yield facts.on_spec(
                codes.CLASS_UNKNOWN_TO_NOVA,
                f"its VFs are {named} here by their types, and what their ids"
                " say to nova-compute",
                spec,
                hint=f'Write "resource_class": "{min(found)}" into it.'
                if len(found) == 1
                else None,
            )


RULES: tuple[facts.Rule, ...] = (
    vgpu_type_unset,
    beside_nova,
    class_unknown_to_nova,
)
