# SPDX-License-Identifier: Apache-2.0
"""What the entry that takes a function makes of it, and who can get it."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.check import aliases as alias_rules
from nova_vfio_variant.declaration import verdicts
from nova_vfio_variant.pci import names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias as pci_alias
    from nova_vfio_variant.pci import spec as pci_spec
    from nova_vfio_variant.tracker import device as tracked


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """A function as guests and Placement see it.

    :param spec: the entry that takes it
    :param resource_class: as it is published
    :param traits: all that it is published with
    :param managed: what the guest's ``<hostdev>`` says
    :param provider: the resource provider's name; None if it has none
    :param why: it has none for this reason
    :param aliases: those that can get it
    """

    spec: pci_spec.DeviceSpec
    resource_class: str
    traits: tuple[str, ...]
    managed: bool
    provider: str | None
    why: str | None
    aliases: tuple[pci_alias.Alias, ...]


def of(
    given: facts.CheckInput, address: pci_address.PciAddress
) -> Outcome | None:
    """What becomes of a function; None where no entry takes it."""
    spec = given.spec_of.get(address)
    for device in given.desired if spec is not None else ():
        if device.address == address:
            break
    else:
        return None
    assert spec is not None
    providers, findings = given.tree
    name = next(
        (made.name for made in providers if address in made.addresses), None
    )
    why = None
    if device.tags.get("physical_network"):
        why = "it is for ports of Neutron's, which are not published"
    elif name is None:
        # What is wrong with one VF leaves all of its PF without provider.
        family = _family(given, device)
        why = "; ".join(
            found.message for found in findings if found.subject in family
        )
        why = why or "Placement can't describe it: see config check"
    return Outcome(
        spec,
        device.resource_class,
        names.device_traits(device),
        verdicts.is_managed(spec),
        name,
        why,
        tuple(alias_rules.that_can_get(given, device)),
    )


def _family(given: facts.CheckInput, device: tracked.Device) -> set[str]:
    """The addresses of a device, of its PF, and of all that have the PF."""
    owner = device.parent_addr or device.address
    return {str(owner)} | {
        str(other.address)
        for other in given.desired
        if other.parent_addr == owner
    }
