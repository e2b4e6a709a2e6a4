# SPDX-License-Identifier: Apache-2.0
"""What vGPU types are called where resource classes are: in ``[pci]``. Pure.

A class has the name of its type and never the number, which is another on
another card.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.declaration import on_demand
from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card
from nova_vfio_variant.pci import names
from nova_vfio_variant.tracker import vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import verdicts
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias
    from nova_vfio_variant.pci import spec as pci_spec

#: Of each card, by the address of its PF, the types that it is known to have.
Types = ty.Mapping["pci_address.PciAddress", tuple[vendor_vgpu.VgpuType, ...]]

_VENDORS: ty.Final = ("NVIDIA ", "GRID ")


def short(name: str) -> str:
    """``NVIDIA A16-16A`` without its vendor, as operators call its class."""
    for vendor in _VENDORS:
        name = name.removeprefix(vendor)
    return name


def of_name(name: str) -> str:
    """The resource class of a type."""
    return names.resource_class(short(name), "", "")


def types(seen: host_facts.HostFacts, remembered: Types) -> Types:
    """The types of each card of a host that it is known to have.

    :param remembered: of cards that are still the same
    """
    return {
        address: vgpu_card.Card(
            address, vfs, remembered.get(address, ())
        ).known
        for address, vfs in vgpu_card.cards(seen).items()
    }


def asked_of(
    alias_specs: ty.Iterable[alias.Alias], of_cards: Types
) -> dict[pci_address.PciAddress, vendor_vgpu.VgpuType]:
    """The type of each card that an alias asks for by its class.

    Where two types of a card have the class, it asks for neither.

    :param alias_specs: the aliases of one name
    """
    asked = {spec.asked_class for spec in alias_specs} - {None}
    found = {}
    for card, of_card in of_cards.items():
        alike = [
            known
            for known in of_card
            if known.name
            and asked
            & {of_name(known.name), names.resource_class(known.name, "", "")}
        ]
        if len(alike) == 1:
            found[card] = alike[0]
    return found


def of_functions(
    judge: verdicts.Verdicts,
    remembered: Types,
    made: ty.Sequence[vgpus.OurVgpu],
    spec_of: ty.Mapping[pci_address.PciAddress, pci_spec.DeviceSpec],
) -> dict[pci_address.PciAddress, str]:
    """The class of each function that has a type whose name is known.

    A type that goes with its claim gives none. Where some VFs of a card wait
    for such types none gives any: they are alike, whichever of them has a type
    just now.

    :param remembered: see :func:`types`
    :param made: the vGPUs that are ours
    :param spec_of: the spec that takes a function
    """
    leaving = {
        vgpu.address for vgpu in made if vgpu.origin is vgpus.Origin.CLAIM
    }
    of_cards = types(judge.facts, remembered)
    found = {}
    for card, vfs in vgpu_card.cards(judge.facts).items():
        is_on_demand = any(
            vf in leaving or vgpu.current == vendor_vgpu.NONE
            for vf, vgpu in vfs.items()
            if vf in spec_of and spec_of[vf].resource_class is None
        )
        if is_on_demand and not on_demand.is_declared(vfs, judge, made):
            continue
        classes = {
            of_card.id: of_name(of_card.name)
            for of_card in of_cards[card]
            if of_card.name
        }
        for vf, vgpu in vfs.items():
            if vgpu.current in classes and vf not in leaving:
                found[vf] = classes[vgpu.current]
    return found
